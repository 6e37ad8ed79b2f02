"""Properties as senders write them, made flat: text, numbers and booleans under dotted keys."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite

import msgspec

from cairn.event import Scalar
from cairn.wire.reading import MOST_DEPTH, Json, check_depth

LONGEST_KEY = 1_024  # characters; a longer key is dropped
LONGEST_VALUE = 1_024  # UTF-16 units, Heap's measure; a longer value is cut
MOST_PROPERTIES = 10_000  # of an event; the others are dropped
# Names of nested objects, each written before the names of all its members: so much of an event, or few bytes of a
# request would become many of ours.
_MOST_PREFIX_CHARACTERS = 50_000
_DEPTH_OF_VALUES = 2  # the event and its properties enclose a value
_SURELY_SHORT = LONGEST_VALUE // 2  # characters; a character is two units at most
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 10_000, 100  # keys that need no second look, a megabyte of them
_fit_keys: set[str] = set()
_LARGEST_INTEGER = 2**63  # beyond it a number is kept as a float


def joined_scalars(properties: Mapping[str, Json]) -> dict[str, Scalar]:
    """Heap's server API: arrays joined with `||`. Source: contracts/heap.md 2.1. Raises Rejected (too deep)."""
    return _scalars(properties, _joined, None)


def facade_scalars(properties: Mapping[str, Json]) -> dict[str, Scalar]:
    """Segment's classic Heap destination: arrays as JSON text, dates as full ISO text.

    Source: contracts/segment.md 5.1 column B, 5.2 (cleaning). Raises Rejected (too deep).
    """
    return _scalars(properties, _dated_json_text, full_date)


def _scalars(
    properties: Mapping[str, Json], array: Callable[[list[Json]], str], text: Callable[[str], str] | None
) -> dict[str, Scalar]:
    # Half of a parser's time is spent here, so the usual types come first and without a call.
    kept: dict[str, Scalar] = {}
    fit_keys, names = _fit_keys, None
    for key, value in properties.items():
        kind = value.__class__
        if kind is str:
            if text is not None and value[4:5] == "-":
                value = text(value)
            if len(value) > _SURELY_SHORT:
                value = cut_value(value)
            if not value or value.isspace():
                continue
        elif kind is not bool and not (kind is int and -_LARGEST_INTEGER <= value < _LARGEST_INTEGER):
            if kind is dict:
                check_depth(value, MOST_DEPTH - _DEPTH_OF_VALUES)
                names = names or _Names()
                kept.update(_scalars(dict(names.flat(key, value)), array, text))
                continue
            value = cut_value(_checked(value, array)) if kind is list else _number(value)
            if value is None or value == "":
                continue
        if key in fit_keys or _is_fit(key):
            kept[key] = value
    return kept if len(kept) <= MOST_PROPERTIES else dict(list(kept.items())[:MOST_PROPERTIES])


def _is_fit(key: str) -> bool:
    if not key or len(key) > LONGEST_KEY or key.isspace():
        return False
    if len(_fit_keys) < _MOST_REMEMBERED and len(key) <= _LONGEST_REMEMBERED:
        _fit_keys.add(key)
    return True


class _Names:
    """Dotted names for the members of nested objects, up to the limit of an event."""

    def __init__(self) -> None:
        self._characters_left = _MOST_PREFIX_CHARACTERS

    def flat(self, key: str, value: dict[str, Json]) -> Iterator[tuple[str, Json]]:
        if len(key) >= LONGEST_KEY:
            return  # so is every name below it
        for inner, member in value.items():
            self._characters_left -= len(key) + 1
            if self._characters_left < 0:
                return
            name = f"{key}.{inner}"
            if member.__class__ is dict:
                yield from self.flat(name, member)
            else:
                yield name, member


def _checked(value: list[Json], array: Callable[[list[Json]], str]) -> str:
    check_depth(value, MOST_DEPTH - _DEPTH_OF_VALUES)
    return array(value)


def _number(value: Json) -> int | float | None:
    if value.__class__ is float:
        return value if isfinite(value) else None
    if value.__class__ is int:
        if -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
            return int(value)
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def cut_value(text: str) -> str:
    """The first 1,024 UTF-16 units, never half a character."""
    if text.isascii():
        return text[:LONGEST_VALUE]
    return text.encode("utf-16-le", "replace")[: LONGEST_VALUE * 2].decode("utf-16-le", "ignore")


def _joined(items: list[Json]) -> str:
    words: list[str] = []
    characters = 0
    for item in items:
        if item is not None:
            words.append(_word(item))
            characters += len(words[-1])
            if characters > LONGEST_VALUE:
                break  # the rest would be cut off; a short number may be 300 digits
    return "||".join(words)


def _word(item: Json) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, float) and item.is_integer():
        item = int(item)  # as JavaScript writes it
    return _json_text(item)


def _json_text(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def _dated_json_text(value: list[Json]) -> str:
    return _json_text(dated(value))


def dated(value: Json) -> Json:
    """With every date in it as `full_date` writes it. `value` is not deeper than MOST_DEPTH."""
    if isinstance(value, str):
        return full_date(value)
    if isinstance(value, list):
        return [dated(item) for item in value]
    if isinstance(value, dict):
        return {key: dated(item) for key, item in value.items()}
    return value


def full_date(text: str) -> str:
    """A date, with or without time, as JavaScript's `toISOString` writes it; other text as it is."""
    if text[7:8] != "-" or not text[:4].isdecimal():
        return text
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
