"""What a connection changes in its messages: declared steps, each pure and described in one sentence. Pure."""

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cairn.routing.filters import PROTECTED, Percent
from cairn.routing.fql.evaluate import holds
from cairn.routing.message import Message
from cairn.routing.paths import MISSING, value_at, with_value, without
from cairn.routing.sampling import is_kept, script_json
from cairn.routing.typed_texts import FieldPath, Fql
from cairn.routing.weight import is_heavier
from cairn.wire.reading import check_depth
from cairn.wire.refusal import Rejected
from cairn.wire.segment import MOST_EVENT_BYTES

MOST_TRANSFORMATIONS = 50  # of a connection
# Of a value that is set: bytes as JSON, and levels of arrays and objects.
_MOST_SET_BYTES, _MOST_SET_DEPTH = 2_000, 8
# Of a message's body, after each step.
_MOST_LEVELS = 64
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

Body = dict[str, Any]  # Any: foreign JSON


class Transformation(
    Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True
):
    """One step. `condition`: only for messages that it holds for."""

    condition: Fql | None = None
    is_enabled: bool = True

    def apply(self, body: Body, message: Message) -> Body | None:
        """The body afterwards; None: the message is dropped."""
        raise NotImplementedError

    def sentence(self) -> str:
        raise NotImplementedError


class Rename(Transformation, frozen=True, tag="rename"):
    """What stands at `to` already is replaced. What would be nested too deep there drops the message."""

    source: FieldPath = msgspec.field(name="from")
    to: FieldPath

    def __post_init__(self) -> None:
        _check_target(self.source)
        _check_target(self.to)

    def apply(self, body: Body, message: Message) -> Body | None:
        value = value_at(body, self.source.path)
        if value is MISSING:
            return body
        if _is_too_large(value, self.to):
            return None
        return with_value(without(body, self.source.path), self.to.path, value)

    def sentence(self) -> str:
        return f"Rename {self.source.text} to {self.to.text}."


class Drop(Transformation, frozen=True, tag="drop"):
    path: FieldPath

    def __post_init__(self) -> None:
        _check_target(self.path)

    def apply(self, body: Body, message: Message) -> Body | None:
        return without(body, self.path.path)

    def sentence(self) -> str:
        return f"Remove {self.path.text}."


class Hash(Transformation, frozen=True, tag="hash"):
    """Text as 64 hexadecimal digits. The same text with the same salt always gives the same."""

    path: FieldPath
    salt: Annotated[str, Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        _check_target(self.path)

    def apply(self, body: Body, message: Message) -> Body | None:
        value = value_at(body, self.path.path)
        if value is MISSING or value is None:
            return body
        return with_value(body, self.path.path, self._hashed(value))

    def _hashed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item if item is None else self._hashed(item) for item in value]
        text = value if isinstance(value, str) else script_json(value)
        return hashlib.sha256((self.salt + text).encode(errors="replace")).hexdigest()

    def sentence(self) -> str:
        return f"Replace {self.path.text} by its SHA-256{' with a salt' if self.salt else ''}."


class Set(Transformation, frozen=True, tag="set"):
    path: FieldPath
    value: Any  # Any: JSON

    def __post_init__(self) -> None:
        _check_target(self.path)
        try:
            check_depth(self.value, _MOST_SET_DEPTH)
        except Rejected:
            raise ValueError(f"value: is nested more than {_MOST_SET_DEPTH} levels deep") from None
        if len(msgspec.json.encode(self.value)) > _MOST_SET_BYTES:
            raise ValueError(f"value: is over {_MOST_SET_BYTES} bytes")

    def apply(self, body: Body, message: Message) -> Body | None:
        return with_value(body, self.path.path, self.value)

    def sentence(self) -> str:
        shown = script_json(self.value)
        return f"Set {self.path.text} to {shown if len(shown) <= 80 else shown[:79] + '…'}."


