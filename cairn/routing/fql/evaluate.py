"""Whether an FQL statement holds for a message. Pure, total, and linear in the message.

Types are strict: 1 is not "1". What is missing is null. A length counts UTF-16 units, as the browser does.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any as AnyJson

from cairn.routing.fql.glob import Glob
from cairn.routing.fql.tree import (
    All,
    Any,
    Equal,
    Field,
    Function,
    In,
    IsTrue,
    Not,
    Operand,
    Ordered,
    Test,
    Value,
)
from cairn.routing.paths import MISSING, value_at

_NAN = float("nan")
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(test: Test, body: dict[str, AnyJson]) -> bool:
    match test:
        case All(tests):
            return all(holds(inner, body) for inner in tests)
        case Any(tests):
            return any(holds(inner, body) for inner in tests)
        case Not(inner):
            return not holds(inner, body)
        case Equal(left, right):
            return same(_value(left, body), _value(right, body))
        case Ordered(left, order, right):
            return _is_ordered(_value(left, body), order, _value(right, body))
        case In(item, items):
            listed = _value(items, body)
            return isinstance(listed, list) and _is_in(_value(item, body), listed)
        case IsTrue(operand):
            return _value(operand, body) is True


def _value(operand: Operand, body: dict[str, AnyJson]) -> AnyJson:
    match operand:
        case Field(path):
            value = value_at(body, path)
            return None if value is MISSING else value
        case Value(value):
            return list(value) if isinstance(value, tuple) else value
        case Function(name, arguments):
            return _FUNCTIONS[name](*(_value(argument, body) for argument in arguments))


def same(left: AnyJson, right: AnyJson) -> bool:
    """Of one type and equal; of objects also the order of their keys."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return number(left) == number(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return type(left) is type(right) and bool(left == right)


def number(value: float) -> float:
    """As the browser holds it: integers beyond 2^53 are rounded."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _is_ordered(left: AnyJson, order: str, right: AnyJson) -> bool:
    if not (_is_number(left) and _is_number(right)):
        return False
    return _ORDERS[order](number(left), number(right))


def _is_number(value: AnyJson) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_in(item: AnyJson, items: list[AnyJson]) -> bool:
    if isinstance(item, list | dict):
        return False
    return any(same(item, other) for other in items)


def _contains(text: AnyJson, part: AnyJson) -> bool:
    return isinstance(text, str) and isinstance(part, str) and part in text


def _match(text: AnyJson, pattern: AnyJson) -> bool:
    return isinstance(text, str) and isinstance(pattern, str) and _glob(pattern).matches(text)


def _length(value: AnyJson) -> float:
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-16-le", errors="replace")) // 2
    return len(value) if isinstance(value, list) else _NAN


def _lowercase(value: AnyJson) -> str | None:
    return value.lower() if isinstance(value, str) else None


def type_name(value: AnyJson) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "list", dict: "object"}
    return names.get(type(value), "null")


_FUNCTIONS: dict[str, Callable[..., AnyJson]] = {
    "contains": _contains,
    "match": _match,
    "length": _length,
    "lowercase": _lowercase,
    "typeof": type_name,
}


# Patterns are texts of filters, which are checked when they are saved.
@functools.lru_cache(maxsize=4_096)
def _glob(pattern: str) -> Glob:
    return Glob(pattern)
