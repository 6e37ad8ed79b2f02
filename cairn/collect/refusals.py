"""Requests refused as a whole, recorded so that people see them; a flood of them cannot fill the disk."""

import msgspec

from cairn.collect.commit import GroupCommit
from cairn.event import Arrival, Refused
from cairn.outcomes import Reason
from cairn.redact import shown_key
from cairn.wire.refusal import Rejected, without_keys

MOST_PER_S = 50  # records; the rest of that second is counted
# Of requests without a known key, which anyone can send at any rate: 70 MB a day in the log, whatever comes.
MOST_KEYLESS_PER_MINUTE, KEYLESS_CHARACTERS = 60, 500


class UnknownKey(Rejected):
    """The request names no environment or source that there is."""

    def __init__(self, field: str, key: str, *, wrong: str, missing: str = "is missing") -> None:
        said = f"{shown_key(key)!r} {wrong}" if key else missing
        super().__init__(Reason.UNKNOWN_KEY, f"{field}: {said}")


class RefusalRecord:
    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self._minute = self._keyless = 0
        self._second = 0
        self._recorded = 0
        self._left_out = 0
        self.unrecorded = 0  # since the start

    def add(self, refused: Refused) -> None:
        """Nobody waits for it: the answer is the same whether it is recorded or not."""
        second = refused.received_ms // 1000
        if second != self._second:
            self._second, self._recorded = second, 0
        if self._recorded >= MOST_PER_S or self._is_keyless_full(refused):
            self._left_out += 1
            self.unrecorded += 1
            return
        self._recorded += 1
        refused = without_keys(refused)
        if not refused.environment_id:
            refused = msgspec.structs.replace(refused, payload=refused.payload[:KEYLESS_CHARACTERS])
        if self._left_out:
            note = (
                f"{refused.detail} ({self._left_out} more refused requests before this one were not recorded)"
            )
            refused = msgspec.structs.replace(refused, detail=note)
            self._left_out = 0
        arrival = Arrival(
            "refused",
            refused.environment_id,
            0,
            refused.source,
            refused.received_ms,
            "",
            "",
            msgspec.msgpack.encode(refused),
        )
        self._commits.offer(msgspec.msgpack.encode(arrival))

    def _is_keyless_full(self, refused: Refused) -> bool:
        if refused.environment_id:
            return False
        minute = refused.received_ms // 60_000
        if minute != self._minute:
            self._minute, self._keyless = minute, 0
        self._keyless += 1
        return self._keyless > MOST_KEYLESS_PER_MINUTE
