"""JavaScript's text, numbers and regular expressions, as far as Wingify's Node SDK uses them on attributes.

Our evaluation must say what that SDK says, so values become text and patterns match the way they do there.
"""

import functools
import math
import re
from decimal import Decimal
from typing import Any

_FLOAT = re.compile(r"[+-]?(?:Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)", re.ASCII)
_EXACT = 2**53  # integers beyond are rounded, as a JavaScript number is
_SPACES = "\\t\\n\\v\\f\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
_ANY = "[^\\n\\r\\u2028\\u2029]"


def text(value: Any) -> str:  # Any: whatever the application passed as an attribute
    """`String(value)`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) <= _EXACT:
        return str(value)
    if isinstance(value, int | float):
        return number_text(_to_float(value))
    if isinstance(value, list | tuple):
        return ",".join("" if each is None else text(each) for each in value)
    return "[object Object]"


def _to_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(number: float) -> str:
    """`Number.prototype.toString`: the shortest digits that read back, an exponent only beyond 1e21 or below 1e-6."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    if 1e-6 <= abs(number) < 1e21:
        plain = format(Decimal(repr(number)), "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    mantissa = "".join(map(str, digits))
    power = int(exponent) + len(mantissa) - 1
    head = mantissa[0] + ("." + mantissa[1:] if len(mantissa) > 1 else "")
    return f"{'-' if sign else ''}{head}e{'+' if power > 0 else ''}{power}"


def parse_float(string: str) -> float:
    """`parseFloat`: the number a text starts with, NaN when it starts with none."""
    found = _FLOAT.match(string.lstrip())
    if found is None:
        return math.nan
    return float(found.group().replace("Infinity", "inf"))


@functools.lru_cache(maxsize=512)
def pattern(source: str, *, ignore_case: bool = False) -> re.Pattern[str] | None:
    """A JavaScript regular expression as one of ours; None where JavaScript refuses it.

    Limit: look-behind of varying length and Unicode property escapes are refused although JavaScript knows them.
    """
    try:
        return re.compile(_translate(source), re.ASCII | (re.IGNORECASE if ignore_case else 0))
    except (re.error, _NotJavaScript, OverflowError, RecursionError):
        return None


class _NotJavaScript(Exception):
    pass


_TOKEN = re.compile(
    r"""\\(?P<escape>u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|k<\w+>|[1-9]\d*|.)
    |(?P<open>\(\?(?P<kind>:|=|!|<=|<!|<(?P<name>[A-Za-z_$][\w$]*)>)?)
    |(?P<count>\{\d+(?:,\d*)?\})
    |(?P<plain>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"d": "[0-9]", "D": "[^0-9]", "w": "\\w", "W": "\\W", "b": "\\b", "B": "\\B", "0": "\\x00",
            "s": f"[{_SPACES}]", "S": f"[^{_SPACES}]"}  # fmt: skip
_CLASS_ESCAPES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACES, "b": "\\x08", "0": "\\x00",
                  "D": "\\D", "W": "\\W", "S": "\\S"}  # fmt: skip


def _translate(source: str) -> str:
    out: list[str] = []
    position, repeated = 0, False
    while position < len(source):
        if source[position] == "[":
            translated, position = _translate_class(source, position)
            out.append(translated)
            repeated = False
            continue
        token = _TOKEN.match(source, position)
        if token is None:  # a lone backslash at the end
            raise _NotJavaScript
        position = token.end()
        plain = token["plain"]
        is_count = token["count"] is not None or plain in ("*", "+")
        if is_count and repeated:  # possessive and doubled quantifiers are ours, not JavaScript's
            raise _NotJavaScript
        repeated = is_count or (plain == "?" and not repeated and bool(out))
        out.append(_translate_token(token))
    return "".join(out)


def _translate_token(token: re.Match[str]) -> str:
    if token["escape"] is not None:
        return _translate_escape(token["escape"])
    if token["open"] is not None:
        if token["name"]:
            return f"(?P<{token['name']}>"
        if token["kind"] is None:
            raise _NotJavaScript  # inline flags and the like
        return token["open"]
    plain = token["plain"]
    if plain is None:
        return token["count"]
    return {".": _ANY, "$": r"\Z", "{": r"\{", "}": r"\}"}.get(plain, plain)


def _translate_escape(escape: str) -> str:
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if escape[0] in "ux" and len(escape) > 1:
        return "\\" + escape
    if escape[0] == "c" and len(escape) == 2:
        return f"\\x{ord(escape[1]) % 32:02x}"
    if escape.startswith("k<"):
        return f"(?P={escape[2:-1]})"
    if escape[0].isdigit():
        return f"(?:\\{escape})"
    return "\\" + escape if escape in "tnrvf" else re.escape(escape)


def _translate_class(source: str, start: int) -> tuple[str, int]:
    position = start + 1
    negated = source.startswith("^", position)
    position += negated
    parts: list[str] = []
    while position < len(source) and source[position] != "]":
        character = source[position]
        position += 1
        if character != "\\":
            parts.append(character if character == "-" else re.escape(character))
            continue
        token = _TOKEN.match(source, position - 1)
        if token is None or token["escape"] is None:
            raise _NotJavaScript
        position = token.end()
        escape = token["escape"]
        parts.append(_CLASS_ESCAPES.get(escape) or _translate_escape(escape))
    if position >= len(source):
        raise _NotJavaScript
    if not parts:
        return ("(?s:.)" if negated else "(?!)"), position + 1
    return f"[{'^' if negated else ''}{''.join(parts)}]", position + 1
