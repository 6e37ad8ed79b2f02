"""What one source sent lately: names of events, and what was refused of it by reason."""

from datetime import datetime, timedelta

from msgspec import Struct

from cairn.analysis.query.plan import Plan
from cairn.clock import to_ms
from cairn.outcomes import Outcome
from cairn.query.scope import BOUNDED_GROUPS, Scope
from cairn.store.store import Row

MOST_NAMES = 100


class SentName(Struct, frozen=True):
    kind: str
    name: str
    count: int
    last_ms: int


class RefusedReason(Struct, frozen=True):
    reason: str
    outcome: str
    count: int
    last_ms: int
    detail: str  # of the newest


class SentBySource(Struct, frozen=True):
    """What arrived in a rolling span, the most frequent first; at most so many names."""

    source: str
    now: datetime
    span: timedelta = timedelta(hours=1)

    def plan(self) -> Plan:
        return Plan(can_be_kept=False)

    def select(self, _plan: Plan, scope: Scope) -> str:
        since = scope.bindings.moment(to_ms(self.now - self.span))
        rows = scope.events(f"received_at > {since}", f"source = {scope.bindings.text(self.source)}")
        return f"""
            SELECT toString(kind) AS sent_kind, toString(name) AS sent_name, count() AS sent,
                   toUnixTimestamp64Milli(max(received_at))
            FROM {rows}
            GROUP BY sent_kind, sent_name ORDER BY sent DESC, sent_name LIMIT {MOST_NAMES}
            {BOUNDED_GROUPS}
        """

    def answer(self, rows: list[Row]) -> list[SentName]:
        return [SentName(*row) for row in rows]


class RefusedOfSource(Struct, frozen=True):
    """What was refused in a rolling span, by reason, the most frequent first."""

    source: str
    now: datetime
    span: timedelta = timedelta(hours=1)

    def plan(self) -> Plan:
        return Plan(can_be_kept=False)

    def select(self, _plan: Plan, scope: Scope) -> str:
        since = scope.bindings.moment(to_ms(self.now - self.span))
        of_source = f"source = {scope.bindings.text(self.source)}"
        rows = scope.refusals(f"outcome != '{Outcome.ACCEPTED}'", f"received_at > {since}", of_source)
        return f"""
            SELECT toString(reason), any(toString(outcome)), count() AS refused,
                   toUnixTimestamp64Milli(max(received_at)), argMax(detail, received_at)
            FROM {rows}
            GROUP BY reason ORDER BY refused DESC, reason LIMIT {MOST_NAMES}
        """

    def answer(self, rows: list[Row]) -> list[RefusedReason]:
        return [RefusedReason(*row) for row in rows]
