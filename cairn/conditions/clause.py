"""The leaves of conditions as SQL: which events count, when they count, and whether a value passes a test. Pure.

Whatever a person wrote is bound as a parameter, never part of the text.
"""

from collections.abc import Iterable, Sequence

from cairn.conditions.check import NUMBER, ORDERING, ConditionNotAccepted, as_number, check_pattern
from cairn.conditions.tree import (
    UNIT_MS,
    Between,
    CountOperator,
    ElementMatch,
    EventMatch,
    Last,
    PropertyFilter,
    ResolvedMatch,
    UserProperty,
)
from cairn.event import FACTS
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.bindings import Bindings
from cairn.query.time_range import TimeRange

COLUMN_FILTERS = frozenset({"source", "library"})  # event facts that are columns; empty text is "not set"
FACT_FILTERS = frozenset(
    FACTS
)  # likewise, and where one is not set, an event's property of that name stands for it
NEGATIVE = {"is_not": "is", "does_not_contain": "contains", "is_not_set": "is_set", "not_in": "in"}
COUNTS: dict[CountOperator, str] = {
    "at_least": ">=",
    "at_most": "<=",
    "exactly": "=",
    "more_than": ">",
    "less_than": "<",
}
_COMPARISONS = {"greater": ">", "at_least": ">=", "less": "<", "at_most": "<="}

Property = UserProperty | PropertyFilter
Operand = str | tuple[str, ...]
Window = Last | Between | None


def event_clause(event: EventMatch, bindings: Bindings) -> str:
    """A boolean over the columns of `events`: is it one of these?"""
    return all_of([*named(event, bindings), *filtered(event, bindings)])


def event_clauses(events: Iterable[EventMatch], bindings: Bindings) -> list[str]:
    return [event_clause(event, bindings) for event in events]


def time_clause(window: Window, now_ms: int, bindings: Bindings) -> str:
    """A boolean over the columns of `events`: does its time count at `now_ms`? Events of the future never do."""
    return all_of([*reach(window, now_ms, bindings), *in_window(window, now_ms, bindings)])


def reach(window: Window, now_ms: int, bindings: Bindings) -> list[str]:
    """What of the table can hold events of the window, those still to come included."""
    match window:
        case Last(amount, unit):
            return [TimeRange(now_ms - amount * UNIT_MS[unit] + 1).clause(bindings)]
        case Between(from_ms, to_ms):
            return [TimeRange(from_ms, to_ms - 1).clause(bindings)]
        case None:
            return []


def in_window(window: Window, now_ms: int, bindings: Bindings) -> list[str]:
    """Does an event's time count at `now_ms`? Tests that many windows share have the same text."""
    past = TimeRange(None, now_ms).tests(bindings)
    match window:
        case Last(amount, unit):
            return [*TimeRange(now_ms - amount * UNIT_MS[unit] + 1).tests(bindings), *past]
        case Between(from_ms, to_ms):
            return [*TimeRange(from_ms, to_ms - 1).tests(bindings), *past]
        case None:
            return past


def named(event: EventMatch, bindings: Bindings) -> list[str]:
    """What the table's order finds quickly."""
    if isinstance(event, ResolvedMatch):
        return [_either([_placed(alternative, bindings) for alternative in event.any_of])]
    if event.defined:
        raise ConditionNotAccepted(f"defined event {event.defined} is not known here", field="defined")
    return _kind_and_name(event, bindings)


def _kind_and_name(event: EventMatch | ElementMatch, bindings: Bindings) -> list[str]:
    parts = [f"kind = {bindings.text(event.kind)}" if event.kind else BEHAVIOUR]
    if event.name:
        parts.append(f"name = {bindings.text(event.name)}")
    return parts


def filtered(event: EventMatch, bindings: Bindings) -> list[str]:
    if isinstance(event, ResolvedMatch):
        if not any(alternative.filters for alternative in event.any_of):
            return []
        ways = [
            all_of(
                [
                    _placed(alternative, bindings),
                    *(_filter(condition, bindings) for condition in alternative.filters),
                ]
            )
            for alternative in event.any_of
        ]
        return [_either(ways)]
    return [_filter(condition, bindings) for condition in event.filters]


def _placed(match: ElementMatch, bindings: Bindings) -> str:
    parts = _kind_and_name(match, bindings)
    if match.elements is not None:
        parts.append(bindings.contains("element", match.elements, "UInt64") if match.elements else "0")
    return all_of(parts)


def _either(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if parts else "0"


def fact(key: str, bindings: Bindings) -> tuple[str, str]:
    """An event's property or fact over the columns of `events`: its value, and a boolean whether it is set."""
    if key in COLUMN_FILTERS:
        value, is_set = key, f"notEmpty({key})"
    else:
        name = bindings.text(key)
        value, is_set = f"properties[{name}]", f"mapContains(properties, {name})"
    if key in FACT_FILTERS:
        known = f"notEmpty(`{key}`)"
        value, is_set = f"if({known}, toString(`{key}`), {value})", f"({known} OR {is_set})"
    return value, is_set


def _filter(condition: PropertyFilter, bindings: Bindings) -> str:
    value, is_set = fact(condition.key, bindings)
    operator, operand = positive(condition)
    clause = passes(operator, operand, value, is_set, bindings)
    return f"NOT {clause}" if condition.operator in NEGATIVE else clause


def positive(node: Property) -> tuple[str, str | tuple[str, ...]]:
    operator = NEGATIVE.get(node.operator, node.operator)
    if operator == "matches":
        check_pattern(node.value, f"{node.key!r}")
    if operator == "in":
        return operator, tuple(dict.fromkeys(node.values))
    return operator, "" if operator == "is_set" else node.value


def passes(operator: str, operand: str | tuple[str, ...], value: str, is_set: str, bindings: Bindings) -> str:
    """A boolean over a value (empty when it is not set) and whether it is set. Never holds for one that is not set."""
    if isinstance(operand, tuple):
        return f"({is_set} AND {bindings.contains(value, operand, 'String')})"
    if operator == "is_set":
        return f"({is_set})"
    if operator in ORDERING:
        return _ordered(operator, operand, value, bindings)
    text = bindings.text(operand)
    test = {
        "is": f"{value} = {text}",
        "contains": f"position({value}, {text}) > 0",
        "starts_with": f"startsWith({value}, {text})",
        "ends_with": f"endsWith({value}, {text})",
        "matches": f"match({value}, {text})",
    }[operator]
    return f"({is_set} AND {test})"


def _ordered(operator: str, operand: str, value: str, bindings: Bindings) -> str:
    number = as_number(operand)
    if number is None:
        return "(0)"
    parsed = f"toFloat64OrZero({value})"
    compared = f"{parsed} {_COMPARISONS[operator]} {bindings.bind(number, 'Float64')}"
    return f"(match({value}, {bindings.text(NUMBER)}) AND isFinite({parsed}) AND {compared})"


def all_of(parts: Sequence[str]) -> str:
    return f"({' AND '.join(parts)})" if parts else "1"
