"""Users of the product: who they are, what they did, which segments they are in, and what was merged into them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis import accounts, merged, users
from cairn.analysis.users import Cursor, PropertyValue, User
from cairn.api.endpoint import After, Call, Endpoint, EnvironmentName, Next, Query
from cairn.api.page import read_cursor, write_cursor
from cairn.clock import from_ms
from cairn.errors import Conflict, NotFound
from cairn.identity import merges
from cairn.ids import MAX_USER_ID
from cairn.ingest.loaded import Loaded
from cairn.members.sets import users_set
from cairn.segments.definition import list_segments
from cairn.workspace.account_key import read_account_key
from cairn.workspace.environment import Environment, get_environment
from cairn.workspace.permission import Verb

UserName = Annotated[
    str, Meta(min_length=1, max_length=1000, description="A user's id or identity. Limit: without '/'.")
]


class UserNotFound(NotFound):
    """Nothing is known of this user in this environment."""

    code = "user_not_found"


class NotMergedHere(Conflict):
    """This id is not merged into this user, so it cannot be taken out."""

    code = "not_merged_here"


class UserProperty(Struct, frozen=True):
    value: str
    set_at: datetime


class UserAnswer(Struct, frozen=True):
    id: int
    identity: str | None  # null: anonymous
    last_seen_at: datetime | None
    properties: dict[str, UserProperty]


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
    properties: dict[str, UserProperty]


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
    identity: str
    cause: str


class UserDetails(Struct, frozen=True):
    user: UserAnswer
    user_ids: list[int]  # every raw id whose events are this user's
    segments: list[UserSegment]
    merges: list[UserMerge]
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
    properties: dict[str, str]
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


class EventsQuery(EnvironmentQuery, frozen=True):
    after: After = ""


def read_users(call: Call, query: UsersQuery) -> UserList:
    """List users, those seen last first; or search them. Pages of 50."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    store, connection = call.core.store, call.connection
    after = _cursor(query.after)
    if query.search.strip():
        page = users.search_users(
            store, connection, environment.id, query.search, now=call.now, after_id=after.id if after else 0
        )
    else:
        page = users.list_users(store, connection, environment.id, now=call.now, after=after)
    return UserList([_answer(user) for user in page.users], write_cursor(page.next) if page.next else None)


def read_user(call: Call, user: UserName, query: EnvironmentQuery) -> UserDetails:
    """Read a user: properties, segments, merged ids and their history."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    found = find_user(call, environment, user)
    ids = users.raw_ids(call.connection, environment.id, found.user_id)
    return UserDetails(
        user=_answer(found),
        user_ids=ids,
        segments=_segments(call, environment, found.user_id),
        merges=[
            UserMerge(item.at, item.kind, item.user_id, item.canonical_id, item.identity, item.cause)
            for item in merges.history(call.connection, environment.id, ids)
        ],
        ids=_ids(call, environment, found.user_id),
        account=_account(call, environment, found),
    )


def read_user_events(call: Call, user: UserName, query: EventsQuery) -> UserEvents:
    """List what a user did, newest first, over all merged ids. Pages of 50."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    found = find_user(call, environment, user)
    page = users.timeline(
        call.core.store, call.connection, environment.id, found.user_id, after=_cursor(query.after)
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
            facts=event.facts,
        )
        for event in page.events
    ]
    return UserEvents(events, write_cursor(page.next) if page.next else None)


def unmerge_user(call: Call, user: UserName, query: EnvironmentQuery, body: Unmerge) -> UserAnswer:
    """Take a merged id out of a user. It stands for itself again, with all its events; the history says so."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    found = find_user(call, environment, user)
    if body.user_id == found.user_id or body.user_id not in users.raw_ids(
        call.connection, environment.id, found.user_id
    ):
        raise NotMergedHere(
            f"user_id: {body.user_id} is not merged into this user; see its `user_ids`", field="user_id"
        )
    change = merges.unmerge(call.connection, environment.id, body.user_id, "api", call.now)
    assert change is not None, "it was among the merged ids, in this transaction"
    core = call.core
    call.then.append(lambda: core.store.insert_user_map([change]))
    if core.live is not None:
        call.then.append(
            lambda: core.live.touched([Loaded(environment.id, merged={body.user_id, found.user_id})])
        )
    return _answer(found)


def find_user(call: Call, environment: Environment, name: str) -> User:
    """By id, and then by identity, because an identity may be digits too. Raises UserNotFound."""
    store, connection, now = call.core.store, call.connection, call.now
    found = None
    if name.isascii() and name.isdigit() and 0 < int(name[:20]) <= MAX_USER_ID:
        found = users.one_user(store, connection, environment.id, int(name), now=now)
    found = found or users.user_by_identity(store, connection, environment.id, name, now=now)
    if found is None:
        raise UserNotFound("nothing is known of this user in this environment", field="user")
    return found


def _segments(call: Call, environment: Environment, user_id: int) -> list[UserSegment]:
    found = []
    for segment in list_segments(call.connection, call.workspace_id, environment.project_id):
        since = call.core.members.since(users_set(environment.id, segment.id), str(user_id))
        if since is not None:
            found.append(UserSegment(segment.id, segment.key, segment.name, from_ms(since)))
    return found


def _ids(call: Call, environment: Environment, user_id: int) -> list[UserId]:
    return [
        UserId(
            one.user_id,
            one.events,
            from_ms(one.first_ms) if one.events else None,
            from_ms(one.last_ms) if one.events else None,
            [BroughtProperty(each.key, each.value, each.without) for each in one.properties],
        )
        for one in merged.merged_ids(call.core.store, call.connection, environment.id, user_id)
    ]


def _account(call: Call, environment: Environment, user: User) -> UserAccount | None:
    key = read_account_key(call.connection, environment.project_id)
    if key not in user.properties or not user.properties[key].value:
        return None
    account_id = user.properties[key].value
    known = accounts.read_account(call.core.store, environment.id, key, account_id)
    return UserAccount(account_id, properties_answer(known.properties if known else {}))


def properties_answer(properties: Mapping[str, PropertyValue]) -> dict[str, UserProperty]:
    return {key: UserProperty(each.value, from_ms(each.set_ms)) for key, each in properties.items()}


def _answer(user: User) -> UserAnswer:
    return UserAnswer(
        id=user.user_id,
        identity=user.identity or None,
        last_seen_at=from_ms(user.last_seen_ms) if user.last_seen_ms else None,
        properties=properties_answer(user.properties),
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
