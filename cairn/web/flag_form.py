"""The forms of a flag's variables, variations and metrics: text as typed, to and from their definition. Pure.

A variation's field shows the value it serves. What equals the default stays unset, so that it follows the default
when that changes; what was set on purpose to the same value stays set.
"""

import math
from typing import TypeVar, get_args

import msgspec
from msgspec import Struct, structs

from cairn.errors import InvalidInput
from cairn.flags.model import Flag, Metric, Value, Variable, VariableType, Variation
from cairn.web.form import Form

TYPES: tuple[tuple[str, str], ...] = (
    ("string", "text"), ("integer", "whole number"), ("double", "number"), ("boolean", "true or false"),
    ("json", "JSON object"),
)  # fmt: skip
METRIC_TYPES: tuple[tuple[str, str], ...] = (
    ("CUSTOM_GOAL", "counts it"),
    ("REVENUE_TRACKING", "adds up revenue"),
)
MOST = 100  # rows of one kind
_Item = TypeVar("_Item")


class VariableRow(Struct, frozen=True):
    id: str = ""  # empty: new
    key: str = ""
    type: str = "string"
    value: str = ""


class VariationRow(Struct, frozen=True):
    id: str = ""
    key: str = ""
    name: str = ""
    values: tuple[str, ...] = ()  # in the order of the variables


class MetricRow(Struct, frozen=True):
    id: str = ""
    identifier: str = ""
    type: str = "CUSTOM_GOAL"
    revenue_prop: str = ""


class Shape(Struct, frozen=True):
    """What the editor shows."""

    variables: tuple[VariableRow, ...] = ()
    variations: tuple[VariationRow, ...] = (VariationRow("", "on", "On"),)


