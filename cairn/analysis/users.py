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
from cairn.query.bindings import Bindings
from cairn.query.canonical import CANONICAL
from cairn.query.captured import (
    FACTS_MAP,
    MORE_PROPERTIES,
    MOST_SHOWN,
    PROPERTIES_MAP,
    read_elements,
    with_element,
)
from cairn.query.cursor import Cursor, older, position_of
from cairn.query.time_range import of_days
from cairn.store.schema import DATABASE, FIRST_SEEN_KEY, IDENTITY_KEY, INITIAL
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
    never_seen = f"""
        UNION ALL SELECT DISTINCT {CANONICAL}, toInt64(0) FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}}"""
    rows = store.query(
        environment_id,
        f"""
        SELECT canonical, max(last) AS seen FROM (
            SELECT {CANONICAL} AS canonical, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})) AS last
            FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}}
              AND time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
              AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{since:Int64}}, 'UTC'))
            GROUP BY canonical
            {never_seen if is_last else ""})
        GROUP BY canonical
        HAVING seen >= {{least:Int64}} AND (seen, canonical) < ({{after_ms:Int64}}, {{after_id:UInt64}})
        ORDER BY seen DESC, canonical DESC LIMIT {{limit:UInt32}}
        """,
        {
            "since": max(since_ms, 0),
            "least": 0 if is_last else 1,
            "after_ms": after.time_ms if after else 2**62,
            "after_id": after.id if after else 0,
            "limit": limit + 1,
        },
    )
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
    bindings, days = Bindings(), last_days(now, zone, COUNTED_DAYS)
    clause = event_clause(match, bindings)
    span = of_days(days).clause(bindings)
    rows = store.query(
        environment_id,
        f"""
        SELECT {CANONICAL} AS canonical, toUnixTimestamp64Milli(max(time)) AS seen, count()
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND {span} AND {clause}
        GROUP BY canonical HAVING {older("seen", "canonical", after, bindings)}
        ORDER BY seen DESC, canonical DESC LIMIT {PAGE + 1}
        """,
        bindings.values,
    )
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
    rows = store.query(
        environment_id,
        f"""
        SELECT {CANONICAL} AS canonical
        FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}} AND key IN {{keys:Array(String)}}
          AND positionCaseInsensitiveUTF8(value, {{text:String}}) > 0
        GROUP BY canonical HAVING canonical > {{after:UInt64}}
        ORDER BY canonical LIMIT {{limit:UInt32}}
        """,
        {"keys": list(SEARCHED_KEYS), "text": wanted, "after": after_id, "limit": limit + 1},
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
    return [user_id] if _exists(store, connection, environment_id, user_id) else []


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
    rows = store.query(
        environment_id,
        f"""
        SELECT user_id, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})), countIf({BEHAVIOUR})
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND user_id IN {{users:Array(UInt64)}}
          AND toDate(time) >= toDate(fromUnixTimestamp64Milli({{since:Int64}}, 'UTC'))
          AND time >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
        GROUP BY user_id
        """,
        {"users": list(owners)[:MAX_RAW_IDS], "since": since_ms},
    )
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
    rows = store.query(
        environment_id,
        f"""
        SELECT canonical, key, value, set_ms, newest, count() OVER (PARTITION BY canonical) AS keys FROM (
            SELECT {CANONICAL} AS canonical, key, argMax(value, version) AS value,
                   toUnixTimestamp64Milli(argMax(time, version)) AS set_ms, max(version) AS newest
            FROM {DATABASE}.user_properties
            WHERE environment_id = {{environment:UInt32}} AND user_id IN {{users:Array(UInt64)}}
            GROUP BY canonical, key)
        ORDER BY canonical, has({{first:Array(String)}}, key) DESC, key LIMIT {MOST_SHOWN} BY canonical
        """,
        {"users": list(owners)[:MAX_RAW_IDS], "first": [*SEARCHED_KEYS, *INITIAL]},
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


def identities_of(store: Store, environment_id: int, user_ids: Iterable[int]) -> dict[int, str]:
    """Canonical user -> identity, for those that have one."""
    wanted = sorted(set(user_ids))
    if not wanted:
        return {}
    rows = store.query(
        environment_id,
        f"""
        SELECT user_id, argMax(value, version) FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}} AND key = {{key:String}}
          AND user_id IN {{users:Array(UInt64)}}
        GROUP BY user_id
        """,
        {"key": IDENTITY_KEY, "users": wanted},
    )
    return {int(user_id): identity for user_id, identity in rows}


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
    if user.properties or user.last_seen_ms or _exists(store, connection, environment_id, canonical):
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
    rows = store.query(
        environment_id,
        f"""
        SELECT event_id, toUnixTimestamp64Milli(time) AS at, toUnixTimestamp64Milli(received_at), kind, name,
               source, library, user_id, session_id, {PROPERTIES_MAP} AS shown, {FACTS_MAP},
               {MORE_PROPERTIES}, element
        FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND user_id IN {{users:Array(UInt64)}}
          AND (at, log_position, event_id) < ({{after_ms:Int64}}, {position_of("after_id")}, {{after_id:UInt64}})
        ORDER BY at DESC, log_position DESC, event_id DESC LIMIT {{limit:UInt32}}
        """,
        {
            "users": raw_ids(connection, environment_id, user_id),
            "after_ms": after.time_ms if after else 2**62,
            "after_id": after.id if after else 0,
            "limit": limit + 1,
        },
    )
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
    rows = store.query(
        environment_id,
        f"""
        SELECT argMax(value, version) FROM {DATABASE}.user_properties
        WHERE environment_id = {{environment:UInt32}} AND key = {{key:String}} AND user_id IN {{users:Array(UInt64)}}
        """,
        {"key": key, "users": raw_ids(connection, environment_id, user_id)},
    )
    return str(rows[0][0]) if rows else ""


def _owners(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> dict[int, int]:
    """Raw id -> canonical id, for every raw id of these canonical users."""
    known = merges.raw_ids(connection, environment_id, user_ids)
    return {raw: canonical for canonical, raws in known.items() for raw in raws}


def _exists(store: Store, connection: sa.Connection, environment_id: int, user_id: int) -> bool:
    rows = store.query(
        environment_id,
        f"""
        SELECT 1 FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND user_id IN {{users:Array(UInt64)}} LIMIT 1
        """,
        {"users": raw_ids(connection, environment_id, user_id)},
    )
    return bool(rows)
