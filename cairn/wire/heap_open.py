"""The bodies of Heap's capture requests: JSON or protobuf, one message or many, told apart by their content.

Browsers send JSON as text/plain to be allowed to send it at all, so the content type decides only where bytes cannot.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from msgspec import Raw, Struct

from cairn.outcomes import Reason
from cairn.wire import capture_pb2
from cairn.wire.reading import open_batch
from cairn.wire.refusal import Rejected

MOST_MESSAGES = 5_000  # of one request; Heap's clients send 200
MOST_INFLATED_BYTES = 5_000_000  # of a body that says of itself that it is deflated
_ZLIB_HEAD = b"\x78"  # field 15 in protobuf, which no capture body begins with

Closed = Raw | bytes  # one message, not yet read
Parsed = TypeVar("Parsed", covariant=True)


class Reader(Protocol[Parsed]):
    """A protobuf message class. The runtime makes these classes as it loads, so no type checker knows them."""

    def FromString(self, body: bytes) -> Parsed: ...


class Opened(Struct, frozen=True):
    is_json: bool
    messages: Sequence[Closed]


class _Envelope(Struct):
    events: list[Raw] | None = None


_envelopes = msgspec.json.Decoder(_Envelope)
_closed: Reader[Any] = cast(Any, capture_pb2).ClosedBatch  # Any: a protobuf message


def open_messages(body: bytes, content_type: str = "") -> Opened:
    """The messages of a /track body. Raises Rejected when it is neither JSON nor a batch of messages, or empty."""
    if is_json(body, content_type):
        return Opened(True, _json_messages(body))
    messages = read_protobuf(_closed, body).events
    if not messages:
        raise Rejected(Reason.EMPTY_BATCH, "events: holds no messages; send at least one")
    return Opened(False, messages)


def first_message(messages: Sequence[Closed], key: str) -> Closed:
    """Of a request that is not yet accepted. Raises Rejected: a megabyte of empty messages would be half a million."""
    if len(messages) > MOST_MESSAGES:
        raise Rejected(
            Reason.TOO_MANY_EVENTS, f"{key}: {len(messages)} messages, {MOST_MESSAGES} are allowed"
        )
    return messages[0]


def is_json(body: bytes, content_type: str = "") -> bool:
    """No capture message in protobuf begins with a brace or bracket. A leading line feed is protobuf's, unless said."""
    if body[:1] in (b"{", b"["):
        return True
    return "json" in content_type or (body[:1] in (b" ", b"\t", b"\r") and body.lstrip()[:1] in (b"{", b"["))


def read_protobuf(reader: Reader[Parsed], body: bytes) -> Parsed:
    """Raises Rejected."""
    try:
        return reader.FromString(body)
    except DecodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"the message: is neither JSON nor protobuf ({error})") from error


def inflated(body: bytes) -> bytes:
    """The classic Android client deflates bodies, not always saying so. Raises Rejected."""
    if body[:1] != _ZLIB_HEAD:
        return body
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(body, MOST_INFLATED_BYTES)
    except zlib.error as error:
        raise Rejected(Reason.BAD_REQUEST, f"the body: cannot be inflated ({error})") from error
    if inflater.unconsumed_tail:
        raise Rejected(
            Reason.BODY_TOO_LARGE, f"the body: over {MOST_INFLATED_BYTES} bytes inflated; send fewer"
        )
    if not inflater.eof:
        raise Rejected(Reason.BAD_REQUEST, "the body: the deflated data ends too early; send it whole")
    return plain


def _json_messages(body: bytes) -> Sequence[Closed]:
    """Of {"events": [...]}, of an array, or the one message that the body is."""
    if body.lstrip()[:1] == b"[":
        body = b'{"events":' + body + b"}"
    envelope, messages = open_batch(body, _envelopes, "events")
    if envelope.events is None and not messages:
        return [body]
    if not messages:
        raise Rejected(Reason.EMPTY_BATCH, "events: holds no messages; send at least one")
    return messages
