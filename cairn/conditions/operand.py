"""Wingify's operand texts: how our operators are spelt, and what the Node SDK makes of them.

Source: contracts/wingify.md sections 7.2 and 7.4. The SDKs read numbers out of texts and compare them as versions, so
whatever looks like a number is spelt as a pattern, which they leave alone.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from cairn.conditions import javascript, javascript_pattern, number_pattern
from cairn.conditions.javascript_pattern import END
from cairn.conditions.pattern import PatternRefused
from cairn.conditions.tree import Attribute
from cairn.errors import InvalidInput

_LINE_BREAK = re.compile("[\n\r\u2028\u2029]")
_COMPARABLE = re.compile(r"\d+(?:\.\d+)*", re.ASCII)
# What either SDK may read a number out of.
_NUMBERLIKE = re.compile(r"\s*[+-]?(?:\.?\d|inf|nan)", re.IGNORECASE)
_BRACKETED = re.compile(r"^(lower|wildcard|regex)\(([^\n\r\u2028\u2029]*)\)")
_COMPARED = re.compile(r"^(gte|gt|lte|lt)\((\d+(?:\.\d+)*|\.\d+)\)", re.ASCII)
_DOTTED = re.compile(r"(\d+\.)*\d+\Z", re.ASCII)
_NOT_NUMERIC = re.compile(r"[^0-9.]")
# What a JavaScript number, and the Python SDK's reading of any number, keeps for sure.
_SAFE_DIGITS = 15
_ZERO_SAMPLES = ("007", "00", "0.0", "0.50", "1.0", "1.10", "5.", ".5", "10.0", "20.00", "010")
_COMPARED_BY_PARTS = (
    "SDKs compare this part by part, as versions (9.75 is above 9.8), and Node reads other texts as 0; choose an "
    "operator such as `greater` to compare numbers"
)


class OperandImpossible(InvalidInput):
    """The SDKs have no operand that means this. The message names the condition and what to write instead."""

    code = "operand_impossible"


def escape(literal: str) -> str:
    """A pattern, in JavaScript's and Python's dialect, that matches exactly this text."""
    escaped = re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", literal)
    escaped = _LINE_BREAK.sub(lambda match: f"\\u{ord(match.group()):04x}", escaped)
    # Both SDKs take any operand that contains this word for a list check.
    return escaped.replace("inlist", "inl[i]st")


def spell(attribute: Attribute, *, for_python: bool = False) -> str:
    """The operand text of an attribute condition, for the Node SDK or for the Python SDK.

    Raises OperandImpossible. Guarantee: means the same in both, but for what `warnings` says; operator `operand` is
    Wingify's own text and passes unchanged.
    """
    if attribute.operator == "operand":
        return attribute.value
    spelt = _SPELLINGS[attribute.operator](attribute)
    return _for_python(attribute, spelt) if for_python else spelt


def check(attribute: Attribute) -> None:
    """What is refused when a condition is saved. Raises OperandImpossible.

    What is kept already is spelt all the same: clients evaluate patterns themselves, and may know more.
    """
    spell(attribute)
    if attribute.operator != "operand" and (reason := _unknown_pattern(attribute)):
        raise OperandImpossible(f"attribute {attribute.name!r}: {reason}", field="value")


def warnings(attribute: Attribute, *, for_python: bool = False) -> list[str]:
    """What an SDK decides otherwise than the condition says, or Cairn cannot tell; for a page."""
    about = f"{attribute.name!r} {attribute.operator.replace('_', ' ')} {attribute.value[:40]!r}"
    if reason := _unknown_pattern(attribute):
        return (
            []
            if for_python
            else [f"{about}: {reason}; SDKs decide it themselves, Cairn takes it as not holding"]
        )
    if attribute.operator == "operand":
        is_comparison = not for_python and read(attribute.value)[0] in _ORDERINGS
        return [f"{about}: {_COMPARED_BY_PARTS}"] if is_comparison else []
    if not for_python:
        return []
    if number_pattern.is_version(attribute.value) and attribute.operator in _NUMERIC:
        return [
            f"{about}: Python SDKs read a value with one dot as a number (1.10 as 1.1); pass whole versions"
        ]
    if attribute.operator in _NUMERIC and len(re.sub(r"\D", "", attribute.value)) > _SAFE_DIGITS:
        return [
            f"{about}: SDKs keep 15 digits of a number and take its neighbours for it; put a letter in front"
        ]
    if attribute.operator in _TEXTUAL and _depends_on_zeros(attribute):
        return [
            f"{about}: Python SDKs read texts that are numbers as numbers (007 as 7, 1.0 as 1) before they compare"
        ]
    return []


def _unknown_pattern(attribute: Attribute) -> str:
    """Why an attribute's pattern cannot be evaluated here, where it then never holds; empty when it can."""
    keyword, operand_text = read(spell(attribute))
    if keyword != "regex":
        return ""
    try:
        javascript_pattern.compiled(operand_text)
    except PatternRefused as error:
        return f"{attribute.value[:100]!r} cannot be used: {error}"
    return ""


