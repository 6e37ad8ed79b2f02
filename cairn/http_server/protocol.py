"""The public port's HTTP/1.1: uvicorn's protocol, held to the limits of `limits.py`, with the request line repaired.

What does not fit is answered and the connection ended. An answer under way is finished before that, so that no client
takes our refusal of its next request for the answer to its last.
"""

import re
from typing import Any, cast

import httptools

from cairn.gateway.app import PATHS as FLAG_PATHS
from cairn.gateway.request_line import LONGEST_LINE, LenientProtocol
from cairn.http_server.connections import Connections, Refused, State
from cairn.http_server.limits import (
    BODY_BYTES_PER_S,
    BODY_PAUSE_S,
    BODY_S,
    MOST_DRY_BYTES,
    MOST_HEADER_BYTES,
    MOST_PIPELINED,
    UPLOAD_S,
    is_upload,
)

_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+;=:\[\]-]*")
_ANSWERS: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%s"
    b"connection: close\r\n\r\n%s" % (status, phrase, len(text), more, text)
    for status, phrase, more, text in (
        (400, b"Bad Request", b"", b"This is not a valid HTTP/1.1 request."),
        (408, b"Request Timeout", b"", b"The request took too long; send it again."),
        (431, b"Request Header Fields Too Large", b"", b"The headers may have 16 KB in all."),
        (503, b"Service Unavailable", b"retry-after: 1\r\n", b"Too many requests at once; try again."),
    )
}
_STATUSES = {
    Refused.HEADERS_TOO_LARGE: 431,
    Refused.HEADERS_TOO_SLOW: 408,
    Refused.BODY_TOO_SLOW: 408,
    Refused.BODY_NOT_KEPT: 503,
    Refused.MADE_ROOM: 503,
    Refused.BUSY: 503,
    Refused.FULL: 503,
    Refused.ADDRESS_FULL: 503,
}


class _Stop(Exception):
    """Raised in a callback of the parser, which then stops."""


