"""The contract of EventLog, for every implementation."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cairn.errors import Unavailable
from cairn.eventlog.log import START, Entry, EventLog
from cairn.eventlog.sqlite import open_log

OPENERS: dict[str, Callable[[Path], EventLog]] = {"sqlite": open_log}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Callable[[Path], EventLog]:
    return OPENERS[request.param]


@pytest.fixture
def log(opener: Callable[[Path], EventLog], tmp_path: Path) -> Iterator[EventLog]:
    log = opener(tmp_path / "events.log")
    yield log
    log.close()


def read_all(log: EventLog, after: int = START, limit_items: int = 10) -> list[Entry]:
    entries: list[Entry] = []
    while page := log.read(after, limit_items=limit_items):
        entries += page
        after = page[-1].position
    return entries


def test_an_empty_log_has_nothing_to_read(log: EventLog) -> None:
    assert log.end() == START
    assert log.read(START, limit_items=10) == []
    assert log.damaged() == []


def test_entries_come_back_in_order_and_whole(log: EventLog) -> None:
    groups = [[b"a", b"b"], [b""], [b"\x00\xff" * 70_000], []]
    positions = [log.append(group) for group in groups]
    assert positions == sorted(set(positions)) and positions[0] > START
    assert read_all(log) == [Entry(at, tuple(group)) for at, group in zip(positions, groups, strict=True)]
    assert log.end() == positions[-1]


@pytest.mark.parametrize(("limit", "entries"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (99, 3)])
def test_a_read_stops_at_its_limit_but_gives_at_least_one(log: EventLog, limit: int, entries: int) -> None:
    for group in ([b"1", b"2"], [b"3", b"4"], [b"5"]):
        log.append(group)
    assert len(log.read(START, limit_items=limit)) == entries


def test_a_read_stops_at_its_bytes_but_gives_at_least_one(log: EventLog) -> None:
    positions = [log.append([bytes(3_000_000)]) for _ in range(5)]
    for limit_bytes, entries in ((1, 1), (3_000_000, 1), (3_000_001, 2), (8_000_000, 3)):
        read = log.read(START, limit_items=256, limit_bytes=limit_bytes)
        assert [entry.position for entry in read] == positions[:entries]


def test_a_cursor_only_moves_forward_and_alone(log: EventLog) -> None:
    for item in (b"1", b"2", b"3"):
        log.append([item])
    log.commit("loader", 2)
    log.commit("loader", 2)
    log.commit("loader", 1)
    log.commit("delivery", 1)
    assert (log.committed("loader"), log.committed("delivery"), log.committed("new")) == (2, 1, START)


def test_everything_survives_closing(opener: Callable[[Path], EventLog], tmp_path: Path) -> None:
    first = opener(tmp_path / "log")
    end = first.append([b"kept"])
    first.commit("loader", end)
    first.close()
    second = opener(tmp_path / "log")
    assert read_all(second) == [Entry(end, (b"kept",))]
    assert second.committed("loader") == end
    assert second.append([b"next"]) > end
    second.close()


def test_forgetting_deletes_what_lies_before(log: EventLog) -> None:
    positions = [log.append([b"%d" % number]) for number in range(500)]
    assert log.forget(positions[450]) == 450
    assert [entry.position for entry in read_all(log)] == positions[450:]
    assert log.forget(positions[450]) == 0
    assert log.append([b"next"]) > positions[-1]
    assert log.damaged() == []


def test_a_position_is_never_given_again(opener: Callable[[Path], EventLog], tmp_path: Path) -> None:
    log = opener(tmp_path / "log")
    last = [log.append([b"x"]) for _ in range(3)][-1]
    log.commit("loader", last)
    log.forget(last + 1)
    log.close()
    log = opener(tmp_path / "log")
    assert log.append([b"y"]) > last
    assert log.end() > last
    log.close()


def test_many_threads_append_and_read(log: EventLog) -> None:
    def append(writer: int) -> None:
        for number in range(20):
            log.append([b"%d/%d" % (writer, number)])

    threads = [threading.Thread(target=append, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    seen: list[bytes] = []
    after = START
    while len(seen) < 80:
        for entry in log.read(after, limit_items=7):
            seen += entry.items
            after = entry.position
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(b"%d/%d" % (writer, number) for writer in range(4) for number in range(20))
    for writer in range(4):
        assert [item for item in seen if item.startswith(b"%d/" % writer)] == [
            b"%d/%d" % (writer, number) for number in range(20)
        ]


def test_what_stays_of_an_erased_entry_keeps_its_position(log: EventLog) -> None:
    """A reader that passed it reads on behind it; one that has not come to it, or starts over, reads what stays."""
    first, second, third = (log.append([b"secret %d" % number, b"stays %d" % number]) for number in range(3))
    log.commit("ahead", second)
    log.erase(first, [b"", b"stays 0"])
    log.erase(second, [b"", b"stays 1"])
    log.erase(third + 1, [b"nobody sent this"])
    assert read_all(log, log.committed("ahead")) == [Entry(third, (b"secret 2", b"stays 2"))]
    assert read_all(log) == [
        Entry(first, (b"", b"stays 0")),
        Entry(second, (b"", b"stays 1")),
        Entry(third, (b"secret 2", b"stays 2")),
    ]
    assert (log.end(), log.committed("ahead"), log.damaged()) == (third, second, [])
    assert log.append([b"next"]) == third + 1


@pytest.mark.parametrize("kept", [[], [b""], [b"x" * 900_000]], ids=["nothing", "less", "more"])
def test_whatever_stays_of_the_newest_entry_it_is_no_damage(
    opener: Callable[[Path], EventLog], tmp_path: Path, kept: list[bytes]
) -> None:
    log = opener(tmp_path / "log")
    before, newest = log.append([b"before"]), log.append([b"secret" * 900])
    log.erase(newest, kept)
    log.close()
    log = opener(tmp_path / "log")
    assert read_all(log) == [Entry(before, (b"before",)), Entry(newest, tuple(kept))]
    assert log.damaged() == []
    assert log.append([b"next"]) > newest
    log.close()


ERASER = """
import sys
from pathlib import Path
from cairn.eventlog.sqlite import open_log
log = open_log(Path(sys.argv[1]))
for entry in log.read(0, limit_items=10**6, limit_bytes=10**9):
    if entry.items[0]:
        log.erase(entry.position, [b"", entry.items[1]])
        print(entry.position, flush=True)
