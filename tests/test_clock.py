"""The clock that is never in 1970."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cairn.clock import RELEASED, PossibleClock

NOW = RELEASED + timedelta(days=90)
LONG_AGO = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)


class Machine:
    """Both of a machine's clocks, to be set at will."""

    def __init__(self, shown: datetime) -> None:
        self.shown, self.runs_s = shown, 1000.0

    def clock(self, *witnesses: Path) -> PossibleClock:
        return PossibleClock(witnesses, system=lambda: self.shown, monotonic=lambda: self.runs_s)


def test_a_possible_time_is_believed_whichever_way_it_jumps() -> None:
    machine = Machine(NOW)
    clock = machine.clock()
    for moment in (NOW, NOW + timedelta(hours=2), NOW - timedelta(hours=1)):
        machine.shown = moment
        assert clock() == moment


def test_in_1970_the_last_possible_time_is_counted_on() -> None:
    machine = Machine(NOW)
    clock = machine.clock()
    assert clock() == NOW
    machine.shown, machine.runs_s = LONG_AGO, 1007.5
    assert clock() == NOW + timedelta(seconds=7.5)
    machine.shown = NOW + timedelta(minutes=1)
    assert clock() == NOW + timedelta(minutes=1)


def test_a_start_in_1970_begins_where_a_file_was_written_last(tmp_path: Path) -> None:
    machine = Machine(LONG_AGO)
    assert machine.clock(tmp_path / "none")() == RELEASED
    witness = tmp_path / "written"
    witness.touch()
    os.utime(witness, (NOW.timestamp(), NOW.timestamp()))
    clock = machine.clock(witness)
    machine.runs_s += 60
    assert clock() == NOW + timedelta(minutes=1)