class PublicProtocol(LenientProtocol):
    table: Connections  # set by `protocol_for`

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: uvicorn's own signature
        super().__init__(*args, **kwargs)
        self.state, self.since, self.held_bytes = State.HEAD, 0.0, 0
        self._peer = ""
        self._is_over = False  # nothing more is read from it
        self._has_begun = self._has_head = False  # of the request being read
        self._is_whole = True
        self._head_bytes = self._header_bytes = self._hosts = 0
        self._came_bytes = self._dry_bytes = 0
        self._patience_s = self._looked_at = 0.0
        self._running: Any = None  # Any: uvicorn's cycle, the one being answered
        self._why: Refused | None = None

    def connection_made(self, transport: Any) -> None:  # Any: as uvicorn has it
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        if why := self.table.add(self, self._peer, self.loop.time()):
            self._is_over = True
            self._say_and_close(why)

    def connection_lost(self, exc: Exception | None) -> None:
        self.table.remove(self, self._peer)
        self._is_over = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        size = len(data)
        self.has_completed = False
        if self._in_line:
            data = self._mended(data)
            if len(self._line) > LONGEST_LINE:
                self._refuse(Refused.LINE_TOO_LONG)
                return
        came_before = self._came_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._go_on_without_upgrade()
        except httptools.HttpParserError:
            self._refuse(self._why or Refused.MALFORMED)
            return
        self._settle()
        if self._has_begun and not self._has_head:
            self._count_head(size)
        elif self.state is State.BODY:
            self._count_body(size, is_dry=self._came_bytes == came_before)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun, self._has_head, self._is_whole = True, False, False
        self._head_bytes = self._header_bytes = self._hosts = 0
        self._came_bytes = self._dry_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # a trailer; nothing here means anything after the body
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > MOST_HEADER_BYTES:
            self._stop(Refused.HEADERS_TOO_LARGE)
        super().on_header(name, value)
        if self.headers[-1][0] == b"host":
            self._hosts += 1
            if self._hosts > 1 or not _HOST.fullmatch(value):
                self._stop(Refused.MALFORMED)

    def on_headers_complete(self) -> None:
        self._has_head = True
        if not self._hosts and self.parser.get_http_version() == "1.1":
            self._stop(Refused.MALFORMED)
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(Refused.PIPELINED)
        if self.table.is_busy and self.url.partition(b"?")[0].decode("latin-1") not in FLAG_PATHS:
            self._stop(Refused.BUSY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._came_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_whole, self._has_begun = True, False
        if self.held_bytes:
            self.table.let_go(self)

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer for every answer: the table of connections knows how long each was idle."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        self._settle()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._settle()

    def end(self, why: Refused) -> None:
        """For the table of connections, which has counted it."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
            if self._running.response_started or self.pipeline:
                self._drop()
                return
        if self.state is State.HEAD and not self._has_begun:
            self._drop()  # it never asked anything
            return
        self._say_and_close(why)

    def end_idle(self) -> None:
        self._drop()

    def is_too_slow(self, now: float) -> bool:
        """Of a body: patience is spent by waiting and earned by bytes, but never more than for one pause."""
        waited, self._looked_at = now - max(self._looked_at, self.since), now
        if self.flow.read_paused:
            self.since += waited  # it is we who do not take more
            return False
        came, self._earned_bytes = self._came_bytes - self._earned_bytes, self._came_bytes
        self._patience_s = min(BODY_PAUSE_S, self._patience_s - waited + came / BODY_BYTES_PER_S)
        return self._patience_s < 0 or now - self.since > (UPLOAD_S if self._is_taking_file() else BODY_S)

    _earned_bytes = 0

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # Any: as uvicorn has it
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _settle(self) -> None:
        state = self._state()
        if state is self.state or self._is_removed():
            return
        self.table.move(self, state, self.loop.time())
        if state is State.BODY:
            self._patience_s, self._looked_at, self._earned_bytes = BODY_PAUSE_S, 0.0, self._came_bytes

    def _is_removed(self) -> bool:
        return not self.table.holds(self)

    def _state(self) -> State:
        if self.flow.write_paused or self.transport.is_closing():
            return State.STUCK
        if self._has_begun and not self._has_head:
            return State.HEAD
        if not self._is_whole:
            return State.BODY
        if self._running is None:
            return State.HEAD
        return State.IDLE if self._running.response_complete else State.ANSWER

    def _is_taking_file(self) -> bool:
        """Whether the body goes on to somebody who has not refused it, instead of being kept until it is whole."""
        return is_upload(self.url) and self._running is not None and not self._running.response_started

    def _count_head(self, size: int) -> None:
        """The parser keeps what it has of a header that is not whole, so bytes are counted as they come."""
        self._head_bytes += size
        if not self._in_line and self._head_bytes - len(self.url) > MOST_HEADER_BYTES + 64:
            self._refuse(Refused.HEADERS_TOO_LARGE)

    def _count_body(self, size: int, *, is_dry: bool) -> None:
        self._dry_bytes = self._dry_bytes + size if is_dry else 0
        if self._dry_bytes > MOST_DRY_BYTES:
            self._refuse(Refused.MALFORMED)
        elif not self._is_taking_file():
            self.table.hold(self, size)

    def _go_on_without_upgrade(self) -> None:
        """A server may ignore an upgrade; what follows the request is in a protocol we do not speak."""
        self._is_over = True
        if self._running is not None:
            self._running.keep_alive = False

    def _stop(self, why: Refused) -> None:
        self._why = why
        raise _Stop

    def _refuse(self, why: Refused) -> None:
        """For what was read just now."""
        self.table.count(why)
        self._is_over = True
        running = self._running
        if running is not None and not running.response_complete:
            if self._is_about(running):
                running.disconnected = True
                running.message_event.set()
                if running.response_started:
                    self._drop()
                    return
            else:
                self.pipeline.clear()
                running.keep_alive = False  # the connection ends with its answer
                return
        self._say_and_close(why)

    def _is_about(self, cycle: Any) -> bool:
        """Whether the refused bytes belong to the body of the request that is being answered."""
        return cycle is self.cycle and self._has_head and not self._is_whole

    def _say_and_close(self, why: Refused) -> None:
        self._is_over = True
        self.transport.write(_ANSWERS[_STATUSES.get(why, 400)])
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        self.table.remove(self, self._peer)

    def _drop(self) -> None:
        self._is_over = True
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for a client that does not read
        else:
            self.transport.close()
        self.table.remove(self, self._peer)


def protocol_for(connections: Connections) -> type[PublicProtocol]:
    """The class uvicorn makes one of for each connection."""
    return cast("type[PublicProtocol]", type("PublicProtocol", (PublicProtocol,), {"table": connections}))
