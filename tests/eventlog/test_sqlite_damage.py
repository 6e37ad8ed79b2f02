"""Damage to the SQLite event log's file: whatever byte is hit, nothing wrong is returned and nothing stops."""

import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.eventlog.log import START
from cairn.eventlog.sqlite import SqliteLog, open_log

# Of many sizes: some lie in their leaf page, some need one overflow page, some need several.
GROUPS = [
    [b"%d-%d" % (number, item) * (40 if number % 9 else 900) for item in range(number % 4 + 1)]
    for number in range(120)
]
PAGE = 4096
ROWS_IN_CUT_PAGE = 8  # their text repeats, so that a part of it may look whole


@cache
def written_files(*, closed: bool) -> tuple[dict[str, bytes], dict[int, tuple[bytes, ...]]]:
    """The files after appending all groups: everything in the main file when closed, in the WAL as after a kill."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        log = open_log(path)
        kept = {log.append(group): tuple(group) for group in GROUPS}
        if closed:
            log.close()
        names = ("log", "log-wal", "log.tail")
        files = {name: (Path(folder) / name).read_bytes() for name in names if (Path(folder) / name).exists()}
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


def reported_positions(log: SqliteLog) -> set[int]:
    """Every position that `damaged` names as lost."""
    named: set[int] = set()
    for first, reason in log.damaged():
        if first != START:
            last = int(reason.split(":")[0].split()[3]) if reason.startswith("positions") else first
            named |= set(range(first, last + 1))
    return named


def hit(kept: dict[int, tuple[bytes, ...]], left: bytes) -> int:
    """How many entries are no longer there with their beginning and their end: what an honest loss may be."""
    return sum(not all(item[:30] in left and item[-30:] in left for item in items) for items in kept.values())


def check_damaged(path: Path, kept: dict[int, tuple[bytes, ...]], most_lost: int) -> None:
    log = open_log(path)
    found = everything(log)
    assert all(kept[position] == items for position, items in found.items())
    missing = kept.keys() - found.keys()
    assert missing <= reported_positions(log)
    assert len(missing) <= most_lost
    after_damage = log.append([b"after"])
    assert after_damage > max(kept)
    assert everything(log) == {**found, after_damage: (b"after",)}
    told = log.damaged()
    log.close()
    again = open_log(path)  # nothing is doubled, and what was lost is still told
    assert everything(again) == {**found, after_damage: (b"after",)}
    assert again.damaged() == told
    again.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("file", ["log", "log-wal"])
def test_a_changed_byte_loses_at_most_the_entries_it_lies_in_and_they_are_named(
    file: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        kept = written(path, closed=file == "log")
        body = bytearray((path.parent / file).read_bytes())
        # Headers of the file, its pages and its frames are where damage hurts most: half of the examples hit them.
        step = PAGE if file == "log" else PAGE + 24
        at = data.draw(
            st.integers(0, len(body) - 1)
            | st.sampled_from(
                [p + b for p in range(0, len(body), step) for b in range(min(100, len(body) - p))]
            )
        )
        body[at] ^= data.draw(st.integers(1, 255))
        (path.parent / file).write_bytes(body)
        # One byte lies in one row, in one place that says where a row is, or in one that says how many there are.
        is_count = at % step - (0 if file == "log" else 32 + 24) % step in (3, 4)
        check_damaged(path, kept, most_lost=len(kept) if is_count else 1)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1))
@pytest.mark.parametrize("file", ["log", "log-wal"])
def test_a_file_cut_anywhere_keeps_what_lies_before_the_cut(file: str, part: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        kept = written(path, closed=file == "log")
        body = (path.parent / file).read_bytes()
        left = body[: int(len(body) * part)]
        (path.parent / file).write_bytes(left)
        check_damaged(path, kept, most_lost=hit(kept, left) + ROWS_IN_CUT_PAGE)


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("file", ["log", "log-wal"])
def test_an_overwritten_stretch_loses_what_it_hit_and_no_more(file: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        kept = written(path, closed=file == "log")
        body = bytearray((path.parent / file).read_bytes())
        at = data.draw(st.integers(0, len(body) - 1))
        stretch = data.draw(st.binary(min_size=1, max_size=3 * PAGE))
        body[at : at + len(stretch)] = stretch[: len(body) - at]
        (path.parent / file).write_bytes(body)
        check_damaged(path, kept, most_lost=len(kept))


def test_a_damaged_first_page_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    kept = written(path, closed=True)
    path.write_bytes(b"\xff" * PAGE + path.read_bytes()[PAGE:])
    log = open_log(path)
    assert everything(log) == kept
    assert reported(log)
    log.close()


def test_a_lost_write_ahead_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "log"
    kept = written(path, closed=False)
    (tmp_path / "log-wal").unlink()
    log = open_log(path)
    assert everything(log) == {}
    assert reported_positions(log) == kept.keys()
    assert log.append([b"after"]) > max(kept)
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
    assert reported_positions(log) == {4, 5}
    position, report = log.damaged()[0]
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
    assert found == kept
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
