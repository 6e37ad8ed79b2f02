"""Decide a flag's condition in Python, saying what Wingify's Node SDK says of the settings we compile from it.

Source: contracts/wingify.md section 7. Where the SDK ignores a badly placed condition, our compiler places it
well (7.3), so here every condition counts.
"""

import urllib.parse
from collections.abc import Callable
from typing import Any, assert_never

from msgspec import Struct

from cairn.conditions import javascript, javascript_pattern, operand
from cairn.conditions.tree import (
    And,
    Attribute,
    Condition,
    Device,
    Did,
    InList,
    Leaf,
    Location,
    Not,
    Or,
    OtherFlag,
    UserProperty,
    Visitor,
)
from cairn.errors import InvalidInput

InListCheck = Callable[[str, str], bool]  # (list id, attribute's value) -> is a member

_WITHOUT_NUMBERS = ("browser_version", "os_version", "ip_address")


class Facts(Struct, frozen=True):
    """What the application and the gateway know of one visitor."""

    visitor: str  # the context's id, or its UUID where a rule says so
    attributes: dict[str, Any] = {}  # Any: the application's own values
    location: dict[str, str] = {}  # country, region, city
    device: dict[str, str] = {}  # os, browser_string, device_type, device, browser_version, os_version
    user_agent: str = ""
    ip_address: str = ""
    known_flags: frozenset[int] = frozenset()  # all flags by id
    flags_on: frozenset[int] = frozenset()  # those decided on for this visitor


class NotForFlags(InvalidInput):
    """A flag is decided inside the application, which knows no events and user properties. Use a segment's list."""

    code = "not_for_flags"

    def __init__(self, leaf: UserProperty | Did) -> None:
        what = f"user property {leaf.key!r}" if isinstance(leaf, UserProperty) else f"did {leaf.event.name!r}"
        super().__init__(
            f"flags cannot ask about {what}; make it a segment and ask whether the user is in its list",
            field="condition",
        )


def holds(condition: Condition, facts: Facts, *, in_list: InListCheck) -> bool:
    """Raises NotForFlags for a leaf that no flag can ask."""
    match condition:
        case And():
            return all(holds(node, facts, in_list=in_list) for node in condition.nodes)
        case Or():
            return any(holds(node, facts, in_list=in_list) for node in condition.nodes)
        case Not():
            return not holds(condition.node, facts, in_list=in_list)
        case _:
            return _leaf_holds(condition, facts, in_list)


def _leaf_holds(leaf: Leaf, facts: Facts, in_list: InListCheck) -> bool:
    match leaf:
        case Attribute():
            return leaf.name in facts.attributes and operand.holds(
                operand.spell(leaf), facts.attributes[leaf.name]
            )
        case InList():
            return _is_in_list(leaf, facts, in_list)
        case Visitor():
            return any(visitor_id.strip() == facts.visitor for visitor_id in leaf.ids.split(","))
        case Location():
            location = facts.location.get(leaf.key)
            return location is not None and _normal_location(location) == _normal_location(leaf.value)
        case Device():
            return _device_holds(leaf, facts)
        case OtherFlag():
            if leaf.flag_id not in facts.known_flags:
                return False
            return (leaf.flag_id in facts.flags_on) == (leaf.state == "on")
        case UserProperty() | Did():
            raise NotForFlags(leaf)
        case _:
            assert_never(leaf)


def _is_in_list(leaf: InList, facts: Facts, in_list: InListCheck) -> bool:
    if not leaf.list_id or leaf.attribute not in facts.attributes:
        return False
    return in_list(leaf.list_id, javascript.text(facts.attributes[leaf.attribute]))


def _normal_location(value: str) -> str:
    return value.removeprefix('"').removesuffix('"').strip()


def _device_holds(leaf: Device, facts: Facts) -> bool:
    if leaf.key == "ua":
        return bool(facts.user_agent) and operand.holds(leaf.value, urllib.parse.unquote(facts.user_agent))
    if leaf.key in _WITHOUT_NUMBERS:
        value = facts.ip_address if leaf.key == "ip_address" else facts.device.get(leaf.key, "")
        keyword, operand_text = operand.read(leaf.value)
        return bool(value) and operand.compare(keyword, operand_text.strip().replace('"', ""), value)
    actual = facts.device.get(leaf.key)
    if actual is None:
        return False
    operand_text = leaf.value.lower()
    if operand_text.startswith("wildcard(") and operand_text.endswith(")"):
        source = operand_text[len("wildcard(") : -1].replace("*", ".*")
        pattern = javascript_pattern.pattern(source, ignore_case=True)
        if pattern is not None and pattern.is_in(actual):
            return True
    return actual.lower() == operand_text
