"""A draft made of protobuf: its text is valid Unicode but may hold NUL, which the stores behind us refuse."""

from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from cairn.event import Draft, Scalar
from cairn.wire.reading import safe_text

_ELEMENT_TEXTS = ("hierarchy", "tag", "dom_id", "classes", "text", "href", "label")
_DRAFT_TEXTS = ("name", "identity", "key", "library", "user_agent", "detail")
_DRAFT_MAPS = ("facts", "properties", "user_properties")
Value = TypeVar("Value", bound=Scalar)


def made_safe(draft: Draft) -> Draft:
    element = draft.element
    if element is not None:
        texts = {name: safe_text(getattr(element, name)) for name in _ELEMENT_TEXTS}
        element = msgspec.structs.replace(element, **texts, attributes=_safe_map(element.attributes))
    texts = {name: safe_text(getattr(draft, name)) for name in _DRAFT_TEXTS}
    maps = {name: _safe_map(getattr(draft, name)) for name in _DRAFT_MAPS}
    return msgspec.structs.replace(draft, **texts, **maps, element=element)


def _safe_map(values: Mapping[str, Value]) -> dict[str, Value]:
    return {
        safe_text(key): cast(Value, safe_text(value)) if isinstance(value, str) else value
        for key, value in values.items()
    }
