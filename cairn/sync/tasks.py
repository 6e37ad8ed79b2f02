"""Tasks: what a target must be told, worked out from what its segment holds now and what it has acknowledged.

A task's members wait in two sets of the members store, so that after a crash the same pages are sent under the same
id. A target's acknowledged members are a third set; it changes only when every page of a task was acknowledged.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.columns import Moment
from cairn.db.sync_tables import segment_syncs, sync_tasks
from cairn.members.sets import Members, SetChange
from cairn.sync.deliver.page import PAGE_MEMBERS
from cairn.sync.history import keep_newest
from cairn.sync.syncs import Sync, Task

ALIVE_EVERY = timedelta(
    hours=12
)  # a target is told that nothing has changed, or it would take the sync for stale
KEPT_TASKS = 200  # of a sync's history
SAMPLE_MEMBERS = 10
_DELTA = 50_000  # changed members that are looked at one by one; with more, whole sets are compared
_ENDED = sync_tasks.c.state.in_(("done", "failed"))
NOBODY = ""  # a set that is always empty


def acknowledged_set(sync_id: int) -> str:
    return f"synced/{sync_id}"


def added_set(task_id: str) -> str:
    return f"task/{task_id}/add"


def removed_set(task_id: str) -> str:
    return f"task/{task_id}/remove"


class Source(Struct, frozen=True):
    """What a segment holds for one target: the set of ids under its mapping, and how many users stand behind it."""

    set_name: str
    version: int
    users: int
    is_followed: bool  # has a feed, so that a difference need not be looked for everywhere


def build_task(members: Members, sync: Sync, source: Source, now: datetime) -> Task | None:
    """Write the difference down as a task; None when there is none. What came after `source.version` comes next."""
    task_id = str(uuid.uuid4())
    kind = "delta" if sync.is_compared else "compare" if sync.acknowledged_at else "first"
    added, removed = _difference(members, sync, source, task_id)
    if not added and not removed and kind != "first":
        return None
    return new_task(members, sync, source, kind, added, removed, now, task_id=task_id)


def new_task(
    members: Members,
    sync: Sync,
    source: Source,
    kind: str,
    added: int,
    removed: int,
    now: datetime,
    *,
    task_id: str = "",
) -> Task:
    return Task(
        id=task_id or str(uuid.uuid4()),
        sync_id=sync.id,
        kind=kind,
        state="sending",
        feed_version=source.version,
        users=source.users,
        identified=members.size(source.set_name),
        added=added,
        removed=removed,
        pages=max(1, -(-(added + removed) // PAGE_MEMBERS)),
        pages_acknowledged=0,
        attempts=0,
        next_at=None,
        error="",
        started_at=now,
        finished_at=None,
    )


def is_silent(connection: sa.Connection, sync: Sync, now: datetime) -> bool:
    """Whether the target has been told nothing for so long that it cannot know whether the sync is still there."""
    if sync.is_ending:
        return False
    newest = sa.select(sa.func.max(sync_tasks.c.finished_at)).where(
        sync_tasks.c.sync_id == sync.id, sync_tasks.c.state == "done"
    )
    last = connection.execute(newest).scalar()
    return last is not None and last <= now - ALIVE_EVERY


def _difference(members: Members, sync: Sync, source: Source, task_id: str) -> tuple[int, int]:
    held = acknowledged_set(sync.id)
    changed = None
    if sync.is_compared and source.is_followed:
        changed = members.changed_since(source.set_name, sync.feed_version, most=_DELTA)
        if changed.values is not None and changed.version < source.version:
            changed = None  # more than fits
    if changed is not None and changed.values is not None:
        found = members.which_all({source.set_name: changed.values, held: changed.values})
        inside, known = found[source.set_name], found[held]
        sizes = members.apply_all(
            {
                added_set(task_id): SetChange(dict.fromkeys(inside - known, 0), ()),
                removed_set(task_id): SetChange(dict.fromkeys(known - inside, 0), ()),
            }
        )
        return sizes[added_set(task_id)][0], sizes[removed_set(task_id)][0]
    added = members.fill_difference(added_set(task_id), source.set_name, held)
    return added, members.fill_difference(removed_set(task_id), held, source.set_name)


def sample_members(members: Members, source: Source) -> list[str]:
    return [value for value, _ in members.values(source.set_name, limit=SAMPLE_MEMBERS)]


def new_sample(sync: Sync, now: datetime) -> Task:
    """A task of a few members, requested so that people see it arrive at the target."""
    return Task(
        id=str(uuid.uuid4()),
        sync_id=sync.id,
        kind="sample",
        state="sending",
        feed_version=0,
        users=0,
        identified=0,
        added=0,
        removed=0,
        pages=1,
        pages_acknowledged=0,
        attempts=0,
        next_at=None,
        error="",
        started_at=now,
        finished_at=None,
    )


def pages_of(members: Members, task: Task) -> Iterator[tuple[int, list[str], list[str]]]:
    """The pages that are not acknowledged yet: number, members to add, members to remove. Removals come first."""
    number, skipped = task.pages_acknowledged + 1, task.pages_acknowledged * PAGE_MEMBERS
    removed: list[str] = []
    for values in _batches(members, removed_set(task.id)):
        removed += values[skipped:]
        skipped = max(0, skipped - len(values))
        while len(removed) >= PAGE_MEMBERS:
            yield number, [], removed[:PAGE_MEMBERS]
            number, removed = number + 1, removed[PAGE_MEMBERS:]
    added: list[str] = []
    for values in _batches(members, added_set(task.id)):
        added += values[skipped:]
        skipped = max(0, skipped - len(values))
        while len(removed) + len(added) >= PAGE_MEMBERS:
            free = PAGE_MEMBERS - len(removed)
            yield number, added[:free], removed
            number, added, removed = number + 1, added[free:], []
    if number <= task.pages:
        yield number, added, removed


def _batches(members: Members, name: str) -> Iterator[list[str]]:
    after = ""
    while values := members.texts(name, after=after, limit=PAGE_MEMBERS):
        yield values
        after = values[-1]
        if len(values) < PAGE_MEMBERS or not after:  # the empty text comes last
            return


def take_over(members: Members, sync: Sync, task: Task) -> int:
    """Every page was acknowledged: so are its members. May be repeated after a crash. Return how many there are."""
    held, added, removed = acknowledged_set(sync.id), added_set(task.id), removed_set(task.id)
    if not members.size(held) and members.size(added):
        members.adopt(held, added)
    else:
        members.combine(held, add=added, remove=removed)
    return members.size(held)


def drop_sets(members: Members, task_id: str) -> None:
    members.drop(added_set(task_id))
    members.drop(removed_set(task_id))


def save_new(connection: sa.Connection, task: Task) -> None:
    row = {name: getattr(task, name) for name in Task.__struct_fields__}
    connection.execute(sa.insert(sync_tasks).values(**row))


def save_progress(connection: sa.Connection, task_id: str, pages_acknowledged: int) -> None:
    """A page was taken, so the target is well."""
    connection.execute(
        sa.update(sync_tasks)
        .where(sync_tasks.c.id == task_id)
        .values(pages_acknowledged=pages_acknowledged, attempts=0, next_at=None, error="")
    )


def attempts_of(connection: sa.Connection, task: Task) -> int:
    """To send the page that is being sent, up to now."""
    query = sa.select(sync_tasks.c.attempts).where(sync_tasks.c.id == task.id)
    return int(connection.execute(query).scalar() or 0)


def save_failure(
    connection: sa.Connection, sync: Sync, task: Task, why: str, *, next_at: datetime, now: datetime
) -> None:
    connection.execute(
        sa.update(sync_tasks)
        .where(sync_tasks.c.id == task.id)
        .values(attempts=sync_tasks.c.attempts + 1, next_at=next_at, error=why)
    )
    _note_failure(connection, sync, why, now)


def save_sync_failure(
    connection: sa.Connection, sync: Sync, why: str, *, next_at: datetime, now: datetime
) -> None:
    """Before there is a task."""
    connection.execute(sa.update(segment_syncs).where(segment_syncs.c.id == sync.id).values(next_at=next_at))
    _note_failure(connection, sync, why, now)


def _note_failure(connection: sa.Connection, sync: Sync, why: str, now: datetime) -> None:
    since = sa.func.coalesce(segment_syncs.c.failed_at, sa.bindparam("since", now, type_=Moment()))
    connection.execute(
        sa.update(segment_syncs).where(segment_syncs.c.id == sync.id).values(error=why, failed_at=since)
    )


def save_done(
    connection: sa.Connection,
    sync: Sync,
    task: Task,
    *,
    acknowledged: int,
    next_at: datetime | None,
    now: datetime,
) -> None:
    connection.execute(
        sa.update(sync_tasks)
        .where(sync_tasks.c.id == task.id)
        .values(
            state="done", pages_acknowledged=task.pages, finished_at=now, error="", next_at=None, attempts=0
        )
    )
    save_in_line(connection, sync, task.feed_version, acknowledged=acknowledged, next_at=next_at, now=now)
    keep_newest(connection, sync_tasks.c.sync_id, sync.id, sync_tasks.c.started_at, KEPT_TASKS, _ENDED)


def save_in_line(
    connection: sa.Connection,
    sync: Sync,
    feed_version: int,
    *,
    acknowledged: int,
    next_at: datetime | None,
    now: datetime,
) -> None:
    """The target holds what the segment held at this version."""
    connection.execute(
        sa.update(segment_syncs)
        .where(segment_syncs.c.id == sync.id)
        .values(
            feed_version=feed_version,
            # A mapping changed meanwhile: everything is to be compared again.
            is_compared=sa.case((segment_syncs.c.mapping == sync.mapping, sa.true()), else_=sa.false()),
            acknowledged=acknowledged,
            acknowledged_at=now,
            next_at=next_at,
            error="",
            failed_at=None,
        )
    )


def save_sample(connection: sa.Connection, sample: Task, *, added: int, error: str, now: datetime) -> None:
    values = {
        "state": "failed" if error else "done",
        "error": error,
        "added": added,
        "finished_at": now,
        "pages_acknowledged": 0 if error else 1,
        "attempts": 1,
    }
    connection.execute(sa.update(sync_tasks).where(sync_tasks.c.id == sample.id).values(**values))
    keep_newest(connection, sync_tasks.c.sync_id, sample.sync_id, sync_tasks.c.started_at, KEPT_TASKS, _ENDED)
