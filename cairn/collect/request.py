"""One HTTP request as the collector needs it, and the reading of its body within a limit."""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from msgspec import Struct

from cairn.outcomes import Reason
from cairn.wire.refusal import Rejected

Message = MutableMapping[str, Any]  # Any: ASGI
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# A refused body is read on to this length, so that the client sees the answer and not a reset connection.
_DRAIN_BYTES = 8 * 2**20
# What packing may add to a body that cannot be packed: 5 bytes for every 16 KB, and heads.
_PACKING_BYTES = 2**16
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Disconnected(Exception):
    """The client went away before its body was complete."""


class BodyTooLarge(Rejected):
    """The body is over its limit. Carries its beginning, so that people recognise the request on the Live page."""

    def __init__(self, limit: int, beginning: bytes) -> None:
        super().__init__(Reason.BODY_TOO_LARGE, f"the body: over {limit} bytes; send smaller requests")
        self.beginning = beginning


class Request(Struct, frozen=True):
    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]  # lower-case names
    ip: str

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


def request_of(scope: Scope, path: str) -> Request:
    client = scope.get("client")
    return Request(
        scope["method"],
        path,
        scope.get("query_string", b""),
        dict(scope["headers"]),
        client[0] if client else "",
    )


async def read_body(
    request: Request, receive: Receive, limit: int, *, encodings: tuple[str, ...] = ("gzip",)
) -> bytes:
    """The body, decompressed. Raises Rejected (too large, bad encoding) and Disconnected.

    Guarantee: never holds more than the limit and one network read. The public port ends what comes too slowly
    (http_server/), because a timer for each request costs more than reading a body that is already there.
    """
    encoding = request.header(b"content-encoding").strip().lower()
    if encoding not in ("", "identity", *encodings):
        raise Rejected(
            Reason.BAD_REQUEST, f"Content-Encoding: {encoding[:40]!r} is not supported; send gzip or none"
        )
    inflater = zlib.decompressobj(_WINDOWS[encoding]) if encoding in _WINDOWS else None
    chunks = _chunks(receive)
    try:
        return await _receive_all(chunks, limit, inflater)
    except Rejected:
        await _drain(chunks)
        raise


async def _receive_all(
    chunks: AsyncIterator[bytes], limit: int, inflater: Any
) -> bytes:  # Any: zlib's type has no public name
    parts: list[bytes] = []
    size = received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > limit + _PACKING_BYTES:  # packed bytes may stand for nothing, without end
            raise BodyTooLarge(limit, b"".join(parts))
        if inflater is not None:
            chunk = _inflate(inflater, chunk, limit + 1 - size)
        size += len(chunk)
        parts.append(chunk)
        if size > limit:
            raise BodyTooLarge(limit, b"".join(parts))
    if inflater is not None and not inflater.eof:
        raise Rejected(Reason.BAD_REQUEST, "Content-Encoding: the body ends too early; send it whole")
    return b"".join(parts)


def _inflate(inflater: Any, chunk: bytes, room: int) -> bytes:
    if inflater.eof:
        return b""  # whatever follows the end is not the body; zlib would keep it all
    try:
        found: bytes = inflater.decompress(chunk, max(1, room))
    except zlib.error as error:
        raise Rejected(Reason.BAD_REQUEST, "Content-Encoding: the body is not what it says") from error
    return found


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    drained = 0
    async for chunk in chunks:
        drained += len(chunk)
        if drained > _DRAIN_BYTES:
            return
