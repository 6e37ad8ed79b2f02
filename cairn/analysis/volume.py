"""How often defined events happened: per day, over all history, and the latest ones. Always counted when asked for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import xor

from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, canonical_user, events
from cairn.calendar import Days
from cairn.conditions.clause import event_clauses
from cairn.conditions.tree import EventMatch
from cairn.event import Element
from cairn.query.behaviour import CUSTOM
from cairn.query.captured import FACTS_MAP, with_element
from cairn.query.elements import read_elements
from cairn.query.scope import BOUNDED_GROUPS, Scope
from cairn.query.time_range import TIME_MS, TimeRange, last, of_days, start_of_day, until
from cairn.store.statement import Limits
from cairn.store.store import Row

DAYS = 30  # that pages show
DAY_MS = 86_400_000
MATCHES_PER_QUESTION = 20  # share one pass over the events
# Days in which names of custom events are looked for: what is older was planned, or is not sent any more.
NAMES_DAYS = 90
MOST_NAMES = 1_000  # of them, the newest
# Of a count over all history.
COUNTING = Limits(timeout_s=60.0)


class Volume(Struct, frozen=True):
    """One match in the last days."""

    days: list[int]  # events per day, oldest first
    last_ms: int  # 0: none in these days
    checksum: int  # of the ids of the events: two matches of the same events have the same


class NameSeen(Struct, frozen=True):
    """The name of a custom event, in the last 90 days."""

    name: str
    first_ms: int
    last_ms: int
    events: int
    source: str  # of the last one


class Total(Struct, frozen=True):
    """Over all history until now."""

    events: int
    users: int  # after merges
    first_ms: int  # 0: never
    last_ms: int


class Recent(Struct, frozen=True):
    """Within the last days."""

    events: int
    users: int  # after merges


class Example(Struct, frozen=True):
    """An event that counts, with the element it was done to."""

    event_id: int
    time_ms: int
    kind: str
    name: str
    user_id: int  # after merges
    facts: dict[str, str]
    properties: dict[str, str]
    element: Element | None


Matches = tuple[EventMatch, ...]
# How far the latest events are looked for: mostly the first fills a page, so history is rarely read.
LOOK_BACK = (timedelta(days=1), timedelta(days=30), timedelta(days=36_500))


class Volumes(Struct, frozen=True):
    """Each match in these days, all in one pass over the events."""

    matches: Matches
    days: Days

    def plan(self) -> Plan:
        return Plan(of_days(self.days), self.matches)

    def select(self, plan: Plan, scope: Scope) -> str:
        counts = ", ".join(
            f"countIf({clause}), groupBitXorIf(cityHash64(event_id), {clause}), "
            f"toUnixTimestamp64Milli(maxIf(time, {clause}))"
            for clause in event_clauses(self.matches, scope.bindings)
        )
        return (
            f"SELECT {start_of_day(self.days)} AS start, {counts} FROM {events(plan, scope)} GROUP BY start"
        )

    def answer(self, rows: list[Row]) -> list[Volume]:
        return [
            _volume([(int(row[0]), *row[at : at + 3]) for row in rows], self.days)
            for at in range(1, 3 * len(self.matches), 3)
        ]


class Recents(Struct, frozen=True):
    """For each match how much of it there was in these days, all in one pass."""

    matches: Matches
    days: Days

    def plan(self) -> Plan:
        return Plan(of_days(self.days), self.matches)

    def select(self, plan: Plan, scope: Scope) -> str:
        counts = (
            f"countIf({clause}), uniqExactIf({canonical_user(plan, scope)}, {clause})"
            for clause in event_clauses(self.matches, scope.bindings)
        )
        return f"SELECT {', '.join(counts)} FROM {events(plan, scope)}"

    def answer(self, rows: list[Row]) -> list[Recent]:
        counted = [int(number) for number in rows[0]] if rows else [0] * 2 * len(self.matches)
        return [Recent(counted[at], counted[at + 1]) for at in range(0, len(counted), 2)]


class TotalOf(Struct, frozen=True):
    """One match over all history."""

    match: EventMatch
    now: datetime

    def plan(self) -> Plan:
        return Plan(until(self.now), (self.match,), COUNTING)

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT count(), uniqExact({canonical_user(plan, scope)}), toUnixTimestamp64Milli(min(time)),
                   toUnixTimestamp64Milli(max(time))
            FROM {events(plan, scope)}
        """

    def answer(self, rows: list[Row]) -> Total:
        numbers = [int(number) for number in rows[0]] if rows else [0]
        return Total(*numbers) if numbers[0] else Total(0, 0, 0, 0)


