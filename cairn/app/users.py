"""Users of the product: finding one, everything known of one, their timeline, and taking a merge back."""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis import accounts, merged, users
from cairn.analysis import timeline as timelines
from cairn.analysis.accounts import Account
from cairn.analysis.merged import MergedId
from cairn.analysis.timeline import Timeline
from cairn.analysis.users import PAGE, User, UserPage
from cairn.app.call import Call
from cairn.app.defined_events import resolve
from cairn.app.exposures import with_names
from cairn.errors import Conflict, NotFound
from cairn.identity import merges
from cairn.identity.joins import joined_to
from cairn.identity.merges import HistoryItem
from cairn.ids import MAX_USER_ID
from cairn.ingest.loaded import Loaded
from cairn.members.sets import users_set
from cairn.query.captured import MOST_SHOWN
from cairn.query.cursor import Cursor
from cairn.segments.definition import SegmentName, name_segments
from cairn.workspace.account_key import read_account_key
from cairn.workspace.environment import Environment


class UserNotFound(NotFound):
    """Nothing is known of this user in this environment."""

    code = "user_not_found"


class NotMergedHere(Conflict):
    """This id is not merged into this user, so it cannot be taken out."""

    code = "not_merged_here"


class Membership(Struct, frozen=True):
    """A segment the user is in."""

    segment: SegmentName
    since_ms: int


class Details(Struct, frozen=True):
    """Everything known of one user, but for what it did."""

    user: User
    ids: list[MergedId]  # the raw ids whose events are this user's, the user's own first; the first hundred
    more_ids: int  # left out
    merges: list[HistoryItem]  # of those ids, the newest hundred, oldest first
    more_merges: int  # left out
    segments: list[Membership]
    account: Account | None  # None: the Account ID property is empty, or none is chosen


def list_users(
    call: Call, environment: Environment, *, after: Cursor | None = None, limit: int = PAGE
) -> UserPage:
    """Those seen last first."""
    with call.reading() as connection:
        return users.list_users(
            call.asker(environment.id),
            connection,
            now=call.now,
            zone=environment.zone,
            after=after,
            limit=limit,
        )


def search_users(
    call: Call, environment: Environment, text: str, *, after: Cursor | None = None, limit: int = PAGE
) -> UserPage:
    """By text in an identity, e-mail or name, or by id."""
    with call.reading() as connection:
        return users.search_users(
            call.asker(environment.id),
            connection,
            text,
            now=call.now,
            zone=environment.zone,
            after_id=after.id if after else 0,
            limit=limit,
        )


def list_doers(
    call: Call, environment: Environment, event_id: int, *, after: Cursor | None = None
) -> UserPage:
    """Who did a defined event in the last 30 days. Raises NotFound for an event the project does not have."""
    match = resolve(call, environment, event_id)
    with call.reading() as connection:
        return users.list_doers(
            call.asker(environment.id),
            connection,
            match,
            now=call.now,
            zone=environment.zone,
            after=after,
        )


def find_user(call: Call, environment: Environment, name: str) -> User:
    """By id, and then by identity, because an identity may be digits too. Raises UserNotFound."""
    asker, now, zone = call.asker(environment.id), call.now, environment.zone
    user = None
    with call.reading() as connection:
        if name.isascii() and name.isdigit() and 0 < int(name[:20]) <= MAX_USER_ID:
            user = users.one_user(asker, connection, int(name), now=now, zone=zone)
        user = user or users.user_by_identity(asker, connection, name, now=now, zone=zone)
    if user is None:
        raise UserNotFound("nothing is known of this user in this environment", field="user")
    return user


def get_user(call: Call, environment: Environment, user_id: int) -> User:
    """The user a raw or canonical id belongs to. Raises UserNotFound."""
    with call.reading() as connection:
        user = users.one_user(
            call.asker(environment.id), connection, user_id, now=call.now, zone=environment.zone
        )
    if user is None:
        raise UserNotFound(f"nothing is known of a user {user_id} in {environment.name}", field="user")
    return user


def candidates(call: Call, environment: Environment, text: str) -> list[User]:
    """Whom somebody means by an identity or id: the one with exactly it, else those it could be."""
    if not text:
        return []
    asker = call.asker(environment.id)
    with call.reading() as connection:
        exact = users.user_by_identity(asker, connection, text, now=call.now, zone=environment.zone)
        if exact is not None and exact.identity:
            return [exact]
        matching = users.search_users(asker, connection, text, now=call.now, zone=environment.zone)
        return matching.users[:10]


def described(call: Call, environment: Environment, user_ids: Iterable[int]) -> list[User]:
    """These canonical users with what is known of them, in the given order."""
    with call.reading() as connection:
        return users.described(
            call.asker(environment.id), connection, list(user_ids), now=call.now, zone=environment.zone
        )


def user_details(call: Call, environment: Environment, user: User) -> Details:
    with call.reading() as connection:
        ids, more_ids = merged.merged_ids(call.asker(environment.id), connection, user.user_id)
        past = merges.history(connection, environment.id, [raw.user_id for raw in ids])
        return Details(
            user=user,
            ids=ids,
            more_ids=more_ids,
            merges=past[-MOST_SHOWN:],
            more_merges=max(0, len(past) - MOST_SHOWN),
            segments=_memberships(call, connection, environment, user.user_id),
            account=_account(call, connection, environment, user),
        )


def raw_ids(call: Call, environment: Environment, user: User) -> list[int]:
    """Every id whose events are this user's."""
    with call.reading() as connection:
        return users.raw_ids(connection, environment.id, user.user_id)


def _memberships(
    call: Call, connection: sa.Connection, environment: Environment, user_id: int
) -> list[Membership]:
    memberships = []
    for segment in name_segments(connection, call.workspace_id, environment.project_id):
        since = call.core.members.since(users_set(environment.id, segment.id), str(user_id))
        if since is not None:
            memberships.append(Membership(segment, since))
    return memberships


def _account(call: Call, connection: sa.Connection, environment: Environment, user: User) -> Account | None:
    key = read_account_key(connection, environment.project_id)
    account_id = user.properties[key].value if key in user.properties else ""
    if key and not account_id and user.more_properties:
        account_id = users.property_of(call.asker(environment.id), connection, user.user_id, key)
    if not account_id:
        return None
    return accounts.read_account(call.asker(environment.id), key, account_id) or Account(account_id, 0)


def timeline(
    call: Call, environment: Environment, user: User, *, after: Cursor | None = None, limit: int = PAGE
) -> Timeline:
    """What a user did, newest first, over all merged ids."""
    with call.reading() as connection:
        line = timelines.timeline(
            call.asker(environment.id), connection, user.user_id, after=after, limit=limit
        )
    return Timeline(with_names(call, environment.id, line.events), line.next)


def unmerge_user(call: Call, environment: Environment, user: User, raw_id: int, *, cause: str) -> None:
    """Let one id stand for itself again: the map first, then the store, then the segments it concerns.

    Raises NotMergedHere.
    """
    with call.writing() as connection:
        merged_into = users.raw_ids(connection, environment.id, user.user_id)
        change, joined = None, []
        if raw_id != user.user_id and raw_id in merged_into:
            change = merges.unmerge(connection, environment.id, raw_id, cause, call.now)
        if change is not None:
            joined = joined_to(connection, [change])
    if change is None:
        raise NotMergedHere(
            f"user_id: {raw_id} is not merged into this user; it may have been taken back already",
            field="user_id",
        )
    call.core.store.insert_user_map([change, *joined])
    call.core.touched([Loaded(environment.id, merged={raw_id, user.user_id})])
