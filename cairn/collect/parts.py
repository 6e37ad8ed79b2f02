"""What the collector's handlers share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import msgspec
from msgspec import Struct

from cairn.clock import Clock, to_ms
from cairn.collect.address import shortened
from cairn.collect.commit import GroupCommit
from cairn.collect.rates import HeapRates
from cairn.collect.refusals import RefusalRecord
from cairn.collect.request import BodyTooLarge, Request
from cairn.event import Arrival
from cairn.published.directory import Directory
from cairn.settings import Settings
from cairn.wire.refusal import Rejected, refused

# Bytes of a body that are read at once, on the event loop: some tenths of a millisecond.
SMALL_BYTES = 2**16
T = TypeVar("T")


class Parts(Struct, frozen=True):
    commits: GroupCommit
    reading: Executor  # one thread, so that bodies that are hard to read wait for each other only
    refusals: RefusalRecord
    rates: HeapRates
    directory: Callable[[], Directory]
    clock: Clock
    settings: Settings

    def now_ms(self) -> int:
        return to_ms(self.clock())

    async def read(self, body: bytes, work: Callable[[], T]) -> T:
        """The result of `work`, which reads this body; on the event loop only when that cannot take long."""
        if len(body) <= SMALL_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self.reading, work)

    async def append(self, arrivals: list[Arrival]) -> None:
        """Return when they are on the disk. Raises Unavailable."""
        await self.commits.append([msgspec.msgpack.encode(self._without_address(one)) for one in arrivals])

    def _without_address(self, arrival: Arrival) -> Arrival:
        """The log keeps requests for days, so what no environment keeps never gets there."""
        if not arrival.ip or arrival.environments & self.directory().keeps_ip:
            return arrival
        ip = shortened(arrival.ip) if self.settings.location_file else ""
        return msgspec.structs.replace(arrival, ip=ip)

    def refuse(
        self, request: Request, rejected: Rejected, body: bytes, *, environment_id: int = 0, source: str = ""
    ) -> None:
        """Record a request refused as a whole."""
        if isinstance(rejected, BodyTooLarge):
            body = rejected.beginning
        arrival = Arrival("refused", environment_id, 0, source, self.now_ms(), request.ip, "", body)
        self.refusals.add(refused(arrival, rejected, body))
