"""Segments as people define them: a named condition over users, with one attribute list per environment.

Editing a condition raises `version`; `live` then counts the new membership beside the old one and switches at once.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.conditions.check import check, parse
from cairn.conditions.to_sql import check_size
from cairn.conditions.tree import NOBODY, Condition
from cairn.db.tables import (
    attribute_lists,
    environments,
    projects,
    segment_states,
    segments,
)
from cairn.definitions.defined_event import check_events
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.ids import new_list_id
from cairn.segments.used_by import used_by
from cairn.workspace.naming import clean_key, clean_name

MAX_DESCRIPTION = 2_000  # characters


class NewSegment(Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    name: str
    condition: Condition
    description: str = ""


class Segment(Struct, frozen=True):
    id: int
    workspace_id: int
    project_id: int
    key: str
    name: str
    description: str
    condition: Condition
    version: int  # rises with every change of the condition
    created_at: datetime
    updated_at: datetime
    unreadable: str = ""  # why the stored condition cannot be read, so that nobody is in; empty: it can


class SegmentName(Struct, frozen=True):
    """What a segment is called, without the cost of reading its condition."""

    id: int
    key: str
    name: str


class SegmentState(Struct, frozen=True):
    """A segment in one environment: its list, its size, and when it was last proven right."""

    segment_id: int
    environment_id: int
    list_id: str  # the attribute list that flag rules ask about
    version: int  # the definition the membership was counted from; 0: not counted yet
    users: int
    identified: int
    counted_at: datetime | None
    drift: int  # differences the last full recount found
    count_ms: int
    error: str  # why it is not live; empty: it is
    failed_at: datetime | None  # since when it is not


# live: members follow what happens. counting: not counted yet. recounting: edited, the members are still those of the
# rule before. failing: members do not follow what happens; they are tried to be counted again.
SegmentHealth = Literal["live", "counting", "recounting", "failing"]


def health_of(state: SegmentState, defined_version: int) -> SegmentHealth:
    if state.error:
        return "failing"
    if not state.version:
        return "counting"
    return "live" if state.version == defined_version else "recounting"


class SegmentNotFound(NotFound):
    """There is no such segment in this workspace."""

    code = "segment_not_found"


class SegmentKeyTaken(Conflict):
    """The project has a segment with this key. Choose another one."""

    code = "segment_key_taken"


class SegmentInUse(Conflict):
    """A flag decides by this segment. Take it out of the named rules first, then delete it."""

    code = "segment_in_use"


def create_segment(
    connection: sa.Connection, workspace_id: int, project_id: int, new: NewSegment, now: datetime
) -> Segment:
    """Raises InvalidInput naming the field, NotFound for the project and SegmentKeyTaken."""
    key = clean_key(new.key)
    name, description = clean_name(new.name), _clean_description(new.description)
    check(new.condition)
    check_size(new.condition)
    owned = sa.select(projects.c.id).where(
        projects.c.workspace_id == workspace_id, projects.c.id == project_id
    )
    if connection.execute(owned).first() is None:
        raise NotFound(f"no project {project_id} in this workspace", field="project_id")
    check_events(connection, project_id, new.condition)
    taken = sa.select(segments.c.id).where(segments.c.project_id == project_id, segments.c.key == key)
    if connection.execute(taken).first():
        raise SegmentKeyTaken(f"the project has a segment {key!r}; choose another key", field="key")
    row = {
        "workspace_id": workspace_id,
        "project_id": project_id,
        "key": key,
        "name": name,
        "description": description,
        "condition": msgspec.to_builtins(new.condition),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    segment = _segment(connection.execute(sa.insert(segments).values(**row).returning(*segments.c)).one())
    add_missing_states(connection, now)
    return segment


def get_segment(connection: sa.Connection, workspace_id: int, segment_id: int) -> Segment:
    """Raises SegmentNotFound."""
    query = sa.select(segments).where(segments.c.workspace_id == workspace_id, segments.c.id == segment_id)
    row = connection.execute(query).first()
    if row is None:
        raise SegmentNotFound(f"no segment {segment_id} in this workspace", field="segment_id")
    return _segment(row)


def list_segments(
    connection: sa.Connection, workspace_id: int, project_id: int | None = None
) -> list[Segment]:
    """By name; of one project, or of the whole workspace."""
    query = sa.select(segments).where(segments.c.workspace_id == workspace_id)
    if project_id is not None:
        query = query.where(segments.c.project_id == project_id)
    return [_segment(row) for row in connection.execute(query.order_by(segments.c.name, segments.c.id))]


def name_segments(connection: sa.Connection, workspace_id: int, project_id: int) -> list[SegmentName]:
    """The segments of one project by name."""
    query = sa.select(segments.c.id, segments.c.key, segments.c.name).where(
        segments.c.workspace_id == workspace_id, segments.c.project_id == project_id
    )
    return [SegmentName(*row) for row in connection.execute(query.order_by(segments.c.name, segments.c.id))]


def update_segment(
    connection: sa.Connection,
    workspace_id: int,
    segment_id: int,
    *,
    name: str | None = None,
    description: str | None = None,
    condition: Condition | None = None,
    now: datetime,
) -> Segment:
    """Change what is given. The key stays: programs name it. Raises InvalidInput, SegmentNotFound."""
    before = get_segment(connection, workspace_id, segment_id)
    changes: dict[str, Any] = {"updated_at": now}  # Any: columns of several types
    if name is not None:
        changes["name"] = clean_name(name)
    if description is not None:
        changes["description"] = _clean_description(description)
    if condition is not None:
        check(condition)
        check_size(condition)
        check_events(connection, before.project_id, condition)
        if condition != before.condition:
            changes |= {"condition": msgspec.to_builtins(condition), "version": segments.c.version + 1}
    connection.execute(sa.update(segments).where(segments.c.id == segment_id).values(**changes))
    if "name" in changes:
        of_segment = sa.select(segment_states.c.list_id).where(segment_states.c.segment_id == segment_id)
        rename = sa.update(attribute_lists).where(attribute_lists.c.id.in_(of_segment))
        connection.execute(rename.values(name=changes["name"], updated_at=now))
    return get_segment(connection, workspace_id, segment_id)


def delete_segment(connection: sa.Connection, workspace_id: int, segment_id: int) -> None:
    """Raises SegmentNotFound, and SegmentInUse naming the flags. `live` empties its sets."""
    segment = get_segment(connection, workspace_id, segment_id)
    lists = [state.list_id for state in states(connection, workspace_id, segment_id)]
    if uses := used_by(connection, workspace_id, [segment_id])[segment_id]:
        named = ", ".join(dict.fromkeys(map(str, uses)))
        raise SegmentInUse(
            f"segment {segment.key!r} is used by {named}; take it out there first",
            field="segment_id",
        )
    connection.execute(sa.delete(segments).where(segments.c.id == segment_id))
    connection.execute(sa.delete(attribute_lists).where(attribute_lists.c.id.in_(lists)))


def states(connection: sa.Connection, workspace_id: int, segment_id: int) -> list[SegmentState]:
    """One for each environment of the segment's project. Raises SegmentNotFound."""
    get_segment(connection, workspace_id, segment_id)
    query = sa.select(segment_states).where(segment_states.c.segment_id == segment_id)
    rows = connection.execute(query.order_by(segment_states.c.environment_id))
    return [SegmentState(**row._mapping) for row in rows]


