"""Defined events: names people give to captured events, by what was done to what, where.

A definition says what counts, never what was counted, so a new one answers over all history at once. It belongs to a
project and means the same in each of its environments. A change raises `version`, and that of the segments that use it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.conditions.check import ConditionNotAccepted
from cairn.conditions.tree import Condition, Did, EventMatch
from cairn.conditions.walk import leaves
from cairn.db.tables import defined_events, projects, segments
from cairn.definitions.model import (
    Changes,
    DefinedEvent,
    Definition,
    NewDefinedEvent,
    State,
    check_definition,
)
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.workspace.naming import clean_name

MAX_DESCRIPTION = 2_000  # characters


class DefinedEventNotFound(NotFound):
    """There is no such defined event in this workspace."""

    code = "defined_event_not_found"


class DefinedEventNameTaken(Conflict):
    """The project has an active defined event of this name. Choose another one."""

    code = "defined_event_name_taken"


class DefinedEventInUse(Conflict):
    """A segment or another defined event counts it. Take it out there first, then archive it."""

    code = "defined_event_in_use"


def create_defined_event(
    connection: sa.Connection,
    workspace_id: int,
    project_id: int,
    new: NewDefinedEvent,
    now: datetime,
    *,
    by: str = "",
) -> DefinedEvent:
    """Raises InvalidInput naming the field, NotFound for the project and DefinedEventNameTaken."""
    owned = sa.select(projects.c.id).where(
        projects.c.workspace_id == workspace_id, projects.c.id == project_id
    )
    if connection.execute(owned).first() is None:
        raise NotFound(f"no project {project_id} in this workspace", field="project_id")
    name = _free_name(connection, project_id, new.name)
    check_known(connection, project_id, new.definition)
    row = {
        "workspace_id": workspace_id,
        "project_id": project_id,
        "name": name,
        "category": _clean_category(new.category),
        "description": _clean_description(new.description),
        "body": msgspec.to_builtins(new.definition),
        "version": 1,
        "state": "active",
        "verified": new.verified,
        "created_by": by,
        "created_at": now,
        "updated_at": now,
    }
    inserted = connection.execute(sa.insert(defined_events).values(**row).returning(*defined_events.c))
    return _event(inserted.one())


def get_defined_event(connection: sa.Connection, workspace_id: int, event_id: int) -> DefinedEvent:
    """Raises DefinedEventNotFound."""
    query = sa.select(defined_events).where(
        defined_events.c.workspace_id == workspace_id, defined_events.c.id == event_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise DefinedEventNotFound(f"no defined event {event_id} in this workspace", field="event_id")
    return _event(row)


def list_defined_events(
    connection: sa.Connection,
    workspace_id: int,
    project_id: int | None = None,
    *,
    with_archived: bool = False,
) -> list[DefinedEvent]:
    """By category, then name; of one project, or of the whole workspace."""
    query = sa.select(defined_events).where(defined_events.c.workspace_id == workspace_id)
    if project_id is not None:
        query = query.where(defined_events.c.project_id == project_id)
    if not with_archived:
        query = query.where(defined_events.c.state == "active")
    order = (defined_events.c.category, defined_events.c.name, defined_events.c.id)
    return [_event(row) for row in connection.execute(query.order_by(*order))]


def update_defined_event(
    connection: sa.Connection, workspace_id: int, event_id: int, changes: Changes, now: datetime
) -> DefinedEvent:
    """Segments that count it are counted again when the definition changes. Raises InvalidInput, NotFound, Conflict."""
    before = get_defined_event(connection, workspace_id, event_id)
    values: dict[str, Any] = {"updated_at": now}  # Any: columns of several types
    if changes.name is not None and changes.name != before.name:
        values["name"] = _free_name(connection, before.project_id, changes.name, but=event_id)
    if changes.category is not None:
        values["category"] = _clean_category(changes.category)
    if changes.description is not None:
        values["description"] = _clean_description(changes.description)
    if changes.verified is not None:
        values["verified"] = changes.verified
    if changes.definition is not None and changes.definition != before.definition:
        check_known(connection, before.project_id, changes.definition, of=event_id)
        values |= {
            "body": msgspec.to_builtins(changes.definition),
            "version": defined_events.c.version + 1,
        }
    connection.execute(sa.update(defined_events).where(defined_events.c.id == event_id).values(**values))
    if "body" in values:
        _renew_segments(connection, before)
    return get_defined_event(connection, workspace_id, event_id)


def archive_defined_event(
    connection: sa.Connection, workspace_id: int, event_id: int, now: datetime
) -> DefinedEvent:
    """Take it out of lists and choices. Raises DefinedEventNotFound, and DefinedEventInUse naming where."""
    event = get_defined_event(connection, workspace_id, event_id)
    if used := used_in(connection, event):
        users = ", ".join(f"{use.what} {use.name!r}" for use in used)
        raise DefinedEventInUse(
            f"defined event {event.name!r} is used by {users}; take it out there first", field="event_id"
        )
    return _set_state(connection, event, "archived", now)


def restore_defined_event(
    connection: sa.Connection, workspace_id: int, event_id: int, now: datetime
) -> DefinedEvent:
    """Raises DefinedEventNotFound and DefinedEventNameTaken."""
    event = get_defined_event(connection, workspace_id, event_id)
    if event.state == "active":
        return event
    _free_name(connection, event.project_id, event.name, but=event_id)
    check_known(connection, event.project_id, event.definition, of=event_id)
    return _set_state(connection, event, "active", now)


class Use(Struct, frozen=True):
    """Where a defined event is used."""

    what: Literal["segment", "defined event"]
    id: int
    name: str


def used_in(connection: sa.Connection, event: DefinedEvent) -> list[Use]:
    """Segments and active combos that name it."""
    rows = connection.execute(
        sa.select(segments.c.id, segments.c.name, segments.c.condition)
        .where(segments.c.project_id == event.project_id)
        .order_by(segments.c.name, segments.c.id)
    )
    uses = [Use("segment", row.id, row.name) for row in rows if event.id in set(_defined_in(row.condition))]
    combos = list_defined_events(connection, event.workspace_id, event.project_id)
    return uses + [
        Use("defined event", combo.id, combo.name) for combo in combos if event.id in combo.definition.events
    ]


def check_known(connection: sa.Connection, project_id: int, definition: Definition, *, of: int = 0) -> None:
    """Raises InvalidInput naming the first place that is wrong, the events of a combo included."""
    check_definition(definition)
    if not definition.events:
        return
    members = definitions_by_id(connection, project_id, definition.events)
    for index, event_id in enumerate(definition.events):
        field = f"definition.events[{index}]"
        member = members.get(event_id)
        if member is None or member.state != "active" or event_id == of:
            raise InvalidInput(
                f"{field}: {event_id} is not the id of another active defined event of the project",
                field=field,
            )
        if member.definition.events:
            raise InvalidInput(
                f"{field}: {member.name!r} is a combo itself; name its events instead", field=field
            )
    if of and any(of in combo.definition.events for combo in _of_project(connection, project_id)):
        raise InvalidInput(
            "definition.events: this event is part of a combo, so it cannot become one",
            field="definition.events",
        )


def check_events(connection: sa.Connection, project_id: int, condition: Condition) -> None:
    """Raises ConditionNotAccepted when a condition names a defined event that the project does not have."""
    event_ids = {event.defined for event in events_in(condition) if event.defined}
    definitions = definitions_by_id(connection, project_id, event_ids)
    for event_id in sorted(event_ids):
        if event_id not in definitions or definitions[event_id].state != "active":
            raise ConditionNotAccepted(
                f"condition: there is no active defined event {event_id} in this project; see GET /defined-events",
                field="condition",
            )


def definitions_by_id(
    connection: sa.Connection, project_id: int, event_ids: Iterable[int]
) -> dict[int, DefinedEvent]:
    """Those of the ids that the project has, archived ones too."""
    ids = sorted(set(event_ids))
    if not ids:
        return {}
    query = sa.select(defined_events).where(
        defined_events.c.project_id == project_id, defined_events.c.id.in_(ids)
    )
    return {row.id: _event(row) for row in connection.execute(query)}


def events_in(condition: Condition) -> Iterator[EventMatch]:
    """The events a condition asks about."""
    return (leaf.event for leaf in leaves(condition) if isinstance(leaf, Did))


def _of_project(connection: sa.Connection, project_id: int) -> list[DefinedEvent]:
    query = sa.select(defined_events).where(
        defined_events.c.project_id == project_id, defined_events.c.state == "active"
    )
    return [_event(row) for row in connection.execute(query)]


def _defined_in(document: object) -> Iterator[int]:
    """Ids of defined events in a condition's JSON."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("defined"), int):
                yield value["defined"]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _renew_segments(connection: sa.Connection, event: DefinedEvent) -> None:
    """Raise the version of segments that count it, itself or through a combo, so that they are counted again."""
    uses = used_in(connection, event)
    for combo in [use.id for use in uses if use.what == "defined event"]:
        uses += used_in(connection, get_defined_event(connection, event.workspace_id, combo))
    ids = {use.id for use in uses if use.what == "segment"}
    if ids:
        raised = sa.update(segments).where(segments.c.id.in_(ids))
        connection.execute(raised.values(version=segments.c.version + 1))


