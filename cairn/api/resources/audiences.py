"""Audiences: segments of the workspace's Heap account, and the lists that hold their members."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Next, Page
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import heap_audiences
from cairn.app.call import Call
from cairn.app.heap_audiences import OfferedSegment, ShownAudience
from cairn.clock import from_ms
from cairn.segments.used_by import Use
from cairn.sync.receiver import Task
from cairn.workspace.permission import Verb

Value = Annotated[str, Meta(max_length=1000, description="An identity, exactly as Heap sends it.")]


class Audience(Struct, frozen=True):
    id: int
    heap_id: str  # the segment's id at Heap
    name: str
    list_id: str  # what rules and `/check-attribute` name
    members: int
    state: str  # waiting, syncing, synced, stale, failed, disconnected
    reason: str
    pages: int | None  # of the task that is being received
    pages_received: int | None
    synced_at: datetime | None
    added_last: int
    removed_last: int
    used_by: list[Use]


class AudienceList(Struct, frozen=True):
    environment: str
    audiences: list[Audience]


class Offer(Struct, frozen=True):
    environment: str
    segments: list[OfferedSegment]
    problem: str  # why the Heap account could not be asked; empty: it was


class NewAudiences(Struct, frozen=True, forbid_unknown_fields=True):
    heap_ids: Annotated[list[str], Meta(min_length=1, max_length=300)]


class Removed(Struct, frozen=True):
    is_on_offer: bool  # it is still synced, and can be added again


class AudiencePage(Page, frozen=True, kw_only=True):
    environment: EnvironmentName


class History(Struct, frozen=True):
    syncs: list[Task]  # newest first
    next: Next


class AudienceMember(Struct, frozen=True):
    value: str
    since: datetime


class Members(Struct, frozen=True):
    audience: str
    total: int
    members: list[AudienceMember]
    next: Next


class ContainsQuery(EnvironmentQuery, frozen=True):
    value: Value = ""


class Contains(Struct, frozen=True):
    audience: str
    is_member: bool
    since: datetime | None


def read_audiences(call: Call, query: EnvironmentQuery) -> AudienceList:
    """List the audiences that were added, with the state of their syncs."""
    here = call.environment(query.environment)
    return AudienceList(here.name, [_answer(shown) for shown in heap_audiences.list_added(call, here)])


def read_offered_audiences(call: Call, query: EnvironmentQuery) -> Offer:
    """List the segments of the Heap account that can be added."""
    here = call.environment(query.environment)
    segments, problem = heap_audiences.list_offered(call, here)
    return Offer(here.name, segments, problem)


def read_audience(call: Call, audience_id: Id, query: EnvironmentQuery) -> Audience:
    """Read one audience: its list, its members, how its sync goes."""
    return _answer(heap_audiences.get_added(call, call.environment(query.environment), audience_id))


def add_audiences(call: Call, query: EnvironmentQuery, body: NewAudiences) -> AudienceList:
    """Add segments of the Heap account, so that rules can ask for them."""
    here = call.environment(query.environment)
    added = {audience.id for audience in heap_audiences.add(call, here, body.heap_ids)}
    shown = heap_audiences.list_added(call, here)
    return AudienceList(here.name, [_answer(audience) for audience in shown if audience.audience.id in added])


def remove_audience(call: Call, audience_id: Id, query: EnvironmentQuery) -> Removed:
    """Take an audience from those that rules can ask for. Refused while a flag asks for it."""
    return Removed(heap_audiences.remove(call, call.environment(query.environment), audience_id))


def read_audience_history(call: Call, audience_id: Id, query: AudiencePage) -> History:
    """The syncs of an audience, newest first, refused ones too."""
    here = call.environment(query.environment)
    before = (
        int(query.after)
        if query.after.isascii() and query.after.isdigit() and len(query.after) < 10
        else None
    )
    tasks = heap_audiences.history(call, here, audience_id, before=before, limit=query.limit + 1)
    page = tasks[: query.limit]
    return History(page, str(page[-1].id) if len(tasks) > query.limit else None)


def read_audience_members(call: Call, audience_id: Id, query: AudiencePage) -> Members:
    """The members of an audience, in a stable order."""
    here = call.environment(query.environment)
    audience = heap_audiences.get_added(call, here, audience_id).audience
    page = heap_audiences.members_of(call, audience, after=query.after, limit=query.limit)
    members = [AudienceMember(value, from_ms(since)) for value, since in page.members]
    return Members(audience.name, page.size, members, page.next)


def audience_contains(call: Call, audience_id: Id, query: ContainsQuery) -> Contains:
    """Whether an identity is a member, letter by letter."""
    here = call.environment(query.environment)
    audience = heap_audiences.get_added(call, here, audience_id).audience
    since = heap_audiences.member_since(call, audience, query.value)
    return Contains(audience.name, since is not None, None if since is None else from_ms(since))


def _answer(shown: ShownAudience) -> Audience:
    audience, task = shown.audience, shown.condition.task
    return Audience(
        audience.id,
        audience.heap_id,
        audience.name,
        audience.list_id,
        shown.members,
        shown.condition.state.value,
        shown.condition.reason,
        task.pages if task else None,
        task.pages_received if task else None,
        audience.synced_at,
        audience.added_last,
        audience.removed_last,
        shown.uses,
    )


ENDPOINTS = (
    Endpoint("GET", "/audiences", Verb.SEE, read_audiences),
    Endpoint("GET", "/audiences/offered", Verb.SEE, read_offered_audiences),
    Endpoint("POST", "/audiences", Verb.DEFINE, add_audiences, example={"heap_ids": ["90210"]}, status=201),
    Endpoint("GET", "/audiences/{audience_id}", Verb.SEE, read_audience),
    Endpoint("DELETE", "/audiences/{audience_id}", Verb.DEFINE, remove_audience),
    Endpoint("GET", "/audiences/{audience_id}/history", Verb.SEE, read_audience_history),
    Endpoint("GET", "/audiences/{audience_id}/members", Verb.SEE, read_audience_members),
    Endpoint("GET", "/audiences/{audience_id}/contains", Verb.SEE, audience_contains),
)
