"""The event log is trimmed behind its readers, by age, and never before them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cairn.clock import to_ms
from cairn.event import Arrival
from cairn.eventlog.log import EventLog
from cairn.privacy.retention import forget_log
from tests.seams import open_log

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAYS = 20


def filled(path: Path) -> tuple[EventLog, list[int]]:
    """One entry a day, the oldest first; the last is of today."""
    log = open_log(path)
    positions = []
    for day in range(DAYS):
        received = to_ms(NOW - timedelta(days=DAYS - 1 - day))
        arrival = Arrival("heap.track", 1, 0, "heap", received, "", "", b"{}")
        positions.append(log.append([msgspec.msgpack.encode(arrival)]))
    return log, positions


@pytest.mark.parametrize(
    ("keep_days", "read", "left"),
    [
        pytest.param(7, DAYS, 8, id="a week and today"),
        pytest.param(7, 5, DAYS - 5, id="not before the reader"),
        pytest.param(7, 0, DAYS, id="nothing read yet"),
        pytest.param(100, DAYS, DAYS, id="all young"),
    ],
)
def test_only_old_and_read_entries_go(tmp_path: Path, keep_days: int, read: int, left: int) -> None:
    log, positions = filled(tmp_path / "log")
    if read:
        log.commit("loader", positions[read - 1])
    forgotten = forget_log(log, {"loader": 0}, keep=timedelta(days=keep_days), now=NOW)
    assert forgotten == DAYS - left
    assert [one.position for one in log.read(0, limit_items=100)] == positions[DAYS - left :]
    assert forget_log(log, {"loader": 0}, keep=timedelta(days=keep_days), now=NOW) == 0
    log.close()


def test_the_slowest_reader_counts(tmp_path: Path) -> None:
    log, positions = filled(tmp_path / "log")
    log.commit("loader", positions[-1])
    log.commit("forwarder", positions[2])
    assert forget_log(log, {"loader": 0, "forwarder": 0}, keep=timedelta(days=7), now=NOW) == 3
    log.close()


def test_what_was_erased_or_forgotten_is_off_the_disk(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    first, second = log.append([b"secret-one" * 900]), log.append([b"secret-two" * 900, b"stays"])
    log.append([b"newest"])
    log.erase(second, [b"", b"stays"])
    assert log.forget(second) == 1
    assert log.scrub()
    assert next((one.position, one.items) for one in log.read(0, limit_items=9)) == (second, (b"", b"stays"))
    on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"secret" not in on_disk
    assert b"stays" in on_disk
    assert first < second
    log.close()
