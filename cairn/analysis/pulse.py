"""How the product is doing: users and events on each day, refusals by reason, who has been heard from."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from cairn.calendar import Days
from cairn.clock import to_ms
from cairn.event import Kind
from cairn.outcomes import Outcome
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.canonical import CANONICAL
from cairn.query.time_range import start_of_day
from cairn.store.schema import DATABASE
from cairn.store.store import Store


class Step(Struct, frozen=True):
    """One bucket of a series."""

    start_ms: int
    users: int  # who did something; distinct, after merges
    events: int  # behaviour only: no identify calls, no exposures
    exposures: int


class Refusals(Struct, frozen=True):
    reason: str
    outcome: str
    count: int
    last_ms: int
    source: str  # one of them, for the link
    detail: str  # of the newest


LONGEST_SUGGESTED = 100  # bytes of a value; longer ones are not picked from a list


class Heard(Struct, frozen=True):
    """One library of one source that sent something."""

    source: str
    library: str
    events: int
    last_ms: int
    identifies: int
    exposures: int


def series(store: Store, environment_id: int, days: Days) -> list[Step]:
    """One bucket for each day, oldest first, the running one last; empty ones are zero."""
    rows = store.query(
        environment_id,
        f"""
        SELECT {start_of_day(days)} AS start,
               uniqIf({CANONICAL}, {BEHAVIOUR}), countIf({BEHAVIOUR}), countIf(kind = {{exposure:String}})
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{from:Int64}}, 'UTC'))
          AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC')
          AND time <= fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')
        GROUP BY start
        """,
        {"from": days.since_ms, "to": days.now_ms, "exposure": Kind.EXPOSURE},
    )
    known = {int(start): Step(int(start), *map(int, numbers)) for start, *numbers in rows}
    return [known.get(start, Step(start, 0, 0, 0)) for start in days.starts_ms]


def totals(store: Store, environment_id: int, *, now: datetime, spans: Sequence[timedelta]) -> list[Step]:
    """One bucket for each rolling span that ends now, all in one question."""
    starts = [max(to_ms(now - span), 0) for span in spans]
    columns = []
    for at in range(len(starts)):
        later = f"time > fromUnixTimestamp64Milli({{from{at}:Int64}}, 'UTC')"
        columns.append(
            f"uniqExactIf({CANONICAL}, {BEHAVIOUR} AND {later}), countIf({BEHAVIOUR} AND {later}), "
            f"countIf(kind = {{exposure:String}} AND {later})"
        )
    rows = store.query(
        environment_id,
        f"""
        SELECT {", ".join(columns)}
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{first:Int64}}, 'UTC'))
          AND time > fromUnixTimestamp64Milli({{first:Int64}}, 'UTC')
        """,
        {
            "first": min(starts),
            "exposure": Kind.EXPOSURE,
            **{f"from{at}": start for at, start in enumerate(starts)},
        },
    )
    numbers = [int(number) for number in rows[0]]
    return [Step(start, *numbers[3 * at : 3 * at + 3]) for at, start in enumerate(starts)]


def refusals(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(hours=1)
) -> list[Refusals]:
    """What was refused in the span, by reason, most frequent first. Environment 0: unknown keys."""
    rows = store.query(
        environment_id,
        f"""
        SELECT toString(reason), any(toString(outcome)), count() AS refused,
               toUnixTimestamp64Milli(max(received_at)), toString(argMax(source, received_at)),
               argMax(detail, received_at)
        FROM {DATABASE}.refusals
        WHERE environment_id = {{environment:UInt32}} AND outcome != '{Outcome.ACCEPTED}'
          AND received_at > fromUnixTimestamp64Milli({{from:Int64}}, 'UTC')
        GROUP BY reason ORDER BY refused DESC, reason LIMIT 50
        """,
        {"from": max(to_ms(now - span), 0)},
    )
    return [Refusals(*row) for row in rows]


def heard_from(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(days=30)
) -> list[Heard]:
    """Sources and libraries that sent something in the span: what is connected, first steps done."""
    rows = store.query(
        environment_id,
        f"""
        SELECT toString(source) AS sent_by, toString(library) AS sent_with, count(),
               toUnixTimestamp64Milli(max(received_at)), countIf(kind = {{identify:String}}),
               countIf(kind = {{exposure:String}})
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{from:Int64}}, 'UTC'))
        GROUP BY sent_by, sent_with ORDER BY sent_by, sent_with LIMIT 200
        """,
        {"from": max(to_ms(now - span), 0), "identify": Kind.IDENTIFY, "exposure": Kind.EXPOSURE},
    )
    return [Heard(*row) for row in rows]


def event_names(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(days=30)
) -> list[str]:
    """Names of custom events seen in the span, most frequent first: suggestions in the segment editor."""
    rows = store.query(
        environment_id,
        f"""
        SELECT toString(name) AS known FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND kind = {{custom:String}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{from:Int64}}, 'UTC'))
        GROUP BY known ORDER BY count() DESC, known LIMIT 200
        """,
        {"from": max(to_ms(now - span), 0), "custom": Kind.CUSTOM},
    )
    return [row[0] for row in rows]


def property_keys(store: Store, environment_id: int) -> list[str]:
    """Keys of user properties: suggestions in the segment editor."""
    rows = store.query(
        environment_id,
        f"""
        SELECT DISTINCT toString(key) AS known FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}} ORDER BY known LIMIT 500
        """,
    )
    return [row[0] for row in rows]


def frequent_values(
    store: Store, environment_id: int, keys: Sequence[str], *, limit: int, timeout_s: float
) -> dict[str, list[str]]:
    """Key -> the most frequent values of that user property: suggestions. Raises Unavailable at the time limit.

    `topK` keeps a fixed number of values, however many different ones a key has.
    """
    rows = store.query(
        environment_id,
        f"""
        SELECT toString(key) AS known, topK({int(limit)})(value) FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}} AND key IN {{keys:Array(String)}}
          AND length(value) BETWEEN 1 AND {LONGEST_SUGGESTED}
        GROUP BY known
        """,
        {"keys": list(keys)},
        timeout_s=timeout_s,
    )
    return {key: list(values) for key, values in rows}
