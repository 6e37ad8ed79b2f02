"""Passes requests on to the core over its local socket, streaming both ways, server-sent events included.

One connection per request: connecting to a local socket takes microseconds, and a kept connection to a process that
may be killed at any moment would turn every restart into a failed request.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httptools
import msgspec

from cairn.away_page import MOST_KEPT, away_form, away_page, fields_of, may_keep
from cairn.client_address import TrustedProxies, customer_of
from cairn.http_server.limits import UPLOAD_S, Limits, is_upload, most_body_bytes

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]  # Any: ASGI's own untyped shape
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECT_S = 1.0
FIRST_BYTE_S = 60.0  # questions end after 10 s; beyond this the core hangs
CHUNK_BYTES = 65_536
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# The edge knows these better than their sender; `expect` was answered by the edge's own server.
OURS = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"expect"))

# For the pages that the edge makes itself, as the core has them for its own (web/guard.py).
PAGE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class CoreAway(Exception):
    """The core does not answer; nothing of its answer was passed on yet."""


class Proxy:
    """An ASGI application that is the core, as far as callers can tell."""

    def __init__(
        self, socket: Path, limits: Limits, trusted: TrustedProxies, *, first_byte_s: float = FIRST_BYTE_S
    ) -> None:
        self._socket = socket
        self._limits, self._trusted = limits, trusted
        self._open: Counter[str] = Counter()  # requests being passed on, by who sent them
        self._refused = 0
        self._first_byte_s = first_byte_s
        self._streams: set[asyncio.StreamWriter] = (
            set()
        )  # answers without an end, to be cut when the edge stops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _length(scope["headers"]) > most_body_bytes(_raw_path(scope)):
            await _say_too_large(scope, send)
            return
        client = customer_of(scope["client"][0]) if scope.get("client") else ""
        if self._is_full(client):
            self._refused += 1
            await _say(scope, send, 503, "busy", "too many requests at once; try again in a second")
            return
        self._open[client] += 1
        try:
            await self._pass_on(scope, receive, send)
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def report(self) -> dict[str, int]:
        return {"open": self._open.total(), "most": self._limits.proxied, "refused": self._refused}

    def _is_full(self, client: str) -> bool:
        is_one_of_many = (
            client not in self._trusted and self._open[client] >= self._limits.proxied_per_address
        )
        return is_one_of_many or self._open.total() >= self._limits.proxied

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=CHUNK_BYTES)
        except (OSError, TimeoutError):
            await say_away(scope, send, await _read_form(scope, receive))
            return
        exchange = _Exchange(scope, receive, send, reader, writer)
        try:
            await self._exchanged(exchange)
        except CoreAway:
            await say_away(scope, send, exchange.form, may_be_saved=True)
        except _BodyTooLarge:
            await _say_too_large(scope, send)
        except TimeoutError:
            await _say(scope, send, 504, "core_silent", "the core did not answer in time; try again")
        finally:
            self._streams.discard(writer)
            writer.transport.abort()

    def cut_streams(self) -> None:
        """End every endless answer; its reader connects again."""
        for writer in list(self._streams):
            writer.transport.abort()

    async def _exchanged(self, exchange: "_Exchange") -> None:
        uploading = asyncio.create_task(exchange.upload())
        try:
            takes_file = is_upload(_raw_path(exchange.scope))
            async with asyncio.timeout(UPLOAD_S if takes_file else self._first_byte_s) as limit:
                await exchange.read_head(uploading)
                limit.reschedule(None)
            if exchange.answer.is_stream:
                self._streams.add(exchange.writer)
            await exchange.pass_on()
        finally:
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)


class _BodyTooLarge(Exception):
    pass


class _Answer:
    """What the core said, as the parser finds it."""

    def __init__(self, method: str) -> None:
        self._has_body = method != "HEAD"
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.has_head = self.is_done = False

    @property
    def is_stream(self) -> bool:
        return any(name == b"content-type" and b"event-stream" in value for name, value in self.headers)

    @property
    def ends_with_connection(self) -> bool:
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.has_head = True
        self.is_done = not self._has_body

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.is_done = True


class _Exchange:
    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._reader, self.writer = reader, writer
        self.form = bytearray() if _may_keep(scope) else None  # what was sent; None: it is not kept
        self.answer = _Answer(scope["method"])
        self._parser = httptools.HttpResponseParser(self.answer)

    async def upload(self) -> None:
        """Send the request; then wait for the caller to leave, which ends the exchange."""
        chunked = not any(name == b"content-length" for name, _ in self.scope["headers"])
        try:
            self.writer.write(request_head(self.scope))
            size, most = 0, most_body_bytes(_raw_path(self.scope))
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.writer.transport.abort()
                    return
                body = message.get("body", b"")
                size += len(body)
                if size > most:
                    self.writer.transport.abort()
                    raise _BodyTooLarge
                if self.form is not None:
                    self.form += body
                if chunked and body:
                    body = b"%x\r\n%b\r\n" % (len(body), body)
                if chunked and not message.get("more_body"):
                    body += b"0\r\n\r\n" if _has_body(self.scope) else b""
                self.writer.write(body)
                await self.writer.drain()
        except OSError:
            return  # the core is gone or has heard enough; what it says is read by `pass_on`

    async def read_head(self, uploading: "asyncio.Task[None]") -> None:
        """Raises CoreAway, or _BodyTooLarge from the upload."""
        while not self.answer.has_head:
            reading = asyncio.ensure_future(self._reader.read(CHUNK_BYTES))
            try:
                waiting: set[asyncio.Future[Any]] = {reading}  # Any: two kinds of results
                if not uploading.done():
                    waiting.add(uploading)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if uploading.done() and isinstance(uploading.exception(), _BodyTooLarge):
                    raise _BodyTooLarge
                data = await reading
            except OSError as error:
                raise CoreAway from error
            finally:
                reading.cancel()
            if not data or not self._fed(data):
                raise CoreAway

    async def pass_on(self) -> None:
        """Returning without the last part breaks the caller's connection: it sees that the answer is not whole."""
        headers = [
            pair for pair in self.answer.headers if pair[0] not in HOP_BY_HOP and pair[0] not in _SERVERS_OWN
        ]
        await self._send(
            {"type": "http.response.start", "status": self._parser.get_status_code(), "headers": headers}
        )
        while not self.answer.is_done:
            await self._send_parts()
            try:
                data = await self._reader.read(CHUNK_BYTES)
            except OSError:
                data = b""
            if not data and (self.answer.ends_with_connection or self.answer.is_stream):
                break
            if not data or not self._fed(data):
                return
        await self._send_parts()
        await self._send({"type": "http.response.body", "body": b""})

    def _fed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            logger.exception("core_answer_unreadable")
            return False
        return True

    async def _send_parts(self) -> None:
        if self.answer.parts:
            body = b"".join(self.answer.parts)
            self.answer.parts.clear()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


