"""The job that deletes users everywhere, and may be killed at any moment and run again.

Order: what was received must be loaded, or it would come back; then the log, because the store knows where in it the
user lies; then store, user map and lists with loader and live segments standing still; at last the disk. Until the
request is complete, what arrives of the user is deleted too; afterwards it starts a new user.
"""

import logging
import time
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.among import among
from cairn.db.engine import reading, scrub
from cairn.db.sync_tables import heap_connections, heap_tasks, segment_syncs, sync_targets
from cairn.db.tables import (
    aliases,
    attribute_lists,
    deletions,
    environments,
    flags,
    merges,
    rules,
    segment_states,
    segments,
    user_map,
)
from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog
from cairn.eventlog.readers import passed_by_all
from cairn.ingest.feed import Feed
from cairn.members.rewrite import ask_rewrite
from cairn.members.sets import (
    Members,
    SetChange,
    alias_set,
    folded,
    incoming_set,
    list_set,
    upload_prefix,
    users_set,
)
from cairn.paths import Paths
from cairn.privacy.erasure import Known, find_erased
from cairn.privacy.log_purge import log_places, purge_log, purge_set_aside
from cairn.privacy.request import COMPLETE, Counts, ErasedUser, Receipt
from cairn.store.erase import Erased
from cairn.store.store import Store

logger = logging.getLogger(__name__)

CATCH_UP_S = 30.0  # s; how long to wait for the loader before the job is put back


class NotLoadedYet(Unavailable):
    """The loader has not got to the end of what was received. The deletion goes on when it has."""

    code = "not_loaded_yet"


@dataclass(frozen=True)
class DeletionResources:
    """What the job works on. The two pauses are the loader's and the live segments'."""

    engine: sa.Engine
    store: Store
    members: Members
    log: EventLog
    feed: Feed
    paths: Paths
    clock: Clock
    pause_loader: Callable[[], AbstractContextManager[None]]
    pause_segments: Callable[[Set[int]], AbstractContextManager[None]]
    changed: Callable[[int], None]


@dataclass(frozen=True)
class _Work:
    deletion_id: str
    users: tuple[ErasedUser, ...]
    environment_names: dict[int, str]  # environment id -> its name
    found: list[Known]  # by an earlier attempt


def delete_users(resources: DeletionResources, payload: Any) -> None:  # Any: a job's payload is JSON
    """Delete everything of the users of one request; see the module. Raises Unavailable; then call again."""
    work = _read(resources.engine, payload["deletion_id"])
    if work is None:
        return
    until = _caught_up(resources.log)
    with reading(resources.engine) as connection:
        found = find_erased(connection, resources.store, list(work.environment_names), work.users)
    known = _joined(found, work.found)
    _remember(resources.engine, work.deletion_id, known)
    removed = purge_log(resources.log, until, log_places(resources.log, resources.store, known), known)
    removed += purge_set_aside(resources.paths.set_aside, known)
    with resources.pause_loader(), resources.pause_segments({user.environment_id for user in known}):
        erased = resources.store.erase_users([user.erasure for user in known])
        counts = [
            _count(resources, work.environment_names[user.environment_id], user, rows)
            for user, rows in zip(known, erased, strict=True)
        ]
        with resources.engine.begin() as connection:
            for user in known:
                _forget_rows(connection, user)
        for user in known:
            resources.feed.forget(user.environment_id, user.raw_ids, user.names)
    remains = _remains(resources, known, is_scrubbed=resources.store.scrub())
    receipt = Receipt(tuple(user.hash for user in work.users), tuple(counts), removed, tuple(remains))
    _finish(resources, work.deletion_id, receipt)
    for user in known:
        resources.changed(user.environment_id)
    logger.info("users_deleted", extra={"deletion": work.deletion_id, "users": len(work.users)})


