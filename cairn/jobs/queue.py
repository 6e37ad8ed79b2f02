"""Work to be done outside a request: a table, claimed with a lease, so that a killed worker loses nothing.

Enqueueing joins the caller's transaction: the job exists exactly when the change that asked for it does. A job is
run at least once; handlers are idempotent. History stays visible for a while.
"""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

from cairn.clock import Clock, utc_now
from cairn.db.engine import reading
from cairn.db.tables import jobs
from cairn.errors import CairnError, Conflict, Unavailable

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 12  # with the back-off below about nine hours; then a person must look
FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(hours=1)
LEASE = timedelta(seconds=60)  # renewed by heartbeats; how long a killed worker's job lies still
CLOCK_STEP = timedelta(minutes=1)  # a clock set back by less is only a little late
POLL_S = 0.5  # s; how late a job may start when nothing else is to be done
KEEP_DONE = timedelta(days=7)  # finished jobs, for people to look at
MAX_ERROR = 2000  # characters of an error that are kept

FORGET = "forget_done_jobs"  # the queue's own recurring job
TICK = "tick/"  # keys of recurring jobs; kept when the job is done, so that a tick happens once


class State:
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Job(Struct, frozen=True):
    id: int
    kind: str
    payload: Any  # Any: what the kind's handler understands
    attempts: int  # this one counted
    worker: str


class LeaseLost(Conflict):
    """The job's lease ended and somebody else may have it. What this worker did counts as not done."""

    code = "lease_lost"


def enqueue(
    connection: sa.Connection,
    kind: str,
    payload: Any = None,
    *,
    run_at: datetime,
    now: datetime,
    unique_key: str | None = None,
) -> int | None:
    """Add a job in the caller's transaction and return its id.

    While a job with the same `unique_key` waits, nothing is added and None is returned; once it was claimed another
    may be added, because it may have missed the change this one is about.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "kind": kind,
        "payload": {} if payload is None else payload,
        "run_at": run_at,
        "unique_key": unique_key,
        "attempts": 0,
        "state": State.WAITING,
        "worker": "",
        "error": "",
        "created_at": now,
    }
    statement = dialect.insert(jobs).values(**row).on_conflict_do_nothing(index_elements=["unique_key"])
    return connection.execute(statement.returning(jobs.c.id)).scalar()


def enqueue_tick(connection: sa.Connection, kind: str, *, every: timedelta, now: datetime) -> int | None:
    """Add a recurring job for the tick that `now` lies in; None when somebody has added it already."""
    tick = int(now.timestamp() // every.total_seconds())
    return enqueue(connection, kind, run_at=now, now=now, unique_key=f"{TICK}{kind}/{tick}")


def is_due(connection: sa.Connection, kinds: list[str], *, now: datetime) -> bool:
    """Whether `claim` would find a job. Reading only: asking often holds nobody up."""
    return connection.execute(sa.select(jobs.c.id).where(*_due(kinds, now)).limit(1)).first() is not None


def claim(connection: sa.Connection, worker: str, kinds: list[str], *, now: datetime) -> Job | None:
    """Take the job that is due longest, or one whose worker has gone silent; None when there is none.

    Guarantee: a job is held by one worker at a time, for as long as that worker renews its lease.
    """
    _give_up_silent(connection, now)
    due = sa.select(jobs.c.id).where(*_due(kinds, now)).order_by(jobs.c.run_at, jobs.c.id).limit(1)
    if connection.dialect.name == "postgresql":
        due = due.with_for_update(skip_locked=True)  # SQLite: the write lock is held already
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == due.scalar_subquery())
        .values(
            state=State.RUNNING,
            worker=worker,
            lease_until=now + LEASE,
            attempts=jobs.c.attempts + 1,
            unique_key=_kept_key(),
        )
        .returning(jobs.c.id, jobs.c.kind, jobs.c.payload, jobs.c.attempts)
    )
    row = connection.execute(statement).first()
    return None if row is None else Job(row.id, row.kind, row.payload, row.attempts, worker)


def heartbeat(connection: sa.Connection, job: Job, *, now: datetime) -> None:
    """Keep the lease. Raises LeaseLost when somebody else has the job."""
    _update(connection, job, lease_until=now + LEASE)


def complete(connection: sa.Connection, job: Job, *, now: datetime) -> None:
    """Raises LeaseLost when somebody else has the job."""
    _update(connection, job, state=State.DONE, finished_at=now, lease_until=None, error="")


def fail(connection: sa.Connection, job: Job, error: str, *, now: datetime, is_final: bool = False) -> str:
    """Put the job back with a growing delay, or give it up; return its new state. Raises LeaseLost."""
    error = error[:MAX_ERROR]
    if is_final or job.attempts >= MAX_ATTEMPTS:
        _update(connection, job, state=State.DEAD, finished_at=now, lease_until=None, error=error)
        return State.DEAD
    run_at = now + retry_delay(job.attempts)
    _update(connection, job, state=State.WAITING, run_at=run_at, lease_until=None, worker="", error=error)
    return State.WAITING


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 5 s, doubled each time, up to an hour."""
    doubled: timedelta = FIRST_RETRY * 2 ** min(attempts - 1, 20)
    return min(doubled, LONGEST_RETRY)


def revive(connection: sa.Connection, job_id: int, *, now: datetime) -> bool:
    """Give a dead job another round of attempts; False when it is not dead."""
    revived = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == State.DEAD)
        .values(state=State.WAITING, run_at=now, attempts=0, finished_at=None)
    )
    return revived.rowcount == 1


