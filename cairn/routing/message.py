"""A call on its way to destinations: the JSON its sender sent, with what the server adds to it.

Source: contracts/segment.md 1.5. The body is what filters, mappings and transformations read; the other fields are what
delivery needs of every message.
"""

from typing import Any

import msgspec
from msgspec import Struct


class Message(Struct, frozen=True):
    """Never changed in place: a step that changes something makes another message with a body of its own."""

    position: int  # log_position: rises along the log, unique, the same after a crash
    source_id: int
    kind: str  # track, identify, page, screen, group or alias
    event: str  # of a track call; of page and screen their name; else empty
    user_id: str  # empty: none
    anonymous_id: str  # empty: none
    message_id: str  # the sender's, or one made from the position: the same for a repeat
    received_ms: int
    time_ms: int  # when it happened, by our clock
    body: dict[str, Any]  # Any: foreign JSON
    # The fields of its destination's preset that the connection fills otherwise; they have passed `check_mapping`.
    mapping: dict[str, Any] = {}  # Any: values and directives

    @property
    def order_key(self) -> str:
        """Messages with the same key are delivered in their order."""
        return self.user_id or self.anonymous_id

    def with_body(self, body: dict[str, Any]) -> "Message":
        """Of another body: who and what it is are read from that again. Its type and messageId stay."""
        return msgspec.structs.replace(
            self,
            body=body,
            event=event_name(self.kind, body),
            user_id=_text(body.get("userId")),
            anonymous_id=_text(body.get("anonymousId")),
        )


def event_name(kind: str, body: dict[str, Any]) -> str:
    if kind == "track":
        return _text(body.get("event"))
    return _text(body.get("name")) if kind in ("page", "screen") else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