def _read(engine: sa.Engine, deletion_id: str) -> _Work | None:
    """None: it was done already, or its workspace is gone."""
    with reading(engine) as connection:
        row = connection.execute(sa.select(deletions).where(deletions.c.id == deletion_id)).first()
        if row is None or row.state == COMPLETE:
            return None
        environment_rows = connection.execute(
            sa.select(environments.c.id, environments.c.name)
            .where(environments.c.workspace_id == row.workspace_id)
            .order_by(environments.c.id)
        ).all()
    return _Work(
        deletion_id,
        msgspec.convert(row.users, tuple[ErasedUser, ...]),
        {row.id: row.name for row in environment_rows},
        msgspec.convert(row.found or [], list[Known]),
    )


def _caught_up(log: EventLog) -> int:
    """Wait until everything received so far is loaded; return how far that is. Raises NotLoadedYet."""
    end, deadline = log.end(), time.monotonic() + CATCH_UP_S
    while passed_by_all(log) < end:
        if time.monotonic() > deadline:
            raise NotLoadedYet("the loader is behind what was received; the deletion is tried again")
        time.sleep(0.05)
    return end


def _joined(found: Sequence[Known], before: Sequence[Known]) -> list[Known]:
    """With what an earlier attempt found, because it may have deleted what led there."""
    earlier = {known.environment_id: known for known in before}
    return [user.joined(earlier.get(user.environment_id, user)) for user in found]


def _remember(engine: sa.Engine, deletion_id: str, known: Sequence[Known]) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.update(deletions).where(deletions.c.id == deletion_id).values(found=msgspec.to_builtins(known))
        )


def _count(resources: DeletionResources, environment: str, known: Known, rows: Erased) -> Counts:
    """Take the users out of every set of their environment, and count all that is gone there."""
    memberships, listed = _leave_sets(resources, known)
    return Counts(
        environment,
        len(known.raw_ids),
        rows.events,
        rows.properties,
        rows.merges,
        rows.refusals,
        rows.elements,
        memberships,
        listed,
        _leave_aliases(resources.members, known),
    )


def _leave_sets(resources: DeletionResources, known: Known) -> tuple[int, int]:
    environment_id = known.environment_id
    with reading(resources.engine) as connection:
        counted = connection.execute(
            sa.select(segment_states.c.segment_id).where(segment_states.c.environment_id == environment_id)
        ).scalars()
        segment_ids = list(counted)
        listed = connection.execute(
            sa.select(attribute_lists).where(attribute_lists.c.environment_id == environment_id)
        ).all()
        tasks = (
            connection.execute(
                sa.select(heap_tasks.c.id)
                .join(heap_connections, heap_connections.c.id == heap_tasks.c.connection_id)
                .where(
                    heap_connections.c.environment_id == environment_id,
                    heap_tasks.c.state.in_(("receiving", "complete")),
                )
            )
            .scalars()
            .all()
        )
    users = known.raw_ids | known.canonical_ids
    ids = [str(user_id) for user_id in users]
    in_segments = {users_set(environment_id, segment_id): SetChange({}, ids) for segment_id in segment_ids}
    in_lists = {}
    for row in listed:
        # A segment's list holds identities; one that people filled may hold anything that names a user.
        names = set(known.identities) if row.kind == "segment" else {*known.names, *ids}
        names |= set(map(folded, names)) if row.folds_case else set()
        in_lists[list_set(row.id)] = SetChange({}, names)
    # What webhooks have brought for tasks that wait for pages may be in any of these lists soon.
    waiting = {
        incoming_set(task, part): SetChange({}, {*known.names, *ids})
        for task in tasks
        for part in ("add", "remove")
    }
    # What is being uploaded goes into such a list when the upload is read to its end.
    everywhere = {*known.names, *ids}
    everywhere |= set(map(folded, everywhere))
    uploading = {
        name: SetChange({}, everywhere) for name in resources.members.sets(upload_prefix(environment_id))
    }
    resources.members.due.forget(environment_id, segment_ids, users)
    gone = resources.members.apply_all(in_segments | in_lists | waiting | uploading)
    for name in in_lists.keys() & set(resources.members.followed()):
        resources.members.forget_changes(name)  # syncs compare instead, and tell their targets who is out
    return sum(gone[name][1] for name in in_segments), sum(gone[name][1] for name in in_lists)