def states_in(connection: sa.Connection, environment_id: int) -> dict[int, SegmentState]:
    """Segment -> its state in one environment."""
    query = sa.select(segment_states).where(segment_states.c.environment_id == environment_id)
    return {row.segment_id: SegmentState(**row._mapping) for row in connection.execute(query)}


def missing_states(connection: sa.Connection) -> list[tuple[int, str, int]]:
    """(segment id, its name, environment id) where a segment has no state yet, for instance in a new environment."""
    rows = connection.execute(
        sa.select(segments.c.id, segments.c.name, environments.c.id.label("environment_id"))
        .join(environments, environments.c.project_id == segments.c.project_id)
        .outerjoin(
            segment_states,
            (segment_states.c.segment_id == segments.c.id)
            & (segment_states.c.environment_id == environments.c.id),
        )
        .where(segment_states.c.segment_id.is_(None))
        .order_by(segments.c.id, environments.c.id)
    )
    return [(segment_id, name, environment_id) for segment_id, name, environment_id in rows]


def add_missing_states(connection: sa.Connection, now: datetime) -> None:
    """Give every segment a state and a list in every environment of its project, new environments included."""
    for segment_id, name, environment_id in missing_states(connection):
        list_id = new_list_id()
        connection.execute(
            sa.insert(attribute_lists).values(
                id=list_id,
                environment_id=environment_id,
                name=name,
                kind="segment",
                folds_case=False,
                created_at=now,
                updated_at=now,
            )
        )
        connection.execute(
            sa.insert(segment_states).values(
                segment_id=segment_id, environment_id=environment_id, list_id=list_id
            )
        )


def _clean_description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise InvalidInput(
            f"description: at most {MAX_DESCRIPTION} characters, got {len(text)}", field="description"
        )
    return text.strip()


def _segment(row: sa.Row[Any]) -> Segment:  # Any: a row of the whole table
    """One whose condition cannot be read is a segment all the same: it can be looked at, repaired and deleted."""
    fields = dict(row._mapping)
    try:
        condition, unreadable = parse(fields["condition"]), ""
    except InvalidInput as error:
        condition, unreadable = NOBODY, f"its stored condition cannot be read: {error}"
    return Segment(**(fields | {"condition": condition, "unreadable": unreadable}))
