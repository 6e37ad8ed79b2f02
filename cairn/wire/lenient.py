"""Wrong types in one event: a decoder gives up on the whole; here each field gets its own verdict.

Fields that say who or what are refused by name; the rest is left out, as the vendors do.
"""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from cairn.outcomes import Reason
from cairn.wire.reading import Json, read
from cairn.wire.refusal import Rejected

Typed = TypeVar("Typed", bound=Struct)

NUMBER = (int, float)


class FieldRule(Struct, frozen=True):
    """What a field may be besides null. Without a reason a field of another type counts as absent."""

    name: str
    types: tuple[type, ...]
    reason: Reason | None = None
    form: str = ""  # how it should be, for the refusal's detail


def read_object(raw: bytes | Raw) -> dict[str, Json]:
    """The slow road of one event, before its fields are decoded one by one. Raises Rejected."""
    value = read(raw)
    if not isinstance(value, dict):
        raise Rejected(Reason.BAD_REQUEST, f"the event: must be an object, not {_type_name(value)}")
    return value


def decoded_leniently(
    value: dict[str, Json], rules: tuple[FieldRule, ...], path: str = ""
) -> dict[str, Json]:
    kept = dict(value)
    for rule in rules:
        field_value = value.get(rule.name)
        if field_value is None or (isinstance(field_value, rule.types) and not isinstance(field_value, bool)):
            continue
        if rule.reason is not None:
            raise Rejected(
                rule.reason, f"{path}{rule.name}: must be {rule.form}, not {_type_name(field_value)}"
            )
        del kept[rule.name]
    return kept


def to_typed(value: dict[str, Json], typed: type[Typed]) -> Typed:
    try:
        return msgspec.convert(value, typed)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.BAD_REQUEST, str(error)) from error


def _type_name(value: Json) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")
