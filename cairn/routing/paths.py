r"""Paths into a message's JSON: `properties.plan`, `context.page.path`, `properties.product\ 1.price`. Pure.

A path walks objects by key and arrays by number. What is changed is copied along the path; the rest is shared.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from cairn.errors import InvalidInput

Path = tuple[str, ...]
_Body = dict[str, Any]  # Any: foreign JSON

# Parts of a path; events are nested no deeper.
MOST_PARTS = 32
LONGEST = 500
_PART = r"(?:\\.|[A-Za-z0-9_-])+"
PATH_TEXT = rf"{_PART}(?:\.{_PART})*"
_WHOLE = re.compile(PATH_TEXT, re.DOTALL)
_PIECE = re.compile(r"\\(.)|(\.)|([^\\.]+)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_-]")


class Missing:
    """There is nothing at a path; not even null."""


MISSING: Final = Missing()


class PathRefused(InvalidInput):
    """A path into an event is not of the accepted form."""

    code = "path_refused"


def parse_path(text: str) -> Path:
    """Raises PathRefused."""
    if len(text) > LONGEST:
        raise PathRefused(f"a path has at most {LONGEST} characters, this one has {len(text)}")
    if not _WHOLE.fullmatch(text):
        raise PathRefused(
            f"{text[:100]!r} is not a path: join names with dots, as in properties.plan, and write a backslash "
            "before every character of a name that is not a letter, digit, _ or -"
        )
    return split_path(text)


def split_path(text: str) -> Path:
    """Of a text that PATH_TEXT matches. Raises PathRefused when it has too many parts."""
    parts = [""]
    for piece in _PIECE.finditer(text):
        if piece[2]:
            parts.append("")
        else:
            parts[-1] += piece[1] if piece[1] is not None else piece[3]
    if len(parts) > MOST_PARTS:
        raise PathRefused(f"a path has at most {MOST_PARTS} parts, this one has {len(parts)}")
    return tuple(parts)


def path_text(path: Path) -> str:
    """As `parse_path` reads it."""
    return ".".join(
        "".join(character if _PLAIN.match(character) else f"\\{character}" for character in part)
        for part in path
    )


def value_at(body: Any, path: Path) -> Any:
    """MISSING where there is nothing."""
    value = body
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, MISSING)
        elif isinstance(value, list) and _is_index(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def with_value(body: _Body, path: Path, value: Any) -> _Body:
    """With `value` at `path`. Objects on the way are made where there is nothing; anything else there is replaced."""
    first, rest = path[0], path[1:]
    if not rest:
        return {**body, first: value}
    inner = body.get(first)
    if isinstance(inner, list):
        return {**body, first: _in_list(inner, rest, value)}
    return {**body, first: with_value(inner if isinstance(inner, dict) else {}, rest, value)}


def without(body: _Body, path: Path) -> _Body:
    """Without what stands at `path`; where an array stands before its last name, in each of the array's objects."""
    return changed_at(body, path[:-1], partial(_without_names, {path[-1]}))


def without_all(body: _Body, paths: Iterable[Path]) -> _Body:
    """Without what stands at any of these; each object that loses something is copied once."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path[:-1], set()).add(path[-1])
    for holder, lost in names.items():
        body = changed_at(body, holder, partial(_without_names, lost))
    return body


def _without_names(names: set[str], holder: _Body) -> _Body:
    return {name: value for name, value in holder.items() if name not in names}


def changed_at(body: _Body, path: Path, change: Callable[[_Body], _Body]) -> _Body:
    """With what `change` makes of the object at `path`, or of each object in the array there."""
    holder = value_at(body, path)
    if isinstance(holder, dict):
        changed = change(holder)
        return with_value(body, path, changed) if path else changed
    if isinstance(holder, list) and path:
        return with_value(body, path, [_changed_item(item, change) for item in holder])
    return body


def _changed_item(item: Any, change: Callable[[_Body], _Body]) -> Any:
    if isinstance(item, dict):
        return change(item)
    if isinstance(item, list):  # an object with numbers for names; what is taken out of it leaves null
        left = change({str(number): inner for number, inner in enumerate(item)})
        return [left.get(str(number)) for number in range(len(item))]
    return item


def _in_list(items: list[Any], path: Path, value: Any) -> list[Any]:
    """An array is changed at its elements and never made longer."""
    first, rest = path[0], path[1:]
    if not _is_index(first) or int(first) >= len(items):
        return items
    at = int(first)
    inner = items[at]
    if not rest:
        changed = value
    elif isinstance(inner, list):
        changed = _in_list(inner, rest, value)
    else:
        changed = with_value(inner if isinstance(inner, dict) else {}, rest, value)
    return [*items[:at], changed, *items[at + 1 :]]


def _is_index(part: str) -> bool:
    return part.isdecimal() and part.isascii() and len(part) <= 6
