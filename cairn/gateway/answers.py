"""What the gateway hears and says over ASGI: a request read once, and an answer no SDK can trip over.

Every answer is JSON with a length and open to browsers of any origin (contracts/wingify.md 3.7). There is no status
for "our fault" here: an SDK blocks its application for 14 seconds on anything but 200 and 400.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from cairn.gateway.request_line import WRITTEN_QUERY

Scope = MutableMapping[str, Any]  # Any: ASGI's own untyped shape
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, X-Device-User-Agent, VWO-X-Forwarded-For, Content-Type",
    ),
    (b"access-control-max-age", b"86400"),
)


class Answer(Struct, frozen=True):
    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


_KEPT_BYTES = 8_000  # 2,000 characters

EMPTY = Answer(b"{}")
TRUE = Answer(b"true")  # bare: any JSON object means "is in the list" to the Node SDK
FALSE = Answer(b"false")


def refusal(message: str, *, status: int = 400) -> Answer:
    return Answer(msgspec.json.encode({"error": message}), status)


class Disconnected(Exception):
    """The caller went away before it had sent its whole body."""


class Request:
    """One request; the query stays raw because the list check must not be parsed the usual way."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get(WRITTEN_QUERY, scope["query_string"])
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._parameters: dict[str, str] | None = None

    def header(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self._headers if key == name), "")

    def parameter(self, name: str) -> str:
        """A query parameter; the literals SDKs write for "unknown" count as absent."""
        if self._parameters is None:
            pairs = parse_qsl(self.query.decode("latin-1"), keep_blank_values=True)
            self._parameters = {key: known(value) for key, value in pairs}
        return self._parameters.get(name, "")

    async def body(self, limit_bytes: int) -> bytes | None:
        """The whole body, None when it is over the limit. Raises Disconnected."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit_bytes:
                return None
            if not message.get("more_body"):
                return b"".join(parts)

    async def beginning(self, limit_bytes: int) -> bytes:
        """Of a body that is not wanted; the rest is read and dropped, so that the caller sees the answer."""
        kept = b""
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk: bytes = message.get("body", b"")
            kept += chunk[: _KEPT_BYTES - len(kept)]
            size += len(chunk)
            if size > limit_bytes or not message.get("more_body"):
                return kept


def known(value: str) -> str:
    """Node writes `undefined` or `null` for what it does not know, Python `None` (contracts/wingify.md 3.4)."""
    return "" if value in ("undefined", "null", "None") else value


async def say(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", b"application/json"),  # Node refuses a GET's answer under any other type
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *CORS,
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
