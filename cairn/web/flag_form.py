"""The forms of a flag's variables, variations and metrics: text as typed, to and from their definition. Pure.

A variation's field shows the value it serves. What equals the default stays unset, so that it follows the default
when that changes; what was set on purpose to the same value stays set.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeVar, get_args

import msgspec
from msgspec import Struct, structs

from cairn.errors import InvalidInput
from cairn.flags.checks import check_key
from cairn.flags.model import Flag, Metric, Value, Variable, VariableType, Variation
from cairn.web.editor import form_rows
from cairn.web.editor.choices import Choices
from cairn.web.editor.form_rows import Rows
from cairn.web.editor.refusal import Stored, Wording
from cairn.web.form import Form

TYPES: Choices = (
    ("string", "text"),
    ("integer", "whole number"),
    ("double", "number"),
    ("boolean", "true or false"),
    ("json", "JSON object"),
)
METRIC_TYPES: Choices = (("CUSTOM_GOAL", "counts it"), ("REVENUE_TRACKING", "adds up revenue"))
LIFETIMES: Choices = (("permanent", "permanent"), ("temporary", "temporary: retire it after the rollout"))
WORDING = Wording(
    {
        "key": "Key",
        "name": "Name",
        "description": "Description",
        "variables": "Variables",
        "variations": "Variations",
        "metrics": "Metrics",
        ".key": "Key",
        ".value": "Default",
        ".identifier": "Event",
        **{f".{number}": "Value" for number in range(form_rows.MOST)},
    }
)


class VariableRow(Struct, frozen=True):
    id: str = ""  # empty: new
    key: str = ""
    type: str = "string"
    value: str = ""
    drawn: str = ""  # the default when the form was drawn, which variations of a new variable follow


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
    """What the editor of a flag shows."""

    variables: Annotated[tuple[VariableRow, ...], Rows("v", VariableRow)] = ()
    variations: Annotated[tuple[VariationRow, ...], Rows("w", VariationRow, least=1)] = (
        VariationRow("", "on", "On"),
    )
    key: str = ""
    name: str = ""
    description: str = ""
    lifetime: str = "permanent"


class Metrics(Struct, frozen=True):
    """What the editor of its metrics shows."""

    metrics: Annotated[tuple[MetricRow, ...], Rows("m", MetricRow)] = ()


def text_of(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def shape_of(flag: Flag) -> Shape:
    variables = tuple(
        VariableRow(
            str(variable.id), variable.key, variable.type, text_of(variable.value), text_of(variable.value)
        )
        for variable in flag.variables
    )
    variations = tuple(
        VariationRow(
            str(variation.id),
            variation.key,
            variation.name,
            tuple(text_of(value) for value in flag.values_of(variation).values()),
        )
        for variation in flag.variations
    )
    return Shape(variables, variations, flag.key, flag.name, flag.description, flag.lifetime)


def read_shape(form: Form) -> Shape:
    """A value of a new variable that was left as it was drawn becomes the default."""
    shape = form_rows.read(form, Shape)
    numbers = zip(form_rows.indexes(form, "w"), shape.variations, strict=False)
    variations = tuple(
        structs.replace(row, values=tuple(_cells(form, f"w{number}", shape.variables)))
        for number, row in numbers
    )
    variables = tuple(structs.replace(row, drawn=row.value) for row in shape.variables)
    return structs.replace(shape, variables=variables, variations=variations or Shape().variations)


def _cells(form: Form, at: str, variables: Sequence[VariableRow]) -> Iterable[str]:
    for index, variable in enumerate(variables):
        text = form(f"{at}.{index}", variable.drawn)
        yield variable.value if not variable.id and text == variable.drawn else text


def change(shape: Shape, action: str) -> Shape:
    """As of any editor; every variation has a value for each variable."""
    changed = form_rows.change(shape, action)
    count, new_count = len(shape.variables), len(changed.variables)
    removed = int(action.removeprefix("remove v")) if new_count < count else count
    variations = (
        structs.replace(
            row, values=_fitted(row.values[:removed] + row.values[removed + 1 :], changed.variables)
        )
        for row in changed.variations
    )
    return structs.replace(changed, variations=tuple(variations))


def _fitted(values: tuple[str, ...], variables: Sequence[VariableRow]) -> tuple[str, ...]:
    return values + tuple(variable.value for variable in variables[len(values) :])


def definition(shape: Shape, before: Flag | None) -> tuple[tuple[Variable, ...], tuple[Variation, ...]]:
    """Raises InvalidInput whose field is the control, such as `v1.value` or `w0.1`."""
    variables = tuple(
        _variable(row, number, f"v{at}")
        for at, (row, number) in enumerate(_numbered(shape.variables, before.variables if before else ()))
    )
    variations = tuple(
        _variation(row, number, variables, before, f"w{at}")
        for at, (row, number) in enumerate(_numbered(shape.variations, before.variations if before else ()))
    )
    return variables, variations


_Row = TypeVar("_Row", VariableRow, VariationRow, MetricRow)


def _numbered(
    typed: Iterable[_Row], before: Iterable[Variable | Variation | Metric]
) -> Iterable[tuple[_Row, int]]:
    """Each row with its id: exposures and conversions are counted by them, so a new row gets one nobody had."""
    highest = max((item.id for item in before), default=0)
    for row in typed:
        number = _id(row.id)
        if not number:
            highest += 1
            number = highest
        yield row, number


def _variable(row: VariableRow, number: int, at: str) -> Variable:
    check_key(row.key, field=f"{at}.key")
    kind: VariableType = next((kind for kind in get_args(VariableType) if kind == row.type), "string")
    return Variable(number, row.key, kind, typed(kind, row.value, f"{at}.value"))


def _variation(
    row: VariationRow, number: int, variables: Sequence[Variable], before: Flag | None, at: str
) -> Variation:
    check_key(row.key, field=f"{at}.key")
    old = before.variation(number) if before else None
    values = {
        variable.key: value
        for index, variable in enumerate(variables)
        if _is_own(value := _value(row, index, variable, at), variable, old)
    }
    return Variation(number, row.key, row.name, values)


def _value(row: VariationRow, index: int, variable: Variable, at: str) -> Value:
    """What was typed; a variable that has just been added, or left empty where text is impossible, has its default."""
    text = row.values[index] if index < len(row.values) else text_of(variable.value)
    if not text and variable.type != "string":
        text = text_of(variable.value)
    return typed(variable.type, text, f"{at}.{index}")


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
        shown = dict(TYPES)[kind]
        raise InvalidInput(f"{text[:40]!r} is not a {shown}; change it or the type", field=field) from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def metrics_of(flag: Flag) -> Metrics:
    return Metrics(
        tuple(
            MetricRow(str(metric.id), metric.identifier, metric.type, metric.revenue_prop)
            for metric in flag.metrics
        )
    )


def metrics(shape: Metrics, before: Flag) -> tuple[Metric, ...]:
    """What has no name is left out."""
    old: Mapping[int, Metric] = {metric.id: metric for metric in before.metrics}
    made: list[Metric] = []
    for row, number in _numbered([row for row in shape.metrics if row.identifier], before.metrics):
        kind = row.type if row.type in dict(METRIC_TYPES) else "CUSTOM_GOAL"
        revenue = row.revenue_prop if kind == "REVENUE_TRACKING" else ""
        has_props = old[number].has_props if number in old else False
        made.append(Metric(number, row.identifier, kind, has_props or bool(revenue), revenue))
    return tuple(made)


def stored(flag: Flag) -> dict[str, Stored]:
    """By field, as it is now, for somebody whose form is older."""
    variables = [
        f"{variable.key} ({dict(TYPES)[variable.type]}): {text_of(variable.value)}"
        for variable in flag.variables
    ]
    variations = [
        f"{variation.name or variation.key}: "
        + ", ".join(f"{key} {text_of(value)}" for key, value in flag.values_of(variation).items())
        for variation in flag.variations
    ]
    return {
        "name": Stored("Name", flag.name),
        "description": Stored("Description", flag.description),
        "lifetime": Stored("Lifetime", flag.lifetime),
        "variables": Stored("Variables", "; ".join(variables)),
        "variations": Stored("Variations", "; ".join(variations)),
        "metrics": Stored("Metrics", ", ".join(metric.identifier for metric in flag.metrics)),
    }
