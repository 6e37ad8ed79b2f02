"""Group commit: requests that arrive while the disk is busy share its next sync."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog

MOST_PENDING_BYTES = 64 * 2**20  # accepted but not yet on the disk; beyond it clients are told to come again

MOST_GROUP_BYTES = 4 * 2**20  # of one entry of the log, but for a single request that is larger


class Overloaded(Unavailable):
    """Events arrive faster than the disk takes them. Clients that retry lose nothing."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("events arrive faster than the disk takes them; send again a little later")


class GroupCommit:
    """Writes items to the log, each group in one append, in the order they came. Belongs to one event loop."""

    def __init__(
        self,
        log: EventLog,
        *,
        most_pending_bytes: int = MOST_PENDING_BYTES,
        check_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`check_room` raises Unavailable when nothing more is to be accepted."""
        self._log, self._check_room = log, check_room
        self.error = ""  # why the last group could not be written; empty: it could
        self._most_pending_bytes = most_pending_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._pending_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    async def append(self, items: Sequence[bytes]) -> None:
        """Return when the items are on the disk. Raises Unavailable when they are not."""
        written = self._enqueue(items)
        if len(written) == 1:
            await written[0]  # nearly always; gathering costs as much as the rest of this
        else:
            await asyncio.gather(*written)

    def offer(self, item: bytes) -> None:
        """Write it with the next group, and let nobody wait for it or learn that it failed."""
        try:
            [written] = self._enqueue([item])
        except Unavailable:
            return
        written.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        """Wait for what is pending."""
        while self._writing is not None:
            await self._writing
        self._thread.shutdown()

    def _enqueue(self, items: Sequence[bytes]) -> list["asyncio.Future[None]"]:
        self._check_room()
        size = sum(map(len, items))
        if self._pending_bytes + size > self._most_pending_bytes:
            raise Overloaded
        self._pending_bytes += size
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._waiting += zip(items, futures, strict=True)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return futures

    def _next_group(self) -> list[tuple[bytes, "asyncio.Future[None]"]]:
        """What waits, as far as one entry may hold it: whoever reads it has to hold it all."""
        size_bytes = count = 0
        while count < len(self._waiting) and size_bytes < MOST_GROUP_BYTES:
            size_bytes += len(self._waiting[count][0])
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = self._next_group()
            items = [item for item, _ in group]
            try:
                await loop.run_in_executor(self._thread, self._log.append, items)
                failure, self.error = None, ""
            except Exception as error:  # the boundary of a group: every request in it must learn of it
                failure, self.error = error, str(error)
            self._pending_bytes -= sum(map(len, items))
            for _, written in group:
                if written.done():
                    continue  # its client went away; what it sent is kept
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)
        self._writing = None
