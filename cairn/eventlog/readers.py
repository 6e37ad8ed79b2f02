"""Who reads the event log. Whoever forgets or erases requests asks here, so that no reader is left out."""

from collections.abc import Mapping

from cairn.eventlog.log import START, EventLog

LOADER = "loader"
# By name, and from where at least it reads. The connections that deliver join them: routing/connections.
READERS: Mapping[str, int] = {LOADER: START}


def connection_reader(connection_id: int) -> str:
    return f"connection/{connection_id}"


def passed_by_all(log: EventLog, readers: Mapping[str, int] = READERS) -> int:
    """The position up to which every reader has read."""
    return min(max(log.committed(reader), start) for reader, start in readers.items())
