"""From definitions to what the store can count: kinds, element numbers and facts, in one environment, at this moment.

`resolve` turns the defined events of a condition into `ResolvedMatch`, which compiles wherever an event does.
`happened_as` says the same of one event in plain Python.
"""

import threading
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from msgspec import structs

from cairn.conditions.check import ConditionNotAccepted
from cairn.conditions.event_test import Happened, is_event
from cairn.conditions.tree import (
    And,
    Condition,
    Did,
    ElementMatch,
    EventMatch,
    Leaf,
    PropertyFilter,
    ResolvedMatch,
)
from cairn.conditions.walk import replaced
from cairn.db.tables import environments
from cairn.definitions.defined_event import definitions_by_id, events_in
from cairn.definitions.model import ELEMENT_KEYS, ON_ELEMENTS, DefinedEvent, Definition, Part
from cairn.definitions.shapes import EnvironmentShapes, ShapeTest, meant
from cairn.store.store import Store


class Definitions:
    """What defined events mean in each environment of one event store. Safe from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._shapes: dict[int, EnvironmentShapes] = {}

    def resolve(
        self,
        connection: sa.Connection,
        environment_id: int,
        condition: Condition,
        *,
        shapes: EnvironmentShapes | None = None,
    ) -> Condition:
        """The condition with its defined events as they stand now; itself when it names none.

        `shapes`: the environment's, when the caller has just asked for them.
        Raises ConditionNotAccepted for one that the environment's project does not have, Unavailable from the store.
        """
        if not needs_resolving(condition):
            return condition
        event_ids = {event.defined for event in events_in(condition) if event.defined}
        known = _known(connection, environment_id, event_ids)
        return _replaced(condition, known, shapes or self.shapes(environment_id))

    def resolve_events(
        self, connection: sa.Connection, environment_id: int, events: Sequence[EventMatch]
    ) -> list[EventMatch]:
        """The same for events by themselves. Raises as `resolve`."""
        resolved = self.resolve(connection, environment_id, And(tuple(Did(event) for event in events)))
        return list(events_in(resolved))

    def matches_of(
        self, connection: sa.Connection, environment_id: int, definition: Definition
    ) -> ResolvedMatch:
        """What a definition means, whether it is kept or not. Raises as `resolve`."""
        members = _known(connection, environment_id, definition.events)
        parts = _parts(definition, members)
        return ResolvedMatch(any_of=_alternatives(parts, (), self.shapes(environment_id)))

    def matches_of_parts(self, environment_id: int, parts: Sequence[Part]) -> list[ResolvedMatch]:
        """What each of these means by itself. Raises Unavailable."""
        shapes = self.shapes(environment_id)
        return [ResolvedMatch(any_of=_alternatives((part,), (), shapes)) for part in parts]

    def parts_of(self, connection: sa.Connection, environment_id: int, event_id: int) -> tuple[Part, ...]:
        """A defined event's own parts and those of its members, for `happened_as`. Raises as `resolve`."""
        known = _known(connection, environment_id, [event_id])
        return _parts(known[event_id].definition, known)

    def shapes(self, environment_id: int) -> EnvironmentShapes:
        """Up to date with the store."""
        with self._lock:
            shapes = self._shapes.get(environment_id)
            if shapes is None:
                shapes = self._shapes[environment_id] = EnvironmentShapes(self._store, environment_id)
        shapes.refresh()
        return shapes


def needs_resolving(condition: Condition) -> bool:
    """Does it name defined events, or ask about elements?"""
    return any(event.defined or _asks_elements(event) for event in events_in(condition))


def happened_as(parts: Iterable[Part], happened: Happened) -> bool:
    """Is one event one of these? Pure."""
    return any(_happened_as(part, happened) for part in parts)


