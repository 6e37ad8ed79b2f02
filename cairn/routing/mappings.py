"""Mappings of a connection: which messages it sends, and from what their fields are filled. Pure.

Where a destination has presets (destination.Preset), a mapping says which of the preset's fields are filled otherwise.
Elsewhere it fills members of the message itself. The first mapping whose trigger holds counts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cairn.routing.destination import Destination
from cairn.routing.directives import MappingRefused, check_mapping, resolve
from cairn.routing.filters import PROTECTED
from cairn.routing.fql.evaluate import holds
from cairn.routing.message import Message
from cairn.routing.typed_texts import Fql
from cairn.routing.weight import is_heavier

MOST_MAPPINGS = 50  # of a connection
# Of a mapping's fields, as JSON: each may hold the whole message again.
_MOST_BYTES = 8_000
# Of what a mapping makes of one message.
_MOST_MADE_BYTES, _MOST_LEVELS = 1_000_000, 96


class Mapping(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    trigger: Fql
    fields: dict[str, Any] = {}  # Any: by field a value or a directive (routing/directives.py)
    name: str = ""
    is_enabled: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError."""
        try:
            check_mapping(self.fields, "fields")
        except MappingRefused as refused:
            raise ValueError(str(refused)) from refused
        if any(name.startswith("@") for name in self.fields):
            raise ValueError("fields: expected names of fields, and directives as their values")
        if len(msgspec.json.encode(self.fields)) > _MOST_BYTES:
            raise ValueError(f"fields: are over {_MOST_BYTES} bytes")


class Unmapped(Struct, frozen=True):
    """No mapping makes anything of a message; says why."""

    detail: str


def mapped(message: Message, mappings: Sequence[Mapping], destination: Destination) -> Message | Unmapped:
    if not mappings:
        return message
    mapping = _triggered(message, mappings)
    if mapping is None:
        return Unmapped("the trigger of no mapping holds for this event")
    if not mapping.fields:
        return message
    filled = resolve(mapping.fields, message.body)
    if is_heavier(filled, _MOST_MADE_BYTES, _MOST_LEVELS):
        return Unmapped(f"mapping {_shown(mapping)}: makes over {_MOST_MADE_BYTES} bytes of this event")
    if destination.presets:
        return msgspec.structs.replace(message, mapping=mapping.fields)
    if not filled:
        return Unmapped(f"mapping {_shown(mapping)}: finds nothing in this event")
    kept = {name: value for name, value in message.body.items() if name not in mapping.fields}
    return message.with_body({**kept, **filled})


def _shown(mapping: Mapping) -> str:
    return mapping.name or mapping.trigger.text[:100]


def _triggered(message: Message, mappings: Sequence[Mapping]) -> Mapping | None:
    triggered = (
        mapping for mapping in mappings if mapping.is_enabled and holds(mapping.trigger.test, message.body)
    )
    return next(triggered, None)


def check_fields(mapping: Mapping, destination: Destination) -> str:
    """What is wrong with a mapping's fields for a destination; empty: nothing."""
    if not destination.presets:
        wrong = sorted(PROTECTED & mapping.fields.keys())
        return f"{wrong[0]}: a message keeps its {wrong[0]}" if wrong else ""
    known = {name for preset in destination.presets for name in preset.fields}
    unknown = sorted(mapping.fields.keys() - known)
    if not unknown:
        return ""
    return f"{unknown[0][:100]}: {destination.name} has no such field; it has {', '.join(sorted(known))}"
