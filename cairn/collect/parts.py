"""What the collector's handlers share."""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from cairn.clock import Clock, to_ms
from cairn.collect.commit import GroupCommit
from cairn.collect.rates import HeapRates
from cairn.collect.refusals import RefusalRecord
from cairn.collect.request import BodyTooLarge, Request
from cairn.event import Arrival
from cairn.settings import Settings
from cairn.wire.refusal import Unfit, refused
from cairn.workspace.directory import Directory


class Parts(Struct, frozen=True):
    commits: GroupCommit
    refusals: RefusalRecord
    rates: HeapRates
    directory: Callable[[], Directory]
    clock: Clock
    settings: Settings

    def now_ms(self) -> int:
        return to_ms(self.clock())

    async def append(self, arrivals: list[Arrival]) -> None:
        """Return when they are on the disk. Raises Unavailable."""
        await self.commits.append([msgspec.msgpack.encode(arrival) for arrival in arrivals])

    def refuse(
        self, request: Request, unfit: Unfit, body: bytes, *, environment_id: int = 0, source: str = ""
    ) -> None:
        """Record a request refused as a whole."""
        if isinstance(unfit, BodyTooLarge):
            body = unfit.beginning
        arrival = Arrival("refused", environment_id, 0, source, self.now_ms(), request.ip, "", body)
        self.refusals.add(refused(arrival, unfit, body))
