"""Wingify's segmentation DSL as a condition. Compiled again it is decided alike, official cases to the letter.

A location or user agent key where the SDKs ignore it (contracts/wingify.md 7.3) is read as it was meant.
"""

import reprlib
from collections.abc import Callable
from typing import Any, cast

from cairn.conditions import operand
from cairn.conditions.to_wingify import LIST_ID
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Condition,
    Device,
    InList,
    Location,
    Not,
    Or,
    OtherFlag,
    Visitor,
)
from cairn.errors import InvalidInput

Reader = Callable[[Any, int], Condition]  # Any: a value of the foreign document
_MAX_DEPTH = 64  # nodes; a document nested deeper is an attack, not an audience
_OPERATORS = {
    "is": "is",
    "lower": "is_ignoring_case",
    "contains": "contains",
    "starts": "starts_with",
    "ends": "ends_with",
    "regex": "matches",
    "gt": "greater",
    "gte": "at_least",
    "lt": "less",
    "lte": "at_most",
}


class DslUnreadable(InvalidInput):
    """The segments are not Wingify's DSL, or use a key that Cairn does not know. The message quotes the node."""

    code = "dsl_unreadable"


def from_wingify(dsl: Any) -> Condition:  # Any: a foreign document
    """Raises DslUnreadable. `{}` is everybody; of a node with several keys only the first counts, as in the SDKs."""
    if dsl == {}:
        return EVERYBODY
    return _read(dsl, _MAX_DEPTH)


def _read(dsl: Any, depth: int) -> Condition:
    if not isinstance(dsl, dict) or not dsl or depth == 0:
        raise _unreadable(
            dsl, "expected an object with one key" if depth else f"nested over {_MAX_DEPTH} levels"
        )
    key, value = next(iter(dsl.items()))
    reader = _READERS.get(key)
    if reader is None:
        raise _unreadable(dsl, f"unknown key {key!r}")
    return reader(value, depth - 1)


def _unreadable(dsl: Any, why: str) -> DslUnreadable:
    return DslUnreadable(f"segments: {why} in {reprlib.repr(dsl)}", field="segments")


def _nodes(value: Any, depth: int) -> tuple[Condition, ...]:
    if not isinstance(value, list):
        raise _unreadable(value, "expected an array")
    return tuple(_read(node, depth) for node in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _unreadable(value, "expected text")
    return value


def _pair(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict) or not value:
        raise _unreadable(value, "expected an object with one key")
    name, content = next(iter(value.items()))
    return name, _text(content)


def _attribute(value: Any, _depth: int) -> Condition:
    name, text = _pair(value)
    if "inlist" in text:
        list_id = text.removeprefix("inlist(").removesuffix(")")
        if text != f"inlist({list_id})" or not LIST_ID.fullmatch(list_id):
            raise _unreadable(value, "expected inlist(<list id>)")
        return InList(attribute=name, list_id=list_id)
    keyword, operand_text = operand.read(text)
    attribute = Attribute(name, cast(Any, _OPERATORS[keyword]), operand_text)
    if text in (operand_text, f"{keyword}({operand_text})") or keyword in ("contains", "starts", "ends"):
        try:
            operand.check(attribute)
            if operand.spell(attribute) == text:
                return attribute
        except operand.OperandImpossible:
            pass
    return Attribute(name, "operand", text)


def _device(key: str) -> Reader:
    def read(value: Any, _depth: int) -> Condition:
        values = value if isinstance(value, list) else [value]
        leaves = tuple(Device(cast(Any, key), _text(device)) for device in values)
        return leaves[0] if len(leaves) == 1 else Or(leaves)

    return read


def _location(key: str) -> Reader:
    return lambda value, _depth: Location(cast(Any, key), _text(value))


def _other_flag(value: Any, _depth: int) -> Condition:
    flag_id, state = _pair(value)
    if not flag_id.isdecimal() or state not in ("on", "off"):
        raise _unreadable(value, 'expected {"<flag id>": "on" or "off"}')
    return OtherFlag(int(flag_id), cast(Any, state))


_READERS: dict[str, Reader] = {
    "and": lambda value, depth: And(_nodes(value, depth)),
    "or": lambda value, depth: Or(_nodes(value, depth)),
    "not": lambda value, depth: Not(_read(value, depth)),
    "custom_variable": _attribute,
    "user": lambda value, _depth: Visitor(_text(value)),
    "featureId": _other_flag,
    **{key: _location(key) for key in ("country", "region", "city")},
    **{key: _device(key) for key in ("os", "browser_string", "device_type", "device")},
    **{key: _device(key) for key in ("browser_version", "os_version", "ip_address", "ua")},
}