def _set_state(connection: sa.Connection, event: DefinedEvent, state: State, now: datetime) -> DefinedEvent:
    change = sa.update(defined_events).where(defined_events.c.id == event.id)
    connection.execute(change.values(state=state, updated_at=now))
    return get_defined_event(connection, event.workspace_id, event.id)


def _free_name(connection: sa.Connection, project_id: int, text: str, *, but: int = 0) -> str:
    """Names are compared without regard to case: people mean the same event by them."""
    name = clean_name(text)
    taken = sa.select(defined_events.c.name).where(
        defined_events.c.project_id == project_id,
        defined_events.c.state == "active",
        defined_events.c.id != but,
    )
    if any(other.casefold() == name.casefold() for other in connection.execute(taken).scalars()):
        raise DefinedEventNameTaken(
            f"the project has a defined event {name!r}; choose another name", field="name"
        )
    return name


def _clean_category(text: str) -> str:
    return clean_name(text, field="category") if text.strip() else ""


def _clean_description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise InvalidInput(
            f"description: at most {MAX_DESCRIPTION} characters, got {len(text)}", field="description"
        )
    return text.strip()


def _event(row: sa.Row[Any]) -> DefinedEvent:  # Any: a row of the whole table
    """One whose definition cannot be read is an event all the same: it can be looked at, repaired and archived."""
    fields = dict(row._mapping)
    try:
        definition, unreadable = msgspec.convert(fields.pop("body"), Definition), ""
    except (msgspec.ValidationError, RecursionError) as error:
        definition, unreadable = Definition(), f"its stored definition cannot be read: {error}"
    return DefinedEvent(**fields, definition=definition, unreadable=unreadable)
