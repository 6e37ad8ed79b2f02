"""Segments: the list, one segment with its members, and the editor."""

from collections.abc import Mapping

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import pulse
from cairn.analysis import users as users_of
from cairn.analysis.users import User
from cairn.conditions.describe import Part, describe
from cairn.conditions.tree import And, Or
from cairn.db.tables import flags, rules, segment_states
from cairn.definitions.defined_event import list_defined_events
from cairn.errors import CairnError, NotFound
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
from cairn.segments.explain import Counted, Why, explain
from cairn.web import segment_form
from cairn.web.audience import names_segment
from cairn.web.english import Words, sentence
from cairn.web.segment_form import Draft, Problems
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

MEMBERS = 50  # on a page


class Listed(Struct, frozen=True):
    segment: Segment
    state: SegmentState | None
    sentence: list[Part]


class Reasoned(Struct, frozen=True):
    """One node of the answer, in words."""

    why: Why
    words: list[Part]  # of a leaf
    joined: str  # of a group
    nodes: list["Reasoned"]
    events: list[tuple[Counted, Words]]


class Answer(Struct, frozen=True):
    """Whether somebody is in, and why. `since_ms` None: not in by the live count."""

    user: User
    since_ms: int | None
    told: Reasoned


class UsedBy(Struct, frozen=True):
    """A flag whose rules name the segment."""

    key: str
    name: str
    environment_id: int


def segments_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        found = list_segments(connection, visit.workspace_id, visit.here.project_id)
        known = _states(connection, visit.here.id)
    names = _event_names(visit)
    listed = [Listed(each, known.get(each.id), describe(each.condition, event_names=names)) for each in found]
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
        members = visit.core.members.values(
            users_set(environment.id, segment.id), after=after, limit=MEMBERS + 1
        )
        since = {int(user_id): since_ms for user_id, since_ms in members[:MEMBERS]}
        described = users_of.described(store, connection, environment.id, list(since), now=visit.now)
        used = _used_by(connection, segment, state)
        candidates = _candidates(visit, connection, asked)
        why = _why(visit, connection, segment, candidates[0]) if len(candidates) == 1 else None
    size = visit.core.members.size(users_set(environment.id, segment.id))
    return visit.page(
        "segment.html", segment=segment, state=state, members=described,
        sentence=describe(segment.condition, event_names=_event_names(visit)),
        since=since, after=after, next=members[MEMBERS - 1][0] if len(members) > MEMBERS else "", used=used,
        asked=asked, candidates=candidates, why=why, size=size,
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


def _why(visit: Visit, connection: sa.Connection, segment: Segment, user: User) -> Answer:
    found = explain(
        visit.core.store,
        connection,
        visit.here.id,
        user.user_id,
        segment.condition,
        visit.now,
        visit.core.definitions,
    )
    name = users_set(visit.here.id, segment.id)
    told = _told(found, _event_names(visit))
    return Answer(user, visit.core.members.since(name, str(user.user_id)), told)


def _event_names(visit: Visit) -> dict[int, str]:
    """Defined events of the project by id, archived ones too."""
    with visit.reading() as connection:
        known = list_defined_events(connection, visit.workspace_id, visit.here.project_id, with_archived=True)
    return {event.id: event.name for event in known}


def _told(why: Why, names: Mapping[int, str]) -> Reasoned:
    match why.condition:
        case And():
            joined = "all of"
        case Or():
            joined = "any of"
        case _:
            joined = "not"
    words = [] if why.nodes else describe(why.condition, event_names=names)
    events = [(event, sentence(event)) for event in why.latest]
    return Reasoned(why, words, joined, [_told(node, names) for node in why.nodes], events)


def _used_by(connection: sa.Connection, segment: Segment, state: SegmentState | None) -> list[UsedBy]:
    rows = connection.execute(
        sa.select(flags.c.key, flags.c.name, rules.c.environment_id, rules.c.body)
        .join(rules, rules.c.flag_id == flags.c.id)
        .where(flags.c.project_id == segment.project_id, flags.c.archived_at.is_(None))
    ).all()
    list_id = state.list_id if state else ""
    found = [
        UsedBy(key, name, at) for key, name, at, body in rows if names_segment(body, segment.id, list_id)
    ]
    return list(dict.fromkeys(found))


def new_segment_page(visit: Visit) -> Response:
    return _editor(visit, None, Draft(), {}, None)


def edit_segment_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        segment = _here(visit, connection)
    return _editor(visit, segment, segment_form.from_condition(segment.condition, visit.zone), {}, None)


def _editor(
    visit: Visit, segment: Segment | None, draft: Draft, problems: Problems, error: CairnError | None
) -> Response:
    condition, _ = segment_form.to_condition(draft, visit.zone)
    store, events = visit.core.store, _event_names(visit)
    return visit.page(
        "segment_edit.html", defined=tuple((f"{segment_form.DEFINED}{each}", name) for each, name in events.items()),
        segment=segment, draft=draft, problems=problems, error=error, choices=segment_form,
        sentence=describe(condition, event_names=events) if condition is not None else [],
        names=pulse.event_names(store, visit.here.id, now=visit.now),
        keys=pulse.property_keys(store, visit.here.id), status=error.status if error else 422 if problems else 200,
        form=visit.form,
    )  # fmt: skip


def save_new_segment(visit: Visit) -> Response:
    return _save(visit, None)


def save_segment(visit: Visit) -> Response:
    with visit.reading() as connection:
        segment = _here(visit, connection)
    return _save(visit, segment)


def _save(visit: Visit, segment: Segment | None) -> Response:
    draft, action = segment_form.read(visit.form), visit.form("do", "save")
    if action != "save":
        return _editor(visit, segment, segment_form.change(draft, action), {}, None)
    condition, problems = segment_form.to_condition(draft, visit.zone)
    if condition is None:
        return _editor(visit, segment, draft, problems, None)
    form = visit.form
    name, description = form.line("name"), form.line("description")
    try:
        with visit.core.writing() as connection:
            if segment is None:
                new = NewSegment(
                    key=form.line("key"), name=name, condition=condition, description=description
                )
                saved = create_segment(connection, visit.workspace_id, visit.here.project_id, new, visit.now)
            else:
                saved = update_segment(
                    connection, visit.workspace_id, segment.id, name=name, description=description,
                    condition=condition, now=visit.now,
                )  # fmt: skip
    except CairnError as error:
        return _editor(visit, segment, draft, {}, error)
    visit.changed_everywhere()
    done = "is being counted" if segment is None else "is saved"
    return visit.leave(visit.url(f"/segments/{saved.id}"), f"Segment {saved.name} {done}.")


def remove_segment(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        segment = _here(visit, connection)
        delete_segment(connection, visit.workspace_id, segment.id)
    visit.changed_everywhere()
    return visit.go(visit.url("/segments"), f"Segment {segment.name} is deleted.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/segments", segments_page),
    get("/env/{environment}/segments/new", new_segment_page, Verb.DEFINE),
    post("/env/{environment}/segments/new", save_new_segment),
    get("/env/{environment}/segments/{segment_id}", segment_page),
    get("/env/{environment}/segments/{segment_id}/edit", edit_segment_page, Verb.DEFINE),
    post("/env/{environment}/segments/{segment_id}/edit", save_segment),
    post("/env/{environment}/segments/{segment_id}/delete", remove_segment),
)
