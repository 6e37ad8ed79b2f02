"""What the collector's handlers share."""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from cairn.clock import Clock, to_ms
from cairn.collect.address import shortened
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
        await self.commits.append([msgspec.msgpack.encode(self._without_address(one)) for one in arrivals])

    def _without_address(self, arrival: Arrival) -> Arrival:
        """The log keeps requests for days, so what an environment does not keep never gets there."""
        if not arrival.ip or arrival.environment_id in self.directory().keeps_ip:
            return arrival
        ip = shortened(arrival.ip) if self.settings.location_file else ""
        return msgspec.structs.replace(arrival, ip=ip)

    def refuse(
        self, request: Request, unfit: Unfit, body: bytes, *, environment_id: int = 0, source: str = ""
    ) -> None:
        """Record a request refused as a whole."""
        if isinstance(unfit, BodyTooLarge):
            body = unfit.beginning
        arrival = Arrival("refused", environment_id, 0, source, self.now_ms(), request.ip, "", body)
        self.refusals.add(refused(arrival, unfit, body))
