"""What is wrong with definitions: those that stopped counting, those that say the same, and names nobody planned."""

from collections.abc import Iterator, Sequence, Set
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.volume import DAY_MS, MOST_NAMES, NameSeen, NamesSeen, Volume, behaviour, measured
from cairn.calendar import Days
from cairn.conditions.tree import ElementMatch, EventMatch, ResolvedMatch
from cairn.definitions.defined_event import list_defined_events
from cairn.definitions.expected import list_expected, planned_names
from cairn.definitions.matching import Definitions
from cairn.definitions.model import DefinedEvent
from cairn.definitions.selector import read_selector, relaxed
from cairn.definitions.shapes import EnvironmentShapes, ShapeTest

RECENT_DAYS = 3  # compared with the days before
LEAST_HISTORY_DAYS = 4  # fewer days with events say nothing about what is usual
LEAST_EXPECTED = 10.0  # events; below, none at all may be chance
BROKEN_SHARE = 0.1  # of what was to be expected
CANDIDATES = 3  # selectors offered for a broken one
LEAST_ALIKE = 5  # events; fewer may be the same by chance
NEW_DAYS = 7  # since a name was first seen
SHOWN_NAMES = 3  # in one finding
# Defined events whose health is watched unasked: each takes its part in a pass over the events of 30 days.
MOST_WATCHED = 200

# What the browser script and the other libraries report by themselves; nobody has to plan these.
CAPTURED_NAMES = frozenset(("Rage click", "Dead click", "Scroll depth", "Web vitals", "JavaScript error"))

State = Literal["good", "broken", "new", "silent", "unreadable"]


class Report(Struct, frozen=True):
    """One defined event in one environment."""

    event: DefinedEvent
    match: EventMatch
    volume: Volume  # of the last 30 days
    state: State  # silent: nothing in these days; unreadable: it, or a part of a combo, cannot be read

    @property
    def days(self) -> list[int]:
        return self.volume.days


class Finding(Struct, frozen=True):
    """Something that needs a look."""

    kind: Literal["broken", "duplicate", "unplanned"]
    title: str
    text: str
    event_id: int = 0  # 0: not about one defined event
    candidates: tuple[str, ...] = ()  # selectors that would match again


def reports(
    asker: Asker,
    connection: sa.Connection,
    definitions: Definitions,
    events: Sequence[DefinedEvent],
    days: Days,
) -> list[Report]:
    """These defined events with what they counted in these days, in the given order."""
    if not events:
        return []
    of_project = list_defined_events(connection, events[0].workspace_id, events[0].project_id)
    lost = {event.id for event in of_project if event.unreadable}
    listed, events = (
        events,
        [event for event in events if event.id not in lost and not lost & set(event.definition.events)],
    )
    defined = [EventMatch(defined=event.id) for event in events]
    matches = definitions.resolve_events(connection, asker.environment_id, defined) if defined else []
    everything = behaviour(asker, days) if defined else []
    counted = measured(asker, matches, days) if defined else []
    by_id = {
        event.id: Report(event, match, volume, judged(volume.days, everything))
        for event, match, volume in zip(events, matches, counted, strict=True)
    }
    return [by_id.get(event.id) or unread(event, days) for event in listed]


def unread(event: DefinedEvent, days: Days) -> Report:
    """Of an event that cannot be read, or of a combo with one: nothing is counted."""
    nothing = Volume([0] * len(days.starts_ms), 0, 0)
    return Report(event, ResolvedMatch(any_of=()), nothing, "unreadable")


def watched(events: Sequence[DefinedEvent]) -> list[DefinedEvent]:
    """Of many those that somebody has verified, then those changed last."""
    if len(events) <= MOST_WATCHED:
        return list(events)
    order = sorted(events, key=lambda event: (event.verified, event.updated_at, event.id), reverse=True)
    return order[:MOST_WATCHED]


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
    asker: Asker,
    connection: sa.Connection,
    definitions: Definitions,
    workspace_id: int,
    project_id: int,
    days: Days,
    *,
    known: Sequence[Report] | None = None,
) -> list[Finding]:
    """Broken ones first, then duplicates, then new names. `known`: the reports, when the caller has them.

    Limit: beyond `MOST_WATCHED` defined events, those that are not watched are not found.
    """
    events = list_defined_events(connection, workspace_id, project_id)
    if known is None:
        known = reports(asker, connection, definitions, watched(events), days)
    findings: list[Finding] = []
    if known:
        shapes = definitions.shapes(asker.environment_id)
        since_ms = days.now_ms - (RECENT_DAYS + 1) * DAY_MS
        findings += [_broken(report, shapes, since_ms) for report in known if report.state == "broken"]
        findings += map(_twice, duplicates(known))
    planned = planned_names(events, list_expected(connection, project_id))
    if planned:
        findings += new_names(asker.ask(NamesSeen(days.now_ms)), planned, days.now_ms)
    return findings


