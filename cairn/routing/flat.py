"""Nested properties made flat, as Segment's Heap destinations do it. Pure.

Source: contracts/segment.md 5.1, 5.3 (`classic`), 5.5 and 5.6 (`with_indexes`, `nested`). Unlike our own analytics
(wire/properties.py) nothing is cut or trimmed: what is too long is for the receiver to say.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

import msgspec

from cairn.routing.payload import json_bytes, rejected
from cairn.wire.properties import dated, full_date

NestedMode = Literal["flatten", "stringify", "drop"]
Flat = dict[str, Any]  # Any: text, number, boolean or null
Leaf = Callable[[Any], Any]  # a value that is neither object nor array, as it is sent

# Characters of all dotted names of a message: each repeats the names of the objects around it.
_MOST_NAME_CHARACTERS = 200_000
# From here on JavaScript writes an exponent.
_EXPONENT_FROM, _EXPONENT_BELOW = 1e21, 1e-6


def classic(properties: dict[str, Any]) -> Flat:
    """Dotted names; arrays as JSON text, dates in full, null and empty objects left out. Raises NotForDestination."""
    flat: Flat = {}
    names = _Names()
    with _too_deep():
        for key, value in properties.items():
            _add_classic(flat, key, value, names)
    return flat


def _add_classic(flat: Flat, key: str, value: Any, names: "_Names") -> None:
    if isinstance(value, dict):
        for inner, member in value.items():
            _add_classic(flat, names.join(key, inner), member, names)
    elif isinstance(value, list):
        flat[key] = json_text(dated(value))
    elif isinstance(value, str):
        flat[key] = full_date(value)
    elif value is not None and not (isinstance(value, float) and not isfinite(value)):
        flat[key] = value


def with_indexes(properties: Any, leaf: Leaf, mode: NestedMode = "flatten") -> Flat:
    """Dotted names, also of the places in arrays, so that empty ones vanish. Raises NotForDestination."""
    flat: Flat = {}
    if isinstance(properties, dict | list):
        with _too_deep():
            _add_nested(flat, "", properties, leaf, mode, _Names())
    return flat


@contextmanager
def _too_deep() -> Iterator[None]:
    """Messages are a few dozen levels deep at most, so depth is not measured where it does no harm."""
    try:
        yield
    except RecursionError as error:
        raise rejected("the properties: are nested too deep; send flatter ones") from error


def _add_nested(
    flat: Flat, prefix: str, container: Any, leaf: Leaf, mode: NestedMode, names: "_Names"
) -> None:
    members = container.items() if isinstance(container, dict) else enumerate(container)
    for inner, member in members:
        key = names.join(prefix, str(inner)) if prefix else str(inner)
        if not isinstance(member, dict | list):
            flat[key] = leaf(member)
        elif mode == "stringify":
            flat[key] = json_text(member)
        elif mode == "flatten":
            _add_nested(flat, key, member, leaf, mode, names)


def as_text(value: Any) -> str:
    """What JavaScript's `String` makes of it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _number_text(value)


def as_is(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def json_text(value: Any) -> str:
    """What JavaScript's `JSON.stringify` makes of it; numbers are the difference to other writers of JSON."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(key)}:{json_text(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return json_bytes(value).decode() if isinstance(value, str) else as_text(value)


def _number_text(number: float) -> str:
    if isinstance(number, int):
        return msgspec.json.encode(number).decode() if abs(number) < 2**63 else str(Decimal(number))
    if not isfinite(number):
        return "null"
    if number.is_integer() and abs(number) < _EXPONENT_FROM:
        return str(int(number))
    text = repr(number)
    if "e" in text and _EXPONENT_BELOW <= abs(number) < _EXPONENT_FROM:
        return format(Decimal(text), "f")
    return text.replace("e-0", "e-")


class _Names:
    """Dotted names, as long as the message has room for them."""

    def __init__(self) -> None:
        self._characters_left = _MOST_NAME_CHARACTERS

    def join(self, outer: str, inner: str) -> str:
        """Raises NotForDestination."""
        self._characters_left -= len(outer) + 1
        if self._characters_left < 0:
            raise rejected("the properties: too many long names within names; send flatter properties")
        return f"{outer}.{inner}"
