"""The disasters of `make chaos` in a small form, so that every change meets them."""

import random
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.chaos.clock import NoFakeTime, jump
from tests.chaos.damage import damage_log
from tests.chaos.disk import fill_disk
from tests.chaos.kills import kill_anything
from tests.chaos.requests import flood_without_key, stop_core

pytestmark = pytest.mark.slow


def test_killed_again_and_again_nothing_is_lost_doubled_or_wrong(tmp_path: Path) -> None:
    found = kill_anything(tmp_path / "data", 5, random.Random(3))
    assert found["kept"], found


def test_records_that_stop_the_core_cost_no_other(tmp_path: Path) -> None:
    found = stop_core(tmp_path / "data", ("exit",))
    assert found["kept"], found


def test_a_flood_without_a_key_fills_no_disk_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    found = flood_without_key(tmp_path / "data", 4)
    assert found["kept"], found


@pytest.mark.parametrize("part", ["everything", "event store"])
def test_a_full_disk_loses_nothing_says_why_and_passes(tmp_path: Path, part: str) -> None:
    try:
        found = fill_disk(tmp_path / "data", part)
    except CalledProcessError as error:
        if error.cmd[0] != "mount":
            raise
        pytest.skip("mounting a small disk is not allowed here")
    assert found["kept"], found


def test_a_damaged_log_is_loaded_as_far_as_it_is_whole(tmp_path: Path) -> None:
    found = damage_log(tmp_path / "data", random.Random(5), rounds=3)
    assert found["kept"], found


def test_a_clock_that_jumps_loses_nothing(tmp_path: Path) -> None:
    try:
        found = jump(tmp_path / "data", "forward 2 h and back")
    except NoFakeTime:
        pytest.skip("faketime is not installed")
    assert found["kept"], found
