"""Segments, how far each environment has counted them, and who is in."""

from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType

from cairn.analysis.users import identities_of
from cairn.api.endpoint import After, Call, Endpoint, EnvironmentName, Id, Limit, Next, Page, Query
from cairn.api.page import page_of
from cairn.clock import from_ms, to_ms
from cairn.conditions.check import check
from cairn.conditions.to_sql import everybody
from cairn.conditions.tree import Condition
from cairn.members.sets import users_set
from cairn.segments.definition import (
    NewSegment,
    Segment,
    create_segment,
    delete_segment,
    get_segment,
    list_segments,
    states,
    update_segment,
)
from cairn.workspace.environment import get_environment, list_environments, list_projects
from cairn.workspace.permission import Verb


class SegmentCount(Struct, frozen=True):
    environment_id: Id
    environment: str  # its key
    list_id: str  # the attribute list that flag rules ask about
    users: int
    identified: int
    is_current: bool  # the count is of this definition, not of the one before
    counted_at: datetime | None
    error: str


class SegmentAnswer(Struct, frozen=True):
    id: Id
    key: str
    name: str
    description: str
    condition: Condition
    version: int
    environments: list[SegmentCount]
    created_at: datetime
    updated_at: datetime


class SegmentList(Struct, frozen=True):
    segments: list[SegmentAnswer]
    next: Next = None


class SegmentChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    condition: Condition | UnsetType = UNSET


class MembersQuery(Query, frozen=True):
    environment: EnvironmentName
    after: After = ""
    limit: Limit = 50


class SegmentMember(Struct, frozen=True):
    user_id: int
    identity: str | None  # null: anonymous
    since: datetime


class SegmentMembers(Struct, frozen=True):
    size: int
    members: list[SegmentMember]
    next: Next = None


class Preview(Struct, frozen=True, forbid_unknown_fields=True):
    condition: Condition


class PreviewQuery(Query, frozen=True):
    environment: EnvironmentName


class PreviewCount(Struct, frozen=True):
    users: int
    identified: int


def read_segments(call: Call, query: Page) -> SegmentList:
    """List the segments by name."""
    found = list_segments(call.connection, call.workspace_id)
    page, rest = page_of(found, query, key=lambda segment: (segment.name, segment.id))
    return SegmentList([_answer(call, segment) for segment in page], rest)


def create_a_segment(call: Call, body: NewSegment) -> SegmentAnswer:
    """Make a segment. It is counted at once, over all history, in every environment."""
    project = list_projects(call.connection, call.workspace_id)[0]
    return _changed(call, create_segment(call.connection, call.workspace_id, project.id, body, call.now))


def read_segment(call: Call, segment_id: Id) -> SegmentAnswer:
    """Read a segment with its sizes."""
    return _answer(call, get_segment(call.connection, call.workspace_id, segment_id))


def change_segment(call: Call, segment_id: Id, body: SegmentChanges) -> SegmentAnswer:
    """Change a segment. The old membership stays in force until the new one is counted."""
    given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    changed = update_segment(call.connection, call.workspace_id, segment_id, **given, now=call.now)
    return _changed(call, changed)


def remove_segment(call: Call, segment_id: Id) -> None:
    """Delete a segment that no flag asks about."""
    call.publishing.update(
        state.environment_id for state in states(call.connection, call.workspace_id, segment_id)
    )
    delete_segment(call.connection, call.workspace_id, segment_id)


def read_members(call: Call, segment_id: Id, query: MembersQuery) -> SegmentMembers:
    """List who is in a segment, and since when."""
    segment = get_segment(call.connection, call.workspace_id, segment_id)
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    name = users_set(environment.id, segment.id)
    found = call.core.members.values(name, after=query.after, limit=query.limit + 1)
    page = found[: query.limit]
    identities = identities_of(call.core.store, environment.id, [int(user_id) for user_id, _ in page])
    return SegmentMembers(
        size=call.core.members.size(name),
        members=[
            SegmentMember(int(user_id), identities.get(int(user_id)), from_ms(since))
            for user_id, since in page
        ],
        next=page[-1][0] if len(found) > query.limit else None,
    )


def preview_segment(call: Call, query: PreviewQuery, body: Preview) -> PreviewCount:
    """Count for how many users a condition holds now, without making a segment."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    check(body.condition)
    resolved = call.core.definitions.resolve(call.connection, environment.id, body.condition)
    found = everybody([resolved], to_ms(call.now))
    counted = f"SELECT count(), countIf(`max(known_as)` != '') FROM ({found.sql})"
    users, identified = call.core.store.query(environment.id, counted, found.parameters)[0]
    return PreviewCount(users, identified)


def _changed(call: Call, segment: Segment) -> SegmentAnswer:
    answer = _answer(call, segment)
    call.publishing.update(count.environment_id for count in answer.environments)
    return answer


def _answer(call: Call, segment: Segment) -> SegmentAnswer:
    keys = {each.id: each.key for each in list_environments(call.connection, call.workspace_id)}
    counts = [
        SegmentCount(
            environment_id=state.environment_id,
            environment=keys[state.environment_id],
            list_id=state.list_id,
            users=state.users,
            identified=state.identified,
            is_current=state.version == segment.version,
            counted_at=state.counted_at,
            error=state.error,
        )
        for state in states(call.connection, call.workspace_id, segment.id)
    ]
    return SegmentAnswer(
        id=segment.id,
        key=segment.key,
        name=segment.name,
        description=segment.description,
        condition=segment.condition,
        version=segment.version,
        environments=counts,
        created_at=segment.created_at,
        updated_at=segment.updated_at,
    )


EXAMPLE = {
    "key": "active_buyers",
    "name": "Active buyers",
    "condition": {
        "type": "did",
        "event": {"name": "Order Completed"},
        "operator": "at_least",
        "count": 2,
        "window": {"type": "last", "amount": 30, "unit": "day"},
    },
}
_SEGMENT = "/segments/{segment_id}"
ENDPOINTS = (
    Endpoint("GET", "/segments", Verb.SEE, read_segments),
    Endpoint("POST", "/segments", Verb.DEFINE, create_a_segment, example=EXAMPLE, status=201),
    Endpoint("GET", _SEGMENT, Verb.SEE, read_segment),
    Endpoint("PATCH", _SEGMENT, Verb.DEFINE, change_segment, example={"name": "Keen buyers"}),
    Endpoint("DELETE", _SEGMENT, Verb.DEFINE, remove_segment),
    Endpoint("GET", _SEGMENT + "/members", Verb.SEE, read_members),
    Endpoint(
        "POST",
        "/segments/preview",
        Verb.SEE,
        preview_segment,
        example={"condition": EXAMPLE["condition"]},
    ),
)
