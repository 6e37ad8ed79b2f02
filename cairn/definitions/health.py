"""What is wrong with definitions: those that stopped counting, those that say the same, and names nobody planned."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import to_ms
from cairn.conditions.tree import ElementMatch, EventMatch, ResolvedMatch
from cairn.definitions.defined_event import list_defined_events
from cairn.definitions.matching import Definitions
from cairn.definitions.model import DefinedEvent
from cairn.definitions.selector import read_selector, relaxed
from cairn.definitions.shapes import Asked, EnvironmentShapes
from cairn.definitions.volume import DAY_MS, behaviour, names_seen, volumes
from cairn.event import Kind
from cairn.store.store import Store

RECENT_DAYS = 3  # compared with the days before
LEAST_HISTORY_DAYS = 4  # fewer days with events say nothing about what is usual
LEAST_EXPECTED = 10.0  # events; below, none at all may be chance
BROKEN_SHARE = 0.1  # of what was to be expected
CANDIDATES = 3  # selectors offered for a broken one
UNPLANNED = 20  # names shown

State = Literal["good", "broken", "new", "silent"]


class Report(Struct, frozen=True):
    """One defined event in one environment."""

    event: DefinedEvent
    match: EventMatch
    days: list[int]  # events per day, oldest first
    state: State  # silent: nothing in these days


class Finding(Struct, frozen=True):
    """Something that needs a look."""

    kind: Literal["broken", "duplicate", "unplanned"]
    title: str
    text: str
    event_id: int = 0  # 0: not about one defined event
    candidates: tuple[str, ...] = ()  # selectors that would match again


def reports(
    store: Store,
    connection: sa.Connection,
    definitions: Definitions,
    workspace_id: int,
    project_id: int,
    environment_id: int,
    now: datetime,
) -> list[Report]:
    """Every active defined event with its last 30 days, in the order of `list_defined_events`."""
    events = list_defined_events(connection, workspace_id, project_id)
    if not events:
        return []
    asked = [EventMatch(defined=event.id) for event in events]
    matches = definitions.resolve_events(connection, environment_id, asked)
    everything = behaviour(store, environment_id, now)
    counted = volumes(store, environment_id, matches, now)
    return [
        Report(event, match, days, judged(days, everything))
        for event, match, days in zip(events, matches, counted, strict=True)
    ]


def judged(days: Sequence[int], everything: Sequence[int]) -> State:
    """Did an event stop? Its last days against its own share of everything before, so that a holiday breaks nothing."""
    before, recent = days[:-RECENT_DAYS], sum(days[-RECENT_DAYS:])
    if not sum(days):
        return "silent"
    if sum(1 for day in before if day) < LEAST_HISTORY_DAYS:
        return "new"
    usual = sum(before) / max(1, sum(everything[:-RECENT_DAYS]))
    expected = usual * sum(everything[-RECENT_DAYS:])
    return "broken" if expected >= LEAST_EXPECTED and recent < BROKEN_SHARE * expected else "good"


def findings(
    store: Store,
    connection: sa.Connection,
    definitions: Definitions,
    workspace_id: int,
    project_id: int,
    environment_id: int,
    now: datetime,
    *,
    known: Sequence[Report] | None = None,
) -> list[Finding]:
    """Broken ones first, then duplicates. `known`: the reports, when the caller has them."""
    if known is None:
        known = reports(store, connection, definitions, workspace_id, project_id, environment_id, now)
    if not known:
        return []
    shapes = definitions.shapes(environment_id)
    since_ms = to_ms(now) - (RECENT_DAYS + 1) * DAY_MS
    broken = [_broken(report, shapes, since_ms) for report in known if report.state == "broken"]
    return [*broken, *_duplicates(known)]


def unplanned(store: Store, environment_id: int, known: Sequence[DefinedEvent]) -> list[tuple[str, int, int]]:
    """Names of custom events that no definition names, newest first. Shape: (name, first seen in epoch ms, events)."""
    planned = {part.name for event in known for part in event.definition.parts if part.kind == Kind.CUSTOM}
    return [row for row in names_seen(store, environment_id) if row[0] not in planned][:UNPLANNED]


def candidates(selector: str, shapes: EnvironmentShapes, since_ms: int) -> tuple[str, ...]:
    """Selectors like this one that match elements first seen since then, which it does not match itself.

    Those that match fewest elements come first: they changed the meaning least.
    """
    new = {number for number, _ in shapes.since(since_ms)}
    own = set(shapes.ids(Asked(selector)))
    found: dict[str, int] = {}
    for text in dict.fromkeys(relaxed(read_selector(selector))):
        numbers = set(shapes.ids(Asked(text)))
        if (numbers - own) & new:
            found[text] = len(numbers)
    return tuple(sorted(found, key=lambda text: (found[text], text))[:CANDIDATES])


def _broken(report: Report, shapes: EnvironmentShapes, since_ms: int) -> Finding:
    selectors = [part.selector for part in report.event.definition.parts if part.selector]
    offered = tuple(text for selector in selectors for text in candidates(selector, shapes, since_ms))
    usual = sum(report.days[:-RECENT_DAYS]) / max(1, len(report.days) - RECENT_DAYS)
    recent = sum(report.days[-RECENT_DAYS:])
    text = f"{usual:,.0f} a day before, {recent:,} in the last {RECENT_DAYS} days."
    if offered:
        text += f" {offered[0]} would match again."
    elif selectors:
        text += " Has the page changed? Its selector finds no new element."
    return Finding("broken", f"{report.event.name} stopped", text, report.event.id, offered[:CANDIDATES])


def _duplicates(known: Sequence[Report]) -> list[Finding]:
    same: Mapping[object, list[DefinedEvent]] = defaultdict(list)
    for report in known:
        if (meaning := _meaning(report.match)) is not None:
            same[meaning].append(report.event)
    return [
        Finding(
            "duplicate",
            f"{events[0].name} is defined twice",
            f"{' and '.join(event.name for event in events[1:])} counts exactly the same events; archive one of them.",
            events[0].id,
        )
        for events in same.values()
        if len(events) > 1
    ]


def _meaning(match: EventMatch) -> frozenset[object] | None:
    """What a definition counts, however it is written; None when that is nothing."""
    assert isinstance(match, ResolvedMatch)
    ways = [_way(each) for each in match.any_of if each.elements != ()]
    return frozenset(ways) if ways else None


def _way(match: ElementMatch) -> object:
    elements = None if match.elements is None else frozenset(match.elements)
    return match.kind, match.name, elements, frozenset(match.filters)