"""


def test_killed_while_it_erases_nothing_that_stays_is_lost(tmp_path: Path) -> None:
    """Killed at several moments and run again, until nothing is left of what was to go."""
    path, count = tmp_path / "log", 600
    log = open_log(path)
    for number in range(count):
        log.append([b"secret" * 1_500, b"stays %d" % number])
    for erasures in (1, 40, 90, count):
        with subprocess.Popen(
            [sys.executable, "-c", ERASER, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = iter(process.stdout)
            said = [int(line) for line, _ in zip(lines, range(erasures), strict=False)]
            os.kill(process.pid, signal.SIGKILL)
        entries = log.read(START, limit_items=10**6, limit_bytes=10**9)
        assert [entry.items[1] for entry in entries] == [b"stays %d" % number for number in range(count)]
        assert {entry.items[0] for entry in entries[: said[-1]]} == {b""}
        assert log.damaged() == []
    assert {entry.items[0] for entry in entries} == {b""}
    assert log.scrub()
    assert b"secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    log.close()


WRITER = """
import sys
from pathlib import Path
from cairn.eventlog.sqlite import open_log
log = open_log(Path(sys.argv[1]))
number = 0
while number < int(sys.argv[2]):
    position = log.append([b"%d" % number, b"z" * 3000])
    print(position, number, flush=True)
    number += 1
"""


def start_writer(path: Path, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(count)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_what_was_acknowledged_survives_a_killed_writer(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "log"
    with start_writer(path, 10**9) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline().split() for _ in range(acknowledged)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [line.split() for line in writer.stdout if line.endswith("\n") and len(line.split()) == 2]
    log = open_log(path)
    kept = {entry.position: entry.items[0] for entry in read_all(log)}
    for position, number in said:
        assert kept[int(position)] == number.encode()
    assert list(kept.values()) == [b"%d" % number for number in range(len(kept))]  # no group was torn
    assert log.damaged() == []
    assert log.append([b"after"]) > max(kept)
    log.close()


def test_a_reader_in_another_process_follows_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader = open_log(path)  # before the writer
    with start_writer(path, 200):
        after, seen = START, 0
        while seen < 200:
            for entry in reader.read(after, limit_items=10):
                assert entry.items[0] == b"%d" % seen
                after, seen = entry.position, seen + 1
            reader.commit("loader", after)
            reader.forget(after - 20)
    assert reader.committed("loader") == reader.end()
    assert reader.damaged() == []
    reader.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from cairn.errors import Unavailable
from cairn.eventlog.sqlite import open_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = open_log(Path(sys.argv[1]))
kept = [log.append([b"before"])]
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
refused = 0
for _ in range(5):
    try:
        log.append([b"x" * 1_000_000])
    except Unavailable as error:
        assert "log" in str(error), error
        refused += 1
assert refused == 5, refused
assert log.end() == kept[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
kept.append(log.append([b"after"]))
assert [entry.position for entry in log.read(0, limit_items=9)] == kept
assert log.damaged() == []
log.close()
print("good")
"""


def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "good", done.stderr


def test_a_folder_that_cannot_be_used_is_unavailable(
    opener: Callable[[Path], EventLog], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="log"):
        opener(tmp_path / "file" / "log")
