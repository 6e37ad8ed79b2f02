"""Messages for routing's tests, made as delivery makes them: from an arrival, through the parser."""

from typing import Any

from cairn.event import Refused
from cairn.routing.message import Message
from cairn.routing.to_message import message_of
from cairn.wire.segment import parse_segment
from cairn.wire.segment_call import CheckedCall
from tests.wire.arrivals import arrival

POSITION = 1 << 30


def messages(body: Any, **extra: Any) -> list[Message | Refused]:
    """Of a request's calls; `extra` is what the collector noted of it (`type`, the source's `kind`)."""
    parsed = parse_segment(arrival("segment", body, **{"type": "batch", "workspace_id": 2, **extra}))
    return [
        message_of(event, POSITION + number) if isinstance(event, CheckedCall) else event
        for number, event in enumerate(parsed)
    ]


def message(call: dict[str, Any] | None = None, **fields: Any) -> Message:
    """Of one call in a batch; a track call unless it says otherwise."""
    call = {"type": "track", "event": "Plan Chosen", "userId": "u-77", **(call or {}), **fields}
    [made] = messages({"batch": [call]})
    assert isinstance(made, Message), made
    return made