def _leave_aliases(members: Members, known: Known) -> int:
    """Other ids under which an application knows the users, and the users as other ids of somebody."""
    names = {*known.names, *map(str, known.raw_ids)}
    gone = {alias_set(known.environment_id, name) for name in names}
    gone = {name for name in gone if members.size(name)}
    for name in members.sets(alias_set(known.environment_id, "")):
        if members.which(name, names):
            gone.add(name)
    for name in gone:
        members.drop(name)
    return len(gone)


def _forget_rows(connection: sa.Connection, known: Known) -> None:
    """The user map, its history, and aliases in the metadata database."""
    ids = known.raw_ids | known.canonical_ids
    for table in (user_map, merges):
        connection.execute(
            sa.delete(table).where(
                table.c.environment_id == known.environment_id,
                among(table.c.user_id, ids) | among(table.c.canonical_id, ids),
            )
        )
    names = {*known.names, *map(str, known.raw_ids)}
    connection.execute(
        sa.delete(aliases).where(
            aliases.c.environment_id == known.environment_id,
            among(aliases.c.user_id, names) | among(aliases.c.alias_id, names),
        )
    )


def _remains(resources: DeletionResources, known: Sequence[Known], *, is_scrubbed: bool) -> list[str]:
    """Where something of the users may still be, and how long. Told without naming them."""
    ask_rewrite(resources.paths.members)
    remains = ["attribute lists: leftovers in free pages of the members store, until Cairn is next started"]
    if not is_scrubbed:
        remains.append("event store: old files, which the engine lets go of within some minutes")
    if not resources.log.scrub() or not scrub(resources.engine):
        remains.append("write-ahead files: pages not yet overwritten, until the next deletion or restart")
    remains += [f"event log: {reason}" for position, reason in resources.log.damaged() if position == 0]
    with reading(resources.engine) as connection:
        remains += _definitions_naming(connection, known)
        remains += _targets(connection, known)
    return remains


def _targets(connection: sa.Connection, known: Sequence[Known]) -> list[str]:
    """What was synced elsewhere is told to be taken out there; until then its names are kept here to do so."""
    query = (
        sa.select(sync_targets.c.name, segment_syncs.c.is_on & sync_targets.c.is_enabled)
        .join(segment_syncs, segment_syncs.c.target_id == sync_targets.c.id)
        .where(segment_syncs.c.environment_id.in_([user.environment_id for user in known]))
        .distinct()
        .order_by(sync_targets.c.name)
    )
    return [
        f"segment sync to {name}: "
        + (
            "it is told who is out, and keeps what it keeps"
            if is_on
            else "it is told who is out when it goes on"
        )
        for name, is_on in connection.execute(query)
    ]


def _definitions_naming(connection: sa.Connection, known: Sequence[Known]) -> list[str]:
    """What people wrote is theirs to change: segments, flags and rules that name a user."""
    environment_ids = [user.environment_id for user in known]
    quoted = {msgspec.json.encode(name).decode() for user in known for name in user.names}
    own = sa.select(environments.c.workspace_id).where(environments.c.id.in_(environment_ids))
    remains = []
    for word, table, column, where in (
        ("segment", segments, segments.c.condition, segments.c.workspace_id.in_(own)),
        ("flag", flags, flags.c.variations, flags.c.workspace_id.in_(own)),
        ("rule", rules, rules.c.body, rules.c.environment_id.in_(environment_ids)),
    ):
        rows = connection.execute(
            sa.select(table.c.key, sa.cast(column, sa.Text)).where(where).order_by(table.c.id)
        )
        remains += [
            f"{word} {key}: its definition names a user; edit it"
            for key, body in rows
            if body and any(text in body for text in quoted)
        ]
    return remains


def _finish(resources: DeletionResources, deletion_id: str, receipt: Receipt) -> None:
    with resources.engine.begin() as connection:
        connection.execute(
            sa.update(deletions)
            .where(deletions.c.id == deletion_id)
            .values(
                state=COMPLETE,
                users=None,
                found=None,
                receipt=msgspec.to_builtins(receipt),
                finished_at=resources.clock(),
            )
        )
    scrub(resources.engine)
