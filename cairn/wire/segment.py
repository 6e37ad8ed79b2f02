"""Segment's tracking API: one call, or a batch of them, read and checked. Where the calls go is routing's business.

Source: contracts/segment.md sections 1.1, 1.2 and 1.5. One result per event, in order; nothing here raises.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.event import Arrival, Refused
from cairn.outcomes import Reason
from cairn.wire.reading import MOST_DEPTH, Json, check_depth, may_hold_nul, open_batch, safe_json
from cairn.wire.refusal import Rejected, refused
from cairn.wire.segment_call import (
    Call,
    CheckedCall,
    Surroundings,
    decode_call,
    read_call,
    read_context,
    refused_call,
)
from cairn.wire.times import epoch_ms
from cairn.wire.users import LONGEST_ID, check_anonymous_id, check_identity

MOST_EVENTS = 2_500  # per batch
MOST_EVENT_BYTES = 32 * 1024  # of one event
TYPES = ("track", "identify", "page", "screen", "group", "alias")
_LONGEST_MESSAGE_ID = 100  # characters
# Of the `context`, and of the `integrations`, that a batch says for all its events.
_MOST_SHARED_KEYS = 500
_LONGEST_NAME = 1_024  # characters of an event's name, Heap's limit

Parsed = list[CheckedCall | Refused]


class Envelope(Struct):
    """A batch around its events. Ill-typed parts of it are left out; only `batch` must be right."""

    batch: list[Raw] | None = None
    context: Any = None  # Any: foreign JSON
    integrations: Any = None
    sent_at: Any = msgspec.field(default=None, name="sentAt")


_envelopes = msgspec.json.Decoder(Envelope)


def parse_segment(arrival: Arrival) -> Parsed:
    """`extra`: `type` (the path's, or "batch"), `workspace_id`, `kind` of the source."""
    if arrival.extra.get("type", "batch") != "batch":
        return [_one(arrival, arrival.body, _surroundings(arrival, None))]
    try:
        envelope, events = open_batch(arrival.body, _envelopes, "batch")
        if not events:
            raise Rejected(Reason.EMPTY_BATCH, "batch: holds no events; send at least one")
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]
    around = _surroundings(arrival, envelope)
    parsed: Parsed = [_one(arrival, raw, around) for raw in events[:MOST_EVENTS]]
    if len(events) > MOST_EVENTS:
        excess = Rejected(Reason.TOO_MANY_EVENTS, f"batch: one request carries {MOST_EVENTS} events at most")
        parsed += [refused(arrival, excess, raw) for raw in events[MOST_EVENTS:]]
    return parsed


def _surroundings(arrival: Arrival, envelope: Envelope | None) -> Surroundings:
    extra, body = arrival.extra, arrival.body
    around = Surroundings(
        kind=extra.get("type", "batch") if envelope is None else "",
        key_space=f"segment/{extra.get('workspace_id', 0)}",
        is_web=extra.get("kind") == "web",
        is_odd=may_hold_nul(body),
        may_be_large=len(body) > MOST_EVENT_BYTES,
    )
    if envelope is None:
        return around
    context = envelope.context if isinstance(envelope.context, dict) else {}
    integrations = envelope.integrations if isinstance(envelope.integrations, dict) else {}
    refusal = _shared_refusal(context, integrations, may_be_large=around.may_be_large)
    if around.is_odd and not refusal:
        context, integrations = safe_json(context), safe_json(integrations)
    return msgspec.structs.replace(
        around,
        context=read_context(envelope.context) or around.context,
        integrations=integrations,
        sent_ms=_sent_ms(envelope.sent_at),
        context_json=context,
        shared_refusal=refusal,
    )


def _shared_refusal(context: dict[str, Any], integrations: dict[str, Any], *, may_be_large: bool) -> str:
    """What each of 2,500 calls gets merged into it must be small, or half a megabyte becomes gigabytes."""
    for name, value in (("context", context), ("integrations", integrations)):
        if len(value) > _MOST_SHARED_KEYS:
            return f"{name}: of the batch has {len(value)} keys; {_MOST_SHARED_KEYS} are allowed"
        try:
            check_depth(value, MOST_DEPTH - 1)
        except Rejected:
            return f"{name}: of the batch is nested more than {MOST_DEPTH - 1} levels deep"
        if may_be_large and len(msgspec.json.encode(value)) > MOST_EVENT_BYTES:
            return f"{name}: of the batch is over {MOST_EVENT_BYTES} bytes"
    return ""


def _one(arrival: Arrival, raw: Raw | bytes, around: Surroundings) -> CheckedCall | Refused:
    call = None
    try:
        if around.may_be_large and len(memoryview(raw)) > MOST_EVENT_BYTES:
            raise Rejected(
                Reason.EVENT_TOO_LARGE, f"the event: over {MOST_EVENT_BYTES} bytes; send fewer properties"
            )
        call = read_call(raw) if around.is_odd else decode_call(raw)
        if call.sent_at is not None and not around.sent_ms:
            around = msgspec.structs.replace(around, sent_ms=_sent_ms(call.sent_at))
        kind = check_call(call, around.kind or call.type)
        return CheckedCall(arrival, raw, call, kind, around)
    except Rejected as rejected:
        return refused(arrival, rejected, raw) if call is None else refused_call(arrival, raw, call, rejected)


def check_call(call: Call, kind: str | None) -> str:
    """Return the call's type. Raises Rejected in Segment's vocabulary."""
    if kind is None or kind not in TYPES:
        raise Rejected(Reason.TYPE_UNKNOWN, f"type: {str(kind)[:40]!r} is none of {', '.join(TYPES)}")
    message_id = call.message_id
    if isinstance(message_id, str) and len(message_id) > _LONGEST_MESSAGE_ID:
        detail = f"messageId: {len(message_id)} characters, {_LONGEST_MESSAGE_ID} are allowed"
        raise Rejected(Reason.MESSAGE_ID_TOO_LONG, detail)
    if call.user_id:
        check_identity(call.user_id, "userId")
    elif not call.anonymous_id:
        raise Rejected(Reason.NO_USER, "userId: is missing, and so is anonymousId; send one of them")
    if call.anonymous_id and len(call.anonymous_id) > LONGEST_ID:
        check_anonymous_id(call.anonymous_id, "anonymousId")
    if kind == "track":
        name = call.event
        if name is None or not name or name.isspace():
            raise Rejected(Reason.EVENT_NOT_DEFINED, "event: is missing or empty; name what happened")
        if len(name) > _LONGEST_NAME:
            raise Rejected(
                Reason.EVENT_NAME_TOO_LONG, f"event: {len(name)} characters, {_LONGEST_NAME} are allowed"
            )
    return kind


def _sent_ms(value: Json) -> int:
    """0 when there is none, or none that can be read: then there is no clock to set right."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return 0
    try:
        return max(0, epoch_ms(value, "sentAt"))
    except Rejected:
        return 0
