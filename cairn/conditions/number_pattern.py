"""Numbers and versions as patterns over their texts, for flag SDKs whose own comparisons read them as something else.

The SDKs compare 9.75 and 9.8 part by part, as versions; read 0 out of `abc`; cut 1.2.8 down to 1.2. A pattern that does
not itself begin like a number is left alone by all of them. Written with what JavaScript, Python and RE2 share, and so
that there is one way through it: no client ever tries a part twice.
"""

import re
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from cairn.conditions.javascript_pattern import END

# Digits of a number or of a version's part; patterns grow with their square.
MOST_DIGITS = 30
_DECIMAL = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))", re.ASCII)
_EXPONENT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[eE][+-]?\d{1,3}", re.ASCII)
_VERSION = re.compile(r"\d+(?:\.\d+){2,}", re.ASCII)
_BLANKS = "[\\t-\\r ]*"
_ANY = r"(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]\d+)?"
# JavaScript writes numbers from 1e21 on, and below 1e-6, with an exponent.
_HUGE = r"[1-9](?:\.\d+)?e\+\d+"
_TINY = r"[1-9](?:\.\d+)?e-\d+"
_ZERO = r"(?:0+(?:\.0*)?|\.0+)"


class Number(Struct, frozen=True):
    """A decimal number, digit by digit: `whole` without leading zeros, `part` without those behind."""

    is_negative: bool
    whole: str  # empty for 0
    part: str
    written: tuple[str, ...] = ()  # its parts as a version: 1.10 is also version 1, 10


def read_number(text: str) -> Number | None:
    """Only plain decimals, with blanks around them at most, and exponents of a size that can be written out."""
    text = text.strip("\t\n\v\f\r ")
    if _EXPONENT.fullmatch(text):
        try:
            text = format(Decimal(text), "f")
        except InvalidOperation:
            return None
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, part, only_part = match.groups()
    digits, rest = (whole or "").lstrip("0"), (part or only_part or "").rstrip("0")
    written = tuple(digits_of for digits_of in (whole, part) if digits_of) if not sign else ()
    return Number(sign == "-" and bool(digits or rest), digits, rest, written)


def is_version(text: str) -> bool:
    """At least two dots; with fewer it is a number."""
    return _VERSION.fullmatch(text) is not None


def equal(text: str) -> str | None:
    """A pattern for every way to write the same number or version; None for other texts."""
    if is_version(text):
        return _bounded([], _versions("eq", text.split("."), least=1))
    number = read_number(text)
    if number is None:
        return None
    versions = _versions("eq", number.written, least=3) if number.written else []
    return _bounded([_same(number)], versions)


def ordered(keyword: str, text: str) -> str | None:
    """A pattern for the numbers or versions that are gt, gte, lt or lte; None for a text that is neither.

    A version is never compared with a negative number. Anything that is neither a number nor a version never matches.
    """
    if is_version(text):
        return _bounded([], _versions(keyword, text.split("."), least=1))
    number = read_number(text)
    if number is None or number.is_negative:
        return None
    numbers = _greater(number) if keyword in ("gt", "gte") else _less(number)
    if keyword in ("gte", "lte"):
        numbers.append(_same(number))
    return _bounded(numbers, _versions(keyword, number.written, least=3))


def _bounded(numbers: list[str], versions: list[str]) -> str:
    parts = [f"{_BLANKS}(?:{'|'.join(numbers)}){_BLANKS}"] if numbers else []
    return f"^(?:{'|'.join([*parts, *versions])}){END}".replace(r"\d", "[0-9]")


def _same(number: Number) -> str:
    if not number.whole and not number.part:
        return f"[+-]?{_ZERO}"
    sign = "-" if number.is_negative else r"\+?"
    if number.part:
        return rf"{sign}0*{number.whole}\.{number.part}0*"
    return rf"{sign}0*{number.whole}(?:\.0*)?"


def _greater(number: Number) -> list[str]:
    """Than one that is not negative."""
    is_zero = not number.whole and not number.part
    return [rf"\+?(?:{'|'.join(_above_in_size(number))})", _HUGE, *([_TINY] if is_zero else [])]


def _above_in_size(number: Number) -> list[str]:
    higher = [
        f"{number.part[:at]}[{int(digit) + 1}-9]\\d*" for at, digit in enumerate(number.part) if digit != "9"
    ]
    part = "|".join([*higher, f"{number.part}0*[1-9]\\d*"])
    return [_above(int(number.whole or "0")) + r"(?:\.\d*)?", rf"0*{number.whole}\.(?:{part})"]


def _less(number: Number) -> list[str]:
    """Than one that is not negative."""
    if not number.whole and not number.part:
        above = "|".join([*_above_in_size(number), _HUGE, _TINY])
        return [f"-(?:{above})"]
    patterns = [f"-{_ANY}", _TINY]
    if number.whole:
        patterns += [r"\+?" + _below(int(number.whole)) + r"(?:\.\d*)?", r"\+?\.\d+"]
    if number.part:
        lower = [
            f"{number.part[:at]}[0-{int(digit) - 1}]\\d*"
            for at, digit in enumerate(number.part)
            if digit != "0"
        ]
        shorter = [number.part[:at] for at in range(1, len(number.part))]
        whole = f"0*{number.whole}" if number.whole else "0+"
        patterns.append(rf"\+?{whole}(?:\.)?")
        patterns.append(rf"\+?0*{number.whole}\.(?:{'|'.join([*lower, *shorter])})")
    return patterns


def _versions(keyword: str, written: "list[str] | tuple[str, ...]", *, least: int) -> list[str]:
    """Versions compare part by part and missing parts are 0. `least`: the parts a value must have to be one."""
    parts = [int(part) for part in written]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    same = [r"\.".join(f"0*{part}" for part in parts[:length]) for length in range(len(parts) + 1)]
    patterns: list[str] = []
    if keyword in ("eq", "gte", "lte"):
        patterns.append(same[-1] + _repeated(r"\.0+", least - len(parts)))
    if keyword in ("gt", "gte"):
        patterns += [
            _after(same[at]) + _above(part) + _repeated(r"\.\d+", least - at - 1)
            for at, part in enumerate(parts)
        ]
        patterns += _longer(same[-1], least - len(parts))
    if keyword in ("lt", "lte"):
        patterns += [
            _after(same[at]) + _below(part) + _repeated(r"\.\d+", least - at - 1)
            for at, part in enumerate(parts)
            if part
        ]
        patterns += [same[length] for length in range(max(1, least), len(parts))]
    return patterns


def _longer(same: str, missing: int) -> list[str]:
    """Further parts of which one is not 0; `missing`: how many parts more there must be at least."""
    first = r"\.0*[1-9]\d*"
    patterns = [
        same + rf"(?:\.0+){{{zeros}}}" + first + _repeated(r"\.\d+", missing - zeros - 1)
        for zeros in range(max(0, missing - 1))
    ]
    return [*patterns, same + _repeated(r"\.0+", max(0, missing - 1)) + first + r"(?:\.\d+)*"]


def _repeated(part: str, times: int) -> str:
    return f"(?:{part}){{{times},}}" if times > 0 else f"(?:{part})*"


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