def _happened_as(part: Part, happened: Happened) -> bool:
    shape_test, tests = _split(part)
    kind = "" if part.kind == "any" else part.kind
    is_match = is_event(EventMatch(kind, part.name, tests), happened)
    return is_match and meant(shape_test, happened.element)


def _known(
    connection: sa.Connection, environment_id: int, event_ids: Iterable[int]
) -> dict[int, DefinedEvent]:
    """These defined events and the members of combos among them, in the environment's own project."""
    ids = set(event_ids)
    if not ids:
        return {}
    query = sa.select(environments.c.project_id).where(environments.c.id == environment_id)
    project_id = connection.execute(query).scalar() or 0
    known = definitions_by_id(connection, project_id, ids)
    members = {member for event in known.values() for member in event.definition.events}
    known |= definitions_by_id(connection, project_id, members - known.keys())
    missing = sorted(ids - known.keys())
    if missing:
        raise ConditionNotAccepted(
            f"condition: there is no defined event {missing[0]} in this project", field="condition"
        )
    for event in known.values():
        if event.unreadable:
            raise ConditionNotAccepted(
                f"condition: defined event {event.name!r} counts nothing, {event.unreadable}",
                field="condition",
            )
    return known


def _parts(definition: Definition, known: dict[int, DefinedEvent]) -> tuple[Part, ...]:
    members = (known[member].definition.parts for member in definition.events if member in known)
    return tuple(dict.fromkeys((*definition.parts, *(part for parts in members for part in parts))))


def _replaced(condition: Condition, known: dict[int, DefinedEvent], shapes: EnvironmentShapes) -> Condition:
    def resolved(leaf: Leaf) -> Condition:
        if isinstance(leaf, Did) and (leaf.event.defined or _asks_elements(leaf.event)):
            return structs.replace(leaf, event=_resolved(leaf.event, known, shapes))
        return leaf

    return replaced(condition, resolved)


def _resolved(event: EventMatch, known: dict[int, DefinedEvent], shapes: EnvironmentShapes) -> ResolvedMatch:
    if event.defined:
        any_of = _alternatives(_parts(known[event.defined].definition, known), event.filters, shapes)
    else:
        elements, filters = _parted(event.filters)
        numbers = shapes.ids(ShapeTest(tests=elements))
        any_of = (ElementMatch(event.kind, event.name, numbers, filters),)
    return ResolvedMatch(event.kind, event.name, event.filters, event.defined, any_of)


def _asks_elements(event: EventMatch) -> bool:
    """An event without a definition whose filters are about the element."""
    return (
        event.kind in ON_ELEMENTS
        and not isinstance(event, ResolvedMatch)
        and any(test.key in ELEMENT_KEYS for test in event.filters)
    )


def _alternatives(
    parts: Iterable[Part], filters: tuple[PropertyFilter, ...], shapes: EnvironmentShapes
) -> tuple[ElementMatch, ...]:
    """`filters`: what is asked beside the definition."""
    alternatives = []
    for part in parts:
        shape_test, tests = _split(part, filters)
        numbers = shapes.ids(shape_test) if shape_test != ShapeTest() else None
        alternatives.append(ElementMatch("" if part.kind == "any" else part.kind, part.name, numbers, tests))
    return tuple(alternatives)


def _split(
    part: Part, filters: tuple[PropertyFilter, ...] = ()
) -> tuple[ShapeTest, tuple[PropertyFilter, ...]]:
    """What a part asks of the element, and what of the event."""
    if part.kind not in ON_ELEMENTS:
        return ShapeTest(), (*part.tests, *filters)
    elements, others = _parted((*part.tests, *filters))
    return ShapeTest(part.selector, elements), others


def _parted(
    filters: tuple[PropertyFilter, ...],
) -> tuple[tuple[PropertyFilter, ...], tuple[PropertyFilter, ...]]:
    elements = tuple(test for test in filters if test.key in ELEMENT_KEYS)
    return elements, tuple(test for test in filters if test.key not in ELEMENT_KEYS)
