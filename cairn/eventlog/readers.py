"""Who reads the event log. Whoever forgets or erases requests asks here, so that no reader is forgotten."""

from collections.abc import Sequence

from cairn.eventlog.log import EventLog

LOADER = "loader"
READERS: tuple[str, ...] = (LOADER,)


def passed_by_all(log: EventLog, readers: Sequence[str] = READERS) -> int:
    """The position up to which every reader has read."""
    return min(log.committed(reader) for reader in readers)
