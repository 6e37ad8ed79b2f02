"""The sender: reconciles every target with its segments, one task of a sync at a time.

One thread looks for syncs that are due and a few others send. A slow or dead target costs only itself: its sync waits
with its task, and nothing waits in a thread. Whatever kills the process, the same pages are sent again under the same
id, and a target's acknowledged members change only when it has taken every page of a task.
"""

import logging
import random
import threading
import time
from collections import Counter
from datetime import datetime, timedelta

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.engine import reading
from cairn.db.sync_tables import segment_syncs
from cairn.errors import CairnError
from cairn.http_client import HttpClient
from cairn.http_client.retry import LONGEST_WAIT, retry_s
from cairn.members.sets import Members, list_set, users_set
from cairn.store.store import Store
from cairn.sync import tasks
from cairn.sync.deliver.kinds import open_delivery
from cairn.sync.deliver.page import NotAccepted
from cairn.sync.mapping import fill_mapped, keys_of, mapped_set
from cairn.sync.sending import Sending, clean_up, read_sending, read_sendings
from cairn.sync.syncs import IDENTITY, PERIODS, Sync, Task
from cairn.sync.tasks import ALIVE_EVERY, Source, acknowledged_set
from cairn.workspace.sealed import Seal

logger = logging.getLogger(__name__)

TICK_S = 0.5  # a membership change wakes it at once; this is for what time brings
THREADS = 8
THREADS_PER_TARGET = 2
CLEAN_UP_S = 60.0  # how often what is left of syncs that are gone is cleared away
END_S = 3.0  # how long the end of the process waits for a page that is on its way
SAVE_S = 0.25  # how often progress is written; after a crash a few pages are sent again
# A property of a member may change without the segment changing: such ids are looked up again.
MAPPED_AGAIN = timedelta(minutes=5)
LOOK_AGAIN_S = 10.0  # after a task could not be made
CLOCK_STEP = timedelta(minutes=1)  # a clock set back by less is only a little late


class Stopped(Exception):
    """The sync was paused, changed or deleted, or the process ends: what was acknowledged counts."""


