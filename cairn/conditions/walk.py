"""Walking a condition: what stands at its ends, and the same tree with other ends. Pure."""

from collections.abc import Callable, Iterator

from cairn.conditions.tree import And, Condition, Leaf, Not, Or


def leaves(condition: Condition) -> Iterator[Leaf]:
    """In the order they are written."""
    match condition:
        case And(nodes) | Or(nodes):
            for node in nodes:
                yield from leaves(node)
        case Not(node):
            yield from leaves(node)
        case _:
            yield condition


def negated(condition: Condition) -> Iterator[Leaf]:
    """The leaves below a `Not`."""
    match condition:
        case And(nodes) | Or(nodes):
            for node in nodes:
                yield from negated(node)
        case Not(node):
            yield from leaves(node)


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
