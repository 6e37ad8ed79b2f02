"""The lists behind the segments that a rule or holdout asks about. Pure."""

from collections.abc import Mapping

from msgspec import structs

from cairn.conditions.tree import Condition, InList, Leaf
from cairn.conditions.walk import replaced


def with_lists(condition: Condition, list_of: Mapping[int, str]) -> Condition:
    """The same condition, every segment's leaf with its list id; left empty where the segment has no list here."""

    def listed(leaf: Leaf) -> Condition:
        if isinstance(leaf, InList) and leaf.segment_id:
            return structs.replace(leaf, list_id=list_of.get(leaf.segment_id, ""))
        return leaf

    return replaced(condition, listed)