class Sender:
    def __init__(
        self, engine: sa.Engine, store: Store, members: Members, seal: Seal, client: HttpClient, clock: Clock
    ) -> None:
        self._engine, self._store, self._members = engine, store, members
        self._seal, self._client, self._clock = seal, client, clock
        self._wake, self._stop = threading.Event(), threading.Event()
        self._running: dict[int, tuple[int, threading.Thread]] = {}  # by sync: its target, and who sends

    def wake(self) -> None:
        """Something changed: members of a list, or a sync. Cheap, from any thread."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        self._stop = stop
        cleaned_s = float("-inf")
        while not stop.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                if time.monotonic() - cleaned_s >= CLEAN_UP_S and not self._running:
                    clean_up(self._engine, self._members)
                    cleaned_s = time.monotonic()
                self._start_due()
            except Exception as error:  # the job boundary: nothing is lost, it is due still
                logger.warning("syncs_wait", exc_info=error)
                stop.wait(1.0)
        end_s = time.monotonic() + END_S
        for _, thread in self._running.values():
            thread.join(max(0.0, end_s - time.monotonic()))

    def settle(self) -> None:
        """Send all that is due now, to its end. For tests, and for programs that are about to end."""
        clean_up(self._engine, self._members)
        while started := self._start_due():
            for thread in started:
                thread.join()

    def _start_due(self) -> list[threading.Thread]:
        self._running = {
            sync_id: (at, thread) for sync_id, (at, thread) in self._running.items() if thread.is_alive()
        }
        with reading(self._engine) as connection:
            sendings = read_sendings(connection)
        busy = Counter(target_id for target_id, _ in self._running.values())
        started = []
        for sending in sendings:
            sync = sending.sync
            if len(self._running) == THREADS:
                break
            if (
                sync.id in self._running
                or busy[sync.target_id] == THREADS_PER_TARGET
                or not self._is_due(sending)
            ):
                continue
            # Daemons: a target that does not answer keeps nobody from ending.
            thread = threading.Thread(target=self._send, args=(sending,), name=f"sync-{sync.id}", daemon=True)
            self._running[sync.id] = sync.target_id, thread
            busy[sync.target_id] += 1
            thread.start()
            started.append(thread)
        return started

    def _is_due(self, sending: Sending) -> bool:
        version = self._members.version(self._watched_set(sending))
        return is_due(sending, version, self._clock())

    def _watched_set(self, sending: Sending) -> str:
        if sending.sync.mapping == IDENTITY:
            return list_set(sending.list_id)
        return users_set(sending.sync.environment_id, sending.sync.segment_id)

    def _send(self, sending: Sending) -> None:
        """One step of a sync: its sample, or its task from where it stands to its end."""
        sync = sending.sync
        task = sending.task
        try:
            if sending.sample is not None:
                self._send_sample(sending, sending.sample)
                return
            task = task or self._build(sending)
            if task is not None:
                self._send_task(sending, task)
        except Stopped:
            pass
        except Exception as error:  # the job boundary: one sync's failure is its own
            if not isinstance(error, CairnError):
                logger.exception("sync_failed", extra={"sync": sync.id})
            self._failed(sync, task, error)
        finally:
            self._wake.set()

    def _build(self, sending: Sending) -> Task | None:
        sync, now = sending.sync, self._clock()
        source = self._source(sending)
        task = tasks.build_task(self._members, sync, source, now)
        with self._engine.begin() as connection:
            if task is None and tasks.is_silent(connection, sync, now):
                task = tasks.new_task(self._members, sync, source, "alive", 0, 0, now)
            if task is not None:
                tasks.save_new(connection, task)
            else:
                acknowledged = self._members.size(acknowledged_set(sync.id))
                tasks.save_in_line(
                    connection,
                    sync,
                    source.version,
                    acknowledged=acknowledged,
                    next_at=next_at(sync, now),
                    now=now,
                )
        if task is None and sync.is_ending:
            self._end(sync)
        return task

    def _source(self, sending: Sending) -> Source:
        """What the target should hold. The version is read first, so that a change meanwhile is seen next time."""
        sync, members = sending.sync, self._members
        of_users = users_set(sync.environment_id, sync.segment_id)
        if sync.is_ending:
            return Source(tasks.NOBODY, 0, 0, is_followed=False)
        if sync.mapping == IDENTITY:
            version = members.follow(list_set(sending.list_id))
            return Source(list_set(sending.list_id), version, members.size(of_users), is_followed=True)
        version = members.version(of_users)
        fill_mapped(
            self._engine,
            self._store,
            members,
            sync.environment_id,
            of_users,
            mapped_set(sync.id),
            keys_of(sync.mapping),
        )
        return Source(mapped_set(sync.id), version, members.size(of_users), is_followed=False)

    def _send_task(self, sending: Sending, task: Task) -> None:
        sync = sending.sync
        self._send_pages(sending, task)
        acknowledged = tasks.take_over(self._members, sync, task)
        now = self._clock()
        with self._engine.begin() as connection:
            tasks.save_done(
                connection, sync, task, acknowledged=acknowledged, next_at=next_at(sync, now), now=now
            )
        tasks.drop_sets(self._members, task.id)
        if (
            sync.is_ending and not acknowledged
        ):  # else the task was of before, and one that empties the target follows
            self._end(sync)

    def _send_pages(self, sending: Sending, task: Task) -> None:
        """Send what is not acknowledged yet. Raises what keeps the target from having all of it, and Stopped."""
        acknowledged, saved_s = task.pages_acknowledged, time.monotonic()
        try:
            with self._client.session() as session:
                deliver = open_delivery(self._engine, self._seal, sending.target, session, self._clock)
                for number, added, removed in tasks.pages_of(self._members, task):
                    deliver(sending.page(task, number, added, removed))
                    acknowledged = number
                    if time.monotonic() - saved_s >= SAVE_S:
                        self._save_progress(sending, task.id, acknowledged)
                        saved_s = time.monotonic()
        except Stopped:
            raise
        except Exception:
            if acknowledged > task.pages_acknowledged:
                with self._engine.begin() as connection:
                    tasks.save_progress(connection, task.id, acknowledged)
            raise

    def _save_progress(self, sending: Sending, task_id: str, acknowledged: int) -> None:
        """Raises Stopped when the sync is not to go on."""
        with self._engine.begin() as connection:
            tasks.save_progress(connection, task_id, acknowledged)
            now = read_sending(connection, sending.sync.id)
        if self._stop.is_set() or now is None or not now.may_send:
            raise Stopped

    def _send_sample(self, sending: Sending, sample: Task) -> None:
        """Once: a sample is there to be seen, now."""
        added, error = [], ""
        try:
            added = tasks.sample_members(self._members, self._source(sending))
            with self._client.session() as session:
                deliver = open_delivery(self._engine, self._seal, sending.target, session, self._clock)
                deliver(sending.page(sample, 1, added, []))
            # It holds them now: who is out by the time of the first task is to be taken out there.
            self._members.apply(acknowledged_set(sending.sync.id), add=dict.fromkeys(added, 0), remove=())
        except Exception as failure:  # whatever it was, people read it in the history
            error = str(failure) or type(failure).__name__
        with self._engine.begin() as connection:
            tasks.save_sample(connection, sample, added=len(added), error=error, now=self._clock())

    def _failed(self, sync: Sync, task: Task | None, error: Exception) -> None:
        """The sync waits, and longer each time; `task`: which was being sent."""
        now, why = self._clock(), str(error) or type(error).__name__
        asked_s = error.retry_after_s if isinstance(error, NotAccepted) else None
        asked_s = LOOK_AGAIN_S if task is None else asked_s
        logger.warning("sync_waits", extra={"sync": sync.id, "why": why})
        with self._engine.begin() as connection:
            attempts = tasks.attempts_of(connection, task) + 1 if task else 1
            next_at = now + timedelta(seconds=retry_s(attempts, asked_s, random.random()))
            if task is None:
                tasks.save_sync_failure(connection, sync, why, next_at=next_at, now=now)
            else:
                tasks.save_failure(connection, sync, task, why, next_at=next_at, now=now)

    def _end(self, sync: Sync) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.delete(segment_syncs).where(segment_syncs.c.id == sync.id))
        self._members.drop(acknowledged_set(sync.id))


def is_due(sending: Sending, version: int, now: datetime) -> bool:
    """Whether there is something to do now. `version`: of the set that the members come from. Pure."""
    sync, task = sending.sync, sending.task
    if sending.sample is not None:
        return sending.may_reach
    if not sending.may_send:
        return False
    if task is not None:
        return task.next_at is None or _is_time(task.next_at, now, LONGEST_WAIT)
    if not (sending.is_counted or sync.is_ending):
        return False
    longest = max(PERIODS[sync.every] or timedelta(0), ALIVE_EVERY)
    if sync.next_at is not None and _is_time(sync.next_at, now, longest):
        return True
    return sync.every == "continuous" and not sync.error and version != sync.feed_version


def _is_time(at: datetime, now: datetime, longest: timedelta) -> bool:
    """Also where it lies further ahead than it was ever put: then the clock was set back since."""
    return at <= now or at > now + longest + CLOCK_STEP


def next_at(sync: Sync, now: datetime) -> datetime | None:
    """When to look again without a notice. Pure."""
    if sync.is_ending:
        return now
    period = PERIODS[sync.every]
    if period != timedelta(0):
        return now + period if period else None
    return now + (ALIVE_EVERY if sync.mapping == IDENTITY else MAPPED_AGAIN)
