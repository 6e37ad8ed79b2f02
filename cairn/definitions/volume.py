"""How often defined events happened: per day, over all history, and the latest ones. Always counted when asked for."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from cairn.clock import to_ms
from cairn.conditions.clause import Bindings, between, event_clause
from cairn.conditions.tree import EventMatch
from cairn.event import Element
from cairn.store.schema import CANONICAL, DATABASE
from cairn.store.store import Row, Store

DAYS = 30
DAY_MS = 86_400_000
MATCHES_PER_QUESTION = 20  # share one pass over the events
COUNT_TIMEOUT_S = 60.0  # of a count over all history


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
    domain: str
    path: str
    title: str
    properties: dict[str, str]
    element: Element | None


def volumes(
    store: Store, environment_id: int, matches: Sequence[EventMatch], now: datetime, *, days: int = DAYS
) -> list[list[int]]:
    """For each match how many happened per day. Days are spans of 24 hours that end now, oldest first."""
    found: list[list[int]] = []
    for start in range(0, len(matches), MATCHES_PER_QUESTION):
        found += _volumes(store, environment_id, matches[start : start + MATCHES_PER_QUESTION], now, days)
    return found


def behaviour(store: Store, environment_id: int, now: datetime, *, days: int = DAYS) -> list[int]:
    """Everything that people did, the same way."""
    return _volumes(store, environment_id, [EventMatch(kind="")], now, days)[0]


def _volumes(
    store: Store, environment_id: int, matches: Sequence[EventMatch], now: datetime, days: int
) -> list[list[int]]:
    bindings = Bindings()
    now_ms = to_ms(now)
    clauses = [event_clause(match, bindings) for match in matches]
    counts = ", ".join(f"countIf({clause})" for clause in clauses)
    span = between(now_ms - days * DAY_MS, now_ms, bindings)
    rows = store.query(
        environment_id,
        f"""SELECT intDiv({bindings.whole(now_ms)} - toUnixTimestamp64Milli(time), {DAY_MS}) AS days_ago, {counts}
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND {span} AND ({" OR ".join(clauses)})
            GROUP BY days_ago""",
        bindings.values,
    )
    by_day = {int(row[0]): row[1:] for row in rows}
    empty = (0,) * len(matches)
    newest_last = [by_day.get(days_ago, empty) for days_ago in reversed(range(days))]
    return [[int(day[place]) for day in newest_last] for place in range(len(matches))]


def recents(
    store: Store, environment_id: int, matches: Sequence[EventMatch], now: datetime, *, days: int = DAYS
) -> list[Recent]:
    """For each match how much of it there was, all in one pass."""
    if not matches:
        return []
    bindings = Bindings()
    now_ms = to_ms(now)
    clauses = [event_clause(match, bindings) for match in matches]
    counts = ", ".join(f"countIf({clause}), uniqExactIf({CANONICAL}, {clause})" for clause in clauses)
    rows = store.query(
        environment_id,
        f"""SELECT {counts} FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}}
              AND {between(now_ms - days * DAY_MS, now_ms, bindings)} AND ({" OR ".join(clauses)})""",
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
            WHERE environment_id = {{environment:UInt32}} AND time <= {bindings.moment(to_ms(now))} AND {clause}""",
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
    within = between(to_ms(now) - span // timedelta(milliseconds=1), to_ms(now), bindings)
    rows = store.query(
        environment_id,
        f"""SELECT event_id, toUnixTimestamp64Milli(time) AS at, toString(kind), toString(name), {CANONICAL},
                   toString(domain), toString(path), toString(title),
                   CAST(properties, 'Map(String, String)'), element
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND {within} AND {clause}
            ORDER BY at DESC, event_id LIMIT {int(limit)}""",
        bindings.values,
    )
    elements = _elements(store, environment_id, sorted({row[9] for row in rows if row[9]}))
    for row in rows:
        fields: Row = (*row[:8], dict(row[8]), elements.get(row[9]))
        yield Example(*fields)


def _elements(store: Store, environment_id: int, numbers: Sequence[int]) -> dict[int, Element]:
    if not numbers:
        return {}
    rows = store.query(
        environment_id,
        f"""SELECT element_id, hierarchy, toString(tag), dom_id, classes, text, href, label,
                   CAST(attributes, 'Map(String, String)')
            FROM {DATABASE}.elements
            WHERE environment_id = {{environment:UInt32}} AND element_id IN {{numbers:Array(UInt64)}}""",
        {"numbers": list(numbers)},
    )
    found: dict[int, Element] = {}
    for number, *facts, attributes in rows:
        fields: Row = (*facts, dict(attributes))
        found[number] = Element(*fields)
    return found


def names_seen(store: Store, environment_id: int, *, limit: int = 1_000) -> list[tuple[str, int, int]]:
    """Names of custom events, newest first. Shape: (name, first seen in epoch ms, events)."""
    rows = store.query(
        environment_id,
        f"""SELECT toString(name) AS known, toUnixTimestamp64Milli(min(time)) AS first_seen, count()
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND kind = 'custom'
            GROUP BY known ORDER BY first_seen DESC, known LIMIT {int(limit)}""",
    )
    return [(name, int(first_seen), int(events)) for name, first_seen, events in rows]