def forget_done(connection: sa.Connection, *, now: datetime) -> int:
    """Delete jobs that were done long ago; dead ones stay until somebody decides. Return how many."""
    old = sa.and_(jobs.c.state == State.DONE, jobs.c.finished_at < now - KEEP_DONE)
    return connection.execute(sa.delete(jobs).where(old)).rowcount


class Worker:
    """Runs jobs, one at a time, until told to stop; start several for more at once, here or in other processes.

    A handler is given the payload. `Unavailable` and unexpected errors are tried again later; any other CairnError
    would fail the same way again, so the job is dead at once and waits for a person.
    """

    def __init__(
        self,
        engine: sa.Engine,
        handlers: Mapping[str, Callable[[Any], None]],
        *,
        recurring: Mapping[str, timedelta] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._engine, self._handlers, self._clock = engine, dict(handlers), clock
        self._recurring = {FORGET: timedelta(hours=1), **(recurring or {})}
        self._ticked: dict[str, int] = {}
        self._handlers[FORGET] = self._forget_done
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if not self.run_one():
                    stop.wait(POLL_S)
            except sa.exc.SQLAlchemyError:
                # The database is locked, full or away: the job's lease ends, and it is done later.
                logger.warning("jobs_database_away", exc_info=True)
                stop.wait(POLL_S)

    def run_one(self) -> bool:
        """Run the job that is due longest; False when there was none."""
        self._tick()
        kinds, now = list(self._handlers), self._clock()
        with reading(self._engine) as connection:
            if not is_due(connection, kinds, now=now):
                return False
        with self._engine.begin() as connection:
            job = claim(connection, self.name, kinds, now=now)
        if job is None:
            return False
        done = threading.Event()
        beat = threading.Thread(target=self._beat, args=(job, done), name=f"lease-{job.id}", daemon=True)
        beat.start()
        try:
            self._attempt(job)
        except LeaseLost:
            logger.warning("job_lease_lost", extra={"job": job.id, "kind": job.kind})
        finally:
            done.set()
            beat.join()
        return True

    def _attempt(self, job: Job) -> None:
        try:
            self._handlers[job.kind](job.payload)
        except Exception as error:  # the job boundary
            is_final = isinstance(error, CairnError) and not isinstance(error, Unavailable)
            with self._engine.begin() as connection:
                state = fail(
                    connection, job, f"{type(error).__name__}: {error}", now=self._clock(), is_final=is_final
                )
            level = logging.ERROR if state == State.DEAD else logging.WARNING
            logger.log(level, "job_failed", exc_info=error, extra={"job": job.id, "kind": job.kind})
        else:
            with self._engine.begin() as connection:
                complete(connection, job, now=self._clock())

    def _beat(self, job: Job, done: threading.Event) -> None:
        while not done.wait(LEASE.total_seconds() / 4):
            try:
                with self._engine.begin() as connection:
                    heartbeat(connection, job, now=self._clock())
            except LeaseLost:
                return
            except sa.exc.SQLAlchemyError:
                continue  # three more beats fit into the lease

    def _tick(self) -> None:
        now = self._clock()
        for kind, every in self._recurring.items():
            tick = int(now.timestamp() // every.total_seconds())
            if self._ticked.get(kind) == tick:
                continue
            with self._engine.begin() as connection:
                enqueue_tick(connection, kind, every=every, now=now)
            self._ticked[kind] = tick

    def _forget_done(self, _payload: Any) -> None:
        with self._engine.begin() as connection:
            forget_done(connection, now=self._clock())


def _due(kinds: list[str], now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    # What lies further ahead than it can was written before the clock was set back; it is due, or it would lie for
    # hours.
    is_made_ahead = jobs.c.created_at > now + CLOCK_STEP
    is_tried_ahead = sa.and_(jobs.c.attempts > 0, jobs.c.run_at > now + LONGEST_RETRY + CLOCK_STEP)
    is_time = sa.or_(jobs.c.run_at <= now, is_made_ahead, is_tried_ahead)
    is_ready = sa.and_(jobs.c.state == State.WAITING, is_time)
    lease_ends = sa.or_(jobs.c.lease_until <= now, jobs.c.lease_until > now + LEASE + CLOCK_STEP)
    is_silent = sa.and_(jobs.c.state == State.RUNNING, lease_ends)
    return sa.or_(is_ready, is_silent), jobs.c.kind.in_(kinds)


def _give_up_silent(connection: sa.Connection, now: datetime) -> None:
    """A job that took its worker down at every attempt must not go on doing so."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.state == State.RUNNING, jobs.c.lease_until <= now, jobs.c.attempts >= MAX_ATTEMPTS)
        .values(state=State.DEAD, finished_at=now, lease_until=None, error="its worker went away every time")
    )


def _update(connection: sa.Connection, job: Job, **values: Any) -> None:
    """Change a job only while this attempt holds it: the attempt number tells a second claim from the first."""
    is_ours = sa.and_(
        jobs.c.id == job.id,
        jobs.c.state == State.RUNNING,
        jobs.c.worker == job.worker,
        jobs.c.attempts == job.attempts,
    )
    if connection.execute(sa.update(jobs).where(is_ours).values(**values)).rowcount == 0:
        raise LeaseLost(f"job {job.id} ({job.kind}): the lease ended; another worker may have it")


def _kept_key() -> sa.ColumnElement[str | None]:
    return sa.case((jobs.c.unique_key.startswith(TICK, autoescape=True), jobs.c.unique_key), else_=None)