_SERVERS_OWN = frozenset((b"date", b"server"))  # the edge's server writes its own


def request_head(scope: Scope) -> bytes:
    """The request line and headers for the core: as they came, minus what belongs to the caller's connection."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    gone = HOP_BY_HOP | OURS | _named_by_connection(headers)
    target = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target)]
    lines += [name + b": " + value for name, value in headers if name not in gone]
    client = scope["client"][0].encode() if scope.get("client") else b"unknown"
    host = next((value for name, value in headers if name == b"host"), b"")
    lines += [
        b"x-forwarded-for: " + client,
        b"x-forwarded-proto: " + scope["scheme"].encode(),
        b"x-forwarded-host: " + host,
        b"connection: close",
    ]
    if _has_body(scope) and not any(name == b"content-length" for name, _ in headers):
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _named_by_connection(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Headers a caller declared to be about its own connection only."""
    named = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(name.strip().lower() for name in named.split(b",")) - {b"host", b"content-length"}


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _length(headers: list[tuple[bytes, bytes]]) -> int:
    value = next((value for name, value in headers if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0


def _may_keep(scope: Scope) -> bool:
    """A form of a page of ours that is short enough to be shown again."""
    target = _target(scope)
    is_place = target.startswith("/env/") and "\\" not in target
    return is_place and _length(scope["headers"]) <= MOST_KEPT and may_keep(scope["method"], scope["headers"])


def _target(scope: Scope) -> str:
    return _raw_path(scope).decode("latin-1")


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw


async def _say_too_large(scope: Scope, send: Send) -> None:
    most = most_body_bytes(_raw_path(scope)) // 2**20
    await _say(scope, send, 413, "body_too_large", f"the request body may have {most} MB")


async def _read_form(scope: Scope, receive: Receive) -> bytearray | None:
    """What was sent while the core was away; None: it is not kept, or its sender left."""
    if not _may_keep(scope):
        return None
    form, is_more = bytearray(), True
    while is_more and len(form) <= MOST_KEPT:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        form += message.get("body", b"")
        is_more = message.get("more_body", False)
    return None if is_more else form


async def say_away(
    scope: Scope, send: Send, form: bytearray | None = None, *, may_be_saved: bool = False
) -> None:
    """What callers get while the core restarts: people a page that comes back, programs a problem to retry.

    `form`: what was typed, to be sent again. `may_be_saved`: the core had it before it went away.
    """
    accepts = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if b"text/html" not in accepts:
        detail = "the core is restarting; events and flags go on; try again in a second"
        await _say(scope, send, 503, "unavailable", detail)
        return
    if scope["method"] == "POST":
        pairs = fields_of(bytes(form)) if form is not None and len(form) <= MOST_KEPT else None
        page, policy = away_form(_target(scope), pairs, may_be_saved=may_be_saved)
    else:
        page, policy = away_page()
    headers = (*PAGE_HEADERS, (b"content-security-policy", policy.encode()))
    await _send_all(scope, send, 503, b"text/html; charset=utf-8", page, headers)


async def _say(scope: Scope, send: Send, status: int, code: str, detail: str) -> None:
    problem = {
        "type": "about:blank",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    await _send_all(scope, send, status, b"application/problem+json", msgspec.json.encode(problem))


async def _send_all(
    scope: Scope,
    send: Send,
    status: int,
    content_type: bytes,
    body: bytes,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