def _depends_on_zeros(attribute: Attribute) -> bool:
    """Does the answer change when a number's zeros go that do not count?"""
    spelt = spell(attribute)
    samples = [*_ZERO_SAMPLES]
    if number := number_pattern.read_number(attribute.value):
        samples += [attribute.value, f"0{number.whole}", f"{number.whole or 0}.{number.part}0"]
    return any(holds(spelt, sample) != holds(spelt, _python_text(sample)) for sample in samples)


def _python_text(value: str) -> str:
    """What the Python SDK makes of a text before it compares: a number's shortest form."""
    try:
        number = float(value)
    except ValueError:
        return value
    return str(int(number)) if number.is_integer() else str(number)


def _is(attribute: Attribute) -> str:
    value = attribute.value
    if value in ("true", "false"):
        return f"lower({value})"  # the Python SDK sees a boolean as `True`
    if (pattern := number_pattern.equal(value)) is not None:
        return f"regex({_or_as_written(pattern, value)})"
    is_plain = value and not value.startswith(("lower(", "wildcard(", "regex(", "gt(", "gte(", "lt(", "lte("))
    if is_plain and "inlist" not in value and not _LINE_BREAK.search(value) and not _NUMBERLIKE.match(value):
        return value
    return f"regex(^{escape(value)}{END})"


def _or_as_written(pattern: str, value: str) -> str:
    """Also what clients make of a number of more digits than they keep, and a text with an exponent as it stands."""
    if number_pattern.is_version(value) or re.fullmatch(r"[\d.+-]{1,15}", value.strip(), re.ASCII):
        return pattern
    number = float(value)
    texts = dict.fromkeys((value, javascript.number_text(number), _python_text(value)))
    return f"^(?:{'|'.join(map(escape, texts))}){END}|{pattern}"


def _is_ignoring_case(attribute: Attribute) -> str:
    _refuse_line_breaks(attribute)
    value = attribute.value
    if number_pattern.equal(value) is not None:
        return _is(attribute)
    if _NUMBERLIKE.match(value):
        return f"regex(^{''.join(map(_either_case, value))}{END})"
    return f"lower({value.replace('inlist', 'INLIST')})"


def _either_case(character: str) -> str:
    cases = {character, character.lower(), character.upper()}
    return f"[{''.join(sorted(cases))}]" if len(cases) > 1 else escape(character)


def _wildcard(template: str, pattern: str) -> Callable[[Attribute], str]:
    def spelling(attribute: Attribute) -> str:
        value = attribute.value
        # The SDKs disagree on how many stars to strip, and none knows a star inside the text.
        is_plain = "inlist" not in value and not _LINE_BREAK.search(value) and not _NUMBERLIKE.match(value)
        if value and is_plain and not value.startswith("*") and not value.endswith("*"):
            return template.format(value)
        return f"regex({_guarded(pattern.format(escape(value)))})"

    return spelling


def _guarded(pattern: str) -> str:
    """The SDKs read a number out of the beginning of any text and compare that; a group does not begin like one."""
    return f"(?:{pattern})" if _NUMBERLIKE.match(pattern) else pattern


def _matches(attribute: Attribute) -> str:
    _refuse_line_breaks(attribute)
    if "inlist" in attribute.value:
        raise OperandImpossible(
            f"attribute {attribute.name!r}: the pattern contains the word 'inlist', which flag SDKs take for a "
            "list check; write inl[i]st",
            field="value",
        )
    return f"regex({_guarded(attribute.value)})"


def _compared(keyword: str) -> Callable[[Attribute], str]:
    def spelling(attribute: Attribute) -> str:
        value = attribute.value.strip()
        if _COMPARABLE.fullmatch(value) and (pattern := number_pattern.ordered(keyword, value)) is not None:
            return f"regex({pattern})"
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
_NUMERIC = ("is", "is_ignoring_case", "greater", "at_least", "less", "at_most")
_TEXTUAL = ("contains", "starts_with", "ends_with", "matches")
_BOOLEANS = ("true", "false")
_PYTHON_PATTERNS = {"contains": "{}", "starts_with": "^{}", "ends_with": "{}" + END}


