"""Walking a condition: what stands at its ends, and the same tree with other ends. Pure."""

from collections.abc import Callable, Iterator

from cairn.conditions.tree import And, Condition, Leaf, Not, Or


def leaves(condition: Condition) -> Iterator[Leaf]:
    """In the order they are written."""
    return (leaf for leaf, _ in _placed(condition, is_negated=False))


def negated(condition: Condition) -> Iterator[Leaf]:
    """The leaves below a `Not`."""
    return (leaf for leaf, is_negated in _placed(condition, is_negated=False) if is_negated)


def _placed(condition: Condition, *, is_negated: bool) -> Iterator[tuple[Leaf, bool]]:
    match condition:
        case And(nodes) | Or(nodes):
            for node in nodes:
                yield from _placed(node, is_negated=is_negated)
        case Not(node):
            yield from _placed(node, is_negated=True)
        case _:
            yield condition, is_negated


def replaced(condition: Condition, change: Callable[[Leaf], Condition]) -> Condition:
    """The same groups around what `change` makes of each leaf."""
    match condition:
        case And(nodes):
            return And(tuple(replaced(node, change) for node in nodes))
        case Or(nodes):
            return Or(tuple(replaced(node, change) for node in nodes))
        case Not(node):
            return Not(replaced(node, change))
        case _:
            return change(condition)
