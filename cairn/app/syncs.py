"""Segments at their targets: where they can be synced to, how a sync stands, its history, and changing it."""

from msgspec import UNSET, Struct, UnsetType

from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, Edited, record
from cairn.app.segments import get_segment
from cairn.members.sets import list_set, users_set
from cairn.segments import definition
from cairn.segments.definition import Segment
from cairn.sync import new_target, syncs, targets, tasks
from cairn.sync.addresses import rules_of
from cairn.sync.mapping import mapped_set
from cairn.sync.new_target import NewTarget
from cairn.sync.syncs import IDENTITY, Every, FailingSync, NewSync, Sync, Task
from cairn.sync.targets import Target
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment

EDITED = ("mapping", "every", "is_on")


class SyncChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    mapping: str | UnsetType = UNSET
    every: Every | UnsetType = UNSET
    is_on: bool | UnsetType = UNSET


class SyncSizes(Struct, frozen=True):
    """The count here beside the count there."""

    users: int  # in the segment
    identified: int  # of these, with an id under the mapping
    acknowledged: int  # ids that the target has

    @property
    def without_id(self) -> int:
        return max(0, self.users - self.identified)


class SyncView(Struct, frozen=True):
    """A sync as people look at it."""

    sync: Sync
    target: Target
    sizes: SyncSizes
    task: Task | None  # that is being sent
    edition: int


def list_targets(call: Call, environment: Environment) -> list[Target]:
    with call.reading() as connection:
        return targets.list_targets(connection, environment.id)


def get_target(call: Call, environment: Environment, target_id: int) -> Edited[Target]:
    """Raises TargetNotFound."""
    with call.reading() as connection:
        target = targets.get_target(connection, environment.id, target_id)
        return Edited(target, edition_of(connection, "sync target", target_id))


def create_target(call: Call, environment: Environment, new: NewTarget) -> tuple[Edited[Target], str]:
    """The target, and its secret, to be shown once. Raises InvalidInput and TargetNameTaken."""
    with call.writing() as connection:
        target, secret = new_target.create_target(
            connection, call.core.seal, environment.id, new, rules_of(call.core.settings), call.now
        )
        return Edited(target, record(call, connection, "sync target", target.id, [CREATED])), secret


def switch_target(
    call: Call, environment: Environment, target_id: int, *, is_enabled: bool, expected: int | None = None
) -> Edited[Target]:
    """Its syncs wait while it is off. Raises TargetNotFound and StaleVersion."""
    with call.writing() as connection:
        before = targets.get_target(connection, environment.id, target_id)
        check_edition(connection, "sync target", target_id, expected)
        target = targets.enable_target(
            connection, environment.id, target_id, is_enabled=is_enabled, now=call.now
        )
        changed = differences(before, target, ("is_enabled",))
        edition = record(call, connection, "sync target", target_id, changed)
    call.core.syncs_changed()
    return Edited(target, edition)


def delete_target(
    call: Call, environment: Environment, target_id: int, *, expected: int | None = None
) -> None:
    """With its syncs; what it holds stays there. Raises TargetNotFound and StaleVersion."""
    with call.writing() as connection:
        new_target.delete_target(connection, environment.id, target_id)
        check_edition(connection, "sync target", target_id, expected)
        record(call, connection, "sync target", target_id, [DELETED])
    call.core.syncs_changed()


def list_syncs(call: Call, environment: Environment, segment: Segment) -> list[SyncView]:
    """By the target's name."""
    with call.reading() as connection:
        stored = syncs.syncs_of_segment(connection, environment.id, segment.id)
        open_tasks = {sync.id: syncs.open_task(connection, sync.id) for sync, _ in stored}
        editions = {sync.id: edition_of(connection, "sync", sync.id) for sync, _ in stored}
        state = definition.states_in(connection, environment.id).get(segment.id)
    list_id = state.list_id if state else ""
    return [
        SyncView(sync, target, _sizes(call, sync, list_id), open_tasks[sync.id], editions[sync.id])
        for sync, target in stored
    ]


