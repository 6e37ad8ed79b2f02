"""Applies what segment webhooks have brought, task by task, in the order in which they became complete.

One thread does it, so that a page of the site or a webhook waits for no list, and no task overtakes another. A task
that was acknowledged is applied, whatever is killed: it stays `complete` until its list has it.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.engine import reading
from cairn.db.sync_tables import heap_audiences, heap_connections, heap_tasks
from cairn.db.tables import attribute_lists
from cairn.errors import CairnError
from cairn.members.sets import INCOMING, Members, incoming_set, list_set
from cairn.sync.audiences import note_applied
from cairn.sync.receiver import OPEN_FOR, TaskState
from cairn.sync.webhook import DRAIN

logger = logging.getLogger(__name__)

WAIT_S = 5.0  # between looks that nobody asked for
RETRY_S = 1.0
TIDY_EVERY = timedelta(minutes=10)
KEPT_TASKS = 500  # of an audience, in its history
PAGES_FOR = timedelta(
    days=7
)  # how long pages of an applied task are told from other pages with their numbers


class Applying:
    """The thread's work. `on_change`: members of lists of these environments came or went."""

    def __init__(
        self,
        engine: sa.Engine,
        members: Members,
        clock: Clock,
        *,
        on_change: Callable[[set[int]], None],
    ) -> None:
        self._engine, self._members, self._clock = engine, members, clock
        self._on_change = on_change
        self._wake = threading.Event()
        self._tidied_at: datetime | None = None

    def completed(self) -> None:
        """A task has become complete."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.wait(WAIT_S)
            self._wake.clear()
            try:
                self.apply_due()
                self.tidy_if_due()
            except (CairnError, sa.exc.SQLAlchemyError):  # the job boundary: it is tried again
                logger.exception("heap_task_not_applied")
                stop.wait(RETRY_S)
                self._wake.set()

    def apply_due(self) -> None:
        query = (
            sa.select(
                heap_tasks,
                heap_audiences.c.list_id,
                heap_audiences.c.synced_at,
                heap_connections.c.connected_at,
                attribute_lists.c.environment_id,
            )
            .join(heap_audiences, heap_audiences.c.id == heap_tasks.c.audience_id)
            .join(heap_connections, heap_connections.c.id == heap_tasks.c.connection_id)
            .join(attribute_lists, attribute_lists.c.id == heap_audiences.c.list_id)
            .where(heap_tasks.c.state == TaskState.COMPLETE)
            .order_by(heap_tasks.c.finished_at, heap_tasks.c.id)
        )
        with reading(self._engine) as connection:
            complete = connection.execute(query).all()
        for row in complete:
            self._apply(row)

    def _apply(self, task: sa.Row[Any]) -> None:
        name = list_set(task.list_id)
        add, remove = incoming_set(task.id, "add"), incoming_set(task.id, "remove")
        waiting = self._members.size(add) + self._members.size(remove)
        added, removed = self._drain(name) if task.action == DRAIN else self._take(name, add, remove, task)
        if not waiting and not (added or removed):
            # It was applied before this process was killed: then what came is what changed, as far as we know.
            added, removed = task.added, task.removed
        now = self._clock()
        of_task = (heap_tasks.c.id == task.id) & (heap_tasks.c.state == TaskState.COMPLETE)
        values = {"state": TaskState.APPLIED, "added": added, "removed": removed, "finished_at": now}
        with self._engine.begin() as connection:
            connection.execute(sa.update(heap_tasks).where(of_task).values(**values))
            note_applied(connection, task.audience_id, added=added, removed=removed, now=now)
        self._forget(task.id)
        self._on_change({task.environment_id})

    def _take(self, name: str, add: str, remove: str, task: sa.Row[Any]) -> tuple[int, int]:
        """A first sync of a million members is taken over as it lies."""
        size, coming = self._members.size(name), self._members.size(add)
        if size and not _starts_over(task):
            return self._members.combine(name, add=add, remove=remove)
        if coming or size:
            self._members.adopt(name, add)
        return coming, size

    def _drain(self, name: str) -> tuple[int, int]:
        size = self._members.size(name)
        self._members.drop(name)
        return 0, size

    def tidy_if_due(self) -> None:
        now = self._clock()
        if self._tidied_at is None or now - self._tidied_at >= TIDY_EVERY:
            self._tidied_at = now
            self.tidy(now)

    def tidy(self, now: datetime) -> None:
        """End tasks whose pages never came, and forget what nobody needs of those that are over."""
        is_old = (heap_tasks.c.state == TaskState.RECEIVING) & (heap_tasks.c.started_at <= now - OPEN_FOR)
        expired = {
            "state": TaskState.EXPIRED,
            "finished_at": now,
            "error": "some of its pages did not come within 24 hours; nothing of it was applied",
        }
        is_over = heap_tasks.c.state.not_in((TaskState.RECEIVING, TaskState.COMPLETE))
        with self._engine.begin() as connection:
            connection.execute(sa.update(heap_tasks).where(is_old).values(**expired))
            connection.execute(sa.delete(heap_tasks).where(heap_tasks.c.id.in_(_beyond_history(is_over))))
        self._forget_ended(now)

    def _forget_ended(self, now: datetime) -> None:
        """What waited for tasks that will not be applied any more, and which pages came long ago."""
        is_needed = heap_tasks.c.state.in_((TaskState.RECEIVING, TaskState.COMPLETE)) | (
            (heap_tasks.c.state == TaskState.APPLIED) & (heap_tasks.c.finished_at > now - PAGES_FOR)
        )
        names = self._members.sets(INCOMING)
        with reading(self._engine) as connection:
            needed = set(connection.execute(sa.select(heap_tasks.c.id).where(is_needed)).scalars())
        for name in names:
            if int(name.split("/")[1]) not in needed:
                self._members.forget(name)

    def _forget(self, task: int) -> None:
        for part in ("add", "remove"):
            self._members.forget(incoming_set(task, part))


def _starts_over(task: sa.Row[Any]) -> bool:
    """The first task since the account was connected again brings all members: those who left are not named."""
    if task.synced_at is None or task.connected_at is None:
        return False
    return bool(task.synced_at < task.connected_at)


def _beyond_history(is_over: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    rank = sa.func.row_number().over(partition_by=heap_tasks.c.audience_id, order_by=heap_tasks.c.id.desc())
    ranked = sa.select(heap_tasks.c.id, rank.label("rank")).where(
        is_over, heap_tasks.c.audience_id.is_not(None)
    )
    beyond = ranked.subquery()
    return sa.select(beyond.c.id).where(beyond.c.rank > KEPT_TASKS)
