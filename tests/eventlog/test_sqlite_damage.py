"""Damage to the SQLite event log's file: whatever byte is hit, nothing wrong is returned and nothing stops."""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.eventlog.log import START
from cairn.eventlog.sqlite import SqliteLog, open_log

GROUPS = [[b"%d-%d" % (number, item) * 40 for item in range(number % 4 + 1)] for number in range(120)]


@cache
def written_files(*, closed: bool) -> tuple[dict[str, bytes], dict[int, tuple[bytes, ...]]]:
    """The files after appending all groups: everything in the main file when closed, in the WAL as after a crash."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        log = open_log(path)
        kept = {log.append(group): tuple(group) for group in GROUPS}
        if closed:
            log.close()
        files = {file.name: file.read_bytes() for file in (path, Path(folder) / "log-wal") if file.exists()}
        log.close()
    return files, kept


def written(path: Path, *, closed: bool) -> dict[int, tuple[bytes, ...]]:
    files, kept = written_files(closed=closed)
    for name, body in files.items():
        (path.parent / name).write_bytes(body)
    return kept


def everything(log: SqliteLog) -> dict[int, tuple[bytes, ...]]:
    after, found = START, {}
    while page := log.read(after, limit_items=13):
        for entry in page:
            assert entry.position > after
            found[entry.position] = entry.items
            after = entry.position
    return found


def reported(log: SqliteLog) -> bool:
    return bool(log.damaged())


@settings(max_examples=120, deadline=None)
@given(st.data())
@pytest.mark.parametrize("file", ["log", "log-wal"])
def test_a_changed_byte_never_yields_a_wrong_entry(file: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        kept = written(path, closed=file == "log")
        body = bytearray((path.parent / file).read_bytes())
        # Headers of the file and of its pages are where damage hurts most, so half of the examples hit them.
        at = data.draw(
            st.integers(0, len(body) - 1)
            | st.sampled_from(
                [p + b for p in range(0, len(body), 4096) for b in range(min(100, len(body) - p))]
            )
        )
        body[at] ^= data.draw(st.integers(1, 255))
        (path.parent / file).write_bytes(body)

        log = open_log(path)
        found = everything(log)
        assert all(kept[position] == items for position, items in found.items())
        if missing := kept.keys() - found.keys():
            at_the_end = missing == {position for position in kept if position >= min(missing)}
            assert reported(log) or at_the_end
        after_damage = log.append([b"after"])
        assert after_damage > max(found, default=START)
        assert everything(log)[after_damage] == (b"after",)
        log.close()


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1))
@pytest.mark.parametrize("file", ["log", "log-wal"])
def test_a_file_cut_anywhere_keeps_a_clean_beginning(file: str, part: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        kept = written(path, closed=file == "log")
        body = (path.parent / file).read_bytes()
        (path.parent / file).write_bytes(body[: int(len(body) * part)])
        log = open_log(path)
        found = everything(log)
        assert all(kept[position] == items for position, items in found.items())
        after_damage = log.append([b"after"])
        assert everything(log)[after_damage] == (b"after",)
        log.close()


def test_a_file_that_is_no_database_is_moved_aside_and_positions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(path)
    last = [log.append([b"x"]) for _ in range(5)][-1]
    log.commit("loader", 3)
    log.close()
    path.write_bytes(b"no database at all" * 1000)
    log = open_log(path)
    assert log.append([b"new"]) > last
    [(position, report)] = log.damaged()
    assert position == START and "log.damaged-1" in report
    assert (tmp_path / "log.damaged-1").exists()
    assert log.read(log.committed("loader"), limit_items=9)[0].items == (b"new",)
    log.close()


def test_a_process_that_has_the_damaged_file_open_changes_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer, reader = open_log(path), open_log(path)
    before = writer.append([b"before"])
    assert reader.read(START, limit_items=9)[0].position == before
    writer.commit("loader", before)
    path.write_bytes(b"overwritten" * 2000)
    (tmp_path / "log-wal").write_bytes(b"")
    repairer = open_log(path)
    after = writer.append([b"after"])
    assert after > before
    assert [entry.items for entry in reader.read(before, limit_items=9)] == [(b"after",)]
    for log in (writer, reader, repairer):
        log.close()


def test_entries_still_readable_move_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    kept = written(path, closed=True)
    body = bytearray(path.read_bytes())
    leaf = body.index(GROUPS[60][0])
    body[leaf - leaf % 4096] = 0xEE  # this page's type: none
    path.write_bytes(body)
    log = open_log(path)
    found = everything(log)
    assert len(kept) - 20 < len(found) < len(kept)
    assert reported(log)
    log.close()


def test_damaged_cursors_are_replaced_and_reading_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = open_log(path)
    end = log.append([b"x"])
    log.commit("loader", end)
    log.close()
    (tmp_path / "log.cursors").write_bytes(b"no database" * 999)
    log = open_log(path)
    assert log.committed("loader") == START
    log.commit("loader", end)
    assert log.committed("loader") == end
    log.close()
