"""Segments: the list, one segment with its members, and the editor."""

from collections.abc import Sequence

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import pulse
from cairn.analysis import users as users_of
from cairn.analysis.users import User
from cairn.conditions.describe import describe
from cairn.db.tables import flags, rules, segment_states
from cairn.errors import CairnError, NotFound
from cairn.ids import identified_user_id
from cairn.members.sets import users_set
from cairn.segments.definition import (
    NewSegment,
    Segment,
    SegmentState,
    create_segment,
    delete_segment,
    get_segment,
    list_segments,
    states,
    update_segment,
)
from cairn.segments.explain import explain
from cairn.web import segment_form
from cairn.web.segment_form import Draft, Problems
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

MEMBERS = 50  # on a page
EXAMPLES = ("heap_premium_users", "Premium users")


class Listed(Struct, frozen=True):
    segment: Segment
    state: SegmentState | None
    sentence: str


class UsedBy(Struct, frozen=True):
    """A flag whose rules name the segment."""

    key: str
    name: str
    environment_id: int


def segments_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        found = list_segments(connection, visit.workspace_id, visit.here.project_id)
        known = _states(connection, visit.here.id)
    listed = [Listed(each, known.get(each.id), describe(each.condition)) for each in found]
    text = visit.ask("q").lower()
    shown = [each for each in listed if text in f"{each.segment.name} {each.segment.key}".lower()]
    return visit.page("segments.html", shown=shown, total=len(listed), text=visit.ask("q"))


def _states(connection: sa.Connection, environment_id: int) -> dict[int, SegmentState]:
    query = sa.select(segment_states).where(segment_states.c.environment_id == environment_id)
    return {row.segment_id: SegmentState(**row._mapping) for row in connection.execute(query)}


def segment_page(visit: Visit) -> Response:
    store, environment = visit.core.store, visit.here
    asked, after = visit.ask("user"), visit.ask("after")
    with visit.reading() as connection:
        segment = _here(visit, connection)
        state = next((each for each in states(connection, visit.workspace_id, segment.id)
                      if each.environment_id == environment.id), None)  # fmt: skip
        members = visit.core.members.values(users_set(environment.id, segment.id), after=after, limit=MEMBERS + 1)
        since = {int(user_id): since_ms for user_id, since_ms in members[:MEMBERS]}
        described = users_of.described(store, connection, environment.id, list(since), now=visit.now)
        used = _used_by(connection, segment, state)
        candidates = _candidates(visit, connection, asked)
    why = explain(visit.core, segment, environment.id, candidates[0].user_id) if len(candidates) == 1 else None
    return visit.page(
        "segment.html", segment=segment, state=state, sentence=describe(segment.condition), members=described,
        since=since, after=after, next=members[MEMBERS - 1][0] if len(members) > MEMBERS else "", used=used,
        asked=asked, candidates=candidates, why=why, size=visit.core.members.size(users_set(environment.id, segment.id)),
    )  # fmt: skip


def _here(visit: Visit, connection: sa.Connection) -> Segment:
    """The segment of the address. Raises NotFound when it belongs to another project."""
    segment = get_segment(connection, visit.workspace_id, visit.number("segment_id"))
    if segment.project_id != visit.here.project_id:
        raise NotFound(f"segment {segment.id} belongs to another project; switch the environment")
    return segment


def _candidates(visit: Visit, connection: sa.Connection, asked: str) -> list[User]:
    """Whom somebody means by an identity or id: the one with exactly it, else those it could be."""
    if not asked:
        return []
    store, environment_id = visit.core.store, visit.here.id
    exact = users_of.user_by_identity(store, connection, environment_id, asked, now=visit.now)
    if exact is not None and exact.identity:
        return [exact]
    return users_of.search_users(store, connection, environment_id, asked, now=visit.now).users[:10]


def _used_by(connection: sa.Connection, segment: Segment, state: SegmentState | None) -> list[UsedBy]:
    rows = connection.execute(
        sa.select(flags.c.key, flags.c.name, rules.c.environment_id, rules.c.body)
        .join(rules, rules.c.flag_id == flags.c.id)
        .where(flags.c.project_id == segment.project_id, flags.c.archived_at.is_(None))
    ).all()
    list_id = state.list_id if state else ""
    found = [UsedBy(key, name, at) for key, name, at, body in rows if _names(body, segment.id, list_id)]
    return list(dict.fromkeys(found))


def _names(document: object, segment_id: int, list_id: str) -> bool:
    match document:
        case {"type": "in_list", **rest}:
            return rest.get("segment_id") == segment_id or (bool(list_id) and rest.get("list_id") == list_id)
        case dict():
            return any(_names(value, segment_id, list_id) for value in document.values())
        case list():
            return any(_names(value, segment_id, list_id) for value in document)
        case _:
            return False
