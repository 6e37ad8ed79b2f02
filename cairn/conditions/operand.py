"""Wingify's operand texts: how our operators are spelt, and what the Node SDK makes of them.

Source: contracts/wingify.md sections 7.2 and 7.4. One spelling has to serve both SDKs, whose reading differs.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from cairn.conditions import javascript, javascript_pattern
from cairn.conditions.javascript_pattern import END
from cairn.conditions.pattern import PatternRefused
from cairn.conditions.tree import Attribute
from cairn.errors import InvalidInput

_LINE_BREAK = re.compile("[\n\r\u2028\u2029]")
_DIGITS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_VERSION = re.compile(r"\d+(?:\.\d+){2,}", re.ASCII)
_BRACKETED = re.compile(r"^(lower|wildcard|regex)\(([^\n\r\u2028\u2029]*)\)")
_COMPARED = re.compile(r"^(gte|gt|lte|lt)\((\d+(?:\.\d+)*|\.\d+)\)", re.ASCII)
_DOTTED = re.compile(r"(\d+\.)*\d+\Z", re.ASCII)
_NOT_NUMERIC = re.compile(r"[^0-9.]")


class OperandImpossible(InvalidInput):
    """The SDKs have no operand that means this. The message names the condition and what to write instead."""

    code = "operand_impossible"


def escape(literal: str) -> str:
    """A pattern, in JavaScript's and Python's dialect, that matches exactly this text."""
    escaped = re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", literal)
    escaped = _LINE_BREAK.sub(lambda found: f"\\u{ord(found.group()):04x}", escaped)
    # Both SDKs take any operand that contains this word for a list check.
    return escaped.replace("inlist", "inl[i]st")


def spell(attribute: Attribute) -> str:
    """The operand text of an attribute condition.

    Raises OperandImpossible. Guarantee: means the same in the Node and the Python SDK, but for operator `operand`,
    which is Wingify's own text and passes unchanged.
    """
    if attribute.operator == "operand":
        return attribute.value
    return _SPELLINGS[attribute.operator](attribute)


def check(attribute: Attribute) -> None:
    """What is refused when a condition is saved. Raises OperandImpossible.

    What is kept already is spelt all the same: clients evaluate patterns themselves, and may know more.
    """
    spell(attribute)
    if attribute.operator == "matches" and (reason := unknown_pattern(attribute)):
        raise OperandImpossible(f"attribute {attribute.name!r}: {reason}", field="value")


def unknown_pattern(attribute: Attribute) -> str:
    """Why an attribute's pattern cannot be evaluated here, where it then never holds; empty when it can."""
    keyword, wanted = read(spell(attribute))
    if keyword != "regex":
        return ""
    try:
        javascript_pattern.compiled(wanted)
    except PatternRefused as error:
        return f"{wanted[:100]!r} cannot be used as a pattern: {error}"
    return ""


def _is(attribute: Attribute) -> str:
    value = attribute.value
    if value in ("true", "false"):
        return f"lower({value})"  # the Python SDK sees a boolean as `True`
    is_plain = value and not value.startswith(("lower(", "wildcard(", "regex(", "gt(", "gte(", "lt(", "lte("))
    if is_plain and "inlist" not in value and not _LINE_BREAK.search(value):
        return value
    return f"regex(^{escape(value)}{END})"


def _is_ignoring_case(attribute: Attribute) -> str:
    _refuse_line_breaks(attribute)
    return f"lower({attribute.value.replace('inlist', 'INLIST')})"


def _wildcard(template: str, pattern: str) -> Callable[[Attribute], str]:
    def spelling(attribute: Attribute) -> str:
        value = attribute.value
        # The SDKs disagree on how many stars to strip, and none knows a star inside the text.
        is_plain = "inlist" not in value and not _LINE_BREAK.search(value)
        if value and is_plain and not value.startswith("*") and not value.endswith("*"):
            return template.format(value)
        return f"regex({pattern.format(escape(value))})"

    return spelling


def _matches(attribute: Attribute) -> str:
    _refuse_line_breaks(attribute)
    if "inlist" in attribute.value:
        raise OperandImpossible(
            f"attribute {attribute.name!r}: the pattern contains the word 'inlist', which flag SDKs take for a "
            "list check; write inl[i]st",
            field="value",
        )
    return f"regex({attribute.value})"


def _compared(keyword: str) -> Callable[[Attribute], str]:
    def spelling(attribute: Attribute) -> str:
        value = attribute.value.strip()
        if _DIGITS.fullmatch(value):
            return f"{keyword}({value})"
        if _VERSION.fullmatch(value):
            return f"regex(^(?:{_version_pattern(keyword, value)}){END})"
        raise OperandImpossible(
            f"attribute {attribute.name!r}: flag SDKs compare with numbers such as 5 or 1.5 (no sign, no exponent) "
            f"and versions such as 1.2.3, not with {attribute.value!r}",
            field="value",
        )

    return spelling


def _refuse_line_breaks(attribute: Attribute) -> None:
    if _LINE_BREAK.search(attribute.value):
        raise OperandImpossible(
            f"attribute {attribute.name!r}: {attribute.operator} cannot hold a line break; remove it",
            field="value",
        )


