"""A record that stops the core is set aside before the third time, and costs nothing but itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cairn.eventlog.readers import LOADER
from cairn.ingest.set_aside import list_set_aside
from cairn.paths import Paths
from cairn.store.question import ad_hoc
from tests.databases import environment_of
from tests.deadly import record
from tests.patience import PATIENCE_S
from tests.seams import open_log, open_store


@contextmanager
def serving(data_dir: Path, notes: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.deadly", str(data_dir)],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment_of(data_dir), "DEADLY_NOTES": str(notes)},
    )
    assert process.stdout
    try:
        assert json.loads(process.stdout.readline())["ready"]
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)
        process.stdout.close()


def wait_until_loaded(data_dir: Path) -> None:
    log = open_log(Paths(data_dir).log)
    patience_ends = time.monotonic() + PATIENCE_S
    while log.committed(LOADER) < log.end():
        assert time.monotonic() < patience_ends, "the loader never got past the record"
        time.sleep(0.1)
    log.close()


def stored(data_dir: Path) -> tuple[list[str], list[str]]:
    store = open_store(Paths(data_dir).store, memory_mb=512)
    where = "WHERE environment_id = {environment:UInt32}"
    events = store.query(
        ad_hoc(1, f"SELECT name FROM cairn.events {where} AND source = 'heap' ORDER BY log_position")
    )
    refusals = store.query(ad_hoc(1, f"SELECT reason FROM cairn.refusals {where}"))
    store.close()
    return [name for (name,) in events], [reason for (reason,) in refusals]


@pytest.mark.slow
@pytest.mark.parametrize(("how", "stops"), [("segfault", 2), ("exit", 2), ("hang", 2), ("killed", 3)])
def test_a_record_that_stops_the_core_is_set_aside_and_costs_no_other(
    tmp_path: Path, how: str, stops: int
) -> None:
    """Twice; three times by SIGKILL, which says nothing of the record as people send it too."""
    data_dir, notes = tmp_path / "data", tmp_path / "notes"
    log = open_log(Paths(data_dir).log)
    log.append([record("a"), record("b", how), record("c")])
    log.append([record("d")])
    log.close()
    with serving(data_dir, notes):
        wait_until_loaded(data_dir)
    assert notes.read_text().split() == [how] * stops
    assert stored(data_dir) == (["a", "c", "d"], ["not_stored"])
    folder = Paths(data_dir).set_aside
    assert [request.position for request in list_set_aside(folder)] == ["1.1"]
    [file] = folder.iterdir()
    assert b"b\n" in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_each_of_several_deadly_records_is_set_aside_and_no_other(tmp_path: Path) -> None:
    data_dir, notes = tmp_path / "data", tmp_path / "notes"
    names = [f"e{number}" for number in range(40)]
    deadly = {7: "exit", 23: "segfault"}
    log = open_log(Paths(data_dir).log)
    log.append(
        [record(name, *([deadly[place]] if place in deadly else [])) for place, name in enumerate(names)]
    )
    log.close()
    with serving(data_dir, notes):
        wait_until_loaded(data_dir)
    assert notes.read_text().split() == ["exit", "exit", "segfault", "segfault"]
    assert [request.position for request in list_set_aside(Paths(data_dir).set_aside)] == ["1.7", "1.23"]
    assert stored(data_dir)[0] == [name for place, name in enumerate(names) if place not in deadly]
