"""JSON Schema as tracking plans use it, bounded: no reference, no network, expressions in a linear engine. Pure.

A part of draft 7. A keyword that is not known is refused, never passed over: an event must not count as checked where
it was not. A schema is a tree, so each part of it sees each value once: the work is linear in the event.
"""

import operator
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cairn.conditions import javascript_pattern
from cairn.conditions.pattern import Pattern, PatternRefused
from cairn.errors import InvalidInput
from cairn.routing.fql.evaluate import number
from cairn.routing.paths import Path, path_text
from cairn.routing.sampling import script_json
from cairn.wire.reading import check_depth
from cairn.wire.refusal import Rejected

# Of one schema: bytes as JSON, levels of JSON, and parts that are schemas themselves.
MOST_BYTES, MOST_DEPTH, MOST_PARTS = 32_000, 40, 1_000
# Of one event; the first ones say what is wrong.
MOST_VIOLATIONS = 50

ViolationType = Literal["Required", "Invalid Type", "Invalid Value", "Unplanned Property", "Unplanned Event"]
_Json = Any  # Any: foreign JSON

_ANNOTATIONS = frozenset(
    ("$schema", "$id", "$comment", "id", "title", "description", "default", "examples", "format", "labels")
)
_REFERENCES = frozenset(("$ref", "$defs", "definitions", "$dynamicRef", "$recursiveRef"))
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_GROUPS = ("anyOf", "oneOf", "allOf")
_KNOWN = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "pattern"),
        *("uniqueItems", "not", *_NUMBERS, *_COUNTS, *_GROUPS),
    )
)


class SchemaRefused(InvalidInput):
    """A JSON Schema is not of the accepted form. The message says at which part."""

    code = "schema_refused"


class Violation(Struct, frozen=True):
    """What of an event is not as its schema says, in Segment's vocabulary."""

    type: ViolationType
    path: Path
    description: str

    @property
    def field(self) -> str:
        return path_text(self.path)


class Schema(Struct, frozen=True):
    """One part of a schema, read. None: the keyword is not there."""

    is_never: bool = False  # the schema `false`
    types: tuple[str, ...] = ()
    properties: dict[str, "Schema"] = {}
    required: tuple[str, ...] = ()
    additional: "Schema | None" = None
    has_additional: bool = False  # whether `additionalProperties` was said at all
    items: "Schema | None" = None
    allowed: frozenset[str] | None = None  # enum and const, as JSON texts
    pattern: Pattern | None = None
    bounds: dict[str, float] = {}
    is_unique: bool = False
    any_of: tuple["Schema", ...] = ()
    one_of: tuple["Schema", ...] = ()
    all_of: tuple["Schema", ...] = ()
    excluded: "Schema | None" = None


def read_schema(data: _Json) -> Schema:
    """Raises SchemaRefused."""
    try:
        check_depth(data, MOST_DEPTH)
        size = len(msgspec.json.encode(data))
    except (Rejected, RecursionError):
        raise SchemaRefused(f"schema: is nested more than {MOST_DEPTH} levels deep") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaRefused("schema: is not JSON") from error
    if size > MOST_BYTES:
        raise SchemaRefused(f"schema: has {size} bytes, at most {MOST_BYTES} are accepted")
    return _Reader().read(data, "schema")


class _Reader:
    def __init__(self) -> None:
        self._parts = 0

    def read(self, data: _Json, at: str) -> Schema:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise SchemaRefused(f"{at}: the schema has over {MOST_PARTS} parts; check less of the event")
        if isinstance(data, bool):
            return Schema(is_never=not data)
        if not isinstance(data, dict):
            raise SchemaRefused(f"{at}: expected an object, true or false")
        for keyword in data:
            _check_keyword(keyword, at)
        additional = data.get("additionalProperties", True)
        return Schema(
            types=_types(data.get("type"), at),
            properties=self._named(data.get("properties"), at),
            required=_names(data.get("required"), f"{at}.required"),
            additional=None if additional is True else self.read(additional, f"{at}.additionalProperties"),
            has_additional="additionalProperties" in data,
            items=self.read(data["items"], f"{at}.items") if "items" in data else None,
            allowed=_allowed(data, at),
            pattern=_pattern(data.get("pattern"), f"{at}.pattern"),
            bounds=_bounds(data, at),
            is_unique=data.get("uniqueItems") is True,
            any_of=self._group(data, "anyOf", at),
            one_of=self._group(data, "oneOf", at),
            all_of=self._group(data, "allOf", at),
            excluded=self.read(data["not"], f"{at}.not") if "not" in data else None,
        )

    def _named(self, data: _Json, at: str) -> dict[str, Schema]:
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise SchemaRefused(f"{at}.properties: expected an object")
        return {name: self.read(inner, f"{at}.properties.{name}"[:300]) for name, inner in data.items()}

    def _group(self, data: dict[str, Any], keyword: str, at: str) -> tuple[Schema, ...]:
        group = data.get(keyword)
        if group is None:
            return ()
        if not isinstance(group, list) or not group:
            raise SchemaRefused(f"{at}.{keyword}: expected an array of schemas")
        return tuple(self.read(inner, f"{at}.{keyword}[{place}]") for place, inner in enumerate(group))


def _check_keyword(keyword: str, at: str) -> None:
    if keyword in _REFERENCES:
        raise SchemaRefused(f"{at}: {keyword} is not supported; write the schema out where it is used")
    if keyword not in _KNOWN and keyword not in _ANNOTATIONS:
        raise SchemaRefused(f"{at}: {keyword[:60]!r} is no keyword that is checked here; remove it")


