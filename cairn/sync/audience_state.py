"""In what state an audience is, and what to do about it. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from msgspec import Struct

from cairn.sync.audiences import Audience
from cairn.sync.receiver import Task, TaskState

LONGEST_SILENCE = timedelta(hours=24)
USUAL_GAPS = 3  # times the usual time between two syncs


class State(StrEnum):
    WAITING = "waiting"  # for the first sync
    SYNCING = "syncing"
    SYNCED = "synced"
    STALE = "stale"
    FAILED = "failed"
    DISCONNECTED = "disconnected"


class Condition(Struct, frozen=True):
    state: State
    task: Task | None = None  # that is being received
    reason: str = ""
    todo: str = ""

    @property
    def needs_attention(self) -> bool:
        return self.state in (State.STALE, State.FAILED)


def condition_of(
    audience: Audience, history: Sequence[Task], *, is_connected: bool, now: datetime
) -> Condition:
    """`history`: newest first."""
    if not is_connected:
        return Condition(
            State.DISCONNECTED, reason="its Heap account is not connected; its members stay as they are"
        )
    is_open = (TaskState.RECEIVING, TaskState.COMPLETE)
    receiving = next(
        (task for task in history if task.state in is_open and task.action != TaskState.REFUSED), None
    )
    if audience.failed_at is not None:
        todo = "Compare the webhook secret, and sync the segment again at Heap. Its members are those of the last sync"
        return Condition(State.FAILED, receiving, audience.error, todo)
    if receiving is not None:
        return Condition(State.SYNCING, receiving)
    if audience.synced_at is None:
        return Condition(
            State.WAITING, todo="Enable its sync in Heap: it arrives within seconds from a Cairn"
        )
    if now - audience.synced_at > longest_silence(history):
        todo = "Look in Heap whether its sync is on, and choose Sync now. If nothing has changed, all is well"
        return Condition(State.STALE, reason="nothing has come for longer than usual", todo=todo)
    return Condition(State.SYNCED)


def longest_silence(history: Sequence[Task]) -> timedelta:
    """How long nothing may come before somebody should look."""
    ends = [task.finished_at for task in history if task.state == TaskState.APPLIED and task.finished_at]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(ends)]
    usual = timedelta(seconds=median(gaps)) if gaps else timedelta(0)
    return max(LONGEST_SILENCE, USUAL_GAPS * usual)
