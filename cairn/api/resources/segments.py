"""Segments, how far each environment has counted them, and who is in."""

from datetime import datetime

from msgspec import Struct

from cairn.analysis.preview import Preview as Counted
from cairn.api.endpoint import (
    After,
    Endpoint,
    EnvironmentName,
    Id,
    Limit,
    Next,
    Page,
    ProjectQuery,
    Query,
    Versioned,
)
from cairn.api.page import page_of
from cairn.app import segments
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.segments import SegmentChanges
from cairn.app.sources import find_project
from cairn.clock import from_ms
from cairn.conditions.tree import Condition
from cairn.query.newest import identities
from cairn.segments.definition import NewSegment, Segment, SegmentHealth, health_of
from cairn.workspace.permission import Verb


class SegmentCount(Struct, frozen=True):
    environment_id: Id
    environment: str  # its key
    list_id: str  # the attribute list that flag rules ask about
    users: int
    identified: int
    is_current: bool  # the count is of this definition, not of the one before
    counted_at: datetime | None
    state: SegmentHealth
    since: datetime | None  # when it began to fail
    reason: str  # why it fails; empty: it does not


class SegmentAnswer(Struct, frozen=True):
    id: Id
    key: str
    name: str
    description: str
    condition: Condition | None  # null: see `unreadable`
    version: int
    environments: list[SegmentCount]
    created_at: datetime
    updated_at: datetime
    unreadable: str = ""  # why the stored condition cannot be read; send a new one. Empty: it can


class SegmentList(Struct, frozen=True):
    segments: list[SegmentAnswer]
    next: Next = None


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


def read_segments(call: Call, query: Page) -> SegmentList:
    """List the segments by name."""
    stored_segments = segments.list_segments(call)
    page, rest = page_of(stored_segments, query, key=lambda segment: (segment.name, segment.id))
    return SegmentList([_answer(call, segment) for segment in page], rest)


def create_a_segment(call: Call, query: ProjectQuery, body: NewSegment) -> Versioned[SegmentAnswer]:
    """Make a segment. It is counted at once, over all history, in every environment."""
    return _versioned(call, segments.create_segment(call, find_project(call, query.project).id, body))


def read_segment(call: Call, segment_id: Id) -> Versioned[SegmentAnswer]:
    """Read a segment with its sizes."""
    return _versioned(call, segments.read_segment(call, segment_id))


def change_segment(
    call: Call, segment_id: Id, body: SegmentChanges, expected: int | None
) -> Versioned[SegmentAnswer]:
    """Change a segment. The old membership stays in force until the new one is counted."""
    return _versioned(call, segments.change_segment(call, segment_id, body, expected=expected))


def remove_segment(call: Call, segment_id: Id, expected: int | None) -> None:
    """Delete a segment that no flag asks about."""
    segments.delete_segment(call, segments.get_segment(call, segment_id), expected=expected)


def read_members(call: Call, segment_id: Id, query: MembersQuery) -> SegmentMembers:
    """List who is in a segment, and since when."""
    segment, environment = segments.get_segment(call, segment_id), call.environment(query.environment)
    page = segments.list_members(call, environment, segment, after=query.after, limit=query.limit)
    names = identities(call.core.store, environment.id, page.since_ms)
    return SegmentMembers(
        size=page.size,
        members=[
            SegmentMember(user_id, names.get(user_id), from_ms(since_ms))
            for user_id, since_ms in page.since_ms.items()
        ],
        next=page.next,
    )


def preview_segment(call: Call, query: PreviewQuery, body: Preview) -> Counted:
    """Count for how many users a condition holds now, without making a segment."""
    return segments.preview_condition(call, call.environment(query.environment), body.condition)


def _versioned(call: Call, edited: Edited[Segment]) -> Versioned[SegmentAnswer]:
    return Versioned(_answer(call, edited.value), edited.edition)


def _answer(call: Call, segment: Segment) -> SegmentAnswer:
    keys = {environment.id: environment.key for environment in call.environments()}
    counts = [
        SegmentCount(
            environment_id=state.environment_id,
            environment=keys[state.environment_id],
            list_id=state.list_id,
            users=state.users,
            identified=state.identified,
            is_current=state.version == segment.version,
            counted_at=state.counted_at,
            state=health_of(state, segment.version),
            since=state.failed_at,
            reason=state.error,
        )
        for state in segments.list_states(call, segment)
    ]
    return SegmentAnswer(
        id=segment.id,
        key=segment.key,
        name=segment.name,
        description=segment.description,
        condition=None if segment.unreadable else segment.condition,
        unreadable=segment.unreadable,
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
