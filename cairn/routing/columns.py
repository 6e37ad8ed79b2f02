"""A message as a row: what tables and Parquet files have columns for, and the whole of it as JSON. Pure."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from cairn.routing.message import Message
from cairn.routing.payload import json_bytes
from cairn.wire.reading import safe_json, safe_text

_NUL = b"\\u0000"  # as JSON writes it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(Struct, frozen=True):
    """Every text is valid and free of NUL, as databases demand."""

    message_id: str
    type: str
    event: str | None
    user_id: str | None
    anonymous_id: str | None
    timestamp: datetime
    received_at: datetime
    body: str  # JSON


NAMES = Row.__struct_fields__


def row_of(message: Message) -> Row:
    """Raises NotForDestination."""
    return Row(
        safe_text(message.message_id),
        message.kind,
        _text(message.event),
        _text(message.user_id),
        _text(message.anonymous_id),
        _EPOCH + timedelta(milliseconds=message.time_ms),
        _EPOCH + timedelta(milliseconds=message.received_ms),
        _json(message),
    )


def _json(message: Message) -> str:
    """Made safe only where it must be: to look at every text costs more than all else."""
    body = json_bytes(message.body)
    return (json_bytes(safe_json(message.body)) if _NUL in body else body).decode()


def _text(text: str) -> str | None:
    return safe_text(text) or None
