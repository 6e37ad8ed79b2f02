"""What capture leaves out, snapshots, and what a user may ask of you: to be told everything, and to be deleted."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cairn.api.endpoint import Call, Endpoint, Id, Query
from cairn.api.resources.users import EnvironmentQuery, UserName
from cairn.app.users import find_user
from cairn.privacy import capture, snapshot
from cairn.privacy.capture import CaptureSettings, read_capture, write_capture
from cairn.privacy.export import UserExport, export_user
from cairn.privacy.request import Deletion, LeavingUser, ask_deletion, get_deletion, list_deletions
from cairn.privacy.snapshot import NewSnapshot, Snapshot
from cairn.workspace.environment import Environment, get_environment
from cairn.workspace.permission import Verb, require

DeletionName = Annotated[str, Meta(min_length=1, max_length=64, description="The request's id.")]


class CaptureChange(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings at once; what is left out has its default."""

    mode: capture.Mode = "all"
    pages: list[str] = []
    is_text_captured: bool = True
    are_ips_kept: bool = False
    is_do_not_track_honoured: bool = False
    is_cookieless: bool = False
    needs_consent: bool = False
    are_errors_captured: bool = False
    are_cookies_secure: bool = False
    may_run_javascript: bool = False


class CaptureAnswer(Struct, frozen=True):
    environment: str
    settings: CaptureSettings


class SnapshotList(Struct, frozen=True):
    environment: str
    snapshots: list[Snapshot]


class DeletionList(Struct, frozen=True):
    deletions: list[Deletion]


def read_capture_settings(call: Call, query: EnvironmentQuery) -> CaptureAnswer:
    """Read what an environment's capture leaves out."""
    here = _here(call, query)
    return CaptureAnswer(here.name, read_capture(call.connection, here.id))


def change_capture_settings(call: Call, query: EnvironmentQuery, body: CaptureChange) -> CaptureAnswer:
    """Change what an environment's capture leaves out. Browsers follow within a minute."""
    here = _here(call, query)
    if body.may_run_javascript and not read_capture(call.connection, here.id).may_run_javascript:
        require(call.role, Verb.OWN)
    wanted = msgspec.convert(msgspec.to_builtins(body), CaptureSettings)
    settings = write_capture(call.connection, here.id, wanted, call.now)
    call.publishing.add(here.id)
    return CaptureAnswer(here.name, settings)


def read_snapshots(call: Call, query: EnvironmentQuery) -> SnapshotList:
    """List snapshots: properties read from the page when an event fires."""
    here = _here(call, query)
    return SnapshotList(here.name, snapshot.list_snapshots(call.connection, here.id))


def create_snapshot(call: Call, query: EnvironmentQuery, body: NewSnapshot) -> Snapshot:
    """Add a snapshot. It reads from now on, not what happened before."""
    here = _here(call, query)
    may_run = read_capture(call.connection, here.id).may_run_javascript
    call.publishing.add(here.id)
    return snapshot.add_snapshot(call.connection, here.id, body, call.now, may_run_javascript=may_run)


def change_snapshot(call: Call, snapshot_id: Id, query: EnvironmentQuery, body: NewSnapshot) -> Snapshot:
    """Replace a snapshot."""
    here = _here(call, query)
    may_run = read_capture(call.connection, here.id).may_run_javascript
    call.publishing.add(here.id)
    return snapshot.change_snapshot(
        call.connection, here.id, snapshot_id, body, call.now, may_run_javascript=may_run
    )


def delete_snapshot(call: Call, snapshot_id: Id, query: EnvironmentQuery) -> None:
    """Delete a snapshot. What it has read stays with its events."""
    here = _here(call, query)
    snapshot.delete_snapshot(call.connection, here.id, snapshot_id)
    call.publishing.add(here.id)


def export_one_user(call: Call, user: UserName, query: EnvironmentQuery) -> Iterator[bytes]:
    """Export everything known of a user: ids, properties, merges, segments, lists, refusals and every event."""
    here = _here(call, query)
    found = find_user(call, here, user)
    core = call.core
    return export_user(core.engine, core.store, core.members, here.id, here.name, found.user_id)


def delete_user(call: Call, user: UserName, query: EnvironmentQuery) -> Deletion:
    """Delete a user from every environment of the workspace, for ever. The answer is the request."""
    here = _here(call, query)
    found = find_user(call, here, user)
    whom = LeavingUser(identity=found.identity) if found.identity else LeavingUser(user_id=found.user_id)
    return ask_deletion(call.connection, call.workspace_id, [whom], by=call.by, now=call.now)


def read_deletions(call: Call, query: Query) -> DeletionList:
    """List the newest requests to delete users, with their receipts."""
    return DeletionList(list_deletions(call.connection, call.workspace_id))


def read_deletion(call: Call, deletion_id: DeletionName) -> Deletion:
    """Read a request to delete users: pending, or complete with its receipt."""
    return get_deletion(call.connection, call.workspace_id, deletion_id)


def _here(call: Call, query: EnvironmentQuery) -> Environment:
    return get_environment(call.connection, call.workspace_id, query.environment)


_CAPTURE = {"mode": "block", "pages": ["/account/*"]}
_SNAPSHOT = {
    "name": "Chosen plan", "trigger": "submit", "place": "form.checkout", "reading": "value",
    "target": "select[name=plan]",
}  # fmt: skip
ENDPOINTS = (
    Endpoint("GET", "/capture", Verb.SEE, read_capture_settings),
    Endpoint(
        "PUT",
        "/capture",
        Verb.CHANGE_PRIVACY,
        change_capture_settings,
        example={"mode": "block", "pages": ["/account/*"]},
    ),
    Endpoint("GET", "/snapshots", Verb.SEE, read_snapshots),
    Endpoint("POST", "/snapshots", Verb.CHANGE_PRIVACY, create_snapshot, example=_SNAPSHOT, status=201),
    Endpoint("PUT", "/snapshots/{snapshot_id}", Verb.CHANGE_PRIVACY, change_snapshot, example=_SNAPSHOT),
    Endpoint("DELETE", "/snapshots/{snapshot_id}", Verb.CHANGE_PRIVACY, delete_snapshot),
    Endpoint("GET", "/users/{user}/export", Verb.SEE, export_one_user, streamed=UserExport),
    Endpoint("DELETE", "/users/{user}", Verb.DELETE_USERS, delete_user, status=202),
    Endpoint("GET", "/deletions", Verb.SEE, read_deletions),
    Endpoint("GET", "/deletions/{deletion_id}", Verb.SEE, read_deletion),
)
