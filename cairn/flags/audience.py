"""Walking the conditions of rules and holdouts: their leaves, and the lists behind their segments. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from cairn.conditions.tree import And, Condition, InList, Not, Or


def leaves(condition: Condition) -> Iterator[Condition]:
    match condition:
        case And() | Or():
            for node in condition.nodes:
                yield from leaves(node)
        case Not():
            yield from leaves(condition.node)
        case _:
            yield condition


def with_lists(condition: Condition, list_of: Mapping[int, str]) -> Condition:
    """The same condition, every segment's leaf with its list id; left empty where the segment has no list here."""
    match condition:
        case And():
            return And(tuple(with_lists(node, list_of) for node in condition.nodes))
        case Or():
            return Or(tuple(with_lists(node, list_of) for node in condition.nodes))
        case Not():
            return Not(with_lists(condition.node, list_of))
        case InList() if condition.segment_id:
            return msgspec.structs.replace(condition, list_id=list_of.get(condition.segment_id, ""))
        case _:
            return condition
