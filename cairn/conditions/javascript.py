"""JavaScript's text and numbers, as far as Wingify's Node SDK uses them on attributes.

Our evaluation must say what that SDK says, so values become text the way they do there.
"""

import math
import re
from decimal import Decimal
from typing import Any

_FLOAT = re.compile(r"[+-]?(?:Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)", re.ASCII)
_EXACT = 2**53  # integers beyond are rounded, as a JavaScript number is


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
        return ",".join("" if entry is None else text(entry) for entry in value)
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
    match = _FLOAT.match(string.lstrip())
    if match is None:
        return math.nan
    return float(match.group().replace("Infinity", "inf"))
