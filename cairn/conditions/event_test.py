"""Whether one event is what a match asks for, in Python: the same meaning as the SQL of `clause`, to the letter. Pure.

For callers that hold the event itself: the labeller's examples, and rules over events as they pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cairn.conditions import pattern as patterns
from cairn.conditions.check import ORDERING, as_number
from cairn.conditions.clause import COLUMN_FILTERS, FACT_FILTERS, NEGATIVE
from cairn.conditions.tree import EventMatch, PropertyFilter
from cairn.event import Element, Scalar
from cairn.query.behaviour import NOT_BEHAVIOUR
from cairn.store.arrow_tables import text_of


class Happened(Protocol):
    """What an event must have to be compared with a definition; a `Draft` has it."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def library(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, Scalar]: ...
    @property
    def facts(self) -> Mapping[str, str]: ...
    @property
    def element(self) -> Element | None: ...


def fact_of(happened: Happened, key: str) -> str | None:
    """A fact or property of an event; None: not set."""
    if key in COLUMN_FILTERS:
        return (happened.source if key == "source" else happened.library) or None
    if key in FACT_FILTERS and (fact := happened.facts.get(key)):
        return fact
    return text_of(happened.properties[key]) if key in happened.properties else None


def is_event(match: EventMatch, happened: Happened) -> bool:
    """Of a defined event only what stands beside its definition is asked; `definitions` knows the rest."""
    return is_of_kind(match.kind, match.name, happened) and passes_all(match.filters, happened)


def is_of_kind(kind: str, name: str, happened: Happened) -> bool:
    """An empty kind is any behaviour, an empty name any name."""
    is_kind = happened.kind == kind if kind else happened.kind not in NOT_BEHAVIOUR
    return is_kind and (not name or happened.name == name)


def passes_all(tests: Iterable[PropertyFilter], happened: Happened) -> bool:
    return all(passes(test, fact_of(happened, test.key)) for test in tests)


def passes(test: PropertyFilter, value: str | None) -> bool:
    """`value` None: not set; then only the negative operators hold."""
    return passing(test, [value])[0]


def passing(test: PropertyFilter, values: Sequence[str | None]) -> list[bool]:
    """The same for many values at once."""
    operator = NEGATIVE.get(test.operator, test.operator)
    held = _holding(operator, test, values)
    return [not passes for passes in held] if test.operator in NEGATIVE else held


def _holding(operator: str, test: PropertyFilter, values: Sequence[str | None]) -> list[bool]:
    operand = test.value
    match operator:
        case "is_set":
            return [value is not None for value in values]
        case "is":
            return [value == operand for value in values]
        case "in":
            choices = frozenset(test.values)
            return [value in choices for value in values]
        case "contains":
            return [value is not None and operand in value for value in values]
        case "starts_with":
            return [value is not None and value.startswith(operand) for value in values]
        case "ends_with":
            return [value is not None and value.endswith(operand) for value in values]
        case "matches":
            return _matching(operand, values)
    assert operator in ORDERING, operator
    return [value is not None and _ordered(operator, value, operand) for value in values]


def _matching(pattern: str, values: Sequence[str | None]) -> list[bool]:
    """RE2, as in the store, where a dot is also a line break."""
    compiled = patterns.compiled(pattern)
    return [value is not None and compiled.is_in(value) for value in values]


def _ordered(operator: str, value: str, operand: str) -> bool:
    left, right = as_number(value), as_number(operand)
    if left is None or right is None:
        return False
    match operator:
        case "greater":
            return left > right
        case "at_least":
            return left >= right
        case "less":
            return left < right
        case _:
            return left <= right
