"""A flag rule's audience in words: one line per condition, its parts marked so that values look like values. Pure."""

from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct

from cairn.conditions.describe import OPERATORS
from cairn.conditions.tree import (
    And,
    Attribute,
    Condition,
    Device,
    Did,
    InList,
    Not,
    Or,
    OtherFlag,
    Place,
    UserProperty,
    Visitor,
)
from cairn.conditions.walk import leaves


class Part(Struct, frozen=True):
    text: str
    is_value: bool = False
    segment_id: int = 0  # of a list, to link it and to tell its size


class Line(Struct, frozen=True):
    joiner: str  # if, and, or
    parts: tuple[Part, ...]


class Names(Struct, frozen=True):
    """How segments and flags are called here."""

    segments: Mapping[int, str] = {}
    flags: Mapping[int, str] = {}


def lines(condition: Condition, names: Names) -> list[Line]:
    """Empty for everybody."""
    match condition:
        case And(nodes):
            joiner = "and"
        case Or(nodes):
            joiner = "or"
            if not nodes:
                return [Line("if", (Part("never: an empty group of alternatives"),))]
        case _:
            nodes, joiner = (condition,), "and"
    return [Line(joiner if at else "if", tuple(_parts(node, names))) for at, node in enumerate(nodes)]


def segments_in(condition: Condition) -> list[int]:
    return [leaf.segment_id for leaf in leaves(condition) if isinstance(leaf, InList) and leaf.segment_id]


def identifiers_in(condition: Condition) -> list[str]:
    """Names of custom variables that lists are asked about."""
    return list(dict.fromkeys(leaf.attribute for leaf in leaves(condition) if isinstance(leaf, InList)))


def negates_list(condition: Condition) -> bool:
    match condition:
        case And(nodes) | Or(nodes):
            return any(negates_list(node) for node in nodes)
        case Not(node):
            return any(isinstance(leaf, InList) for leaf in leaves(node))
        case _:
            return False


def _parts(node: Condition, names: Names) -> list[Part]:
    match node:
        case And(nodes) | Or(nodes):
            word = " and " if isinstance(node, And) else " or "
            inside: list[Part] = []
            for at, each in enumerate(nodes):
                inside += [Part(word)] if at else []
                inside += _parts(each, names)
            return [Part("("), *inside, Part(")")]
        case Not(InList() as leaf):
            return [*_custom(leaf.attribute), Part("is not in list"), _list(leaf, names)]
        case Not(inner):
            return [Part("not"), *_parts(inner, names)]
        case _:
            return _leaf(node, names)


def _custom(name: str) -> list[Part]:
    return [Part("custom variable"), Part(name, is_value=True)]


def _list(leaf: InList, names: Names) -> Part:
    text = names.segments.get(leaf.segment_id, leaf.list_id or f"segment {leaf.segment_id}")
    return Part(text, is_value=True, segment_id=leaf.segment_id)


def _leaf(
    leaf: Attribute | InList | Visitor | Place | Device | OtherFlag | UserProperty | Did, names: Names
) -> list[Part]:
    match leaf:
        case InList():
            return [*_custom(leaf.attribute), Part("is in list"), _list(leaf, names)]
        case Attribute():
            return [*_custom(leaf.name), Part(OPERATORS[leaf.operator]), Part(leaf.value, is_value=True)]
        case Visitor():
            return [Part("visitor id is one of"), Part(leaf.ids, is_value=True)]
        case Place():
            return [Part(f"{leaf.key} is"), Part(leaf.value, is_value=True)]
        case Device():
            return [Part(f"{leaf.key.replace('_', ' ')} is"), Part(leaf.value, is_value=True)]
        case OtherFlag():
            flag = names.flags.get(leaf.flag_id, str(leaf.flag_id))
            return [Part("flag"), Part(flag, is_value=True), Part(f"is {leaf.state}")]
        case UserProperty():
            return [Part("user property"), Part(leaf.key, is_value=True), Part("(no flag can ask this)")]
        case Did():
            return [Part("did"), Part(leaf.event.name, is_value=True), Part("(no flag can ask this)")]
        case _:
            assert_never(leaf)
