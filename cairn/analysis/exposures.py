"""What SDKs report of flags they decided."""

from datetime import datetime, timedelta

from msgspec import Struct

from cairn.analysis.query.plan import Plan, events
from cairn.query.behaviour import EXPOSURE
from cairn.query.scope import Scope
from cairn.query.time_range import since_day_of
from cairn.store.store import Row

LOOK_BACK = timedelta(days=30)


class LastExposure(Struct, frozen=True):
    """Epoch milliseconds of a flag's last exposure in 30 days; 0: none."""

    flag_id: int
    # Of its rules, by which SDKs name what they showed. Only a holdout's exposure names the flag.
    campaigns: tuple[int, ...]
    now: datetime

    def plan(self) -> Plan:
        return Plan(since_day_of(self.now - LOOK_BACK))

    def select(self, plan: Plan, scope: Scope) -> str:
        own = scope.bindings.contains("properties['campaign']", tuple(map(str, self.campaigns)), "String")
        flag = scope.bindings.text(str(self.flag_id))
        of_flag = f"properties['feature'] = {flag} OR properties['feature'] = '' AND {own}"
        return f"SELECT toUnixTimestamp64Milli(max(time)) FROM {events(plan, scope, EXPOSURE, of_flag)}"

    def answer(self, rows: list[Row]) -> int:
        return int(rows[0][0]) if rows else 0
