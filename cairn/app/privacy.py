"""What capture leaves out, snapshots, and what a user may ask of you: to be told everything, and to be deleted."""

from collections.abc import Iterator, Sequence

from cairn.analysis.users import User
from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, Edited, record
from cairn.privacy import capture, export, request, snapshot
from cairn.privacy.capture import CaptureSettings
from cairn.privacy.request import Deletion, ErasedUser
from cairn.privacy.snapshot import NewSnapshot, Snapshot
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb, require


def read_capture(call: Call, environment: Environment) -> CaptureSettings:
    with call.reading() as connection:
        return capture.read_capture(connection, environment.id)


def read_capture_edition(call: Call, environment: Environment) -> Edited[CaptureSettings]:
    """With their edition."""
    with call.reading() as connection:
        settings = capture.read_capture(connection, environment.id)
        return Edited(settings, edition_of(connection, "capture settings", environment.id))


def change_capture(
    call: Call, environment: Environment, wanted: CaptureSettings, *, expected: int | None = None
) -> Edited[CaptureSettings]:
    """Only an owner lets JavaScript snapshots run. Raises RoleTooLow, InvalidInput and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "capture settings", environment.id, expected)
        before = capture.read_capture(connection, environment.id)
        if wanted.may_run_javascript and not before.may_run_javascript:
            require(call.role, Verb.OWN)
        settings = capture.write_capture(connection, environment.id, wanted, call.now)
        changed = differences(before, settings, CaptureSettings.__struct_fields__)
        edition = record(call, connection, "capture settings", environment.id, changed)
    call.changed([environment.id])
    return Edited(settings, edition)


def list_snapshots(call: Call, environment: Environment) -> list[Snapshot]:
    with call.reading() as connection:
        return snapshot.list_snapshots(connection, environment.id)


def read_snapshot(call: Call, environment: Environment, snapshot_id: int) -> Edited[Snapshot]:
    """With its edition. Raises SnapshotNotFound."""
    with call.reading() as connection:
        stored = snapshot.get_snapshot(connection, environment.id, snapshot_id)
        return Edited(stored, edition_of(connection, "snapshot", snapshot_id))


def add_snapshot(call: Call, environment: Environment, new: NewSnapshot) -> Edited[Snapshot]:
    """It reads from now on, not what happened before. Raises InvalidInput and SnapshotTaken."""
    with call.writing() as connection:
        may_run = capture.read_capture(connection, environment.id).may_run_javascript
        made = snapshot.add_snapshot(connection, environment.id, new, call.now, may_run_javascript=may_run)
        edition = record(call, connection, "snapshot", made.id, [CREATED])
    call.changed([environment.id])
    return Edited(made, edition)


def change_snapshot(
    call: Call,
    environment: Environment,
    snapshot_id: int,
    new: NewSnapshot,
    *,
    expected: int | None = None,
) -> Edited[Snapshot]:
    """Raises SnapshotNotFound, StaleVersion, InvalidInput and SnapshotTaken."""
    with call.writing() as connection:
        before = snapshot.get_snapshot(connection, environment.id, snapshot_id)
        check_edition(connection, "snapshot", snapshot_id, expected)
        may_run = capture.read_capture(connection, environment.id).may_run_javascript
        changed = snapshot.change_snapshot(
            connection, environment.id, snapshot_id, new, call.now, may_run_javascript=may_run
        )
        edition = record(
            call, connection, "snapshot", snapshot_id, ["what it reads"] if changed != before else []
        )
    call.changed([environment.id])
    return Edited(changed, edition)


def remove_snapshot(
    call: Call, environment: Environment, snapshot_id: int, *, expected: int | None = None
) -> None:
    """What it has read stays with its events. Raises SnapshotNotFound and StaleVersion."""
    with call.writing() as connection:
        # First, so that no other environment's snapshot is told of; a refusal takes it back.
        snapshot.delete_snapshot(connection, environment.id, snapshot_id)
        check_edition(connection, "snapshot", snapshot_id, expected)
        record(call, connection, "snapshot", snapshot_id, [DELETED])
    call.changed([environment.id])


def export_user(call: Call, environment: Environment, user: User) -> Iterator[bytes]:
    """Everything known of a user, as pieces of one JSON document."""
    core = call.core
    return export.export_user(
        core.engine, core.store, core.members, environment.id, environment.name, user.user_id
    )


def delete_user(call: Call, user: User) -> Deletion:
    """From every environment of the workspace, permanently. The answer is the request; a job does it."""
    named = ErasedUser(identity=user.identity) if user.identity else ErasedUser(user_id=user.user_id)
    return delete_users(call, [named])


def delete_users(call: Call, users: Sequence[ErasedUser]) -> Deletion:
    """Raises InvalidInput and TooManyToDelete."""
    call.check_whole_workspace()
    with call.writing() as connection:
        return request.ask_deletion(connection, call.workspace_id, users, by=call.by, now=call.now)


def list_deletions(call: Call) -> list[Deletion]:
    """The newest first, with their receipts, which name every environment."""
    call.check_whole_workspace()
    with call.reading() as connection:
        return request.list_deletions(connection, call.workspace_id)


def get_deletion(call: Call, deletion_id: str) -> Deletion:
    """Raises DeletionNotFound."""
    call.check_whole_workspace()
    with call.reading() as connection:
        return request.get_deletion(connection, call.workspace_id, deletion_id)