def _types(data: _Json, at: str) -> tuple[str, ...]:
    names = () if data is None else tuple(data) if isinstance(data, list) else (data,)
    if any(name not in _TYPES for name in names):
        raise SchemaRefused(f"{at}.type: expected one or several of {', '.join(_TYPES)}")
    return names


def _names(data: _Json, at: str) -> tuple[str, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
        raise SchemaRefused(f"{at}: expected an array of names")
    return tuple(data)


def _allowed(data: dict[str, Any], at: str) -> frozenset[str] | None:
    if "enum" in data and not isinstance(data["enum"], list):
        raise SchemaRefused(f"{at}.enum: expected an array")
    listed = frozenset(map(_key, data["enum"])) if "enum" in data else None
    if "const" not in data:
        return listed
    only = frozenset((_key(data["const"]),))
    return only if listed is None else only & listed


def _pattern(data: _Json, at: str) -> Pattern | None:
    if data is None:
        return None
    if not isinstance(data, str):
        raise SchemaRefused(f"{at}: expected text")
    try:
        return javascript_pattern.compiled(data)
    except PatternRefused as refused:
        raise SchemaRefused(f"{at}: {refused}") from refused


def _bounds(data: dict[str, Any], at: str) -> dict[str, float]:
    bounds = {keyword: data[keyword] for keyword in (*_NUMBERS, *_COUNTS) if keyword in data}
    for keyword, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise SchemaRefused(f"{at}.{keyword}: expected a number")
    return {keyword: number(bound) for keyword, bound in bounds.items()}


def violations(schema: Schema, value: _Json, path: Path = ()) -> list[Violation]:
    """At most MOST_VIOLATIONS, in the order of the schema."""
    return list(islice(_violations(schema, value, path), MOST_VIOLATIONS))


def _holds(schema: Schema, value: _Json, path: Path) -> bool:
    return next(_violations(schema, value, path), None) is None


def _violations(schema: Schema, value: _Json, path: Path) -> Iterator[Violation]:
    if schema.is_never:
        yield Violation("Unplanned Property", path, f"{path_text(path)} is not in the plan")
        return
    if schema.types and not any(_is_type(value, name) for name in schema.types):
        expected = " or ".join(schema.types)
        yield Violation("Invalid Type", path, f"{path_text(path)} is {_type_of(value)}; expected {expected}")
        return  # what else is said is about values of that type
    for complaint in _complaints(schema, value, path):
        yield Violation("Invalid Value", path, f"{path_text(path)} {complaint}")
    if isinstance(value, dict):
        yield from _of_object(schema, value, path)
    elif isinstance(value, list) and schema.items is not None:
        for place, item in enumerate(value):
            yield from _violations(schema.items, item, (*path, str(place)))
    for part in schema.all_of:
        yield from _violations(part, value, path)


def _of_object(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Violation]:
    for name in schema.required:
        if name not in value:
            field = (*path, name)
            yield Violation("Required", field, f"{path_text(field)} is required")
    for name, inner in value.items():
        known = schema.properties.get(name, schema.additional)
        if known is not None:
            yield from _violations(known, inner, (*path, name))


def _complaints(schema: Schema, value: _Json, path: Path) -> Iterator[str]:
    if schema.allowed is not None and _key(value) not in schema.allowed:
        yield "is none of the allowed values"
    if isinstance(value, str) and schema.pattern is not None and not schema.pattern.is_in(value):
        yield "does not match the pattern"
    for keyword, bound in schema.bounds.items():
        if _is_beyond(keyword, bound, value):
            yield f"is beyond {keyword} {script_json(bound)}"
    if schema.is_unique and isinstance(value, list) and len(set(map(_key, value))) < len(value):
        yield "holds a value twice"
    if schema.any_of and not any(_holds(part, value, path) for part in schema.any_of):
        yield "is none of the alternatives of anyOf"
    if schema.one_of and sum(_holds(part, value, path) for part in schema.one_of) != 1:
        yield "is not exactly one of the alternatives of oneOf"
    if schema.excluded is not None and _holds(schema.excluded, value, path):
        yield "is what the schema excludes"


def _key(value: _Json) -> str:
    """The same for equal values: 1 and 1.0, and objects whatever the order of their keys."""
    return script_json(_sorted(value))


def _sorted(value: _Json) -> _Json:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value


def _is_beyond(keyword: str, bound: float, value: _Json) -> bool:
    measured_type, is_beyond = _LIMITS[keyword]
    if measured_type is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and is_beyond(number(value), bound)
    return isinstance(value, measured_type) and is_beyond(len(value), bound)


_Beyond = Callable[[float, float], bool]
_BELOW: _Beyond = operator.lt
_ABOVE: _Beyond = operator.gt
_LIMITS: dict[str, tuple[Any, _Beyond]] = {
    "minimum": (float, _BELOW),
    "maximum": (float, _ABOVE),
    "exclusiveMinimum": (float, operator.le),
    "exclusiveMaximum": (float, operator.ge),
    "minLength": (str, _BELOW),
    "maxLength": (str, _ABOVE),
    "minItems": (list, _BELOW),
    "maxItems": (list, _ABOVE),
    "minProperties": (dict, _BELOW),
    "maxProperties": (dict, _ABOVE),
}


def _is_type(value: _Json, name: str) -> bool:
    if name == "integer":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (isinstance(value, int) or value.is_integer())
    return _type_of(value) == name


def _type_of(value: _Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
