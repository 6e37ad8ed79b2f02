"""What capture leaves out, snapshots, and what a user may ask of you: to be told everything, and to be deleted."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cairn.api.endpoint import Endpoint, Id, Query, Versioned
from cairn.api.resources.users import EnvironmentQuery, UserName
from cairn.app import privacy
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.users import find_user
from cairn.privacy import capture
from cairn.privacy.capture import CaptureSettings
from cairn.privacy.export import UserExport
from cairn.privacy.request import Deletion
from cairn.privacy.snapshot import NewSnapshot, Snapshot
from cairn.workspace.permission import Verb

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


def read_capture_settings(call: Call, query: EnvironmentQuery) -> Versioned[CaptureAnswer]:
    """Read what an environment's capture leaves out."""
    here = call.environment(query.environment)
    return _capture(here.name, privacy.read_capture_edition(call, here))


def change_capture_settings(
    call: Call, query: EnvironmentQuery, body: CaptureChange, expected: int | None
) -> Versioned[CaptureAnswer]:
    """Change what an environment's capture leaves out. Browsers follow within a minute."""
    here = call.environment(query.environment)
    settings = msgspec.convert(msgspec.to_builtins(body), CaptureSettings)
    return _capture(here.name, privacy.change_capture(call, here, settings, expected=expected))


def _capture(environment: str, edited: Edited[CaptureSettings]) -> Versioned[CaptureAnswer]:
    return Versioned(CaptureAnswer(environment, edited.value), edited.edition)


def read_snapshots(call: Call, query: EnvironmentQuery) -> SnapshotList:
    """List snapshots: properties read from the page when an event fires."""
    here = call.environment(query.environment)
    return SnapshotList(here.name, privacy.list_snapshots(call, here))


def create_snapshot(call: Call, query: EnvironmentQuery, body: NewSnapshot) -> Versioned[Snapshot]:
    """Add a snapshot. It reads from now on, not what happened before."""
    return _snapshot(privacy.add_snapshot(call, call.environment(query.environment), body))


def read_snapshot(call: Call, snapshot_id: Id, query: EnvironmentQuery) -> Versioned[Snapshot]:
    """Read a snapshot."""
    return _snapshot(privacy.read_snapshot(call, call.environment(query.environment), snapshot_id))


def change_snapshot(
    call: Call, snapshot_id: Id, query: EnvironmentQuery, body: NewSnapshot, expected: int | None
) -> Versioned[Snapshot]:
    """Replace a snapshot."""
    here = call.environment(query.environment)
    return _snapshot(privacy.change_snapshot(call, here, snapshot_id, body, expected=expected))


def delete_snapshot(call: Call, snapshot_id: Id, query: EnvironmentQuery, expected: int | None) -> None:
    """Delete a snapshot. What it has read stays with its events."""
    privacy.remove_snapshot(call, call.environment(query.environment), snapshot_id, expected=expected)


def _snapshot(edited: Edited[Snapshot]) -> Versioned[Snapshot]:
    return Versioned(edited.value, edited.edition)


def export_one_user(call: Call, user: UserName, query: EnvironmentQuery) -> Iterator[bytes]:
    """Export everything known of a user: ids, properties, merges, segments, lists, refusals and every event."""
    here = call.environment(query.environment)
    return privacy.export_user(call, here, find_user(call, here, user))


def delete_user(call: Call, user: UserName, query: EnvironmentQuery) -> Deletion:
    """Delete a user from every environment of the workspace, permanently. The answer is the request."""
    return privacy.delete_user(call, find_user(call, call.environment(query.environment), user))


def read_deletions(call: Call, query: Query) -> DeletionList:
    """List the newest requests to delete users, with their receipts."""
    return DeletionList(privacy.list_deletions(call))


def read_deletion(call: Call, deletion_id: DeletionName) -> Deletion:
    """Read a request to delete users: pending, or complete with its receipt."""
    return privacy.get_deletion(call, deletion_id)


_CAPTURE = {"mode": "block", "pages": ["/account/*"]}
_SNAPSHOT = {
    "name": "Chosen plan",
    "trigger": "submit",
    "place": "form.checkout",
    "reading": "value",
    "target": "select[name=plan]",
}
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
    Endpoint("GET", "/snapshots/{snapshot_id}", Verb.SEE, read_snapshot),
    Endpoint("PUT", "/snapshots/{snapshot_id}", Verb.CHANGE_PRIVACY, change_snapshot, example=_SNAPSHOT),
    Endpoint("DELETE", "/snapshots/{snapshot_id}", Verb.CHANGE_PRIVACY, delete_snapshot),
    Endpoint("GET", "/users/{user}/export", Verb.SEE, export_one_user, streamed=UserExport),
    Endpoint("DELETE", "/users/{user}", Verb.DELETE_USERS, delete_user, status=202),
    Endpoint("GET", "/deletions", Verb.SEE, read_deletions),
    Endpoint("GET", "/deletions/{deletion_id}", Verb.SEE, read_deletion),
)
