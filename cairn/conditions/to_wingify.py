"""A condition as Wingify's segmentation DSL, ordered so that both SDKs decide it as written.

Source: contracts/wingify.md section 7. Location is in an `and` of its own, the user agent in an `or` of its own,
lists come last: a list check is a request, and the Node SDK mixes up concurrent users' locations across it.
"""

import re
from collections.abc import Callable
from typing import Any, assert_never

from cairn.conditions import operand
from cairn.conditions.evaluate import NotForFlags
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
from cairn.conditions.walk import leaves
from cairn.errors import InvalidInput

Dsl = dict[str, Any]  # Any: a DSL node is as deep as the condition
NEVER: Dsl = {"or": []}
ALWAYS: Dsl = {"not": {"or": []}}
LIST_ID = re.compile(r"[A-Za-z0-9_.:,-]+")  # what reaches the gateway unharmed
_USER_AGENT_KEYS = ("os", "browser_string", "device_type", "device")


def ask_gateway(leaf: InList) -> Dsl:
    """The list check as the Node SDK knows it: a request per evaluation."""
    if not LIST_ID.fullmatch(leaf.list_id):
        raise InvalidInput(
            f"attribute {leaf.attribute!r}: list id {leaf.list_id!r} may hold letters, digits and . : , _ - only",
            field="list_id",
        )
    return {"custom_variable": {leaf.attribute: f"inlist({leaf.list_id})"}}


def to_wingify(
    condition: Condition, *, in_list: Callable[[InList], Dsl] = ask_gateway, for_python: bool = False
) -> Dsl:
    """Shape: `{}` for everybody, else one node. Raises InvalidInput naming the leaf that flags cannot ask."""
    if condition == And(()):
        return {}

    def leaf_dsl(leaf: Leaf) -> Dsl:
        if isinstance(leaf, Attribute):
            return {"custom_variable": {leaf.name: operand.spell(leaf, for_python=for_python)}}
        return in_list(leaf) if isinstance(leaf, InList) else _leaf(leaf)

    return _node(condition, leaf_dsl)


def _node(condition: Condition, leaf_dsl: Callable[[Leaf], Dsl]) -> Dsl:
    match condition:
        case And(nodes):
            return {"and": [_node(child, leaf_dsl) for child in _ordered(nodes)]} if nodes else ALWAYS
        case Or(nodes):
            return {"or": [_node(child, leaf_dsl) for child in _ordered(nodes)]}
        case Not(node):
            return {"not": _node(node, leaf_dsl)}
        case _:
            return leaf_dsl(condition)


def _leaf(leaf: Visitor | Location | Device | OtherFlag | UserProperty | Did) -> Dsl:
    match leaf:
        case Visitor():
            return {"user": leaf.ids}
        case Location():
            return {"and": [{leaf.key: leaf.value}]}
        case Device():
            node: Dsl = {leaf.key: leaf.value}
            return {"or": [node]} if leaf.key in _USER_AGENT_KEYS else node
        case OtherFlag():
            return {"or": [{"featureId": {str(leaf.flag_id): leaf.state}}]}
        case UserProperty() | Did():
            raise NotForFlags(leaf)
        case _:
            assert_never(leaf)


def _ordered(nodes: tuple[Condition, ...]) -> list[Condition]:
    return sorted(nodes, key=_order_of)


def _order_of(condition: Condition) -> int:
    kinds = {type(leaf) for leaf in leaves(condition)}
    if InList in kinds:
        return 2
    return 0 if kinds & {Location, Device} else 1
