"""What an answer promises: group commit, a log that is away, floods of refused requests."""

import asyncio
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cairn.collect.commit import GroupCommit, Overloaded
from cairn.errors import Unavailable
from cairn.event import Arrival, Refused
from cairn.eventlog.log import START, EventLog
from tests.collect.conftest import Served, StoppedClock, serving
from tests.seams import open_log


class GatedLog:
    """A real log whose disk syncs when the test says so, or fails."""

    def __init__(self, log: EventLog) -> None:
        self.inner = log
        self.go_on = threading.Semaphore(0)
        self.appending = threading.Semaphore(0)
        self.fails = False
        self.groups: list[int] = []

    def append(self, items: Sequence[bytes]) -> int:
        self.appending.release()
        self.go_on.acquire()
        if self.fails:
            raise Unavailable("the disk is full")
        self.groups.append(len(items))
        return self.inner.append(items)

    def read(self, after: int, *, limit_items: int) -> list[object]:
        return list(self.inner.read(after, limit_items=limit_items))


def gated(tmp_path: Path) -> GatedLog:
    return GatedLog(open_log(tmp_path / "log"))


def test_requests_share_the_next_sync(tmp_path: Path) -> None:
    log = gated(tmp_path)

    async def run() -> None:
        commits = GroupCommit(log)  # type: ignore[arg-type]
        first = asyncio.create_task(commits.append([b"1"]))
        await asyncio.to_thread(log.appending.acquire)
        others = [asyncio.create_task(commits.append([b"%d" % number])) for number in range(2, 40)]
        await asyncio.sleep(0)
        assert not first.done()  # nobody is told before the disk has it
        log.go_on.release(2)
        await asyncio.gather(first, *others)
        await commits.close()

    asyncio.run(run())
    assert log.groups == [1, 38]
    entries = log.inner.read(START, limit_items=99)
    assert [item for entry in entries for item in entry.items] == [b"%d" % number for number in range(1, 40)]
    log.inner.close()


def test_a_client_that_leaves_while_waiting_harms_no_other(tmp_path: Path) -> None:
    log = gated(tmp_path)

    async def run() -> None:
        commits = GroupCommit(log)  # type: ignore[arg-type]
        first = asyncio.create_task(commits.append([b"1"]))
        second = asyncio.create_task(commits.append([b"2", b"3"]))
        await asyncio.to_thread(log.appending.acquire)
        first.cancel()
        log.go_on.release(2)
        await second
        await commits.close()
        assert first.cancelled()

    asyncio.run(run())
    assert [item for entry in log.inner.read(START, limit_items=9) for item in entry.items] == [
        b"1",
        b"2",
        b"3",
    ]
    log.inner.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    log = gated(tmp_path)

    async def run() -> None:
        commits = GroupCommit(log, most_pending_bytes=100)  # type: ignore[arg-type]
        first = asyncio.create_task(commits.append([b"x" * 60]))
        await asyncio.to_thread(log.appending.acquire)
        with pytest.raises(Overloaded):
            await commits.append([b"x" * 41])
        commits.offer(b"x" * 41)  # dropped in silence
        log.go_on.release(3)
        await first
        await commits.append([b"x" * 100])
        await commits.close()

    asyncio.run(run())
    assert log.groups == [1, 1]
    log.inner.close()


def test_an_absent_log_is_503_and_passes(tmp_path: Path) -> None:
    log = gated(tmp_path)
    body = json.dumps({"writeKey": "wk_web", "batch": [{"type": "track", "event": "e", "userId": "u"}]})
    event = json.dumps({"app_id": "11", "identity": "u", "event": "e"})
    with serving(log) as served:  # type: ignore[arg-type]
        log.fails = True
        log.go_on.release(3)
        answer = served.http.post("/v1/b", content=body, headers={"origin": "https://shop.test"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["code"] == "unavailable" and answer.json()["message"]
        assert answer.headers["access-control-allow-origin"] == "https://shop.test"
        assert served.http.post("/api/track", content=event).status_code == 503
        assert served.http.post("/v1/b", content="{").status_code == 400  # its record may fail alone
        log.fails = False
        log.go_on.release(9)
        assert served.http.post("/v1/b", content=body).status_code == 200
    assert [draft.name for draft in served.drafts()] == ["e"]
    log.inner.close()


def test_a_flood_of_refused_requests_is_counted_not_kept(log: EventLog) -> None:
    clock = StoppedClock()
    clock.moment = datetime(2026, 3, 1, 11, 0, 0, tzinfo=UTC)
    with serving(log, clock=clock) as served:
        for _ in range(60):
            assert served.http.post("/v1/batch", content='{"batch":[]}').status_code == 401
        clock.moment = datetime(2026, 3, 1, 11, 0, 1, tzinfo=UTC)
        served.http.post("/v1/batch", content='{"batch":[]}')
        assert served.collector.unrecorded == 10
    refusals = [event for event in served.events() if isinstance(event, Refused)]
    assert len(refusals) == 51
    assert "10 more refused requests" in refusals[-1].detail


def test_the_gateways_arrivals_go_the_same_way(log: EventLog) -> None:
    arrival = Arrival("wingify.event", 1, 0, "flags", 5, "", "", b"{}")

    async def run(served: Served) -> None:
        await served.collector.append([arrival, arrival])
        await served.collector.close()

    from cairn.collect.app import Collector
    from cairn.published.directory import Directory
    from cairn.settings import load

    collector = Collector(log, Directory, StoppedClock(), load({}, {}))
    served = Served("http://none", collector, log)
    asyncio.run(run(served))
    assert served.arrivals() == [arrival, arrival]
