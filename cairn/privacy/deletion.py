"""The job that deletes users everywhere, and may be killed at any moment and run again.

Order: what was received must be loaded, or it would come back; then the log, because the store knows where in it the
user lies; then store, user map and lists with loader and live segments standing still; then the disk; at last
destinations are asked to delete the user there. Until the request is complete, what arrives of the user is deleted too;
afterwards it starts a new user.
"""

import logging
import time
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from cairn.privacy.destinations import Destinations
from cairn.privacy.erasure import UsersToErase, find_erased
from cairn.privacy.log_purge import logged_requests, purge_log, purge_set_aside
from cairn.privacy.request import COMPLETE, Counts, ErasedUser, Receipt
from cairn.privacy.routed import forget_routed, routed_up_to
from cairn.store.erase import Erased
from cairn.store.store import Store

logger = logging.getLogger(__name__)

CATCH_UP_S = 30.0  # s; how long to wait for the loader before the job is put back
# A destination that is away keeps no deletion from being complete for longer.
ASK_DESTINATIONS_FOR = timedelta(hours=1)


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
    destinations: Destinations


@dataclass(frozen=True)
class _Work:
    deletion_id: str
    asked_at: datetime
    users: tuple[ErasedUser, ...]
    environment_names: dict[int, str]  # environment id -> its name
    found: list[UsersToErase]  # by an earlier attempt


def delete_users(resources: DeletionResources, payload: Any) -> None:  # Any: a job's payload is JSON
    """Delete everything of the users of one request; see the module. Raises Unavailable; then call again."""
    work = _read(resources.engine, payload["deletion_id"])
    if work is None:
        return
    until = _caught_up(resources.log)
    with reading(resources.engine) as connection:
        found = find_erased(connection, resources.store, list(work.environment_names), work.users)
    by_environment = _joined(found, work.found)
    _remember(resources.engine, work.deletion_id, by_environment)
    remains_routed = forget_routed(resources.engine, by_environment, resources.log.end(), resources.clock())
    removed = purge_log(
        resources.log,
        until,
        logged_requests(resources.log, resources.store, by_environment),
        by_environment,
        routed=routed_up_to(resources.engine, resources.log),
    )
    removed += purge_set_aside(resources.paths.set_aside, by_environment)
    with resources.pause_loader(), resources.pause_segments({here.environment_id for here in by_environment}):
        erased = resources.store.erase_users([here.erasure for here in by_environment])
        counts = [
            _count(resources, work.environment_names[here.environment_id], here, rows)
            for here, rows in zip(by_environment, erased, strict=True)
        ]
        with resources.engine.begin() as connection:
            for here in by_environment:
                _forget_rows(connection, here)
        for here in by_environment:
            resources.feed.forget(here.environment_id, here.raw_ids, here.names)
    remains = _remains(resources, by_environment, is_scrubbed=resources.store.scrub()) + remains_routed
    remains += _forget_elsewhere(resources, work, by_environment)
    receipt = Receipt(tuple(user.hash for user in work.users), tuple(counts), removed, tuple(remains))
    _finish(resources, work.deletion_id, receipt)
    for here in by_environment:
        resources.changed(here.environment_id)
    logger.info("users_deleted", extra={"deletion": work.deletion_id, "users": len(work.users)})


def _forget_elsewhere(
    resources: DeletionResources, work: _Work, by_environment: Sequence[UsersToErase]
) -> list[str]:
    """Raises NotDeletedThereYet, until it has been tried long enough."""
    now = resources.clock()
    gives_up = now - work.asked_at > ASK_DESTINATIONS_FOR
    return resources.destinations.forget(by_environment, now, gives_up=gives_up)


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
        row.asked_at,
        msgspec.convert(row.users, tuple[ErasedUser, ...]),
        {row.id: row.name for row in environment_rows},
        msgspec.convert(row.found or [], list[UsersToErase]),
    )


def _caught_up(log: EventLog) -> int:
    """Wait until everything received so far is loaded; return how far that is. Raises NotLoadedYet."""
    end, deadline = log.end(), time.monotonic() + CATCH_UP_S
    while passed_by_all(log) < end:
        if time.monotonic() > deadline:
            raise NotLoadedYet("the loader is behind what was received; the deletion is tried again")
        time.sleep(0.05)
    return end


def _joined(found: Sequence[UsersToErase], before: Sequence[UsersToErase]) -> list[UsersToErase]:
    """With what an earlier attempt found, because it may have deleted what led there."""
    earlier = {here.environment_id: here for here in before}
    return [here.joined(earlier.get(here.environment_id, here)) for here in found]


def _remember(engine: sa.Engine, deletion_id: str, by_environment: Sequence[UsersToErase]) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.update(deletions)
            .where(deletions.c.id == deletion_id)
            .values(found=msgspec.to_builtins(by_environment))
        )


