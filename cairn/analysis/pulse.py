"""How the product is doing: users and events on each day, refusals by reason, who has been heard from."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from cairn.calendar import Days
from cairn.clock import to_ms
from cairn.outcomes import Outcome
from cairn.query.behaviour import BEHAVIOUR, CUSTOM, EXPOSURE, IDENTIFY
from cairn.query.scope import Scope
from cairn.query.time_range import TimeRange, day_of_and_later, of_days, start_of_day
from cairn.store.statement import Limits
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
    scope = Scope(environment_id)
    sql = f"""
        SELECT {start_of_day(days)} AS start,
               uniqIf({scope.canonical()}, {BEHAVIOUR}), countIf({BEHAVIOUR}), countIf({EXPOSURE})
        FROM {scope.events(of_days(days).clause(scope.bindings))} GROUP BY start
    """
    rows = store.query(scope.statement(sql))
    known = {int(start): Step(int(start), *map(int, numbers)) for start, *numbers in rows}
    return [known.get(start, Step(start, 0, 0, 0)) for start in days.starts_ms]


def totals(store: Store, environment_id: int, *, now: datetime, spans: Sequence[timedelta]) -> list[Step]:
    """One bucket for each rolling span that ends now, all in one question."""
    starts = [max(to_ms(now - span), 0) for span in spans]
    scope = Scope(environment_id)
    columns = []
    for start in starts:
        later = TimeRange(start + 1).clause(scope.bindings, says_days=False)
        columns.append(
            f"uniqExactIf({scope.canonical()}, {BEHAVIOUR} AND {later}), countIf({BEHAVIOUR} AND {later}), "
            f"countIf({EXPOSURE} AND {later})"
        )
    events = scope.events(TimeRange(min(starts) + 1).clause(scope.bindings))
    rows = store.query(scope.statement(f"SELECT {', '.join(columns)} FROM {events}"))
    numbers = [int(number) for number in rows[0]]
    return [Step(start, *numbers[3 * at : 3 * at + 3]) for at, start in enumerate(starts)]


def refusals(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(hours=1)
) -> list[Refusals]:
    """What was refused in the span, by reason, most frequent first. Environment 0: unknown keys."""
    scope = Scope(environment_id)
    since = scope.bindings.moment(max(to_ms(now - span), 0))
    sql = f"""
        SELECT toString(reason), any(toString(outcome)), count() AS refused,
               toUnixTimestamp64Milli(max(received_at)), toString(argMax(source, received_at)),
               argMax(detail, received_at)
        FROM {scope.refusals(f"outcome != '{Outcome.ACCEPTED}'", f"received_at > {since}")}
        GROUP BY reason ORDER BY refused DESC, reason LIMIT 50
    """
    rows = store.query(scope.statement(sql))
    return [Refusals(*row) for row in rows]


def heard_from(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(days=30)
) -> list[Heard]:
    """Sources and libraries that sent something in the span: what is connected, first steps done."""
    scope = Scope(environment_id)
    sql = f"""
        SELECT toString(source) AS sent_by, toString(library) AS sent_with, count(),
               toUnixTimestamp64Milli(max(received_at)), countIf({IDENTIFY}), countIf({EXPOSURE})
        FROM {scope.events(day_of_and_later(to_ms(now - span), scope.bindings))}
        GROUP BY sent_by, sent_with ORDER BY sent_by, sent_with LIMIT 200
    """
    rows = store.query(scope.statement(sql))
    return [Heard(*row) for row in rows]


def event_names(
    store: Store, environment_id: int, *, now: datetime, span: timedelta = timedelta(days=30)
) -> list[str]:
    """Names of custom events seen in the span, most frequent first: suggestions in the segment editor."""
    scope = Scope(environment_id)
    events = scope.events(CUSTOM, day_of_and_later(to_ms(now - span), scope.bindings))
    sql = f"""
        SELECT toString(name) AS known FROM {events}
        GROUP BY known ORDER BY count() DESC, known LIMIT 200
    """
    rows = store.query(scope.statement(sql))
    return [row[0] for row in rows]


def property_keys(store: Store, environment_id: int) -> list[str]:
    """Keys of user properties: suggestions in the segment editor."""
    scope = Scope(environment_id)
    sql = f"SELECT DISTINCT toString(key) AS known FROM {scope.user_properties()} ORDER BY known LIMIT 500"
    rows = store.query(scope.statement(sql))
    return [row[0] for row in rows]


def frequent_values(
    store: Store, environment_id: int, keys: Sequence[str], *, limit: int, timeout_s: float
) -> dict[str, list[str]]:
    """Key -> the most frequent values of that user property: suggestions. Raises Unavailable at the time limit.

    `topK` keeps a fixed number of values, however many different ones a key has.
    """
    scope = Scope(environment_id)
    of_keys = scope.user_properties(
        "key IN {keys:Array(String)}", f"length(value) BETWEEN 1 AND {LONGEST_SUGGESTED}"
    )
    sql = f"SELECT toString(key) AS known, topK({int(limit)})(value) FROM {of_keys} GROUP BY known"
    rows = store.query(scope.statement(sql, keys=list(keys)), Limits(timeout_s=timeout_s))
    return {key: list(values) for key, values in rows}
