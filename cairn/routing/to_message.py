"""A checked call as the message that destinations get. Pure. Source: contracts/segment.md 1.5.

The body is the sender's JSON, what its batch says for all calls merged under it, and what the server adds. A call that
the built-in analytics refuse for its time or depth goes to no destination either.
"""

from typing import Any

import msgspec

from cairn.event import Refused
from cairn.outcomes import Reason
from cairn.routing.message import Message, event_name
from cairn.wire.lenient import read_object
from cairn.wire.reading import MOST_DEPTH, check_depth
from cairn.wire.refusal import Rejected
from cairn.wire.segment_call import Call, CheckedCall
from cairn.wire.times import check_range, epoch_ms, happened_ms, iso_text

_Body = dict[str, Any]  # Any: foreign JSON

_VERSION = 2  # of Segment's message format
_CHANNELS = frozenset(("browser", "mobile", "server"))
_CHANNEL_OF_SOURCE = {"web": "browser", "mobile": "mobile"}
_CREDENTIALS = ("writeKey",)
_OBJECTS = ("context", "integrations", "_metadata")
_YEAR_10000_MS = 253_402_300_800_000


def message_of(checked: CheckedCall, position: int) -> Message | Refused:
    """`position`: the log position of this event, from which one without a `messageId` gets a stable one."""
    try:
        return _message(checked, position)
    except Rejected as rejected:
        return checked.refused(rejected)


def _message(checked: CheckedCall, position: int) -> Message:
    """Raises Rejected."""
    arrival, call, around = checked.arrival, checked.call, checked.around
    body = _own_body(checked)
    _merge_shared(body, checked)
    time_ms = _time_ms(call, around.sent_ms, arrival.received_ms)
    message_id = _message_id(call, position)
    received = iso_text(arrival.received_ms)
    body |= {
        "type": checked.kind,
        "messageId": message_id,
        "timestamp": iso_text(time_ms),
        "originalTimestamp": call.timestamp or received,
        "receivedAt": received,
        "channel": _channel(body, arrival.extra.get("kind")),
        "version": _VERSION,
    }
    if 0 < around.sent_ms < _YEAR_10000_MS:
        body["sentAt"] = iso_text(around.sent_ms)
    return Message(
        position=position,
        source_id=arrival.source_id,
        kind=checked.kind,
        event=event_name(checked.kind, body),
        user_id=call.user_id or "",
        anonymous_id=call.anonymous_id or "",
        message_id=message_id,
        received_ms=arrival.received_ms,
        time_ms=time_ms,
        body=body,
    )


def _own_body(checked: CheckedCall) -> _Body:
    """What the sender sent for this call, with texts that can be stored and without what counts as absent."""
    try:
        body = read_object(checked.raw) if checked.around.is_odd else msgspec.json.decode(checked.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = read_object(checked.raw)
    raw = bytes(checked.raw)
    if raw.count(b"{") + raw.count(b"[") > MOST_DEPTH:  # fewer cannot be deeper
        check_depth(body, MOST_DEPTH)
    for name in _CREDENTIALS:
        body.pop(name, None)
    for name in _OBJECTS:
        if name in body and not isinstance(body[name], dict):
            del body[name]
    return body


def _merge_shared(body: _Body, checked: CheckedCall) -> None:
    """Put what the batch says for all calls under the call's own. Raises Rejected where that would be too large."""
    around = checked.around
    if around.shared_refusal:
        raise Rejected(Reason.EVENT_TOO_LARGE, around.shared_refusal)
    for name, shared in (("context", around.context_json), ("integrations", around.integrations)):
        if shared:
            body[name] = shared | body[name] if body.get(name) else shared
    context = body.get("context") or {}
    if "ip" not in context and checked.arrival.ip and (around.is_web or context.get("direct") is True):
        body["context"] = {**context, "ip": checked.arrival.ip}


def _time_ms(call: Call, sent_ms: int, received_ms: int) -> int:
    """When it happened by our clock."""
    if call.timestamp is None or call.timestamp == "":
        return received_ms
    time_ms = happened_ms(epoch_ms(call.timestamp, "timestamp"), sent_ms, received_ms)
    check_range(time_ms, received_ms)
    return time_ms


def _message_id(call: Call, position: int) -> str:
    sent = call.message_id
    return f"cairn-{position:x}" if sent is None or sent == "" else str(sent)


def _channel(body: _Body, source_kind: Any) -> str:
    sent = body.get("channel")
    if isinstance(sent, str) and sent in _CHANNELS:
        return sent
    return _CHANNEL_OF_SOURCE.get(source_kind, "server")
