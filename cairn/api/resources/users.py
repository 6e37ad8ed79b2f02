"""Users of the product: who they are, what they did, which segments they are in, and what was merged into them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis.users import PropertyValue, User
from cairn.api.endpoint import After, Endpoint, EnvironmentName, Limit, Next, Query
from cairn.api.page import read_cursor, write_cursor
from cairn.app import users
from cairn.app.call import Call
from cairn.clock import from_ms
from cairn.ids import MAX_USER_ID
from cairn.query.cursor import Cursor
from cairn.workspace.permission import Verb

UserName = Annotated[
    str, Meta(min_length=1, max_length=1000, description="A user's id or identity. Limit: without '/'.")
]


class UserProperty(Struct, frozen=True):
    value: str
    set_at: datetime


class UserAnswer(Struct, frozen=True):
    id: int
    identity: str | None  # null: anonymous
    last_seen_at: datetime | None
    properties: dict[str, UserProperty]  # the first hundred
    more_properties: int  # left out; the export has all


class UserList(Struct, frozen=True):
    users: list[UserAnswer]
    next: Next = None


class UserSegment(Struct, frozen=True):
    id: int
    key: str
    name: str
    since: datetime


class UserAccount(Struct, frozen=True):
    id: str
    properties: dict[str, UserProperty]  # the first hundred
    more_properties: int  # left out


class BroughtProperty(Struct, frozen=True):
    key: str
    value: str
    without: str | None  # what it would be without this id; null: nothing


class UserId(Struct, frozen=True):
    """A raw id, and what the user has because of it."""

    user_id: int
    events: int
    first_at: datetime | None
    last_at: datetime | None
    properties: list[BroughtProperty]


class UserMerge(Struct, frozen=True):
    at: datetime
    kind: str  # merge, unmerge
    user_id: int  # the raw id
    into: int  # the user it was merged into, or taken out of
    identity: str  # empty: the id is a flag SDK's hash of a name of this user
    cause: str


class UserDetails(Struct, frozen=True):
    user: UserAnswer
    user_ids: list[int]  # the raw ids whose events are this user's; the first hundred
    more_user_ids: int  # left out
    segments: list[UserSegment]
    merges: list[UserMerge]  # of these ids, the newest hundred
    more_merges: int  # left out
    ids: list[UserId]  # what each of `user_ids` brought, the user's own first
    account: UserAccount | None = None  # null: the Account ID property is empty, or none is chosen


class UserEvent(Struct, frozen=True):
    event_id: str  # 64 bits, more than a JavaScript number holds
    time: datetime
    received_at: datetime
    kind: str
    name: str
    source: str
    library: str
    user_id: int  # the raw id that did it
    session_id: int
    properties: dict[str, str]  # the first hundred
    more_properties: int  # left out; the export has all
    detail: str  # what was left out when it was stored, and why; empty: nothing
    facts: dict[str, str]  # of the page, the session and the device: path, channel, browser, ...


class UserEvents(Struct, frozen=True):
    events: list[UserEvent]
    next: Next = None


class Unmerge(Struct, frozen=True, forbid_unknown_fields=True):
    user_id: Annotated[int, Meta(ge=1, le=MAX_USER_ID, description="The raw id to take out.")]


class EnvironmentQuery(Query, frozen=True):
    environment: EnvironmentName


class UsersQuery(EnvironmentQuery, frozen=True):
    search: Annotated[
        str, Meta(max_length=200, description="Text in an identity, e-mail or name; or an id.")
    ] = ""
    after: After = ""
    limit: Limit = 50


class EventsQuery(EnvironmentQuery, frozen=True):
    after: After = ""
    limit: Limit = 50


def read_users(call: Call, query: UsersQuery) -> UserList:
    """List users, those seen last first; or search them."""
    environment, after = call.environment(query.environment), _cursor(query.after)
    if query.search.strip():
        page = users.search_users(call, environment, query.search, after=after, limit=query.limit)
    else:
        page = users.list_users(call, environment, after=after, limit=query.limit)
    return UserList([_answer(user) for user in page.users], write_cursor(page.next) if page.next else None)


def read_user(call: Call, user: UserName, query: EnvironmentQuery) -> UserDetails:
    """Read a user: properties, segments, merged ids and their history."""
    environment = call.environment(query.environment)
    details = users.user_details(call, environment, users.find_user(call, environment, user))
    return UserDetails(
        user=_answer(details.user),
        user_ids=sorted(raw.user_id for raw in details.ids),
        more_user_ids=details.more_ids,
        more_merges=details.more_merges,
        segments=[
            UserSegment(entry.segment.id, entry.segment.key, entry.segment.name, from_ms(entry.since_ms))
            for entry in details.segments
        ],
        merges=[
            UserMerge(item.at, item.kind, item.user_id, item.canonical_id, item.identity, item.cause)
            for item in details.merges
        ],
        ids=[
            UserId(
                raw.user_id,
                raw.events,
                from_ms(raw.first_ms) if raw.events else None,
                from_ms(raw.last_ms) if raw.events else None,
                [BroughtProperty(brought.key, brought.value, brought.without) for brought in raw.properties],
            )
            for raw in details.ids
        ],
        account=UserAccount(
            details.account.id, properties_answer(details.account.properties), details.account.more_properties
        )
        if details.account
        else None,
    )


def read_user_events(call: Call, user: UserName, query: EventsQuery) -> UserEvents:
    """List what a user did, newest first, over all merged ids."""
    environment = call.environment(query.environment)
    page = users.timeline(
        call,
        environment,
        users.find_user(call, environment, user),
        after=_cursor(query.after),
        limit=query.limit,
    )
    events = [
        UserEvent(
            event_id=str(event.event_id),
            time=from_ms(event.time_ms),
            received_at=from_ms(event.received_ms),
            kind=event.kind,
            name=event.name,
            source=event.source,
            library=event.library,
            user_id=event.raw_user_id,
            session_id=event.session_id,
            properties=event.properties,
            more_properties=event.more_properties,
            detail=event.detail,
            facts=event.facts,
        )
        for event in page.events
    ]
    return UserEvents(events, write_cursor(page.next) if page.next else None)


def unmerge_user(call: Call, user: UserName, query: EnvironmentQuery, body: Unmerge) -> UserAnswer:
    """Take a merged id out of a user. It becomes a user of its own again, with all its events; the history shows it."""
    environment = call.environment(query.environment)
    matched = users.find_user(call, environment, user)
    users.unmerge_user(call, environment, matched, body.user_id, cause="api")
    return _answer(matched)


def properties_answer(properties: Mapping[str, PropertyValue]) -> dict[str, UserProperty]:
    return {key: UserProperty(current.value, from_ms(current.set_ms)) for key, current in properties.items()}


def _answer(user: User) -> UserAnswer:
    return UserAnswer(
        id=user.user_id,
        identity=user.identity or None,
        last_seen_at=from_ms(user.last_seen_ms) if user.last_seen_ms else None,
        properties=properties_answer(user.properties),
        more_properties=user.more_properties,
    )


def _cursor(text: str) -> Cursor | None:
    return read_cursor(text, Cursor) if text else None


_USER = "/users/{user}"
ENDPOINTS = (
    Endpoint("GET", "/users", Verb.SEE, read_users),
    Endpoint("GET", _USER, Verb.SEE, read_user),
    Endpoint("GET", _USER + "/events", Verb.SEE, read_user_events),
    Endpoint("POST", _USER + "/unmerge", Verb.CORRECT_USERS, unmerge_user, example={"user_id": 4711}),
)
