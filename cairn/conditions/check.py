"""What a condition over users must look like before it is kept: every mistake a person can make, named by its field.

Only for conditions that compile to SQL (segments, analysis); flag audiences have their own leaves and checks.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec

from cairn.conditions import pattern as patterns
from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    UserProperty,
    Visitor,
)
from cairn.conditions.walk import leaves
from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.query.bindings import END_MS, FIRST_MS

MAX_DEPTH = 20  # levels of and/or/not; people's trees have three, and each costs parser depth in the store
MAX_LEAVES = 100  # each is one aggregate of the same pass
MAX_VALUES = 1_000_000  # of all `in` together; about three seconds to send to the store
MAX_VALUES_TEXT = 20_000_000  # characters of these
MAX_TEXT = 10_000  # characters of one value
MAX_COUNT = 1_000_000_000
MAX_WINDOW_MS = 3650 * 86_400_000  # ten years

# A number as JSON writes it. `inf`, `nan`, blanks, a leading plus or dot are text.
NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
ORDERING = frozenset({"greater", "at_least", "less", "at_most"})
KINDS = frozenset(value for name, value in vars(Kind).items() if not name.startswith("_"))
_NEEDS_TEXT = frozenset({"contains", "does_not_contain", "starts_with", "ends_with", "matches"})
_NUMBER = re.compile(NUMBER.removesuffix("$") + r"\Z", re.ASCII)


class ConditionNotAccepted(InvalidInput):
    """A condition has a mistake, or asks what a segment cannot know. Change the field that the message names."""

    code = "condition_not_accepted"


def parse(document: object) -> Condition:
    """A condition from decoded JSON. Raises ConditionNotAccepted naming the field. Does not `check`."""
    try:
        condition: Condition = msgspec.convert(document, Condition)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConditionNotAccepted(f"condition: {error}", field="condition") from error
    return condition


def as_number(text: str) -> float | None:
    """The finite number a text stands for, or None."""
    if not _NUMBER.match(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def check(condition: Condition) -> None:
    """Raises ConditionNotAccepted naming the first field that is wrong. `And(())` alone, everybody, is accepted."""
    if condition == And(()):
        return
    leaves = _check(condition, "condition", depth=1)
    if leaves > MAX_LEAVES:
        raise _refused("condition", f"has {leaves} conditions, at most {MAX_LEAVES} are accepted")
    lists = list(_value_lists(condition))
    if (count := sum(map(len, lists))) > MAX_VALUES:
        raise _refused("condition", f"has {count} values in all its lists, at most {MAX_VALUES} are accepted")
    if (size := sum(len(value) for values in lists for value in values)) > MAX_VALUES_TEXT:
        raise _refused(
            "condition", f"has {size} characters in all its lists, at most {MAX_VALUES_TEXT} are accepted"
        )


def check_pattern(pattern: str, path: str) -> None:
    """Raises ConditionNotAccepted when RE2, which the store uses, cannot read the pattern."""
    try:
        patterns.compiled(pattern)
    except patterns.PatternRefused as error:
        raise _refused(
            path, f"{pattern[:100]!r} is not a regular expression in RE2's dialect: {error}"
        ) from error


def check_filter(filter: PropertyFilter, path: str) -> None:
    """One test of an event's property or fact by itself. Raises ConditionNotAccepted naming the field."""
    _check_property(filter, path)


def refuse_flag_leaf(node: Condition, path: str) -> ConditionNotAccepted:
    name = type(node).__struct_config__.tag
    return _refused(path, f"{name!r} is known only while a flag decides; use user properties and events here")


def _check(node: Condition, path: str, *, depth: int) -> int:
    """Return the number of leaves below."""
    if depth > MAX_DEPTH:
        raise _refused(path, f"groups are nested more than {MAX_DEPTH} levels deep")
    match node:
        case And(nodes) | Or(nodes):
            if not nodes:
                raise _refused(f"{path}.nodes", "is empty; add a condition or remove the group")
            parts = (
                _check(child, f"{path}.nodes[{index}]", depth=depth + 1) for index, child in enumerate(nodes)
            )
            return sum(parts)
        case Not(child):
            return _check(child, f"{path}.node", depth=depth + 1)
        case UserProperty():
            _check_property(node, path)
        case Did():
            _check_did(node, path)
        case Attribute() | InList() | Visitor() | Location() | Device() | OtherFlag():
            raise refuse_flag_leaf(node, path)
        case _:
            assert_never(node)
    return 1


def _value_lists(condition: Condition) -> Iterator[tuple[str, ...]]:
    for leaf in leaves(condition):
        match leaf:
            case UserProperty():
                yield leaf.values
            case Did():
                yield from (filter.values for filter in leaf.event.filters)


def _check_did(node: Did, path: str) -> None:
    if not 0 <= node.count <= MAX_COUNT:
        raise _refused(f"{path}.count", f"is {node.count}, expected 0 to {MAX_COUNT}")
    if node.event.defined and node.event.name:
        raise _refused(
            f"{path}.event", "has both `defined` and `name`; a defined event has its own, leave name out"
        )
    if node.event.kind and node.event.kind not in KINDS:
        raise _refused(
            f"{path}.event.kind", f"{node.event.kind!r} is none of {', '.join(sorted(KINDS))}, or empty"
        )
    _check_text(node.event.name, f"{path}.event.name")
    for index, filter in enumerate(node.event.filters):
        _check_property(filter, f"{path}.event.filters[{index}]")
    match node.window:
        case Last(amount, unit):
            if not 0 < amount * UNIT_MS[unit] <= MAX_WINDOW_MS:
                raise _refused(f"{path}.window.amount", f"is {amount}, expected 1 {unit} to 3650 days")
        case Between(from_ms, to_ms):
            if not FIRST_MS <= from_ms < to_ms <= END_MS:
                raise _refused(
                    f"{path}.window",
                    "from_ms must be before to_ms, both epoch milliseconds from 1970 to 2100",
                )
        case None:
            pass


def _check_property(node: UserProperty | PropertyFilter, path: str) -> None:
    if not node.key:
        raise _refused(f"{path}.key", "is empty; name the property")
    _check_text(node.key, f"{path}.key")
    _check_text(node.value, f"{path}.value")
    if node.operator in _NEEDS_TEXT and not node.value:
        raise _refused(f"{path}.value", f"is empty; {node.operator!r} needs a text to look for")
    if node.operator in ORDERING and as_number(node.value) is None:
        raise _refused(f"{path}.value", f"{node.value!r} is not a number; {node.operator!r} compares numbers")
    if node.operator == "matches":
        check_pattern(node.value, f"{path}.value")
    if node.operator in ("in", "not_in"):
        _check_values(node.values, f"{path}.values")


def _check_values(values: Sequence[str], path: str) -> None:
    if not 0 < len(values) <= MAX_VALUES:
        raise _refused(path, f"has {len(values)} values, expected 1 to {MAX_VALUES}")
    for index, value in enumerate(values):
        _check_text(value, f"{path}[{index}]")


def _check_text(text: str, path: str) -> None:
    if len(text) > MAX_TEXT:
        raise _refused(path, f"has {len(text)} characters, at most {MAX_TEXT} are accepted")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _refused(path, "holds half a character (a lone surrogate); send valid Unicode") from error


def _refused(path: str, what: str) -> ConditionNotAccepted:
    return ConditionNotAccepted(f"{path} {what}", field=path)