class NamesSeen(Struct, frozen=True):
    """Names of custom events of the last 90 days, newest first."""

    now_ms: int
    limit: int = MOST_NAMES

    def plan(self) -> Plan:
        return Plan(TimeRange(self.now_ms - NAMES_DAYS * DAY_MS, self.now_ms))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT toString(name) AS known, toUnixTimestamp64Milli(min(time)) AS first_seen,
                   toUnixTimestamp64Milli(max(time)), count(), toString(argMax(source, time))
            FROM {events(plan, scope, CUSTOM)}
            GROUP BY known ORDER BY first_seen DESC, known LIMIT {int(self.limit)} {BOUNDED_GROUPS}
        """

    def answer(self, rows: list[Row]) -> list[NameSeen]:
        return [
            NameSeen(name, int(first), int(last_ms), int(count), source)
            for name, first, last_ms, count, source in rows
        ]


class _Latest(Struct, frozen=True):
    """Rows as Example, with the element's number at the end."""

    match: EventMatch
    now: datetime
    span: timedelta
    limit: int

    def plan(self) -> Plan:
        return Plan(last(self.span, self.now), (self.match,), can_be_kept=False)

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT event_id, {TIME_MS} AS at, toString(kind), toString(name), {canonical_user(plan, scope)},
                   {FACTS_MAP}, CAST(properties, 'Map(String, String)'), element
            FROM {events(plan, scope)}
            ORDER BY at DESC, log_position DESC, event_id LIMIT {int(self.limit)}
        """

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def latest(asker: Asker, match: EventMatch, now: datetime, *, limit: int = 10) -> list[Example]:
    """The events that counted last, newest first."""
    rows: list[Row] = []
    for span in LOOK_BACK:
        rows = asker.ask(_Latest(match, now, span, limit))
        if len(rows) >= limit:
            break
    elements = read_elements(asker.store, asker.environment_id, (row[-1] for row in rows))
    return [Example(*with_element(row, elements)) for row in rows]


def measured(asker: Asker, matches: Sequence[EventMatch], days: Days) -> list[Volume]:
    """Each match in these days, twenty in one question."""
    volumes: list[Volume] = []
    for start in range(0, len(matches), MATCHES_PER_QUESTION):
        volumes += asker.ask(Volumes(tuple(matches[start : start + MATCHES_PER_QUESTION]), days))
    return volumes


def behaviour(asker: Asker, days: Days) -> list[int]:
    """Everything that people did, on each day."""
    return measured(asker, [EventMatch(kind="")], days)[0].days


def recents(asker: Asker, matches: Sequence[EventMatch], days: Days) -> list[Recent]:
    """For each match how much of it there was in these days."""
    return asker.ask(Recents(tuple(matches), days)) if matches else []


def _volume(rows: Sequence[Row], days: Days) -> Volume:
    """From (start of the day, events, their checksum, the last of them) of each day that has any."""
    counts = {start: int(number) for start, number, _, _ in rows}
    last_ms = max((int(newest) for _, number, _, newest in rows if number), default=0)
    checksum = reduce(xor, (int(row[2]) for row in rows), 0)
    return Volume([counts.get(start, 0) for start in days.starts_ms], last_ms, checksum)
