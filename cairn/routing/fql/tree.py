"""A parsed FQL statement. Source: contracts/segment.md section 4, and Segment's reference of the language.

Its own tree and not `conditions/tree.py`: that one asks for facts of users and stored events, which are texts under one
key. FQL asks for any JSON at a path: 1 is not "1", a list is not a text, and its functions have values.
"""

from typing import Literal

from msgspec import Struct

from cairn.routing.paths import Path

Scalar = str | int | float | bool | None
Order = Literal["<", "<=", ">", ">="]
FUNCTIONS: dict[str, int] = {"contains": 2, "match": 2, "length": 1, "lowercase": 1, "typeof": 1}
TYPES = ("string", "number", "bool", "list", "object", "null")


class Value(Struct, frozen=True):
    value: Scalar | tuple[Scalar, ...]


class Field(Struct, frozen=True):
    path: Path


class Function(Struct, frozen=True):
    name: str
    arguments: tuple["Operand", ...]


Operand = Value | Field | Function


class Equal(Struct, frozen=True):
    left: Operand
    right: Operand


class Ordered(Struct, frozen=True):
    left: Operand
    operator: Order
    right: Operand


class In(Struct, frozen=True):
    item: Operand
    items: Value | Field


class IsTrue(Struct, frozen=True):
    """An operand by itself: it holds when it is true, and not merely something."""

    operand: Operand


class Not(Struct, frozen=True):
    test: "Test"


class All(Struct, frozen=True):
    tests: tuple["Test", ...]


class Any(Struct, frozen=True):
    tests: tuple["Test", ...]


Test = Equal | Ordered | In | IsTrue | Not | All | Any
