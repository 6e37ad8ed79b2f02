"""Jobs are run at least once, by one worker at a time, and a killed worker loses nothing."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.db.engine import reading
from cairn.db.tables import jobs
from cairn.errors import InvalidInput, Unavailable
from cairn.jobs.queue import (
    FORGET,
    KEEP_DONE,
    LEASE,
    MAX_ATTEMPTS,
    LeaseLost,
    State,
    Worker,
    claim,
    complete,
    enqueue,
    enqueue_tick,
    fail,
    forget_done,
    heartbeat,
    retry_delay,
    revive,
)
from tests.databases import database_url, open_test_metadata

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_test_metadata(tmp_path)
    yield engine
    engine.dispose()


def _add(engine: sa.Engine, kind: str = "work", payload: Any = None, **when: Any) -> int | None:
    with engine.begin() as connection:
        return enqueue(connection, kind, payload, **{"run_at": NOW, "now": NOW, **when})


def _row(engine: sa.Engine, job_id: int) -> Any:
    with reading(engine) as connection:
        return connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()


class _Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_job_exists_only_when_the_change_does(engine: sa.Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        enqueue(connection, "work", run_at=NOW, now=NOW)
        raise ZeroDivisionError
    with engine.begin() as connection:
        assert claim(connection, "w", ["work"], now=NOW) is None


def test_jobs_are_claimed_when_due_oldest_first_and_only_known_kinds(engine: sa.Engine) -> None:
    later = _add(engine, run_at=NOW + SECOND)
    first = _add(engine, run_at=NOW - SECOND)
    _add(engine, "unknown", run_at=NOW - 9 * SECOND)
    with engine.begin() as connection:
        taken = claim(connection, "w", ["work"], now=NOW)
        assert taken is not None and taken.id == first
        assert claim(connection, "w", ["work"], now=NOW) is None
        then = claim(connection, "w", ["work"], now=NOW + SECOND)
        assert then is not None and then.id == later


def test_waiting_job_with_the_same_key_is_not_added_twice(engine: sa.Engine) -> None:
    assert _add(engine, unique_key="recount/1") is not None
    assert _add(engine, unique_key="recount/1") is None
    assert _add(engine, unique_key="recount/2") is not None
    with engine.begin() as connection:
        claim(connection, "w", ["work"], now=NOW)
    assert _add(engine, unique_key="recount/1") is not None, "the running one may have missed the change"


def test_tick_happens_once_even_after_it_is_done(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert enqueue_tick(connection, "sweep", every=timedelta(minutes=1), now=NOW) is not None
        job = claim(connection, "w", ["sweep"], now=NOW)
        assert job is not None
        assert enqueue_tick(connection, "sweep", every=timedelta(minutes=1), now=NOW + 30 * SECOND) is None
        complete(connection, job, now=NOW)
        assert enqueue_tick(connection, "sweep", every=timedelta(minutes=1), now=NOW + 59 * SECOND) is None
        assert (
            enqueue_tick(connection, "sweep", every=timedelta(minutes=1), now=NOW + 60 * SECOND) is not None
        )


def test_failed_job_waits_longer_each_time_and_is_dead_in_the_end(engine: sa.Engine) -> None:
    job_id = _add(engine)
    assert job_id is not None
    now, delays = NOW, []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with engine.begin() as connection:
            job = claim(connection, "w", ["work"], now=now)
            assert job is not None and job.attempts == attempt
            state = fail(connection, job, "no luck", now=now)
        delays.append(_row(engine, job_id).run_at - now)
        now = max(now, _row(engine, job_id).run_at)
    assert state == State.DEAD
    assert delays[:4] == [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND]
    assert delays[-2] == timedelta(hours=1)
    assert _row(engine, job_id).error == "no luck"
    with engine.begin() as connection:
        assert claim(connection, "w", ["work"], now=now + timedelta(days=9)) is None
        assert revive(connection, job_id, now=now)
        assert claim(connection, "w", ["work"], now=now) is not None


def test_retry_delay_never_overflows() -> None:
    assert retry_delay(10_000) == timedelta(hours=1)


def test_silent_worker_loses_its_job_and_cannot_finish_it(engine: sa.Engine) -> None:
    _add(engine)
    with engine.begin() as connection:
        silent = claim(connection, "silent", ["work"], now=NOW)
        assert silent is not None
        assert claim(connection, "other", ["work"], now=NOW + LEASE - SECOND) is None
        heartbeat(connection, silent, now=NOW + LEASE - SECOND)
        assert claim(connection, "other", ["work"], now=NOW + LEASE) is None, (
            "the heartbeat renewed the lease"
        )
        other = claim(connection, "other", ["work"], now=NOW + 2 * LEASE)
        assert other is not None and other.id == silent.id
        for late in (
            lambda: heartbeat(connection, silent, now=NOW),
            lambda: complete(connection, silent, now=NOW),
            lambda: fail(connection, silent, "late", now=NOW),
        ):
            with pytest.raises(LeaseLost):
                late()
        complete(connection, other, now=NOW)
        with pytest.raises(LeaseLost):
            complete(connection, other, now=NOW)


def test_job_that_kills_every_worker_is_given_up(engine: sa.Engine) -> None:
    job_id = _add(engine)
    assert job_id is not None
    now = NOW
    for _ in range(MAX_ATTEMPTS):
        with engine.begin() as connection:
            assert claim(connection, "w", ["work"], now=now) is not None
        now += LEASE
    with engine.begin() as connection:
        assert claim(connection, "w", ["work"], now=now) is None
    assert _row(engine, job_id).state == State.DEAD


@pytest.mark.parametrize(
    ("error", "state"),
    [
        pytest.param(None, State.DONE, id="success"),
        pytest.param(Unavailable("away"), State.WAITING, id="unavailable is tried again"),
        pytest.param(InvalidInput("never"), State.DEAD, id="invalid would fail again"),
        pytest.param(KeyError("bug"), State.WAITING, id="a bug may be passing"),
    ],
)
def test_worker_settles_a_job_by_its_error(engine: sa.Engine, error: Exception | None, state: str) -> None:
    def work(payload: Any) -> None:
        assert payload == {"n": 1}
        if error is not None:
            raise error

    job_id = _add(engine, payload={"n": 1})
    assert job_id is not None
    worker = Worker(engine, {"work": work}, clock=lambda: NOW)
    while worker.run_one():
        pass
    assert _row(engine, job_id).state == state
    assert (error is None) == (_row(engine, job_id).error == "")


def test_two_workers_never_run_the_same_job(engine: sa.Engine) -> None:
    count, seen, lock = 60, [], threading.Lock()
    for number in range(count):
        _add(engine, payload={"n": number})
    start = threading.Barrier(4)

    def work(payload: Any) -> None:
        with lock:
            seen.append(payload["n"])

    def run() -> None:
        worker = Worker(engine, {"work": work}, clock=lambda: NOW)
        start.wait()
        while worker.run_one():
            pass

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(count))


def test_recurring_job_runs_once_per_tick_across_workers(engine: sa.Engine) -> None:
    clock, ran = _Clock(), []
    workers = [
        Worker(engine, {"sweep": ran.append}, recurring={"sweep": timedelta(minutes=1)}, clock=clock)
        for _ in range(3)
    ]
    for minute in range(3):
        clock.now = NOW + timedelta(minutes=minute, seconds=minute)
        for worker in workers:
            while worker.run_one():
                pass
        assert len(ran) == minute + 1


def test_done_jobs_are_forgotten_after_a_week_and_dead_ones_are_not(engine: sa.Engine) -> None:
    done, dead = _add(engine), _add(engine)
    with engine.begin() as connection:
        for settle in (complete, lambda c, j, now: fail(c, j, "x", now=now, is_final=True)):
            job = claim(connection, "w", ["work"], now=NOW)
            assert job is not None
            settle(connection, job, now=NOW)
        assert forget_done(connection, now=NOW + KEEP_DONE) == 0
        assert forget_done(connection, now=NOW + KEEP_DONE + SECOND) == 1
        assert connection.execute(sa.select(jobs.c.id)).scalars().all() == [dead]
    assert done != dead


def test_worker_runs_until_told_to_stop(engine: sa.Engine) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=Worker(engine, {"stop": lambda _payload: stop.set()}).run, args=(stop,))
    thread.start()
    job_id = _add(engine, "stop", run_at=utc_now())
    assert job_id is not None
    thread.join(20)
    assert not thread.is_alive()
    assert _row(engine, job_id).state == State.DONE


def test_worker_clears_up_by_itself(engine: sa.Engine) -> None:
    old = _add(engine)
    assert old is not None
    worker = Worker(engine, {"work": lambda _payload: None}, clock=lambda: NOW)
    while worker.run_one():
        pass
    later = Worker(engine, {}, clock=lambda: NOW + KEEP_DONE + SECOND)
    while later.run_one():
        pass
    with reading(engine) as connection:
        kept = connection.execute(sa.select(jobs.c.kind)).scalars().all()
    assert kept == [FORGET]


def test_job_of_a_killed_worker_is_done_by_the_next(tmp_path: Path) -> None:
    engine = open_test_metadata(tmp_path)
    _add(engine, payload={"n": 7}, run_at=utc_now())
    script = Path(__file__).with_name("killed_worker.py")
    process = subprocess.Popen(
        [sys.executable, str(script), database_url(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "started 7\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    done: list[Any] = []
    before_lease = Worker(engine, {"work": done.append}, clock=utc_now)
    while before_lease.run_one():
        pass
    assert done == [], "the lease has not ended"
    later = Worker(engine, {"work": done.append}, clock=lambda: utc_now() + LEASE)
    while later.run_one():
        pass
    assert done == [{"n": 7}]
    engine.dispose()


def test_a_clock_set_back_keeps_no_job_waiting(engine: sa.Engine) -> None:
    """Asked for, taken, or put back, all while the clock was two hours ahead."""
    ahead = NOW + timedelta(hours=2)
    asked = _add(engine, run_at=ahead, now=ahead)
    with engine.begin() as connection:
        job = claim(connection, "w1", ["work"], now=NOW)
    assert job is not None and job.id == asked
    with engine.begin() as connection:
        heartbeat(connection, job, now=ahead)  # then its worker is killed
        again = claim(connection, "w2", ["work"], now=NOW)
    assert again is not None and again.id == asked
    with engine.begin() as connection:
        fail(connection, again, "away", now=ahead)
        last = claim(connection, "w3", ["work"], now=NOW)
    assert last is not None and last.id == asked


def test_a_job_for_later_waits_also_when_the_clock_steps_a_little(engine: sa.Engine) -> None:
    _add(engine, run_at=NOW + timedelta(hours=5))
    with engine.begin() as connection:
        assert claim(connection, "w1", ["work"], now=NOW - 30 * SECOND) is None
