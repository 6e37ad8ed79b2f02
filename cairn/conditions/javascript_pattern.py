"""JavaScript's regular expressions, which the Node SDK runs, in two other dialects: RE2's and Python's.

RE2 evaluates them here, in time linear in the text. Python's is for the Python SDK, so that a pattern means there what
it means in Node: `\\d`, `\\w` and `\\s` are JavaScript's, a dot is not a line break and `$` is the very end.
"""

import functools
import re
from collections.abc import Callable

from msgspec import Struct

from cairn.conditions.pattern import Pattern, PatternRefused

# The very end of the text, written as JavaScript and Python both read it.
END = "(?![\\s\\S])"
_Range = tuple[int, int]
_SPACES: tuple[_Range, ...] = (
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
)
_LINE_BREAKS: tuple[_Range, ...] = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_DIGITS: tuple[_Range, ...] = ((0x30, 0x39),)
_WORDS: tuple[_Range, ...] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_LAST = 0x10FFFF
_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D, "0": 0x00}
_MOST_REPEATS = 1_000  # of RE2


def _outside(ranges: tuple[_Range, ...]) -> tuple[_Range, ...]:
    starts = (0, *(last + 1 for _, last in ranges))
    ends = (*(first - 1 for first, _ in ranges), _LAST)
    return tuple((first, last) for first, last in zip(starts, ends, strict=True) if first <= last)


_CLASSES = {
    "d": _DIGITS,
    "w": _WORDS,
    "s": _SPACES,
    "D": _outside(_DIGITS),
    "W": _outside(_WORDS),
    "S": _outside(_SPACES),
}


class _Dialect(Struct, frozen=True):
    """How one engine writes what the dialects differ in."""

    character: Callable[[int], str]
    end: str
    anything: str
    nothing: str