def _count(resources: DeletionResources, environment: str, here: UsersToErase, rows: Erased) -> Counts:
    """Take the users out of every set of their environment, and count all that is gone there."""
    memberships, listed = _remove_from_sets(resources, here)
    return Counts(
        environment,
        len(here.raw_ids),
        rows.events,
        rows.properties,
        rows.merges,
        rows.refusals,
        rows.elements,
        memberships,
        listed,
        _remove_aliases(resources.members, here),
    )


def _remove_from_sets(resources: DeletionResources, here: UsersToErase) -> tuple[int, int]:
    environment_id = here.environment_id
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
    users = here.raw_ids | here.canonical_ids
    ids = [str(user_id) for user_id in users]
    in_segments = {users_set(environment_id, segment_id): SetChange({}, ids) for segment_id in segment_ids}
    in_lists = {}
    for row in listed:
        # A segment's list holds identities; one that people filled may hold anything that names a user.
        names = set(here.identities) if row.kind == "segment" else {*here.names, *ids}
        names |= set(map(folded, names)) if row.folds_case else set()
        in_lists[list_set(row.id)] = SetChange({}, names)
    # What webhooks have brought for tasks that wait for pages may be in any of these lists soon.
    waiting = {
        incoming_set(task, part): SetChange({}, {*here.names, *ids})
        for task in tasks
        for part in ("add", "remove")
    }
    # What is being uploaded goes into such a list when the upload is read to its end.
    everywhere = {*here.names, *ids}
    everywhere |= set(map(folded, everywhere))
    uploading = {
        name: SetChange({}, everywhere) for name in resources.members.sets(upload_prefix(environment_id))
    }
    resources.members.due.forget(environment_id, segment_ids, users)
    gone = resources.members.apply_all(in_segments | in_lists | waiting | uploading)
    for name in in_lists.keys() & set(resources.members.followed()):
        resources.members.forget_changes(name)  # syncs compare instead, and tell their targets who is out
    return sum(gone[name][1] for name in in_segments), sum(gone[name][1] for name in in_lists)


def _remove_aliases(members: Members, here: UsersToErase) -> int:
    """Other ids under which an application knows the users, and the users as other ids of somebody."""
    names = {*here.names, *map(str, here.raw_ids)}
    gone = {alias_set(here.environment_id, name) for name in names}
    gone = {name for name in gone if members.size(name)}
    for name in members.sets(alias_set(here.environment_id, "")):
        if members.which(name, names):
            gone.add(name)
    for name in gone:
        members.drop(name)
    return len(gone)


def _forget_rows(connection: sa.Connection, here: UsersToErase) -> None:
    """The user map, its history, and aliases in the metadata database."""
    ids = here.raw_ids | here.canonical_ids
    for table in (user_map, merges):
        connection.execute(
            sa.delete(table).where(
                table.c.environment_id == here.environment_id,
                among(table.c.user_id, ids) | among(table.c.canonical_id, ids),
            )
        )
    names = {*here.names, *map(str, here.raw_ids)}
    connection.execute(
        sa.delete(aliases).where(
            aliases.c.environment_id == here.environment_id,
            among(aliases.c.user_id, names) | among(aliases.c.alias_id, names),
        )
    )


def _remains(
    resources: DeletionResources, by_environment: Sequence[UsersToErase], *, is_scrubbed: bool
) -> list[str]:
    """Where something of the users may still be, and how long. Told without naming them."""
    ask_rewrite(resources.paths.members)
    remains = ["attribute lists: leftovers in free pages of the members store, until Cairn is next started"]
    if not is_scrubbed:
        remains.append("event store: old files, which the engine lets go of within some minutes")
    if not resources.log.scrub() or not scrub(resources.engine):
        remains.append("write-ahead files: pages not yet overwritten, until the next deletion or restart")
    remains += [f"event log: {reason}" for position, reason in resources.log.damaged() if position == 0]
    with reading(resources.engine) as connection:
        remains += _definitions_naming(connection, by_environment)
        remains += _targets(connection, by_environment)
    return remains


def _targets(connection: sa.Connection, by_environment: Sequence[UsersToErase]) -> list[str]:
    """Removals are sent to where users were synced; until then their names are kept for that."""
    query = (
        sa.select(sync_targets.c.name, segment_syncs.c.is_on & sync_targets.c.is_enabled)
        .join(segment_syncs, segment_syncs.c.target_id == sync_targets.c.id)
        .where(segment_syncs.c.environment_id.in_([here.environment_id for here in by_environment]))
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


def _definitions_naming(connection: sa.Connection, by_environment: Sequence[UsersToErase]) -> list[str]:
    """What people wrote is theirs to change: segments, flags and rules that name a user."""
    environment_ids = [here.environment_id for here in by_environment]
    quoted = {msgspec.json.encode(name).decode() for here in by_environment for name in here.names}
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
