"""Targets of segments, and the syncs of each segment with their history."""

from datetime import datetime

from msgspec import Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Limit, Query, Versioned
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import syncs
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.segments import get_segment
from cairn.app.syncs import SyncChanges, SyncView
from cairn.sync.new_target import NewTarget
from cairn.sync.syncs import Every, NewSync, Sync, Task
from cairn.sync.targets import Target, TargetKind
from cairn.workspace.permission import Verb


class TargetAnswer(Struct, frozen=True):
    id: Id
    kind: TargetKind
    name: str
    is_enabled: bool
    is_revoked: bool  # a partner app whose access was taken back


class TargetList(Struct, frozen=True):
    targets: list[TargetAnswer]


class NewTargetAnswer(Struct, frozen=True):
    target: TargetAnswer
    secret: str  # of a webhook; not shown again


class TargetChanges(Struct, frozen=True, forbid_unknown_fields=True):
    is_enabled: bool


class SyncAnswer(Struct, frozen=True):
    id: Id
    segment_id: Id
    target_id: Id
    target: str
    mapping: str  # identity, email or property:<name>
    every: Every
    is_on: bool
    is_ending: bool  # the target is being told that nobody is in any more
    users: int  # in the segment
    identified: int  # of these, with an id under the mapping
    acknowledged: int  # ids that the target has
    without_id: int  # users whom the target cannot be told of
    acknowledged_at: datetime | None
    error: str  # why the last attempt failed; empty: it did not
    failed_at: datetime | None  # since when
    pages: int  # of the task that is being sent; 0: nothing is
    pages_acknowledged: int


class SyncList(Struct, frozen=True):
    syncs: list[SyncAnswer]


class TaskList(Struct, frozen=True):
    tasks: list[Task]


class HistoryQuery(Query, frozen=True):
    environment: EnvironmentName
    limit: Limit = 50


class NowQuery(Query, frozen=True):
    environment: EnvironmentName
    compare: bool = False  # every member with what the target has, not only what has changed


class EndQuery(Query, frozen=True):
    environment: EnvironmentName
    empties: bool = True  # tell the target first that nobody is in any more


def read_targets(call: Call, query: EnvironmentQuery) -> TargetList:
    """List where segments of an environment can be synced to."""
    targets = syncs.list_targets(call, call.environment(query.environment))
    return TargetList([_target(target) for target in targets])


def create_a_target(call: Call, query: EnvironmentQuery, body: NewTarget) -> Versioned[NewTargetAnswer]:
    """Set up a webhook, files or Segment traits as a target. The answer alone holds a webhook's secret."""
    made, secret = syncs.create_target(call, call.environment(query.environment), body)
    shown = secret if body.kind == "webhook" else ""
    return Versioned(NewTargetAnswer(_target(made.value), shown), made.edition)


def read_target(call: Call, target_id: Id, query: EnvironmentQuery) -> Versioned[TargetAnswer]:
    """Read one target."""
    read = syncs.get_target(call, call.environment(query.environment), target_id)
    return Versioned(_target(read.value), read.edition)


def change_target(
    call: Call, target_id: Id, query: EnvironmentQuery, body: TargetChanges, expected: int | None
) -> Versioned[TargetAnswer]:
    """Turn a target on or off. Its syncs wait while it is off."""
    environment = call.environment(query.environment)
    changed = syncs.switch_target(call, environment, target_id, is_enabled=body.is_enabled, expected=expected)
    return Versioned(_target(changed.value), changed.edition)


def remove_target(call: Call, target_id: Id, query: EnvironmentQuery, expected: int | None) -> None:
    """Delete a target with its syncs and their history. What it holds stays there."""
    syncs.delete_target(call, call.environment(query.environment), target_id, expected=expected)


def read_syncs(call: Call, segment_id: Id, query: EnvironmentQuery) -> SyncList:
    """List the targets that a segment is synced to, with the counts here and there."""
    environment = call.environment(query.environment)
    return SyncList(
        [_answer(view) for view in syncs.list_syncs(call, environment, get_segment(call, segment_id))]
    )


def create_a_sync(
    call: Call, segment_id: Id, query: EnvironmentQuery, body: NewSync
) -> Versioned[SyncAnswer]:
    """Sync a segment to a target. What it holds is sent at once."""
    environment = call.environment(query.environment)
    return _versioned(call, query, syncs.create_sync(call, environment, get_segment(call, segment_id), body))


