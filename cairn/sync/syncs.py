"""Syncs: a segment of an environment, kept the same at a target."""

import re
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import segment_syncs, sync_targets, sync_tasks
from cairn.db.tables import segments
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.ids import RowId
from cairn.segments.definition import get_segment
from cairn.sync.targets import Target, get_target

Every = Literal["continuous", "15m", "1h", "4h", "1d", "once"]
PERIODS: dict[Every, timedelta | None] = {
    "continuous": timedelta(0),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "once": None,  # when somebody says so
}
IDENTITY, EMAIL, PROPERTY = "identity", "email", "property:"
_MAPPING = re.compile(r"(identity|email|property:.{1,1024})\Z", re.DOTALL)
_ENDED = ("done", "failed")


class NewSync(Struct, frozen=True, forbid_unknown_fields=True):
    target_id: RowId
    mapping: str = IDENTITY  # by which id members are named there: identity, email or property:<key>
    every: Every = "continuous"


class Sync(Struct, frozen=True):
    id: int
    environment_id: int
    segment_id: int
    target_id: int
    mapping: str
    every: Every
    is_on: bool
    is_ending: bool
    feed_version: int  # of the segment's list, as last sent
    is_compared: bool  # has everything been compared since it was set up, or its mapping changed?
    acknowledged: int  # members that the target has
    acknowledged_at: datetime | None
    next_at: datetime | None  # when it is next looked at; None: when its list changes
    error: str  # why the last attempt failed; empty: it did not
    failed_at: datetime | None  # since when
    is_noticed: bool  # somebody was told that it fails
    created_at: datetime
    updated_at: datetime


class Task(Struct, frozen=True):
    """One delta as it is sent to the target, in pages; kept as history."""

    id: str
    sync_id: int
    kind: str  # first, delta, compare, sample, alive
    state: str  # building, sending, done, failed
    feed_version: int
    users: int
    identified: int
    added: int
    removed: int
    pages: int
    pages_acknowledged: int
    attempts: int
    next_at: datetime | None
    error: str
    started_at: datetime
    finished_at: datetime | None


class SyncNotFound(NotFound):
    """There is no such sync in this environment."""

    code = "sync_not_found"


class SyncExists(Conflict):
    """The segment is synced to this target already. Change that sync."""

    code = "sync_exists"


class SyncEnding(Conflict):
    """The sync is being ended: the target is sent the removal of all members."""

    code = "sync_ending"


class SegmentSynced(Conflict):
    """The segment is kept the same elsewhere. Remove its syncs first, so that nobody goes on there as a member."""

    code = "segment_synced"


def check_not_synced(connection: sa.Connection, segment_id: int) -> None:
    """Raises SegmentSynced naming the targets. One that cannot be told any more keeps nobody from deleting."""
    query = (
        sa.select(sync_targets.c.name)
        .join(segment_syncs, segment_syncs.c.target_id == sync_targets.c.id)
        .where(segment_syncs.c.segment_id == segment_id, sync_targets.c.is_enabled)
        .order_by(sync_targets.c.name)
    )
    if names := list(dict.fromkeys(connection.execute(query).scalars())):
        raise SegmentSynced(
            f"the segment is synced to {', '.join(names)}; remove that under Integrations first, so that it is told "
            "that nobody is in any more",
            field="segment_id",
        )


def create_sync(
    connection: sa.Connection,
    workspace_id: int,
    environment_id: int,
    segment_id: int,
    new: NewSync,
    now: datetime,
) -> Sync:
    """Raises SegmentNotFound, TargetNotFound, InvalidInput and SyncExists."""
    get_segment(connection, workspace_id, segment_id)
    target = get_target(connection, environment_id, new.target_id)
    _check(new.mapping, new.every)
    of_both = sa.select(segment_syncs.c.id).where(
        segment_syncs.c.segment_id == segment_id,
        segment_syncs.c.environment_id == environment_id,
        segment_syncs.c.target_id == target.id,
    )
    if connection.execute(of_both).first():
        raise SyncExists(f"the segment is synced to {target.name} already", field="target_id")
    row = {
        "environment_id": environment_id,
        "segment_id": segment_id,
        "target_id": target.id,
        "mapping": new.mapping,
        "every": new.every,
        "next_at": now,
        "created_at": now,
        "updated_at": now,
    }
    insert = sa.insert(segment_syncs).values(**row).returning(segment_syncs.c.id)
    return get_sync(connection, environment_id, connection.execute(insert).scalar_one())


def change_sync(
    connection: sa.Connection,
    environment_id: int,
    sync_id: int,
    *,
    mapping: str | None = None,
    every: Every | None = None,
    is_on: bool | None = None,
    now: datetime,
) -> Sync:
    """Change what is set. Under another mapping the target gets what that adds and removes. Raises InvalidInput,
    SyncNotFound and SyncEnding."""
    before = _open_sync(connection, environment_id, sync_id)
    _check(mapping or before.mapping, every or before.every)
    changes: dict[str, Any] = {"updated_at": now, "next_at": now}  # Any: columns of several types
    if mapping is not None and mapping != before.mapping:
        changes |= {"mapping": mapping, "is_compared": False}
    if every is not None:
        changes["every"] = every
    if is_on is not None:
        changes["is_on"] = is_on
    return _update(connection, before, changes)


