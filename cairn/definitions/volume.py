"""How often defined events happened: per day, over all history, and the latest ones. Always counted when asked for."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import xor

from msgspec import Struct

from cairn.calendar import Days
from cairn.conditions.clause import event_clause
from cairn.conditions.tree import EventMatch
from cairn.event import Element
from cairn.query.behaviour import CUSTOM
from cairn.query.captured import FACTS_MAP, with_element
from cairn.query.elements import read_elements
from cairn.query.scope import Scope
from cairn.query.time_range import last, of_days, start_of_day, until
from cairn.store.statement import Limits
from cairn.store.store import Row, Store

DAYS = 30  # that pages show
DAY_MS = 86_400_000
MATCHES_PER_QUESTION = 20  # share one pass over the events
# Of a count over all history.
COUNTING = Limits(timeout_s=60.0)


class Volume(Struct, frozen=True):
    """One match in the last days."""

    days: list[int]  # events per day, oldest first
    last_ms: int  # 0: none in these days
    checksum: int  # of the ids of the events: two matches of the same events have the same


class NameSeen(Struct, frozen=True):
    """The name of a custom event, over all history."""

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


def volumes(store: Store, environment_id: int, matches: Sequence[EventMatch], days: Days) -> list[list[int]]:
    """For each match how many happened on each day."""
    return [volume.days for volume in measured(store, environment_id, matches, days)]


def measured(store: Store, environment_id: int, matches: Sequence[EventMatch], days: Days) -> list[Volume]:
    """The same with what else is known of these days, twenty matches in one pass over the events."""
    found: list[Volume] = []
    for start in range(0, len(matches), MATCHES_PER_QUESTION):
        found += _measured(store, environment_id, matches[start : start + MATCHES_PER_QUESTION], days)
    return found


def behaviour(store: Store, environment_id: int, days: Days) -> list[int]:
    """Everything that people did, on each day."""
    return volumes(store, environment_id, [EventMatch(kind="")], days)[0]


def _measured(store: Store, environment_id: int, matches: Sequence[EventMatch], days: Days) -> list[Volume]:
    scope = Scope(environment_id)
    clauses = [event_clause(match, scope.bindings) for match in matches]
    asked = ", ".join(
        f"countIf({clause}), groupBitXorIf(cityHash64(event_id), {clause}), "
        f"toUnixTimestamp64Milli(maxIf(time, {clause}))"
        for clause in clauses
    )
    events = scope.events(of_days(days).clause(scope.bindings), " OR ".join(clauses))
    rows = store.query(
        scope.statement(f"SELECT {start_of_day(days)} AS start, {asked} FROM {events} GROUP BY start")
    )
    return [
        _volume([(int(row[0]), *row[at : at + 3]) for row in rows], days)
        for at in range(1, 3 * len(matches), 3)
    ]


def _volume(rows: Sequence[Row], days: Days) -> Volume:
    """From (start of the day, events, their checksum, the last of them) of each day that has any."""
    counts = {start: int(events) for start, events, _, _ in rows}
    last_ms = max((int(last) for _, events, _, last in rows if events), default=0)
    checksum = reduce(xor, (int(row[2]) for row in rows), 0)
    return Volume([counts.get(start, 0) for start in days.starts_ms], last_ms, checksum)


def recents(store: Store, environment_id: int, matches: Sequence[EventMatch], days: Days) -> list[Recent]:
    """For each match how much of it there was in these days, all in one pass."""
    if not matches:
        return []
    scope = Scope(environment_id)
    clauses = [event_clause(match, scope.bindings) for match in matches]
    user = scope.canonical()
    counts = ", ".join(f"countIf({clause}), uniqExactIf({user}, {clause})" for clause in clauses)
    events = scope.events(of_days(days).clause(scope.bindings), " OR ".join(clauses))
    rows = store.query(scope.statement(f"SELECT {counts} FROM {events}"))
    counted = list(map(int, rows[0]))
    return [Recent(counted[at], counted[at + 1]) for at in range(0, len(counted), 2)]


def total(store: Store, environment_id: int, match: EventMatch, now: datetime) -> Total:
    scope = Scope(environment_id)
    within = until(now).clause(scope.bindings, says_days=False)
    sql = f"""SELECT count(), uniqExact({scope.canonical()}), toUnixTimestamp64Milli(min(time)),
                     toUnixTimestamp64Milli(max(time))
              FROM {scope.events(within, event_clause(match, scope.bindings))}"""
    rows = store.query(scope.statement(sql), COUNTING)
    events, users, first_ms, last_ms = map(int, rows[0])
    return Total(events, users, first_ms, last_ms) if events else Total(0, 0, 0, 0)


def latest(
    store: Store, environment_id: int, match: EventMatch, now: datetime, *, limit: int = 10
) -> list[Example]:
    """The events that counted last, newest first. Looks at a day first, then at a month, then at everything."""
    found: list[Example] = []
    for span in (timedelta(days=1), timedelta(days=30), timedelta(days=36_500)):
        found = list(_latest(store, environment_id, match, now, span, limit))
        if len(found) >= limit:
            break
    return found


def _latest(
    store: Store, environment_id: int, match: EventMatch, now: datetime, span: timedelta, limit: int
) -> Iterator[Example]:
    scope = Scope(environment_id)
    events = scope.events(last(span, now).clause(scope.bindings), event_clause(match, scope.bindings))
    sql = f"""SELECT event_id, toUnixTimestamp64Milli(time) AS at, toString(kind), toString(name),
                     {scope.canonical()}, {FACTS_MAP}, CAST(properties, 'Map(String, String)'), element
              FROM {events} ORDER BY at DESC, log_position DESC, event_id LIMIT {int(limit)}"""
    rows = store.query(scope.statement(sql))
    elements = read_elements(store, environment_id, (row[-1] for row in rows))
    for row in rows:
        yield Example(*with_element(row, elements))


def names_seen(store: Store, environment_id: int, *, limit: int = 1_000) -> list[NameSeen]:
    """Names of custom events, newest first."""
    scope = Scope(environment_id)
    sql = f"""SELECT toString(name) AS known, toUnixTimestamp64Milli(min(time)) AS first_seen,
                     toUnixTimestamp64Milli(max(time)), count(), toString(argMax(source, time))
              FROM {scope.events(CUSTOM)} GROUP BY known ORDER BY first_seen DESC, known LIMIT {int(limit)}"""
    rows = store.query(scope.statement(sql))
    return [
        NameSeen(name, int(first), int(last), int(events), source)
        for name, first, last, events, source in rows
    ]
