"""A filter for the browser: what the unmodified client's filter engine (tsub) reads, deciding what `evaluate` decides.

That engine differs from the language in places: what is missing is not null for it, it sees no list in a type, and
functions are only worked out on either side of a comparison. So the same is said in its words; what it has no words
for is refused, and such a filter needs cloud mode. Source: contracts/segment.md 3.3.
"""

from typing import Any as AnyJson

from cairn.errors import InvalidInput
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
from cairn.routing.paths import path_text

Ir = AnyJson  # nested arrays, paths and {"value": ...}

# Every object of a script has these; a path to them finds something where our own finds nothing.
_OF_OBJECTS = frozenset(
    (
        "__proto__",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    )
)
_SCRIPT_TYPES = {"string": "string", "number": "number", "bool": "boolean"}
_LIKE_FUNCTIONS = frozenset(("lowercase", "length", "typeof", "contains", "match", "semver"))


class NotForBrowser(InvalidInput):
    """A filter cannot be decided by the browser's client as it is here. Use the connection in cloud mode."""

    code = "not_for_browser"


def browser_ir(test: Test) -> Ir:
    """Raises NotForBrowser."""
    match test:
        case All(tests):
            return ["and", *map(browser_ir, tests)]
        case Any(tests):
            return ["or", *map(browser_ir, tests)]
        case Not(inner):
            return ["!", browser_ir(inner)]
        case Equal(left, right):
            return _equal(left, right)
        case Ordered(left, order, right):
            return _with_lengths(order, left, right)
        case In(item, items):
            return _in(item, items)
        case IsTrue(operand):
            return _operand(operand)


def _in(item: Operand, items: Value | Field) -> Ir:
    if isinstance(items, Field):
        raise NotForBrowser(
            f"the browser cannot look into the list {path_text(items.path)}; use cloud mode for this filter"
        )
    assert isinstance(items.value, tuple)
    if isinstance(item, Value) and isinstance(item.value, tuple):
        return {"value": False}
    return ["or", *(_equal(item, Value(value)) for value in items.value)]


def _equal(left: Operand, right: Operand) -> Ir:
    if isinstance(left, Value) and not isinstance(right, Value):
        left, right = right, left
    for side, other in ((left, right), (right, left)):
        if isinstance(side, Function) and side.name == "typeof":
            return _type_is(side, other)
    if right == Value(None):
        return _is_null(left)
    equal = _with_lengths("=", left, right)
    if isinstance(right, Value):
        return equal
    return ["or", equal, ["and", _is_null(left), _is_null(right)]]


def _type_is(function: Function, other: Operand) -> Ir:
    operand = function.arguments[0]
    if not isinstance(other, Value):
        raise NotForBrowser("the browser compares typeof with a text only; use cloud mode for this filter")
    if other.value in _SCRIPT_TYPES:
        return ["=", ["typeof", _argument(operand)], {"value": _SCRIPT_TYPES[str(other.value)]}]
    if other.value == "null":
        return _is_null(operand)
    if other.value not in ("list", "object"):
        return {"value": False}
    is_object = ["=", ["typeof", _argument(operand)], {"value": "object"}]
    has_length = [">=", ["length", _argument(operand)], {"value": 0}]
    is_list = ["and", is_object, has_length, ["!", _is_null(operand)]]
    return is_list if other.value == "list" else ["and", is_object, ["!", has_length]]


def _is_null(operand: Operand) -> Ir:
    match operand:
        case Value(value):
            return {"value": value is None}
        case Field():
            path = _argument(operand)
            return ["or", ["=", path, {"value": None}], _is_undefined(operand)]
        case Function("lowercase", (inner,)):
            return ["!", ["=", ["typeof", _argument(inner)], {"value": "string"}]]
        case Function():
            _operand(operand)
            return {"value": False}


def _is_undefined(field: Field) -> Ir:
    return ["=", ["typeof", _argument(field)], {"value": "undefined"}]


def _with_lengths(operator: str, left: Operand, right: Operand) -> Ir:
    """A comparison in which the length of what is missing is 0; the browser's is no number, so it never holds."""
    zero = {"value": 0}
    lefts = [(None, _operand(left)), *((missing, zero) for missing in _missing_length(left))]
    rights = [(None, _operand(right)), *((missing, zero) for missing in _missing_length(right))]
    cases = [
        _all_of([is_left_missing, is_right_missing, [operator, left_ir, right_ir]])
        for is_left_missing, left_ir in lefts
        for is_right_missing, right_ir in rights
    ]
    return cases[0] if len(cases) == 1 else ["or", *cases]


def _missing_length(operand: Operand) -> list[Ir]:
    """When the operand is a length of nothing; empty: never."""
    if isinstance(operand, Function) and operand.name == "length" and isinstance(operand.arguments[0], Field):
        return [_is_undefined(operand.arguments[0])]
    return []


def _all_of(parts: list[Ir]) -> Ir:
    said = [part for part in parts if part is not None]
    return said[0] if len(said) == 1 else ["and", *said]


def _operand(operand: Operand) -> Ir:
    match operand:
        case Function(name, arguments):
            return [name, *map(_argument, arguments)]
        case _:
            return _argument(operand)


def _argument(operand: Operand) -> Ir:
    match operand:
        case Value(value):
            return {"value": _plain(value)}
        case Field(path):
            return browser_path(path)
        case Function(name):
            raise NotForBrowser(
                f"the browser does not work out {name}() inside another function; use cloud mode for this filter"
            )


def _plain(value: AnyJson) -> AnyJson:
    if not isinstance(value, tuple):
        return value
    if value and value[0] in _LIKE_FUNCTIONS:
        raise NotForBrowser(
            f"the browser takes a list that begins with {value[0]!r} for a function; use cloud mode"
        )
    return list(value)


def browser_path(path: tuple[str, ...]) -> str:
    """Raises NotForBrowser."""
    for number, part in enumerate(path):
        is_odd = number > 1 and (part == "length" or part.isdecimal())
        if "." in part or part in _OF_OBJECTS or is_odd:
            raise NotForBrowser(
                f"the browser reads {part!r} in the path {path_text(path)} differently; use cloud mode for this filter"
            )
    return ".".join(path)
