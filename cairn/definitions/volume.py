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
from cairn.query.bindings import Bindings
from cairn.query.canonical import CANONICAL
from cairn.query.captured import FACTS_MAP, read_elements, with_element
from cairn.query.time_range import last, of_days, start_of_day, until
from cairn.store.schema import DATABASE
from cairn.store.store import Row, Store

DAYS = 30  # that pages show
DAY_MS = 86_400_000
MATCHES_PER_QUESTION = 20  # share one pass over the events
COUNT_TIMEOUT_S = 60.0  # of a count over all history


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
    bindings = Bindings()
    clauses = [event_clause(match, bindings) for match in matches]
    asked = ", ".join(
        f"countIf({clause}), groupBitXorIf(cityHash64(event_id), {clause}), "
        f"toUnixTimestamp64Milli(maxIf(time, {clause}))"
        for clause in clauses
    )
    span = of_days(days).clause(bindings)
    rows = store.query(
        environment_id,
        f"""SELECT {start_of_day(days)} AS start, {asked}
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND {span} AND ({" OR ".join(clauses)})
            GROUP BY start""",
        bindings.values,
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
    bindings = Bindings()
    clauses = [event_clause(match, bindings) for match in matches]
    counts = ", ".join(f"countIf({clause}), uniqExactIf({CANONICAL}, {clause})" for clause in clauses)
    rows = store.query(
        environment_id,
        f"""SELECT {counts} FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}}
              AND {of_days(days).clause(bindings)} AND ({" OR ".join(clauses)})""",
        bindings.values,
    )
    counted = list(map(int, rows[0]))
    return [Recent(counted[at], counted[at + 1]) for at in range(0, len(counted), 2)]


def total(store: Store, environment_id: int, match: EventMatch, now: datetime) -> Total:
    bindings = Bindings()
    clause = event_clause(match, bindings)
    rows = store.query(
        environment_id,
        f"""SELECT count(), uniqExact({CANONICAL}), toUnixTimestamp64Milli(min(time)),
                   toUnixTimestamp64Milli(max(time))
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}}
              AND {until(now).clause(bindings, says_days=False)} AND {clause}""",
        bindings.values,
        timeout_s=COUNT_TIMEOUT_S,
    )
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
    bindings = Bindings()
    clause = event_clause(match, bindings)
    within = last(span, now).clause(bindings)
    rows = store.query(
        environment_id,
        f"""SELECT event_id, toUnixTimestamp64Milli(time) AS at, toString(kind), toString(name), {CANONICAL},
                   {FACTS_MAP}, CAST(properties, 'Map(String, String)'), element
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND {within} AND {clause}
            ORDER BY at DESC, log_position DESC, event_id LIMIT {int(limit)}""",
        bindings.values,
    )
    elements = read_elements(store, environment_id, (row[-1] for row in rows))
    for row in rows:
        yield Example(*with_element(row, elements))


def names_seen(store: Store, environment_id: int, *, limit: int = 1_000) -> list[NameSeen]:
    """Names of custom events, newest first."""
    rows = store.query(
        environment_id,
        f"""SELECT toString(name) AS known, toUnixTimestamp64Milli(min(time)) AS first_seen,
                   toUnixTimestamp64Milli(max(time)), count(), toString(argMax(source, time))
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND kind = 'custom'
            GROUP BY known ORDER BY first_seen DESC, known LIMIT {int(limit)}""",
    )
    return [
        NameSeen(name, int(first), int(last), int(events), source)
        for name, first, last, events, source in rows
    ]
