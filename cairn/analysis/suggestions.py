"""What editors suggest: names of events, keys of user properties, and their values, the most frequent first."""

from datetime import datetime

from msgspec import Struct

from cairn.analysis.query.plan import Plan, events
from cairn.query.behaviour import CUSTOM
from cairn.query.scope import BOUNDED_GROUPS, Scope
from cairn.query.time_range import month_before
from cairn.store.store import Row

MOST_NAMES, MOST_KEYS = 200, 500
# Bytes of a value; longer ones are not picked from a list.
LONGEST_VALUE = 100


class EventNames(Struct, frozen=True):
    """Of custom events in these days."""

    now: datetime

    def plan(self) -> Plan:
        return Plan(month_before(self.now))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT toString(name) AS known FROM {events(plan, scope, CUSTOM)}
            GROUP BY known ORDER BY count() DESC, known LIMIT {MOST_NAMES} {BOUNDED_GROUPS}
        """

    def answer(self, rows: list[Row]) -> list[str]:
        return [str(row[0]) for row in rows]


class PropertyKeys(Struct, frozen=True):
    """Of user properties, by name."""

    def plan(self) -> Plan:
        return Plan()

    def select(self, _plan: Plan, scope: Scope) -> str:
        return f"SELECT DISTINCT toString(key) AS known FROM {scope.user_properties()} ORDER BY known LIMIT {MOST_KEYS}"

    def answer(self, rows: list[Row]) -> list[str]:
        return [str(row[0]) for row in rows]


class FrequentValues(Struct, frozen=True):
    """Key -> the most frequent values of that user property.

    `topK` keeps a fixed number of values, however many different ones a key has.
    """

    keys: tuple[str, ...]
    limit: int

    def plan(self) -> Plan:
        return Plan()

    def select(self, _plan: Plan, scope: Scope) -> str:
        rows = scope.user_properties(
            scope.bindings.contains("key", self.keys, "String"),
            f"length(value) BETWEEN 1 AND {LONGEST_VALUE}",
        )
        return f"SELECT toString(key) AS known, topK({int(self.limit)})(value) FROM {rows} GROUP BY known"

    def answer(self, rows: list[Row]) -> dict[str, list[str]]:
        return {str(key): list(values) for key, values in rows}
