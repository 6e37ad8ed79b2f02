"""Sends prepared HTTP requests over several connections as fast as they are answered, or at a steady rate.

One process, one event loop, no parsing beyond what is needed: on two cores the sender competes with what it measures.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import cast
from urllib.parse import urlsplit

import uvloop

_ACCEPTED = b"HTTP/1.1 200 "
_END_OF_HEADERS = b"\r\n\r\n"
_LENGTH = b"content-length: "
_CHUNKED = b"transfer-encoding: chunked"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Sent:
    """What became of the requests."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.failed = 0
        self.seconds = 0.0

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0


def request(url: str, path: str, body: bytes, *, user_agent: str = "") -> bytes:
    split = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nhost: {split.netloc}\r\ncontent-type: application/json\r\n"
    if user_agent:
        head += f"user-agent: {user_agent}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def send(
    url: str,
    requests: Iterator[bytes],
    *,
    connections: int,
    per_s: float | None = None,
    until: Callable[[], bool] = lambda: False,
) -> Sent:
    """Send until the requests end or `until` says so. `per_s`: not more than so many a second, evenly."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send(url, requests, connections, per_s, until))


async def _send(
    url: str, requests: Iterator[bytes], connections: int, per_s: float | None, until: Callable[[], bool]
) -> Sent:
    loop = asyncio.get_running_loop()
    split = urlsplit(url)
    sent = Sent()
    pace = _Pace(loop, per_s)
    began = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: _Connection(requests, sent, pace, until, loop.create_future()),
            str(split.hostname),
            split.port or 80,
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    sent.seconds = time.perf_counter() - began
    return sent


class _Pace:
    """Gives each request its moment; a request that comes too late is sent at once and its wait counts as latency."""

    def __init__(self, loop: asyncio.AbstractEventLoop, per_s: float | None) -> None:
        self._loop = loop
        self._gap_s = 1 / per_s if per_s else 0.0
        self._next = loop.time()

    def due(self) -> float:
        if not self._gap_s:
            return self._loop.time()
        self._next += self._gap_s
        return self._next


class _Connection(asyncio.Protocol):
    def __init__(
        self,
        requests: Iterator[bytes],
        sent: Sent,
        pace: _Pace,
        until: Callable[[], bool],
        done: "asyncio.Future[None]",
    ) -> None:
        self._requests, self._sent, self._pace, self._until = requests, sent, pace, until
        self.done = done
        self._answer = b""
        self._due = 0.0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is not a subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data if self._answer else data
        if not _is_whole(answer):
            self._answer = answer
            return
        self._answer = b""
        if answer.startswith(_ACCEPTED):
            self._sent.latencies_ms.append((self._loop.time() - self._due) * 1000)
        else:
            self._sent.failed += 1
        self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self._sent.failed += 1
            self.done.set_result(None)

    def _next(self) -> None:
        body = None if self._until() else next(self._requests, None)
        if body is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._due = self._pace.due()
        if self._due > self._loop.time():
            self._loop.call_at(self._due, self._transport.write, body)
        else:
            self._transport.write(body)


def _is_whole(answer: bytes) -> bool:
    end = answer.find(_END_OF_HEADERS)
    if end < 0:
        return False
    head = answer[:end].lower()
    place = head.find(_LENGTH)
    if place >= 0:
        length = int(head[place + len(_LENGTH) :].split(b"\r", 1)[0])
        return len(answer) >= end + len(_END_OF_HEADERS) + length
    return _CHUNKED not in head or answer.endswith(_LAST_CHUNK)
