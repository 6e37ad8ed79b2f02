"""FQL's globs as patterns of a linear engine. Pure.

`*` any characters, `?` one, `[a-z]` one of a range, `[^a-z]` one outside, a backslash takes the next as it is.
A character is a UTF-16 unit, as in the browser, which decides by the same filters: `?` is half of an emoji. Units that
are half a character are moved out of the way, because RE2 reads whole ones.
"""

from collections.abc import Iterator

from cairn.conditions.pattern import Pattern, PatternRefused

_HIGH, _LOW = 0xD800, 0xDFFF
# Planes that hold no characters; every character beyond the first plane is written as two units, so none is left there.
_MOVED = 0xF0000
_LAST_UNIT = 0xFFFF


class GlobRefused(Exception):
    """Says what is wrong, and what to do."""


class Glob:
    def __init__(self, text: str) -> None:
        """Raises GlobRefused."""
        try:
            self._pattern = Pattern(rf"\A(?s:{''.join(_translated(_units(text)))})\z", dot_is_any=True)
        except PatternRefused as refused:
            raise GlobRefused(str(refused)) from refused

    def matches(self, text: str) -> bool:
        return self._pattern.is_in("".join(map(chr, _spread(text))))


def _units(text: str) -> list[int]:
    encoded = text.encode("utf-16-le", errors="replace")
    return [int.from_bytes(encoded[at : at + 2], "little") for at in range(0, len(encoded), 2)]


def _spread(text: str) -> Iterator[int]:
    """As one character for each unit."""
    if text.isascii():
        return iter(text.encode())
    return map(_moved, _units(text))


def _moved(unit: int) -> int:
    return _MOVED + unit - _HIGH if _HIGH <= unit <= _LOW else unit


def _translated(units: list[int]) -> Iterator[str]:
    at = 0
    while at < len(units):
        character = chr(units[at])
        if character == "*":
            while at + 1 < len(units) and chr(units[at + 1]) == "*":
                at += 1
            yield ".*"
        elif character == "?":
            yield "."
        elif character == "[":
            at, members = _class(units, at + 1)
            yield members
        elif character == "\\":
            at += 1
            if at == len(units):
                raise GlobRefused("the pattern ends with a lone backslash; remove it or write it twice")
            yield _literal(units[at])
        else:
            yield _literal(units[at])
        at += 1


def _literal(unit: int) -> str:
    return rf"\x{{{_moved(unit):x}}}"


def _class(units: list[int], at: int) -> tuple[int, str]:
    """Where the class that begins at `at` has its `]`, and its pattern."""
    is_negated = at < len(units) and chr(units[at]) == "^"
    at += is_negated
    ranges: list[str] = []
    while not ranges or at >= len(units) or chr(units[at]) != "]":
        low, at = _member(units, at)
        high = low
        if at < len(units) and chr(units[at]) == "-":
            high, at = _member(units, at + 1)
        ranges.append(_range(low, high))
    members = "".join(ranges)
    if not members:  # only ranges that run backwards
        return at, "." if is_negated else r"[^\x{0}-\x{10ffff}]"
    return at, f"[{'^' if is_negated else ''}{members}]"


def _member(units: list[int], at: int) -> tuple[int, int]:
    if at >= len(units):
        raise GlobRefused("the pattern has a [ without its ]; add it, or write \\[ for the character")
    if chr(units[at]) in "-]":
        raise GlobRefused(
            f"{chr(units[at])!r} stands where the pattern needs a character; write \\{chr(units[at])} for it"
        )
    if chr(units[at]) == "\\":
        at += 1
        if at >= len(units):
            raise GlobRefused("the pattern ends with a lone backslash; remove it or write it twice")
    return units[at], at + 1


def _range(low: int, high: int) -> str:
    """In the units' own order, whose middle part was moved."""
    parts = ((0, _HIGH - 1), (_HIGH, _LOW), (_LOW + 1, _LAST_UNIT))
    return "".join(
        f"{_literal(max(low, first))}-{_literal(min(high, last))}"
        for first, last in parts
        if max(low, first) <= min(high, last)
    )
