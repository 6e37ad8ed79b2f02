"""What became of the messages of connections, read from what delivery has written down."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import from_ms
from cairn.db.among import among
from cairn.db.routing_tables import connections, delivery_counts, delivery_samples, delivery_states

Outcome = Literal["delivered", "discarded", "retried", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("delivered", "discarded", "retried", "failed")
PERCENTILES = (50, 95, 99)


class State(Struct, frozen=True):
    """How a connection does, as its delivery last said."""

    state: str  # delivering, waiting, stopped
    detail: str
    since: datetime
    waiting: int  # messages read and not done
    retrying: int  # of these tried before
    oldest_at: datetime | None  # when the oldest of them was received
    updated_at: datetime


class ReasonCount(Struct, frozen=True):
    outcome: str
    reason: str
    count: int


class Bucket(Struct, frozen=True):
    """One bar of the chart."""

    start: int  # epoch minutes
    delivered: int = 0
    discarded: int = 0
    failed: int = 0

    @property
    def starts_at(self) -> datetime:
        return from_ms(self.start * 60_000)


class Report(Struct, frozen=True):
    """Of one connection in one period."""

    counts: dict[str, int]  # by outcome; retried are attempts, the others messages
    reasons: list[ReasonCount]  # the most first, without what was delivered
    latency_ms: dict[
        str, int
    ]  # "p50" and so on: from the 200 to the destination's answer; empty: nothing delivered
    buckets: list[Bucket]


class Sample(Struct, frozen=True):
    id: int
    outcome: str
    reason: str
    detail: str
    at: datetime
    message: Any  # Any: JSON
    request: Any  # without secrets; None: nothing was sent
    answer: Any


class Troubled(Struct, frozen=True):
    """A connection that needs a look."""

    connection_id: int
    name: str
    state: str  # of its delivery; "delivering" where it only gave messages up
    detail: str
    since: datetime
    waiting: int
    failed: int  # messages that it gave up lately


def read_report(
    connection: sa.Connection, connection_id: int, *, since: int, until: int, width: int
) -> Report:
    """From one epoch minute to before another, in buckets of `width` minutes."""
    within = _within([connection_id], since, until)
    start = (delivery_counts.c.minute - since) // width
    total = sa.func.sum(delivery_counts.c.count)
    columns = (delivery_counts.c.outcome, delivery_counts.c.reason, delivery_counts.c.latency_ms)
    rows = connection.execute(
        sa.select(start, *columns, total).where(*within).group_by(start, *columns)
    ).all()
    counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    reasons: Counter[tuple[str, str]] = Counter()
    latencies: Counter[int] = Counter()
    bars: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for bar, outcome, reason, latency_ms, number in rows:
        counts[outcome] += int(number)
        bars[int(bar)][outcome] += int(number)
        if outcome == "delivered":
            latencies[latency_ms] += int(number)
        else:
            reasons[outcome, reason] += int(number)
    return Report(
        dict(counts),
        [ReasonCount(*key, number) for key, number in sorted(reasons.items(), key=_most_first)],
        percentiles(latencies),
        [_bucket(since + bar * width, bars[bar]) for bar in range(-((since - until) // width))],
    )


def percentiles(latencies: Counter[int]) -> dict[str, int]:
    """Upper bounds of the classes in which the percentiles lie."""
    total = latencies.total()
    found: dict[str, int] = {}
    passed = 0
    for latency_ms, number in sorted(latencies.items()):
        passed += number
        for percent in PERCENTILES:
            if passed * 100 >= percent * total:
                found.setdefault(f"p{percent}", latency_ms)
    return found


def count_outcomes(
    connection: sa.Connection, connection_ids: Sequence[int], *, since: int, until: int
) -> dict[int, dict[str, int]]:
    """Connection -> outcome -> how many in this period, for those that had any."""
    columns = (delivery_counts.c.connection_id, delivery_counts.c.outcome)
    query = (
        sa.select(*columns, sa.func.sum(delivery_counts.c.count))
        .where(*_within(connection_ids, since, until))
        .group_by(*columns)
    )
    counts: dict[int, dict[str, int]] = {}
    for connection_id, outcome, number in connection.execute(query):
        counts.setdefault(connection_id, {})[outcome] = int(number)
    return counts


def read_states(connection: sa.Connection, connection_ids: Iterable[int]) -> dict[int, State]:
    """Of those that have said how they do."""
    columns = [delivery_states.c[name] for name in State.__struct_fields__]
    query = sa.select(delivery_states.c.connection_id, *columns).where(
        among(delivery_states.c.connection_id, connection_ids)
    )
    return {connection_id: State(*row) for connection_id, *row in connection.execute(query)}


def troubled(connection: sa.Connection, environment_id: int, *, since: int) -> list[Troubled]:
    """Those that are on and wait or stopped, or gave messages up from this epoch minute on; the longest first."""
    lately = (
        sa.select(delivery_counts.c.connection_id, sa.func.sum(delivery_counts.c.count).label("failed"))
        .where(delivery_counts.c.outcome == "failed", delivery_counts.c.minute >= since)
        .group_by(delivery_counts.c.connection_id)
        .subquery()
    )
    states, failed = delivery_states.c, sa.func.coalesce(lately.c.failed, 0)
    columns = (
        connections.c.id,
        connections.c.name,
        states.state,
        states.detail,
        states.since,
        states.waiting,
    )
    query = (
        sa.select(*columns, failed)
        .select_from(
            connections.join(delivery_states, states.connection_id == connections.c.id).outerjoin(
                lately, lately.c.connection_id == connections.c.id
            )
        )
        .where(connections.c.environment_id == environment_id, connections.c.is_enabled)
        .where(sa.or_(states.state.in_(("waiting", "stopped")), failed > 0))
        .order_by(states.since, connections.c.id)
    )
    return [Troubled(*row) for row in connection.execute(query)]


def list_samples(
    connection: sa.Connection, connection_id: int, *, outcome: str = "", reason: str = "", limit: int = 50
) -> list[Sample]:
    """The newest first."""
    query = sa.select(*(delivery_samples.c[name] for name in Sample.__struct_fields__)).where(
        delivery_samples.c.connection_id == connection_id
    )
    if outcome:
        query = query.where(delivery_samples.c.outcome == outcome)
    if reason:
        query = query.where(delivery_samples.c.reason == reason)
    rows = connection.execute(query.order_by(delivery_samples.c.id.desc()).limit(limit))
    return [Sample(*row) for row in rows]


def _within(connection_ids: Iterable[int], since: int, until: int) -> list[sa.ColumnElement[bool]]:
    return [
        among(delivery_counts.c.connection_id, connection_ids),
        delivery_counts.c.minute >= since,
        delivery_counts.c.minute < until,
    ]


def _bucket(start: int, counts: Counter[str]) -> Bucket:
    return Bucket(start, counts["delivered"], counts["discarded"], counts["failed"])


def _most_first(counted: tuple[tuple[str, str], int]) -> tuple[int, tuple[str, str]]:
    return -counted[1], counted[0]