class Copy(Transformation, frozen=True, tag="copy"):
    """What is larger than an event may be drops the message: copies of copies would double it with every step."""

    source: FieldPath = msgspec.field(name="from")
    to: FieldPath

    def __post_init__(self) -> None:
        _check_target(self.to)
        _check_named(self.source)
        if self.to.path[: len(self.source.path)] == self.source.path:
            raise ValueError(f"to: {self.to.text} is inside {self.source.text}")

    def apply(self, body: Body, message: Message) -> Body | None:
        value = value_at(body, self.source.path)
        if value is MISSING:
            return body
        return None if _is_too_large(value, self.to) else with_value(body, self.to.path, value)

    def sentence(self) -> str:
        return f"Copy {self.source.text} to {self.to.text}."


class Sample(Transformation, frozen=True, tag="sample"):
    """The same value at `path` is decided alike; an empty path: by the message."""

    percent: Percent
    path: FieldPath = FieldPath("")

    def apply(self, body: Body, message: Message) -> Body | None:
        by = value_at(body, self.path.path) if self.path.path else message.message_id
        return body if is_kept(by, self.percent) else None

    def sentence(self) -> str:
        by = f", decided by {self.path.text}" if self.path.path else ""
        return f"Keep {self.percent:g} % of the events{by}."


class Cast(Transformation, frozen=True, tag="cast"):
    """What cannot be read as the type stays as it is."""

    path: FieldPath
    to: Literal["text", "number", "boolean"]

    def __post_init__(self) -> None:
        _check_target(self.path)

    def apply(self, body: Body, message: Message) -> Body | None:
        value = value_at(body, self.path.path)
        if value is MISSING or value is None:
            return body
        cast = _CASTS[self.to](value)
        return body if cast is value else with_value(body, self.path.path, cast)

    def sentence(self) -> str:
        return f"Make {self.path.text} a {self.to} where it can be read as one."


AnyTransformation = Rename | Drop | Hash | Set | Copy | Sample | Cast


class PreviewStep(Struct, frozen=True):
    sentence: str
    before: Body
    after: Body | None  # None: the message is dropped here
    is_changed: bool


def describe(step: AnyTransformation) -> str:
    """For pages."""
    return f"Where {step.condition.text}: {step.sentence()}" if step.condition else step.sentence()


def transformed(message: Message, steps: Sequence[AnyTransformation]) -> Message | AnyTransformation:
    """The message after all steps, or the step that drops it."""
    body = message.body
    for step in steps:
        after = _applied(step, body, message)
        if after is None:
            return step
        body = after
    return message if body is message.body else message.with_body(body)


def preview(steps: Sequence[AnyTransformation], messages: Sequence[Message]) -> list[tuple[PreviewStep, ...]]:
    """Of each message, what each step makes of it, up to the one that drops it."""
    return [tuple(_previewed(steps, message)) for message in messages]


def _previewed(steps: Sequence[AnyTransformation], message: Message) -> list[PreviewStep]:
    shown: list[PreviewStep] = []
    body = message.body
    for step in steps:
        after = _applied(step, body, message)
        shown.append(PreviewStep(describe(step), body, after, is_changed=after != body))
        if after is None:
            break
        body = after
    return shown


def _applied(step: AnyTransformation, body: Body, message: Message) -> Body | None:
    if not step.is_enabled or (step.condition is not None and not holds(step.condition.test, body)):
        return body
    return step.apply(body, message)


def _is_too_large(value: Any, to: FieldPath) -> bool:
    return is_heavier(value, MOST_EVENT_BYTES, _MOST_LEVELS - len(to.path))


def _check_target(field: FieldPath) -> None:
    """Raises ValueError."""
    _check_named(field)
    if field.path[0] in PROTECTED:
        raise ValueError(f"{field.text}: a message keeps its {field.path[0]}")


def _check_named(field: FieldPath) -> None:
    if not field.path:
        raise ValueError("a path is empty; write for example properties.plan")


def _as_text(value: Any) -> Any:
    return value if isinstance(value, str) else script_json(value)


def _as_number(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if not (isinstance(value, str) and _NUMBER.fullmatch(value.strip()[:70])):
        return value
    text = value.strip()
    if not any(mark in text for mark in ".eE"):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else value


def _as_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else value
    return _BOOLEANS.get(value.strip().lower(), value) if isinstance(value, str) else value


_CASTS = {"text": _as_text, "number": _as_number, "boolean": _as_boolean}