def unplanned(seen: Sequence[NameSeen], planned: Set[str]) -> list[NameSeen]:
    """Names of custom events that are in no plan and not captured by Cairn itself, in the order given."""
    return [
        name_seen
        for name_seen in seen
        if name_seen.name not in planned and name_seen.name not in CAPTURED_NAMES
    ]


def new_names(seen: Sequence[NameSeen], planned: Set[str], now_ms: int) -> list[Finding]:
    """One finding for the unplanned names that came up recently. Nothing where nobody keeps a plan."""
    since_ms = now_ms - NEW_DAYS * DAY_MS
    fresh = (
        [name_seen.name for name_seen in unplanned(seen, planned) if name_seen.first_ms >= since_ms]
        if planned
        else []
    )
    if not fresh:
        return []
    at_least = "At least " if len(seen) >= MOST_NAMES else ""
    title = f"{at_least}{len(fresh):,} new event names" if len(fresh) > 1 else "A new event name"
    more = f" and {len(fresh) - SHOWN_NAMES} more" if len(fresh) > SHOWN_NAMES else ""
    named = ", ".join(f"“{name}”" for name in fresh[:SHOWN_NAMES])
    return [
        Finding(
            "unplanned", title, f"{named}{more}. Define them, mark them as expected, or see who sends them."
        )
    ]


def candidates(selector: str, shapes: EnvironmentShapes, since_ms: int) -> tuple[str, ...]:
    """Selectors like this one that match elements first seen since then, which it does not match itself.

    Those that match fewest elements come first: they changed the meaning least.
    """
    new = {number for number, _ in shapes.since(since_ms)}
    own = set(shapes.ids(ShapeTest(selector)))
    counts: dict[str, int] = {}
    for text in dict.fromkeys(relaxed(read_selector(selector))):
        numbers = set(shapes.ids(ShapeTest(text)))
        if (numbers - own) & new:
            counts[text] = len(numbers)
    return tuple(sorted(counts, key=lambda text: (counts[text], text))[:CANDIDATES])


def _broken(report: Report, shapes: EnvironmentShapes, since_ms: int) -> Finding:
    selectors = [part.selector for part in report.event.definition.parts if part.selector]
    offered = tuple(text for selector in selectors for text in candidates(selector, shapes, since_ms))
    usual = sum(report.days[:-RECENT_DAYS]) / max(1, len(report.days) - RECENT_DAYS)
    recent = sum(report.days[-RECENT_DAYS:])
    text = f"{usual:,.0f} a day before, {recent:,} today and the {RECENT_DAYS - 1} days before."
    if offered:
        text += f" The selector “{offered[0]}” would match what is on the page now."
    elif selectors:
        text += " Has the page changed? Its selector finds no new element: edit it, or archive the event."
    else:
        text += " Was it renamed, or is nothing sent any more? Edit it, or archive the event."
    return Finding("broken", f"{report.event.name} stopped", text, report.event.id, offered[:CANDIDATES])


def duplicates(reports: Sequence[Report]) -> list[list[DefinedEvent]]:
    """Groups of events that are the same: written alike, or meaning the same, or counting the very same events."""
    groups: list[tuple[set[object], list[DefinedEvent]]] = []
    for report in reports:
        if report.state == "unreadable":
            continue
        marks = set(_marks(report))
        alike = [group for group in groups if group[0] & marks]
        groups = [group for group in groups if not group[0] & marks]
        events = [event for _, members in alike for event in members]
        groups.append((marks.union(*(member_marks for member_marks, _ in alike)), [*events, report.event]))
    return [events for _, events in groups if len(events) > 1]


def _marks(report: Report) -> Iterator[object]:
    definition = report.event.definition
    yield frozenset(definition.parts), frozenset(definition.events)
    if (meaning := _meaning(report.match)) is not None:
        yield meaning
    events = sum(report.days)
    if events >= LEAST_ALIKE:
        yield events, report.volume.checksum


def _twice(events: Sequence[DefinedEvent]) -> Finding:
    named = [event.name for event in events[1 : SHOWN_NAMES + 1]]
    if (more := len(events) - 1 - len(named)) > 0:
        named.append(f"{more} more")
    others = " and ".join(named)
    counts = "counts" if len(events) == 2 else "count"
    title = f"{events[0].name} is defined {'twice' if len(events) == 2 else f'{len(events)} times'}"
    return Finding(
        "duplicate", title, f"{others} {counts} exactly the same events; archive all but one.", events[0].id
    )


def _meaning(match: EventMatch) -> frozenset[object] | None:
    """What a definition counts, however it is written; None when that is nothing."""
    assert isinstance(match, ResolvedMatch)
    ways = [_way(alternative) for alternative in match.any_of if alternative.elements != ()]
    return frozenset(ways) if ways else None


def _way(match: ElementMatch) -> object:
    elements = None if match.elements is None else frozenset(match.elements)
    return match.kind, match.name, elements, frozenset(match.filters)