def sync_now(connection: sa.Connection, environment_id: int, sync_id: int, now: datetime) -> Sync:
    """Send what has changed at once; for a sync without recurrence, once. Raises SyncNotFound and SyncEnding."""
    before = _open_sync(connection, environment_id, sync_id)
    return _update(connection, before, {"next_at": now, "is_on": True, "updated_at": now})


def compare_again(connection: sa.Connection, environment_id: int, sync_id: int, now: datetime) -> Sync:
    """Compare every member with what the target has acknowledged. Raises SyncNotFound and SyncEnding."""
    before = _open_sync(connection, environment_id, sync_id)
    return _update(connection, before, {"is_compared": False, "next_at": now, "updated_at": now})


def end_sync(
    connection: sa.Connection, environment_id: int, sync_id: int, *, empties: bool, now: datetime
) -> None:
    """Stop permanently. `empties`: all members are first removed at the target. Raises SyncNotFound."""
    sync = get_sync(connection, environment_id, sync_id)
    target = get_target(connection, environment_id, sync.target_id)
    if empties and sync.acknowledged and target.can_send and not sync.is_ending:
        _update(connection, sync, {"is_ending": True, "is_on": True, "next_at": now, "updated_at": now})
    else:
        connection.execute(sa.delete(segment_syncs).where(segment_syncs.c.id == sync.id))


def get_sync(connection: sa.Connection, environment_id: int, sync_id: int) -> Sync:
    """Raises SyncNotFound."""
    query = sa.select(segment_syncs).where(
        segment_syncs.c.environment_id == environment_id, segment_syncs.c.id == sync_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise SyncNotFound(f"no sync {sync_id} in this environment", field="sync_id")
    return Sync(**row._mapping)


def syncs_of_segment(
    connection: sa.Connection, environment_id: int, segment_id: int
) -> list[tuple[Sync, Target]]:
    """By the target's name."""
    query = (
        sa.select(segment_syncs)
        .join(sync_targets, sync_targets.c.id == segment_syncs.c.target_id)
        .where(segment_syncs.c.environment_id == environment_id, segment_syncs.c.segment_id == segment_id)
        .order_by(sync_targets.c.name, segment_syncs.c.id)
    )
    syncs = [Sync(**row._mapping) for row in connection.execute(query)]
    return [(sync, get_target(connection, environment_id, sync.target_id)) for sync in syncs]


def syncs_in(connection: sa.Connection, environment_id: int) -> list[Sync]:
    """Of every segment, oldest first."""
    query = sa.select(segment_syncs).where(segment_syncs.c.environment_id == environment_id)
    return [Sync(**row._mapping) for row in connection.execute(query.order_by(segment_syncs.c.id))]


class FailingSync(Struct, frozen=True):
    """For the people who look after it."""

    segment_id: int
    segment: str
    target: str
    error: str
    failed_at: datetime


def failing_syncs(connection: sa.Connection, environment_id: int) -> list[FailingSync]:
    """Those that somebody wants, the longest failing first."""
    query = (
        sa.select(
            segment_syncs.c.segment_id,
            segments.c.name.label("segment"),
            sync_targets.c.name.label("target"),
            segment_syncs.c.error,
            segment_syncs.c.failed_at,
        )
        .join(segments, segments.c.id == segment_syncs.c.segment_id)
        .join(sync_targets, sync_targets.c.id == segment_syncs.c.target_id)
        .where(
            segment_syncs.c.environment_id == environment_id,
            segment_syncs.c.failed_at.is_not(None),
            segment_syncs.c.is_on,
        )
        .order_by(segment_syncs.c.failed_at, segment_syncs.c.id)
    )
    return [FailingSync(**row._mapping) for row in connection.execute(query)]


def tasks_of(connection: sa.Connection, sync_id: int, limit: int = 50) -> list[Task]:
    """The newest first."""
    query = (
        sa.select(sync_tasks)
        .where(sync_tasks.c.sync_id == sync_id)
        .order_by(sync_tasks.c.started_at.desc(), sync_tasks.c.id)
        .limit(limit)
    )
    return [Task(**row._mapping) for row in connection.execute(query)]


def open_task(connection: sa.Connection, sync_id: int) -> Task | None:
    """The one that is being sent; there is never more than one."""
    query = sa.select(sync_tasks).where(
        sync_tasks.c.sync_id == sync_id, sync_tasks.c.state.not_in(_ENDED), sync_tasks.c.kind != "sample"
    )
    row = connection.execute(query).first()
    return Task(**row._mapping) if row else None


def _open_sync(connection: sa.Connection, environment_id: int, sync_id: int) -> Sync:
    sync = get_sync(connection, environment_id, sync_id)
    if sync.is_ending:
        raise SyncEnding("the sync is being ended; wait until the target has been notified", field="sync_id")
    return sync


def _update(
    connection: sa.Connection, sync: Sync, changes: dict[str, Any]
) -> Sync:  # Any: columns of several types
    connection.execute(sa.update(segment_syncs).where(segment_syncs.c.id == sync.id).values(**changes))
    return get_sync(connection, sync.environment_id, sync.id)


def _check(mapping: str, every: str) -> None:
    if not _MAPPING.match(mapping):
        raise InvalidInput(
            f"mapping: {mapping[:50]!r} is not a mapping; use identity, email or property:<name of a user property>",
            field="mapping",
        )
    if every not in get_args(Every):
        raise InvalidInput(f"every: {every!r} is none of {', '.join(get_args(Every))}", field="every")
