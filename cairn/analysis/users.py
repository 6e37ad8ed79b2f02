"""Who uses the product: search and list users, one user's properties and timeline. Always after merges.

Raw ids behind a canonical user come from the metadata database (indexed), behaviour from the event store.
Segments a user is in are the segments' business; un-merging is identity's.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import sqlalchemy as sa
from msgspec import Struct

from cairn.calendar import last_days
from cairn.clock import to_ms
from cairn.conditions.clause import event_clause
from cairn.conditions.tree import EventMatch
from cairn.event import Element
from cairn.identity import merges
from cairn.ids import MAX_USER_ID, identified_user_id
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.captured import (
    FACTS_MAP,
    MORE_PROPERTIES,
    MOST_SHOWN,
    PROPERTIES_MAP,
    with_element,
)
from cairn.query.cursor import Cursor, older, older_events
from cairn.query.elements import read_elements
from cairn.query.newest import newest_of
from cairn.query.scope import Scope
from cairn.query.time_range import TimeRange, of_days
from cairn.query.user_rows import did_anything
from cairn.store.schema import FIRST_SEEN_KEY, IDENTITY_KEY, INITIAL
from cairn.store.store import Store

PAGE = 50  # users or events on a page
# How far "the users seen last" looks back: mostly the first fills a page, so history is rarely read.
LOOK_BACK = (
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=30),
    timedelta(days=36_500),
)
COUNTED_DAYS = 30  # that a user's events are counted over, wherever they stand; today is the last of them
SEARCHED_KEYS = (IDENTITY_KEY, "email", "_email", "name")  # user properties that a search looks into
MAX_RAW_IDS = 10_000  # ids per question; Heap's rules keep a user far below


class PropertyValue(Struct, frozen=True):
    value: str
    set_ms: int  # when


class User(Struct, frozen=True):
    """One canonical user. `last_seen_ms` 0: did nothing yet.

    `events` are those of the last 30 days, or where one event was asked for, that event's.
    """

    user_id: int
    identity: str = ""  # empty: anonymous
    last_seen_ms: int = 0
    events: int = 0
    properties: dict[str, PropertyValue] = {}  # the first hundred, those that say who it is before the others
    more_properties: int = 0  # left out

    @property
    def email(self) -> str:
        return next((self.properties[key].value for key in ("email", "_email") if key in self.properties), "")


class UserPage(Struct, frozen=True):
    users: list[User]
    next: Cursor | None = None


class TimelineEvent(Struct, frozen=True):
    event_id: int
    time_ms: int
    received_ms: int
    kind: str
    name: str
    source: str
    library: str
    raw_user_id: int  # which of the merged ids did it
    session_id: int
    properties: dict[str, str]
    facts: dict[str, str]
    more_properties: int  # left out of `properties`
    element: Element | None


class Timeline(Struct, frozen=True):
    events: list[TimelineEvent]
    next: Cursor | None = None


def list_users(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after: Cursor | None = None,
    limit: int = PAGE,
) -> UserPage:
    """Users by when they did something last, newest first; then those of whom only properties are known."""
    rows: list[tuple[int, int]] = []
    newest = after.time_ms if after and after.time_ms else to_ms(now)
    for span in LOOK_BACK:
        since_ms = newest - span // timedelta(milliseconds=1)
        rows = _seen(
            store, environment_id, since_ms=since_ms, after=after, limit=limit, is_last=span == LOOK_BACK[-1]
        )
        if len(rows) > limit:
            break
    counts = _counts(store, connection, environment_id, [user_id for user_id, _ in rows[:limit]], now, zone)
    plain = [User(user_id, "", seen, counts.get(user_id, (0, 0))[1]) for user_id, seen in rows[:limit]]
    users = _with_properties(store, connection, environment_id, plain)
    more = len(rows) > limit
    return UserPage(users, Cursor(users[-1].last_seen_ms, users[-1].user_id) if more else None)


def _seen(
    store: Store, environment_id: int, *, since_ms: int, after: Cursor | None, limit: int, is_last: bool
) -> list[tuple[int, int]]:
    """(canonical user, last seen), one more than a page holds. Only the last look shows the never seen."""
    scope = Scope(environment_id)
    user = scope.canonical()
    never_seen = f"UNION ALL SELECT DISTINCT {user}, toInt64(0) FROM {scope.user_properties()}"
    sql = f"""
        SELECT canonical, max(last) AS seen FROM (
            SELECT {user} AS canonical, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})) AS last
            FROM {scope.events(TimeRange(since_ms).clause(scope.bindings))}
            GROUP BY canonical
            {never_seen if is_last else ""})
        GROUP BY canonical
        HAVING seen >= {0 if is_last else 1} AND {older("seen", "canonical", after, scope.bindings)}
        ORDER BY seen DESC, canonical DESC LIMIT {limit + 1}
    """
    rows = store.query(scope.statement(sql))
    return [(int(user), int(seen)) for user, seen in rows]


def list_doers(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    match: EventMatch,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after: Cursor | None = None,
) -> UserPage:
    """Who did one event in the last 30 days, who did it last first. Times and counts are those of the event."""
    scope = Scope(environment_id)
    within = of_days(last_days(now, zone, COUNTED_DAYS)).clause(scope.bindings)
    sql = f"""
        SELECT {scope.canonical()} AS canonical, toUnixTimestamp64Milli(max(time)) AS seen, count()
        FROM {scope.events(within, event_clause(match, scope.bindings))}
        GROUP BY canonical HAVING {older("seen", "canonical", after, scope.bindings)}
        ORDER BY seen DESC, canonical DESC LIMIT {PAGE + 1}
    """
    rows = store.query(scope.statement(sql))
    found = [User(int(user), "", int(seen), int(count)) for user, seen, count in rows]
    users = _with_properties(store, connection, environment_id, found[:PAGE])
    more = len(found) > PAGE
    return UserPage(users, Cursor(users[-1].last_seen_ms, users[-1].user_id) if more else None)


def search_users(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    text: str,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after_id: int = 0,
    limit: int = PAGE,
) -> UserPage:
    """Users whose identity, e-mail or name contains the text (any case), or whose id it is, by user id."""
    wanted = text.strip()
    scope = Scope(environment_id)
    naming = scope.user_properties(
        "key IN {keys:Array(String)}", "positionCaseInsensitiveUTF8(value, {text:String}) > 0"
    )
    sql = f"""
        SELECT {scope.canonical()} AS canonical FROM {naming}
        GROUP BY canonical HAVING canonical > {{after:UInt64}}
        ORDER BY canonical LIMIT {{limit:UInt32}}
    """
    rows = store.query(
        scope.statement(sql, keys=list(SEARCHED_KEYS), text=wanted, after=after_id, limit=limit + 1)
    )
    found = [int(row[0]) for row in rows]
    if after_id == 0:
        found = sorted({*found, *_by_id(store, connection, environment_id, wanted)})
    users = described(store, connection, environment_id, found[:limit], now=now, zone=zone)
    return UserPage(users, Cursor(0, found[limit - 1]) if len(found) > limit else None)


def _by_id(store: Store, connection: sa.Connection, environment_id: int, text: str) -> list[int]:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= len(str(MAX_USER_ID))):
        return []
    user_id = canonical_of(connection, environment_id, int(text))
    return (
        [user_id] if did_anything(store, environment_id, raw_ids(connection, environment_id, user_id)) else []
    )


def described(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    user_ids: Sequence[int],
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> list[User]:
    """These canonical users with properties, last seen and events of the last 30 days, in the given order."""
    counts = _counts(store, connection, environment_id, user_ids, now, zone)
    plain = [User(user_id, "", *counts.get(user_id, (0, 0))) for user_id in user_ids]
    return _with_properties(store, connection, environment_id, plain)


def _counts(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    user_ids: Sequence[int],
    now: datetime,
    zone: tzinfo,
) -> dict[int, tuple[int, int]]:
    """Canonical user -> when it last did something, and how much in the last 30 days."""
    owners = _owners(connection, environment_id, user_ids)
    since_ms = last_days(now, zone, COUNTED_DAYS).since_ms
    counts = _did(store, environment_id, owners, since_ms)
    unseen = {raw: owner for raw, owner in owners.items() if not counts.get(owner, (0, 0))[0]}
    if unseen:
        counts |= {owner: (last, 0) for owner, (last, _) in _did(store, environment_id, unseen, 0).items()}
    return counts


def _did(
    store: Store, environment_id: int, owners: dict[int, int], since_ms: int
) -> dict[int, tuple[int, int]]:
    """Canonical user -> when it last did something since then, and how many things."""
    scope = Scope(environment_id)
    events = scope.events("user_id IN {users:Array(UInt64)}", TimeRange(since_ms).clause(scope.bindings))
    sql = f"""
        SELECT user_id, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})), countIf({BEHAVIOUR})
        FROM {events} GROUP BY user_id
    """
    rows = store.query(scope.statement(sql, users=list(owners)[:MAX_RAW_IDS]))
    done: dict[int, tuple[int, int]] = {}
    for raw, last, count in rows:
        before = done.get(owners[raw], (0, 0))
        done[owners[raw]] = (max(before[0], int(last)), before[1] + int(count))
    return done


def _with_properties(
    store: Store, connection: sa.Connection, environment_id: int, users: Sequence[User]
) -> list[User]:
    known, more = properties_of(store, connection, environment_id, [user.user_id for user in users])
    return [
        User(
            user.user_id,
            _identity(known.get(user.user_id, {})),
            user.last_seen_ms,
            user.events,
            known.get(user.user_id, {}),
            more.get(user.user_id, 0),
        )
        for user in users
    ]


def _identity(properties: dict[str, PropertyValue]) -> str:
    return properties[IDENTITY_KEY].value if IDENTITY_KEY in properties else ""


def properties_of(
    store: Store, connection: sa.Connection, environment_id: int, user_ids: Iterable[int]
) -> tuple[dict[int, dict[str, PropertyValue]], dict[int, int]]:
    """Canonical user -> its properties, for each key the newest value among all raw ids; and how many were left out.

    A user has as many as anybody sent who knows the app id, so each gets its first hundred.
    """
    owners = _owners(connection, environment_id, user_ids)
    if not owners:
        return {}, {}
    scope = Scope(environment_id)
    sql = f"""
        SELECT canonical, key, value, set_ms, newest, count() OVER (PARTITION BY canonical) AS keys FROM (
            SELECT {scope.canonical()} AS canonical, key, argMax(value, version) AS value,
                   toUnixTimestamp64Milli(argMax(time, version)) AS set_ms, max(version) AS newest
            FROM {scope.user_properties("user_id IN {users:Array(UInt64)}")}
            GROUP BY canonical, key)
        ORDER BY canonical, has({{first:Array(String)}}, key) DESC, key LIMIT {MOST_SHOWN} BY canonical
    """
    rows = store.query(
        scope.statement(sql, users=list(owners)[:MAX_RAW_IDS], first=[*SEARCHED_KEYS, *INITIAL])
    )
    properties: dict[int, dict[str, PropertyValue]] = {}
    first = {int(row[0]): int(row[4]) for row in rows if row[1] == FIRST_SEEN_KEY}
    more: dict[int, int] = {}
    for user_id, key, value, set_ms, version, keys in rows:
        if keys > MOST_SHOWN:
            more[int(user_id)] = int(keys) - MOST_SHOWN
        if key in INITIAL and (not value or version < first.get(int(user_id), 0)):
            continue  # not of the first session
        properties.setdefault(int(user_id), {})[key] = PropertyValue(value, int(set_ms))
    return properties, more


def one_user(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    user_id: int,
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> User | None:
    """The canonical user behind a raw or canonical id; None when nothing is known of it."""
    canonical = canonical_of(connection, environment_id, user_id)
    user = described(store, connection, environment_id, [canonical], now=now, zone=zone)[0]
    known = user.properties or user.last_seen_ms
    if known or did_anything(store, environment_id, raw_ids(connection, environment_id, canonical)):
        return user
    return None


def user_by_identity(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    identity: str,
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> User | None:
    user_id = identified_user_id(environment_id, identity)
    return one_user(store, connection, environment_id, user_id, now=now, zone=zone)


def timeline(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    user_id: int,
    *,
    after: Cursor | None = None,
    limit: int = PAGE,
) -> Timeline:
    """What a canonical user did, newest first, over all its raw ids."""
    scope = Scope(environment_id)
    sql = f"""
        SELECT event_id, toUnixTimestamp64Milli(time) AS at, toUnixTimestamp64Milli(received_at), kind, name,
               source, library, user_id, session_id, {PROPERTIES_MAP} AS shown, {FACTS_MAP},
               {MORE_PROPERTIES}, element
        FROM {scope.events("user_id IN {users:Array(UInt64)}", older_events(after, scope))}
        ORDER BY at DESC, log_position DESC, event_id DESC LIMIT {limit + 1}
    """
    rows = store.query(scope.statement(sql, users=raw_ids(connection, environment_id, user_id)))
    elements = read_elements(store, environment_id, (row[-1] for row in rows))
    events = [TimelineEvent(*with_element(row, elements)) for row in rows]
    last = events[limit - 1] if len(events) > limit else None
    return Timeline(events[:limit], Cursor(last.time_ms, last.event_id) if last else None)


def raw_ids(connection: sa.Connection, environment_id: int, user_id: int) -> list[int]:
    """Every raw id merged into a canonical user, itself among them."""
    return sorted(_owners(connection, environment_id, [user_id]))


def canonical_of(connection: sa.Connection, environment_id: int, user_id: int) -> int:
    return merges.canonical(connection, environment_id, [user_id]).get(user_id, user_id)


def property_of(store: Store, connection: sa.Connection, environment_id: int, user_id: int, key: str) -> str:
    """One property of a canonical user; empty when it has none of this name."""
    return newest_of(store, environment_id, key, raw_ids(connection, environment_id, user_id))


def _owners(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> dict[int, int]:
    """Raw id -> canonical id, for every raw id of these canonical users."""
    known = merges.raw_ids(connection, environment_id, user_ids)
    return {raw: canonical for canonical, raws in known.items() for raw in raws}
