"""How the product is doing: users and events on each day, refusals by reason, who has been heard from."""

from datetime import datetime, timedelta

from msgspec import Struct

from cairn.analysis.query.plan import Plan, canonical_user, events
from cairn.calendar import Days
from cairn.clock import to_ms
from cairn.event import FIRST_SEEN
from cairn.outcomes import Outcome
from cairn.query.behaviour import BEHAVIOUR, EXPOSURE, IDENTIFY
from cairn.query.scope import BOUNDED_GROUPS, Scope
from cairn.query.time_range import TimeRange, month_before, of_days, start_of_day
from cairn.store.store import Row

MOST_REASONS = 50
MOST_SENDERS = 200


class Bucket(Struct, frozen=True):
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


class Heard(Struct, frozen=True):
    """One library of one source that sent something."""

    source: str
    library: str
    events: int
    last_ms: int
    identifies: int
    exposures: int


class BehaviourByDay(Struct, frozen=True):
    """One bucket for each day, oldest first, the running one last; empty ones are zero."""

    days: Days

    def plan(self) -> Plan:
        return Plan(of_days(self.days))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT {start_of_day(self.days)} AS start,
                   uniqIf({canonical_user(plan, scope)}, {BEHAVIOUR}), countIf({BEHAVIOUR}), countIf({EXPOSURE})
            FROM {events(plan, scope)} GROUP BY start
        """

    def answer(self, rows: list[Row]) -> list[Bucket]:
        buckets = {int(start): Bucket(int(start), *map(int, numbers)) for start, *numbers in rows}
        return [buckets.get(start, Bucket(start, 0, 0, 0)) for start in self.days.starts_ms]


class BehaviourLately(Struct, frozen=True):
    """One bucket for each rolling span that ends now, all in one question."""

    now: datetime
    spans: tuple[timedelta, ...]

    def starts_ms(self) -> list[int]:
        return [max(to_ms(self.now - span), 0) for span in self.spans]

    def plan(self) -> Plan:
        return Plan(TimeRange(min(self.starts_ms()) + 1), can_be_kept=False)

    def select(self, plan: Plan, scope: Scope) -> str:
        columns, user = [], canonical_user(plan, scope)
        for start in self.starts_ms():
            later = TimeRange(start + 1).clause(scope.bindings, says_days=False)
            columns.append(
                f"uniqExactIf({user}, {BEHAVIOUR} AND {later}), countIf({BEHAVIOUR} AND {later}), "
                f"countIf({EXPOSURE} AND {later})"
            )
        return f"SELECT {', '.join(columns)} FROM {events(plan, scope)}"

    def answer(self, rows: list[Row]) -> list[Bucket]:
        starts = self.starts_ms()
        numbers = [int(number) for number in rows[0]] if rows else [0] * 3 * len(starts)
        return [Bucket(start, *numbers[3 * at : 3 * at + 3]) for at, start in enumerate(starts)]


class RefusedByReason(Struct, frozen=True):
    """What was refused in a rolling span, by reason, most frequent first. Environment 0: unknown keys."""

    now: datetime
    span: timedelta = timedelta(hours=1)

    def plan(self) -> Plan:
        return Plan(can_be_kept=False)

    def select(self, _plan: Plan, scope: Scope) -> str:
        since = scope.bindings.moment(to_ms(self.now - self.span))
        return f"""
            SELECT toString(reason), any(toString(outcome)), count() AS refused,
                   toUnixTimestamp64Milli(max(received_at)), toString(argMax(source, received_at)),
                   argMax(detail, received_at)
            FROM {scope.refusals(f"outcome != '{Outcome.ACCEPTED}'", f"received_at > {since}")}
            GROUP BY reason ORDER BY refused DESC, reason LIMIT {MOST_REASONS}
        """

    def answer(self, rows: list[Row]) -> list[Refusals]:
        return [Refusals(*row) for row in rows]


class Senders(Struct, frozen=True):
    """Sources and libraries that sent something in these days: what is connected, first steps done."""

    now: datetime

    def plan(self) -> Plan:
        return Plan(month_before(self.now))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT toString(source) AS sent_by, toString(library) AS sent_with, count(),
                   toUnixTimestamp64Milli(max(received_at)), countIf({IDENTIFY} AND name != '{FIRST_SEEN}'),
                   countIf({EXPOSURE})
            FROM {events(plan, scope)}
            GROUP BY sent_by, sent_with ORDER BY sent_by, sent_with LIMIT {MOST_SENDERS}
            {BOUNDED_GROUPS}
        """

    def answer(self, rows: list[Row]) -> list[Heard]:
        return [Heard(*row) for row in rows]
