"""What a condition means, said once more in plain Python: slow, obvious, sharing no code with the compiler."""

import math
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Between,
    Condition,
    Did,
    EventMatch,
    Last,
    Not,
    Or,
    PropertyFilter,
    UserProperty,
)
from cairn.event import Draft
from cairn.store.arrow_tables import text_of
from cairn.store.store import PropertyChange


class History(Struct):
    """Everything known of one environment."""

    events: list[Draft] = field(default_factory=list)
    properties: list[PropertyChange] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)  # raw user -> canonical user, where they differ

    def canonical(self, user_id: int) -> int:
        return self.merged.get(user_id, user_id)

    def users(self) -> set[int]:
        rows = [event.user_id for event in self.events] + [change.user_id for change in self.properties]
        return {self.canonical(user_id) for user_id in rows}

    def properties_of(self, user: int) -> dict[str, str]:
        ours = [change for change in self.properties if self.canonical(change.user_id) == user]
        return {change.key: change.value for change in sorted(ours, key=lambda change: change.version)}

    def identity_of(self, user: int) -> str:
        own = [c for c in self.properties if c.user_id == user and c.key == "identity"]
        return max(own, key=lambda change: change.version).value if own else ""


def members(history: History, condition: Condition, now_ms: int) -> dict[int, str]:
    """Canonical users for whom the condition holds, each with its identity."""
    return {
        user: history.identity_of(user) for user in history.users() if holds(history, user, condition, now_ms)
    }


def holds(history: History, user: int, condition: Condition, now_ms: int) -> bool:
    match condition:
        case And(nodes):
            return all(holds(history, user, node, now_ms) for node in nodes)
        case Or(nodes):
            return any(holds(history, user, node, now_ms) for node in nodes)
        case Not(node):
            return not holds(history, user, node, now_ms)
        case UserProperty():
            return value_holds(history.properties_of(user).get(condition.key), condition)
        case Did(event, operator, count, window):
            done = sum(
                counts(draft, event) and in_time(draft.time_ms, window, now_ms)
                for draft in history.events
                if history.canonical(draft.user_id) == user
            )
            return {
                "at_least": done >= count,
                "at_most": done <= count,
                "exactly": done == count,
                "more_than": done > count,
                "less_than": done < count,
            }[operator]
    raise AssertionError(condition)


def in_time(time_ms: int, window: Last | Between | None, now_ms: int) -> bool:
    match window:
        case Last(amount, unit):
            return now_ms - amount * UNIT_MS[unit] < time_ms <= now_ms
        case Between(from_ms, to_ms):
            return from_ms <= time_ms < to_ms and time_ms <= now_ms
    return time_ms <= now_ms


def counts(draft: Draft, event: EventMatch) -> bool:
    if event.kind and draft.kind != event.kind:
        return False
    if not event.kind and draft.kind in ("identify", "exposure"):
        return False
    if event.name and draft.name != event.name:
        return False
    return all(value_holds(fact(draft, one.key), one) for one in event.filters)


def fact(draft: Draft, key: str) -> str | None:
    if key in ("source", "library"):
        return getattr(draft, key) or None
    return text_of(draft.properties[key]) if key in draft.properties else None


def value_holds(value: str | None, test: UserProperty | PropertyFilter) -> bool:
    """`value` None: not set."""
    negative = {"is_not": "is", "does_not_contain": "contains", "not_in": "in", "is_not_set": "is_set"}
    if test.operator in negative:
        return not positive_holds(value, negative[test.operator], test.value, test.values)
    return positive_holds(value, test.operator, test.value, test.values)


def positive_holds(value: str | None, operator: str, operand: str, operands: Iterable[str]) -> bool:
    if value is None:
        return False
    if operator in ("greater", "at_least", "less", "at_most"):
        left, right = number(value), number(operand)
        if left is None or right is None:
            return False
        return {
            "greater": left > right,
            "at_least": left >= right,
            "less": left < right,
            "at_most": left <= right,
        }[operator]
    # RE2's `$` is the end of the text; Python's also stands before a last line break
    found = operator == "matches" and re.search(operand.replace("$", r"\Z"), value, re.DOTALL)
    answers: Mapping[str, bool] = {
        "is": value == operand,
        "contains": operand in value,
        "starts_with": value.startswith(operand),
        "ends_with": value.endswith(operand),
        "matches": bool(found),
        "in": value in operands,
        "is_set": True,
    }
    return answers[operator]


def number(text: str) -> float | None:
    """Only what JSON would call a number, and finite."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None
