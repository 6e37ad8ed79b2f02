"""Requests refused as a whole, recorded so that people see them; a flood of them cannot fill the disk."""

import msgspec

from cairn.collect.commit import GroupCommit
from cairn.event import Arrival, Refused

MOST_PER_S = 50  # records; the rest of that second is counted


class RefusalRecord:
    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self._second = 0
        self._recorded = 0
        self._left_out = 0
        self.unrecorded = 0  # since the start

    def add(self, refused: Refused) -> None:
        """Nobody waits for it: the answer is the same whether it is recorded or not."""
        second = refused.received_ms // 1000
        if second != self._second:
            self._second, self._recorded = second, 0
        if self._recorded >= MOST_PER_S:
            self._left_out += 1
            self.unrecorded += 1
            return
        self._recorded += 1
        if self._left_out:
            note = (
                f"{refused.detail} ({self._left_out} more refused requests before this one were not recorded)"
            )
            refused = msgspec.structs.replace(refused, detail=note)
            self._left_out = 0
        arrival = Arrival(
            "refused", refused.environment_id, 0, refused.source, refused.received_ms, "", "",
            msgspec.msgpack.encode(refused),
        )  # fmt: skip
        self._commits.offer(msgspec.msgpack.encode(arrival))
