"""The collector: vendors' tracking requests in, the event log out. A plain ASGI callable, because every microsecond
before the log is paid for each request.

What is answered with success is on the disk. What is refused as a whole is recorded, so that people see it.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cairn.clock import Clock
from cairn.collect.answer import (
    RETRY_AFTER_S,
    Answer,
    cors_headers,
    heap_error,
    retry_after,
    segment_error,
    send_answer,
)
from cairn.collect.capture import CAPTURES, IMAGES, collect_capture
from cairn.collect.commit import GroupCommit
from cairn.collect.heap import ENDPOINTS, collect_heap
from cairn.collect.parts import Parts
from cairn.collect.rates import HeapRates
from cairn.collect.refusals import RefusalRecord
from cairn.collect.request import Disconnected, Receive, Scope, Send, request_of
from cairn.collect.segment import CALLS, PIXELS, collect_segment
from cairn.errors import Unavailable
from cairn.event import Arrival, Refused
from cairn.eventlog.log import EventLog
from cairn.published.directory import Directory
from cairn.settings import Settings

logger = logging.getLogger(__name__)


class Collector:
    """Belongs to one event loop. `directory` is asked at every request, so it must answer from memory."""

    def __init__(
        self,
        log: EventLog,
        directory: Callable[[], Directory],
        clock: Clock,
        settings: Settings,
        *,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        commits = GroupCommit(log, check_room=check_room)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._parts = Parts(
            commits, self._reading, RefusalRecord(commits), HeapRates(), directory, clock, settings
        )

    @property
    def unrecorded(self) -> int:
        """Refused requests that were only counted, since the start."""
        return self._parts.refusals.unrecorded

    @property
    def error(self) -> str:
        """Why the log could not be written last; empty: it could."""
        return self._parts.commits.error

    def handles(self, method: str, path: str, raw_path: bytes) -> bool:
        """Whatever the method: a wrong one is answered here too."""
        return _plain(path) in _HANDLED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, _plain(scope["path"]))
        is_heap = request.path in ENDPOINTS
        is_segment = request.path in CALLS or request.path in PIXELS
        collect = collect_heap if is_heap else collect_segment if is_segment else collect_capture
        try:
            answer = await collect(request, receive, self._parts)
        except Disconnected:
            return
        except Unavailable as error:
            answer = _error(error.status, error.code, "try again", is_segment=is_segment)
            answer = answer.with_headers(retry_after(RETRY_AFTER_S))
        except Exception:
            logger.exception("request_failed", extra={"path": request.path})
            answer = _error(500, "internal", "not stored; try again", is_segment=is_segment)
        if not is_heap:
            answer = answer.with_headers(*cors_headers(request))
        if answer.status in _ENDS_CONNECTION:
            answer = answer.with_headers((b"connection", b"close"))
        await send_answer(send, answer)

    def refuse(self, refused: Refused) -> None:
        """For the gateway's requests that are refused as a whole."""
        self._parts.refusals.add(refused)

    async def append(self, arrivals: list[Arrival]) -> None:
        """For the gateway's events: return when they are on the disk. Raises Unavailable."""
        await self._parts.append(arrivals)

    async def close(self) -> None:
        """Wait until everything accepted is on the disk. The log stays open; it is its owner's."""
        await self._parts.commits.close()
        self._reading.shutdown()


_HANDLED = frozenset((*ENDPOINTS, *CALLS, *PIXELS, *CAPTURES, *IMAGES))
_ENDS_CONNECTION = frozenset((400,))  # the body may not have been read to its end


def _plain(path: str) -> str:
    return path[:-1] if path.endswith("/") and len(path) > 1 else path


def _error(status: int, code: str, message: str, *, is_segment: bool) -> Answer:
    return segment_error(status, code, message) if is_segment else heap_error(status, message)
