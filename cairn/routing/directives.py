"""Mappings as Segment's Actions write them: values, and directives that fetch a value from a message. Pure.

A directive is an object with the one key `@path`, `@arrayPath`, `@if`, `@literal`, `@template` or `@case`. What a
directive does not find is left out of the result; null is kept. Source: contracts/segment.md section 4.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import UNSET

from cairn.errors import InvalidInput

Json = Any  # Any: JSON, or UNSET for what is not there

MOST_DEPTH = 20  # levels of directives and objects in a mapping
_LONGEST_PATH = 500  # characters
_LONGEST_RENDERED = 32_768  # characters
# a, ['a b'], ["a b"] and [0]; whatever is between dots otherwise.
_PATH_PART = re.compile(r"""\[(?:'([^']*)'|"([^"]*)"|([0-9]{1,6}))\]|([^.\[]+|\[)""")
# Two braces or three, as Segment's templates have them.
_PLACEHOLDER = re.compile(r"\{\{\{([^{}]{1,500})\}\}\}|\{\{([^{}]{1,500})\}\}")


class MappingRefused(InvalidInput):
    """A mapping is not of the accepted form. The message names the field and the directive."""

    code = "mapping_refused"


def resolve(mapping: Json, source: Json) -> Json:
    """The mapping with every directive replaced by what it finds in `source`; UNSET where that is nothing.

    `mapping` has passed `check_mapping`.
    """
    if isinstance(mapping, dict):
        if (directive := _directive(mapping)) is not None:
            return _DIRECTIVES[directive](mapping[directive], source)
        resolved = {key: resolve(value, source) for key, value in mapping.items()}
        return {key: value for key, value in resolved.items() if value is not UNSET}
    if isinstance(mapping, list):
        return [value for item in mapping if (value := resolve(item, source)) is not UNSET]
    return mapping


def check_mapping(mapping: Json, field: str = "mapping", depth: int = MOST_DEPTH) -> None:
    """Raises MappingRefused."""
    if depth == 0:
        raise MappingRefused(f"{field}: is nested more than {MOST_DEPTH} levels deep", field=field)
    if isinstance(mapping, list):
        for number, item in enumerate(mapping):
            check_mapping(item, f"{field}[{number}]", depth - 1)
    if isinstance(mapping, dict):
        directive = _directive(mapping)
        if directive is not None:
            _check_directive(mapping, directive, field)
        for key, value in mapping.items():
            check_mapping(value, f"{field}.{key}"[:200], depth - 1)


def value_at(source: Json, path: str) -> Json:
    """What a path like `$.properties.items[0].sku` leads to; UNSET where it leads nowhere."""
    value = source
    for part in _parts(path):
        if isinstance(value, dict):
            value = value.get(part, UNSET)
        elif isinstance(value, list) and part.isascii() and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else UNSET
        else:
            # A path through null leads to null, and so on: the vendor's walk ends at what is false.
            return value if _is_false(value) else UNSET
    return value


@lru_cache(maxsize=1_000)  # presets have a few dozen paths, which every message is asked
def _parts(path: str) -> tuple[str, ...]:
    matches = _PATH_PART.finditer(path.removeprefix("$").removeprefix("."))
    return tuple(next(part for part in match.groups() if part is not None) for match in matches)


def _directive(mapping: dict[str, Any]) -> str | None:
    return next((key for key in mapping if key.startswith("@")), None)