def text_of(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def shape_of(flag: Flag) -> Shape:
    variables = tuple(
        VariableRow(str(each.id), each.key, each.type, text_of(each.value)) for each in flag.variables
    )
    variations = tuple(
        VariationRow(
            str(each.id),
            each.key,
            each.name,
            tuple(text_of(value) for value in flag.values_of(each).values()),
        )
        for each in flag.variations
    )
    return Shape(variables, variations)


def read_shape(form: Form) -> Shape:
    variables = tuple(
        VariableRow(
            form(f"v{at}.id"), form.line(f"v{at}.key"), form(f"v{at}.type", "string"), form(f"v{at}.value")
        )
        for at in _indexes(form, "v", ".key")
    )
    variations = tuple(
        VariationRow(
            form(f"w{at}.id"), form.line(f"w{at}.key"), form.line(f"w{at}.name"),
            tuple(form(f"w{at}.{place}", variables[place].value) for place in range(len(variables))),
        )
        for at in _indexes(form, "w", ".key")
    )  # fmt: skip
    return Shape(variables, variations)


def _indexes(form: Form, prefix: str, suffix: str) -> list[int]:
    found = (
        name[len(prefix) : -len(suffix)]
        for name, _ in form
        if name.startswith(prefix) and name.endswith(suffix)
    )
    return sorted({int(each) for each in found if each.isascii() and each.isdigit() and len(each) < 4})[:MOST]


def change(shape: Shape, action: str) -> Shape:
    """What an editor button does, such as `remove-variable 2`; anything else changes nothing."""
    verb, _, place = action.partition(" ")
    at = int(place) if place.isascii() and place.isdigit() else -1
    if verb == "add-variable":
        return Shape(
            (*shape.variables, VariableRow()),
            tuple(structs.replace(each, values=(*each.values, "")) for each in shape.variations),
        )
    if verb == "remove-variable" and 0 <= at < len(shape.variables):
        return Shape(
            _without(shape.variables, at),
            tuple(structs.replace(each, values=_without(each.values, at)) for each in shape.variations),
        )
    if verb == "add-variation":
        values = tuple(each.value for each in shape.variables)
        return structs.replace(shape, variations=(*shape.variations, VariationRow(values=values)))
    if verb == "remove-variation" and len(shape.variations) > 1:
        return structs.replace(shape, variations=_without(shape.variations, at))
    return shape


def _without(rows: tuple[_Item, ...], at: int) -> tuple[_Item, ...]:
    return tuple(row for place, row in enumerate(rows) if place != at)


def definition(shape: Shape, before: Flag | None) -> tuple[tuple[Variable, ...], tuple[Variation, ...]]:
    """Raises InvalidInput whose field is the row's, such as `v1` or `w0`."""
    next_variable = 1 + max((each.id for each in before.variables), default=0) if before else 1
    variables = []
    for at, row in enumerate(shape.variables):
        kind: VariableType = next((each for each in get_args(VariableType) if each == row.type), "string")
        number = _id(row.id) or next_variable + sum(not _id(each.id) for each in shape.variables[:at])
        variables.append(Variable(number, row.key, kind, typed(kind, row.value, f"v{at}")))
    next_variation = 1 + max((each.id for each in before.variations), default=0) if before else 1
    variations = []
    for at, each in enumerate(shape.variations):
        number = _id(each.id) or next_variation + sum(not _id(one.id) for one in shape.variations[:at])
        old = before.variation(number) if before else None
        values = {
            variable.key: value
            for place, variable in enumerate(variables)
            if _is_own(value := typed(variable.type, _value(each, place, variable), f"w{at}"), variable, old)
        }
        variations.append(Variation(number, each.key, each.name, values))
    return tuple(variables), tuple(variations)


def _value(row: VariationRow, place: int, variable: Variable) -> str:
    """What was typed; a variable that has just been added, or left empty where text is impossible, has its default."""
    text = row.values[place] if place < len(row.values) else text_of(variable.value)
    return text if text or variable.type == "string" else text_of(variable.value)


def _is_own(value: Value, variable: Variable, old: Variation | None) -> bool:
    return value != variable.value or bool(
        old and old.values.get(variable.key, None) == value and variable.key in old.values
    )


def _id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def typed(kind: str, text: str, field: str) -> Value:
    """Raises InvalidInput naming the accepted form."""
    try:
        match kind:
            case "integer":
                return int(text)
            case "double":
                return _number(text)
            case "boolean":
                return {"true": True, "false": False, "": False}[text.strip().lower()]
            case "json":
                value = msgspec.json.decode(text or "{}")
                if not isinstance(value, dict):
                    raise ValueError("not an object")
                return value
            case _:
                return text
    except (ValueError, KeyError) as error:
        told = dict(TYPES)[kind]
        raise InvalidInput(
            f"value: {text[:40]!r} is not a {told}; change it or the type", field=field
        ) from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def metrics_of(flag: Flag) -> tuple[MetricRow, ...]:
    return tuple(
        MetricRow(str(each.id), each.identifier, each.type, each.revenue_prop) for each in flag.metrics
    )


def read_metrics(form: Form) -> tuple[MetricRow, ...]:
    return tuple(
        MetricRow(
            form(f"m{at}.id"), form.line(f"m{at}.identifier"), form(f"m{at}.type", "CUSTOM_GOAL"),
            form.line(f"m{at}.revenue_prop"),
        )
        for at in _indexes(form, "m", ".identifier")
    )  # fmt: skip


def change_metrics(rows: tuple[MetricRow, ...], action: str) -> tuple[MetricRow, ...]:
    verb, _, place = action.partition(" ")
    if verb == "add-metric":
        return (*rows, MetricRow())
    if verb == "remove-metric" and place.isascii() and place.isdigit():
        return _without(rows, int(place))
    return rows


def metrics(rows: tuple[MetricRow, ...], before: Flag) -> tuple[Metric, ...]:
    """What has no name is left out. Ids stay: exposures and conversions are counted by them."""
    highest = max((each.id for each in before.metrics), default=0)
    old = {each.id: each for each in before.metrics}
    made: list[Metric] = []
    for row in rows:
        if not row.identifier:
            continue
        number = _id(row.id)
        if not number:
            highest += 1
            number = highest
        kind = row.type if row.type in dict(METRIC_TYPES) else "CUSTOM_GOAL"
        has_props = old[number].has_props if number in old else False
        revenue = row.revenue_prop if kind == "REVENUE_TRACKING" else ""
        made.append(Metric(number, row.identifier, kind, has_props or bool(revenue), revenue))
    return tuple(made)