def read_sync(call: Call, sync_id: Id, query: EnvironmentQuery) -> Versioned[SyncAnswer]:
    """Read how a sync stands."""
    view = syncs.get_sync(call, call.environment(query.environment), sync_id)
    return Versioned(_answer(view), view.edition)


def change_sync(
    call: Call, sync_id: Id, query: EnvironmentQuery, body: SyncChanges, expected: int | None
) -> Versioned[SyncAnswer]:
    """Change or pause a sync. Under another mapping the target gets what that adds and removes."""
    environment = call.environment(query.environment)
    return _versioned(call, query, syncs.change_sync(call, environment, sync_id, body, expected=expected))


def end_sync(call: Call, sync_id: Id, query: EndQuery, expected: int | None) -> None:
    """Stop a sync permanently."""
    environment = call.environment(query.environment)
    syncs.end_sync(call, environment, sync_id, empties=query.empties, expected=expected)


def sync_now(call: Call, sync_id: Id, query: NowQuery) -> SyncAnswer:
    """Send what has changed now."""
    environment = call.environment(query.environment)
    syncs.sync_now(call, environment, sync_id, compare=query.compare)
    return _answer(syncs.get_sync(call, environment, sync_id))


def send_sample(call: Call, sync_id: Id, query: EnvironmentQuery) -> Task:
    """Send the target a few members of the segment, once, to see that they arrive."""
    return syncs.send_sample(call, call.environment(query.environment), sync_id)


def read_tasks(call: Call, sync_id: Id, query: HistoryQuery) -> TaskList:
    """List what a sync has sent, newest first."""
    environment = call.environment(query.environment)
    return TaskList(syncs.list_tasks(call, environment, sync_id, limit=query.limit))


def _target(target: Target) -> TargetAnswer:
    return TargetAnswer(target.id, target.kind, target.name, target.is_enabled, target.is_revoked)


def _versioned(call: Call, query: EnvironmentQuery, edited: Edited[Sync]) -> Versioned[SyncAnswer]:
    view = syncs.get_sync(call, call.environment(query.environment), edited.value.id)
    return Versioned(_answer(view), edited.edition)


def _answer(view: SyncView) -> SyncAnswer:
    sync, sizes, task = view.sync, view.sizes, view.task
    return SyncAnswer(
        sync.id,
        sync.segment_id,
        sync.target_id,
        view.target.name,
        sync.mapping,
        sync.every,
        sync.is_on,
        sync.is_ending,
        sizes.users,
        sizes.identified,
        sizes.acknowledged,
        sizes.without_id,
        sync.acknowledged_at,
        sync.error,
        sync.failed_at,
        task.pages if task else 0,
        task.pages_acknowledged if task else 0,
    )


_TARGET = "/sync-targets/{target_id}"
_OF_SEGMENT, _SYNC = "/segments/{segment_id}/syncs", "/syncs/{sync_id}"
ENDPOINTS = (
    Endpoint("GET", "/sync-targets", Verb.SEE, read_targets),
    Endpoint(
        "POST",
        "/sync-targets",
        Verb.CHANGE_INTEGRATIONS,
        create_a_target,
        status=201,
        example={"kind": "webhook", "name": "CRM", "url": "https://crm.example/hooks/cairn"},
    ),
    Endpoint("GET", _TARGET, Verb.SEE, read_target),
    Endpoint("PATCH", _TARGET, Verb.CHANGE_INTEGRATIONS, change_target, example={"is_enabled": False}),
    Endpoint("DELETE", _TARGET, Verb.CHANGE_INTEGRATIONS, remove_target),
    Endpoint("GET", _OF_SEGMENT, Verb.SEE, read_syncs),
    Endpoint(
        "POST",
        _OF_SEGMENT,
        Verb.DEFINE,
        create_a_sync,
        example={"target_id": 1, "every": "continuous"},
        status=201,
    ),
    Endpoint("GET", _SYNC, Verb.SEE, read_sync),
    Endpoint("PATCH", _SYNC, Verb.DEFINE, change_sync, example={"every": "1h"}),
    Endpoint("DELETE", _SYNC, Verb.DEFINE, end_sync),
    Endpoint("POST", _SYNC + "/now", Verb.DEFINE, sync_now),
    Endpoint("POST", _SYNC + "/sample", Verb.DEFINE, send_sample, status=201),
    Endpoint("GET", _SYNC + "/tasks", Verb.SEE, read_tasks),
)