def _check_directive(mapping: dict[str, Any], directive: str, field: str) -> None:
    value = mapping[directive]
    if directive not in _DIRECTIVES:
        known = ", ".join(_DIRECTIVES)
        raise MappingRefused(f"{field}: {directive[:50]} is not a directive; use {known}", field=field)
    if len(mapping) > 1:
        raise MappingRefused(f"{field}: {directive} must stand alone in its object", field=field)
    if directive in ("@path", "@template") and not (isinstance(value, str) and len(value) <= _LONGEST_PATH):
        raise MappingRefused(f"{field}: {directive} expects text", field=field)
    if directive == "@if" and not (isinstance(value, dict) and {"exists", "blank"} & value.keys()):
        raise MappingRefused(f'{field}: @if expects an object with "exists" or "blank"', field=field)
    if directive == "@arrayPath" and not _is_array_path(value):
        raise MappingRefused(
            f'{field}: @arrayPath expects an array: a path, and an object for each element as {{"sku": ...}}',
            field=field,
        )
    is_case = isinstance(value, dict) and value.get("operator") in ("lower", "upper")
    if directive == "@case" and not is_case:
        raise MappingRefused(
            f'{field}: @case expects an object with "operator": "lower" or "upper"', field=field
        )


def _path(path: str, source: Json) -> Json:
    return value_at(source, path)


def _is_array_path(value: Json) -> bool:
    """Only arrays of the message: arrays that a mapping brings itself would multiply where one stands in another."""
    if not isinstance(value, list) or len(value) not in (1, 2):
        return False
    return isinstance(value[0], str) or (isinstance(value[0], dict) and set(value[0]) == {"@path"})


def _array_path(options: list[Any], source: Json) -> Json:
    """The array at a path, each element mapped by the object beside it, with paths that begin at the element."""
    path, item = options[0], options[1] if len(options) > 1 else {}
    array = value_at(source, path) if isinstance(path, str) else resolve(path, source)
    if not isinstance(array, dict | list) or not isinstance(item, dict) or not item:
        return array
    elements = array if isinstance(array, list) else [array]
    return [value for element in elements if (value := resolve(item, element)) is not UNSET]


def _if(options: dict[str, Any], source: Json) -> Json:
    is_blank_test = "exists" not in options
    tested = resolve(options["blank" if is_blank_test else "exists"], source)
    holds = tested is not UNSET and tested is not None and not (is_blank_test and _is_blank(tested))
    if holds:
        return resolve(options.get("then", UNSET), source)
    # As the vendor's: an `else` that is itself nothing (null, "", 0 or false) leaves the field out.
    otherwise = options.get("else")
    return UNSET if _is_false(otherwise) else resolve(otherwise, source)


def _is_false(value: Json) -> bool:
    """As a script takes it; empty arrays and objects are something."""
    return value is None or (isinstance(value, str | int | float) and not value)


def _is_blank(value: Json) -> bool:
    """Whether a script finds it equal to empty text: that, 0, false, and arrays of nothing."""
    if isinstance(value, list):
        return len(value) == 0 or (len(value) == 1 and (value[0] is None or _is_blank_item(value[0])))
    return value is not None and _is_false(value)


def _is_blank_item(value: Json) -> bool:
    return value == "" or (isinstance(value, list) and _is_blank(value))


def render(template: str, source: Json, write: Callable[[str], str] = str) -> str:
    """`{{properties.plan}}` is replaced by the text, number or boolean that is there; by nothing otherwise.

    `write`: what the values become in the text around them. What a value holds is never read as a placeholder.
    """

    def written(match: re.Match[str]) -> str:
        return write(text_of(value_at(source, (match[1] or match[2]).strip())))

    text = _PLACEHOLDER.sub(written, template)
    return text[:_LONGEST_RENDERED]


def text_of(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, float) or _is_printable_number(value) else ""


def _is_printable_number(value: Json) -> bool:
    # Python refuses to write more digits than 4,300.
    return isinstance(value, int) and value.bit_length() < 4_096


def _case(options: dict[str, Any], source: Json) -> Json:
    value = resolve(options.get("value", UNSET), source)
    if not isinstance(value, str):
        return value
    return value.lower() if options["operator"] == "lower" else value.upper()


_DIRECTIVES: dict[str, Callable[[Any, Json], Json]] = {  # Any: by the directive
    "@path": _path,
    "@arrayPath": _array_path,
    "@if": _if,
    "@literal": resolve,
    "@template": render,
    "@case": _case,
}
