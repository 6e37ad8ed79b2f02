"""Which share of messages is kept, decided by a value of theirs: the same value is always decided alike. Pure.

Source: Segment's sampler: the MD5 of the value's JSON, read as a fraction. A larger share keeps what a smaller kept.
"""

import hashlib
import json
from typing import Any

from cairn.conditions.javascript import number_text
from cairn.routing.paths import MISSING

_BYTES = 8


def is_kept(value: Any, percent: float) -> bool:  # Any: foreign JSON, or MISSING
    return position(value) * 100 < percent


def position(value: Any) -> float:
    """Shape: from 0 to below 1, evenly spread over values."""
    digest = hashlib.md5(script_json(value).encode(errors="replace"), usedforsecurity=False).digest()
    # 53 bits: what a fraction holds, so that it is never rounded up to 1.
    return (int.from_bytes(digest[:_BYTES], "big") >> 11) / 2**53


def script_json(value: Any) -> str:
    """`JSON.stringify(value)`, as browsers and Segment's own sampler write it."""
    if value is MISSING:
        return "undefined"
    if isinstance(value, dict):
        members = (f"{_text(key)}:{script_json(inner)}" for key, inner in value.items())
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(script_json, value))}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return _text(value)


def _text(value: str | bool | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: int | float) -> str:
    try:
        return number_text(float(value))
    except OverflowError:
        return "null"  # as infinity becomes