_SPELLINGS: dict[str, Callable[[Attribute], str]] = {
    "is": _is,
    "is_ignoring_case": _is_ignoring_case,
    "contains": _wildcard("wildcard(*{}*)", "{}"),
    "starts_with": _wildcard("wildcard({}*)", "^{}"),
    "ends_with": _wildcard("wildcard(*{})", "{}" + END),
    "matches": _matches,
    "greater": _compared("gt"),
    "at_least": _compared("gte"),
    "less": _compared("lt"),
    "at_most": _compared("lte"),
}


def _version_pattern(keyword: str, version: str) -> str:
    """Versions compare part by part and missing parts are 0. The SDKs cut 1.2.3 down to 1.2, a pattern does not."""
    parts = [int(part) for part in version.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    same = [r"\.".join(f"0*{part}" for part in parts[:length]) for length in range(len(parts) + 1)]
    alternatives: list[str] = []
    if keyword in ("gte", "lte"):
        alternatives.append(same[-1] + r"(?:\.0+)*")
    if keyword in ("gt", "gte"):
        alternatives += [_after(same[at]) + _above(part) + r"(?:\.\d+)*" for at, part in enumerate(parts)]
        alternatives.append(same[-1] + r"(?:\.\d+)*\.0*[1-9]\d*(?:\.\d+)*")
    else:
        alternatives += [
            _after(same[at]) + _below(part) + r"(?:\.\d+)*" for at, part in enumerate(parts) if part
        ]
        alternatives += same[1:-1]
    return "|".join(alternatives)


def _after(prefix: str) -> str:
    return prefix + r"\." if prefix else ""


def _above(number: int) -> str:
    digits = str(number)
    longer = rf"[1-9]\d{{{len(digits)},}}"
    same_length = [
        f"{digits[:at]}[{int(digit) + 1}-9]" + rf"\d{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if digit != "9"
    ]
    return f"0*(?:{'|'.join([longer, *same_length])})"


def _below(number: int) -> str:
    digits = str(number)
    shorter = [rf"\d{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    same_length = [
        f"{digits[:at]}[0-{int(digit) - 1}]" + rf"\d{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if digit != "0"
    ]
    return f"0*(?:{'|'.join([*shorter, *same_length])})"


def holds(operand: str, value: Any) -> bool:  # Any: whatever the application passed as an attribute
    """What the Node SDK says of this operand (no list check) and an attribute's value."""
    if value is None:
        return False
    keyword, wanted = read(operand)
    return compare(keyword, *_as_numbers(wanted, javascript.text(value)))


def read(operand: str) -> tuple[str, str]:
    """An operand's keyword and text. A wildcard's keyword is contains, starts, ends, or is when it has no star."""
    if found := _BRACKETED.match(operand):
        keyword, wanted = found.group(1), found.group(2)
        return _read_wildcard(wanted) if keyword == "wildcard" else (keyword, wanted)
    if found := _COMPARED.match(operand):
        return found.group(1), found.group(2)
    return "is", operand


def _read_wildcard(wanted: str) -> tuple[str, str]:
    starts, ends = wanted.startswith("*"), wanted.endswith("*")
    keyword = {(True, True): "contains", (True, False): "ends", (False, True): "starts"}.get(
        (starts, ends), "is"
    )
    return keyword, wanted.removeprefix("*").removesuffix("*")


def _as_numbers(wanted: str, value: str) -> tuple[str, str]:
    if _NOT_NUMERIC.search(value):
        return wanted, value
    numbers = javascript.parse_float(wanted), javascript.parse_float(value)
    if any(math.isnan(number) or number == 0 for number in numbers):
        return wanted, value
    return javascript.number_text(numbers[0]), javascript.number_text(numbers[1])


def compare(keyword: str, wanted: str, value: str) -> bool:
    """The last step of reading an operand: two texts and what to make of them."""
    if keyword == "regex":
        pattern = javascript_pattern.pattern(wanted)
        return pattern is not None and pattern.is_in(value)
    if keyword in _ORDERINGS:
        return _ORDERINGS[keyword](_compare_versions(value, wanted))
    if keyword == "is" and _DOTTED.match(value) and _DOTTED.match(wanted):
        return _compare_versions(value, wanted) == 0
    return _TEXT_TESTS[keyword](wanted, value)


_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "is": lambda wanted, value: value == wanted,
    "lower": lambda wanted, value: value.lower() == wanted.lower(),
    "contains": lambda wanted, value: wanted in value,
    "starts": lambda wanted, value: value.startswith(wanted),
    "ends": lambda wanted, value: value.endswith(wanted),
}
_ORDERINGS: dict[str, Callable[[int], bool]] = {
    "gt": lambda order: order > 0,
    "gte": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "lte": lambda order: order <= 0,
}


def _compare_versions(first: str, second: str) -> int:
    """Part by part; a part that is no number counts as 0, which is why `abc` is less than 100 to the Node SDK."""
    ours, theirs = _parts(first), _parts(second)
    width = max(len(ours), len(theirs))
    ours += [0.0] * (width - len(ours))
    theirs += [0.0] * (width - len(theirs))
    return (ours > theirs) - (ours < theirs)


def _parts(version: str) -> list[float]:
    return [float(part) if re.fullmatch(r"\d+", part, re.ASCII) else 0.0 for part in version.split(".")]