def list_failing(call: Call, environment: Environment) -> list[FailingSync]:
    """The longest failing first."""
    with call.reading() as connection:
        return syncs.failing_syncs(connection, environment.id)


def get_sync(call: Call, environment: Environment, sync_id: int) -> SyncView:
    """Raises SyncNotFound."""
    with call.reading() as connection:
        sync = syncs.get_sync(connection, environment.id, sync_id)
    segment = get_segment(call, sync.segment_id)
    return next(view for view in list_syncs(call, environment, segment) if view.sync.id == sync_id)


def list_tasks(call: Call, environment: Environment, sync_id: int, *, limit: int = 50) -> list[Task]:
    """The history of a sync, newest first. Raises SyncNotFound."""
    with call.reading() as connection:
        syncs.get_sync(connection, environment.id, sync_id)
        return syncs.tasks_of(connection, sync_id, limit)


def create_sync(call: Call, environment: Environment, segment: Segment, new: NewSync) -> Edited[Sync]:
    """It is sent at once. Raises TargetNotFound, InvalidInput and SyncExists."""
    with call.writing() as connection:
        sync = syncs.create_sync(connection, call.workspace_id, environment.id, segment.id, new, call.now)
        edition = record(call, connection, "sync", sync.id, [CREATED])
    call.core.syncs_changed()
    return Edited(sync, edition)


def change_sync(
    call: Call, environment: Environment, sync_id: int, changes: SyncChanges, *, expected: int | None = None
) -> Edited[Sync]:
    """Raises SyncNotFound, SyncEnding, InvalidInput and StaleVersion."""
    with call.writing() as connection:
        before = syncs.get_sync(connection, environment.id, sync_id)
        check_edition(connection, "sync", sync_id, expected)
        sync = syncs.change_sync(
            connection,
            environment.id,
            sync_id,
            mapping=None if changes.mapping is UNSET else changes.mapping,
            every=None if changes.every is UNSET else changes.every,
            is_on=None if changes.is_on is UNSET else changes.is_on,
            now=call.now,
        )
        edition = record(call, connection, "sync", sync_id, differences(before, sync, EDITED))
    call.core.syncs_changed()
    return Edited(sync, edition)


def sync_now(call: Call, environment: Environment, sync_id: int, *, compare: bool = False) -> Sync:
    """Send what has changed. `compare`: look at every member again. Raises SyncNotFound and SyncEnding."""
    with call.writing() as connection:
        if compare:
            syncs.compare_again(connection, environment.id, sync_id, call.now)
        sync = syncs.sync_now(connection, environment.id, sync_id, call.now)
    call.core.syncs_changed()
    return sync


def send_sample(call: Call, environment: Environment, sync_id: int) -> Task:
    """Tell the target a few members once. How that went is in the history. Raises SyncNotFound."""
    with call.writing() as connection:
        sync = syncs.get_sync(connection, environment.id, sync_id)
        sample = tasks.new_sample(sync, call.now)
        tasks.save_new(connection, sample)
    call.core.syncs_changed()
    return sample


def end_sync(
    call: Call, environment: Environment, sync_id: int, *, empties: bool, expected: int | None = None
) -> None:
    """`empties`: the target is first told that nobody is in any more. Raises SyncNotFound and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "sync", sync_id, expected)
        syncs.end_sync(connection, environment.id, sync_id, empties=empties, now=call.now)
        record(call, connection, "sync", sync_id, [DELETED])
    call.core.syncs_changed()


def _sizes(call: Call, sync: Sync, list_id: str) -> SyncSizes:
    members = call.core.members
    named = list_set(list_id) if sync.mapping == IDENTITY else mapped_set(sync.id)
    users = members.size(users_set(sync.environment_id, sync.segment_id))
    return SyncSizes(users, members.size(named), sync.acknowledged)
