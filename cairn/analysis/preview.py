"""For how many users a condition holds, without a segment being made of it."""

from datetime import datetime

from msgspec import Struct

from cairn.analysis.query.plan import Plan, canonical_user
from cairn.clock import to_ms
from cairn.conditions.to_sql import how_many
from cairn.conditions.tree import Condition
from cairn.query.scope import Scope
from cairn.store.store import Row


class Preview(Struct, frozen=True):
    users: int
    identified: int


class PreviewOf(Struct, frozen=True):
    """`condition`: with its defined events resolved."""

    condition: Condition
    now: datetime

    def plan(self) -> Plan:
        return Plan(can_be_kept=False)

    def select(self, plan: Plan, scope: Scope) -> str:
        return how_many(scope, self.condition, to_ms(self.now), canonical=canonical_user(plan, scope))

    def answer(self, rows: list[Row]) -> Preview:
        return Preview(*map(int, rows[0]))