def _for_python(attribute: Attribute, spelt: str) -> str:
    """Python's dialect, in which a boolean is `True` or `False`."""
    if attribute.operator == "is" and _NUMBERLIKE.match(attribute.value):
        as_read = _python_text(attribute.value)
        return spelt if holds(spelt, as_read) else f"{spelt[:-1]}|^{escape(as_read)}{END})"
    if attribute.operator not in _TEXTUAL:
        return spelt
    pattern = _PYTHON_PATTERNS.get(attribute.operator, "").format(escape(attribute.value))
    if attribute.operator == "matches":
        try:
            pattern = javascript_pattern.in_python(attribute.value)
        except PatternRefused:
            return spelt
    added = [word for word in _BOOLEANS if holds(spelt, word) and not holds(spelt, word.capitalize())]
    taken = [word for word in _BOOLEANS if holds(spelt, word.capitalize()) and not holds(spelt, word)]
    if not added and not taken:
        return f"regex({_guarded(pattern)})" if attribute.operator == "matches" else spelt
    if taken:
        pattern = f"^(?!(?:{_capitalised(taken)}){END})(?=[\\s\\S]*?(?:{pattern}))"
    return f"regex((?:{pattern}){f'|^(?:{_capitalised(added)}){END}' if added else ''})"


def _capitalised(words: list[str]) -> str:
    return "|".join(word.capitalize() for word in words)


def holds(operand: str, value: Any) -> bool:  # Any: whatever the application passed as an attribute
    """What the Node SDK says of this operand (no list check) and an attribute's value."""
    if value is None:
        return False
    keyword, operand_text = read(operand)
    return compare(keyword, *_as_numbers(operand_text, javascript.text(value)))


def read(operand: str) -> tuple[str, str]:
    """An operand's keyword and text. A wildcard's keyword is contains, starts, ends, or is when it has no star."""
    if match := _BRACKETED.match(operand):
        keyword, operand_text = match.group(1), match.group(2)
        return _read_wildcard(operand_text) if keyword == "wildcard" else (keyword, operand_text)
    if match := _COMPARED.match(operand):
        return match.group(1), match.group(2)
    return "is", operand


def _read_wildcard(operand_text: str) -> tuple[str, str]:
    starts, ends = operand_text.startswith("*"), operand_text.endswith("*")
    keyword = {(True, True): "contains", (True, False): "ends", (False, True): "starts"}.get(
        (starts, ends), "is"
    )
    return keyword, operand_text.removeprefix("*").removesuffix("*")


def _as_numbers(operand_text: str, value: str) -> tuple[str, str]:
    if _NOT_NUMERIC.search(value):
        return operand_text, value
    numbers = javascript.parse_float(operand_text), javascript.parse_float(value)
    if any(math.isnan(number) or number == 0 for number in numbers):
        return operand_text, value
    return javascript.number_text(numbers[0]), javascript.number_text(numbers[1])


def compare(keyword: str, operand_text: str, value: str) -> bool:
    """The last step of reading an operand: two texts and what to make of them."""
    if keyword == "regex":
        pattern = javascript_pattern.pattern(operand_text)
        return pattern is not None and pattern.is_in(value)
    if keyword in _ORDERINGS:
        return _ORDERINGS[keyword](_compare_versions(value, operand_text))
    if keyword == "is" and _DOTTED.match(value) and _DOTTED.match(operand_text):
        return _compare_versions(value, operand_text) == 0
    return _TEXT_TESTS[keyword](operand_text, value)


_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "is": lambda expected, value: value == expected,
    "lower": lambda expected, value: value.lower() == expected.lower(),
    "contains": lambda expected, value: expected in value,
    "starts": lambda expected, value: value.startswith(expected),
    "ends": lambda expected, value: value.endswith(expected),
}
_ORDERINGS: dict[str, Callable[[int], bool]] = {
    "gt": lambda order: order > 0,
    "gte": lambda order: order >= 0,
    "lt": lambda order: order < 0,
    "lte": lambda order: order <= 0,
}


def _compare_versions(first: str, second: str) -> int:
    """Part by part; a part that is not a number counts as 0, which is why `abc` is less than 100 to the Node SDK."""
    ours, theirs = _parts(first), _parts(second)
    width = max(len(ours), len(theirs))
    ours += [0.0] * (width - len(ours))
    theirs += [0.0] * (width - len(theirs))
    return (ours > theirs) - (ours < theirs)


def _parts(version: str) -> list[float]:
    return [float(part) if re.fullmatch(r"\d+", part, re.ASCII) else 0.0 for part in version.split(".")]