_RE2 = _Dialect(lambda code: f"\\x{{{code:x}}}", r"\z", "(?s:.)", r"[^\x{0}-\x{10ffff}]")
_PYTHON = _Dialect(
    lambda code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}", r"\Z", "(?s:.)", "(?!)"
)
_TOKEN = re.compile(
    r"""\\(?P<escape>u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|k<\w+>|[1-9]\d*|.)
    |(?P<end>\(\?!\[\\s\\S\]\))
    |(?P<open>\(\?(?P<kind>:|=|!|<=|<!|<[A-Za-z_$][\w$]*>)?)
    |(?P<open_plain>\()
    |(?P<count>\{\d+(?:,\d*)?\})
    |(?P<plain>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@functools.lru_cache(maxsize=512)
def pattern(source: str, *, ignore_case: bool = False) -> Pattern | None:
    """A JavaScript regular expression to search with; None where JavaScript refuses it or no linear engine has it."""
    try:
        return compiled(source, ignore_case=ignore_case)
    except PatternRefused:
        return None


def compiled(source: str, *, ignore_case: bool = False) -> Pattern:
    """Raises PatternRefused, saying what of the pattern cannot be had."""
    return Pattern(_Translation(source, _RE2).text, ignore_case=ignore_case)


def in_python(source: str) -> str:
    """The same in Python's dialect, itself where it reads alike. Raises PatternRefused."""
    text = _Translation(source, _PYTHON).text
    return f"(?a:{text})" if re.search(r"\\[bB]", text) else text


class _Translation:
    """One walk through a pattern, token by token: never back."""

    def __init__(self, source: str, dialect: _Dialect) -> None:
        self._source, self._dialect = source, dialect
        self._position = 0
        self._repeated = False
        self.text = "".join(self._translated())

    def _translated(self) -> list[str]:
        parts: list[str] = []
        while self._position < len(self._source):
            if self._source[self._position] == "[":
                parts.append(self._class())
                self._repeated = False
                continue
            token = self._token()
            self._check_repetition(token, is_first=not parts)
            parts.append(self._of(token))
        return parts

    def _token(self) -> re.Match[str]:
        token = _TOKEN.match(self._source, self._position)
        if token is None or token["plain"] == "\\":
            raise PatternRefused("the pattern ends with a lone backslash; remove it or write it twice")
        self._position = token.end()
        return token

    def _check_repetition(self, token: re.Match[str], *, is_first: bool) -> None:
        """Possessive and doubled repetitions are Python's, not JavaScript's."""
        plain = token["plain"]
        is_count = token["count"] is not None or plain in ("*", "+")
        if is_count and self._repeated:
            raise PatternRefused(f"nothing to repeat before {token.group()!r}")
        self._repeated = is_count or (plain == "?" and not self._repeated and not is_first)

    def _of(self, token: re.Match[str]) -> str:
        if token["end"]:
            return self._dialect.end
        if token["escape"] is not None:
            return self._escape(token["escape"])
        if token["open"] is not None:
            return _opened(token["kind"])
        if token["open_plain"]:
            return "("
        if token["count"] is not None:
            return _counted(token["count"])
        return self._plain(token["plain"])

    def _plain(self, plain: str) -> str:
        if plain == ".":
            return self._ranges(_LINE_BREAKS, "^")
        if plain == "$":
            return self._dialect.end
        return plain if plain in "^*+?|)" else self._literal(plain)

    def _escape(self, escape: str) -> str:
        if escape in ("b", "B"):
            return f"\\{escape}"
        if escape in _CLASSES:
            return self._ranges(_CLASSES[escape])
        return self._literal(chr(self._code(escape)))

    def _code(self, escape: str) -> int:
        """Of the one character that an escape stands for."""
        if escape.startswith("k<") or escape[0] in "123456789":
            raise PatternRefused(
                f"references to groups such as \\{escape} are not supported; write the text out"
            )
        if escape[0] in "ux" and len(escape) > 1:
            return int(escape[1:], 16)
        if escape[0] == "c" and len(escape) == 2:
            return ord(escape[1]) % 32
        return _CONTROLS.get(escape, ord(escape[0]))

    def _literal(self, character: str) -> str:
        code = ord(character)
        if 0xD800 <= code <= 0xDFFF:
            raise PatternRefused("the pattern holds half a character (a lone surrogate)")
        if not character.isprintable():
            return self._dialect.character(code)
        return f"\\{character}" if character in "\\^$.|?*+()[]{}-&~" else character

    def _ranges(self, ranges: tuple[_Range, ...], sign: str = "") -> str:
        return f"[{sign}{self._inside(ranges)}]"

    def _inside(self, ranges: tuple[_Range, ...]) -> str:
        def write(code: int) -> str:
            return chr(code) if code < 128 and chr(code).isalnum() else self._dialect.character(code)

        return "".join(
            write(first) if first == last else f"{write(first)}-{write(last)}" for first, last in ranges
        )

    def _class(self) -> str:
        self._position += 1
        sign = "^" if self._source.startswith("^", self._position) else ""
        self._position += len(sign)
        parts: list[str] = []
        while self._position < len(self._source) and self._source[self._position] != "]":
            parts.append(self._member())
        if self._position >= len(self._source):
            raise PatternRefused("the pattern has a [ without its ]")
        self._position += 1
        if not parts:
            return self._dialect.anything if sign else self._dialect.nothing
        return f"[{sign}{''.join(parts)}]"

    def _member(self) -> str:
        character = self._source[self._position]
        if character != "\\":
            self._position += 1
            return character if character == "-" else self._literal(character)
        escape = self._token()["escape"]
        if escape in _CLASSES:
            return self._inside(_CLASSES[escape])
        return self._literal(chr(0x08 if escape == "b" else self._code(escape)))


def _opened(kind: str | None) -> str:
    """Groups have no names here: nothing refers to them."""
    if kind in ("=", "!", "<=", "<!"):
        raise PatternRefused("look-ahead and look-behind are not supported; say it with several conditions")
    if kind is None:
        raise PatternRefused(
            "flags inside a pattern, such as (?i), are not known to the Node SDK; write [aA]"
        )
    return "(?:"


def _counted(count: str) -> str:
    if any(int(number) > _MOST_REPEATS for number in re.findall(r"\d{1,9}", count)):
        raise PatternRefused(f"{count} repeats more than {_MOST_REPEATS} times")
    return count
