"""Who uses the product: search and list users, and what is known of each. Always after merges.

Raw ids behind a canonical user come from the metadata database (indexed), behaviour from the event store.
Segments a user is in are the segments' business; un-merging is identity's.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.user_questions import SEARCHED_KEYS, Did, Doers, LastSeen, Named, Properties
from cairn.calendar import last_days
from cairn.clock import to_ms
from cairn.conditions.tree import EventMatch
from cairn.identity import merges
from cairn.ids import MAX_USER_ID, identified_user_id
from cairn.query.captured import MOST_SHOWN
from cairn.query.cursor import Cursor
from cairn.query.newest import newest_of
from cairn.query.time_range import MILLISECOND
from cairn.query.user_rows import did_anything
from cairn.store.schema import FIRST_SEEN_KEY, IDENTITY_KEY, INITIAL

PAGE = 50  # users or events on a page
# How far "the users seen last" looks back: mostly the first fills a page, so history is rarely read.
LOOK_BACK = (
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=30),
    timedelta(days=36_500),
)
COUNTED_DAYS = 30  # over which a user's events are counted; today is the last of them
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


def list_users(
    asker: Asker,
    connection: sa.Connection,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after: Cursor | None = None,
    limit: int = PAGE,
) -> UserPage:
    """Users by when they did something last, newest first; then those of whom only properties are known."""
    seen: list[tuple[int, int]] = []
    newest = after.time_ms if after and after.time_ms else to_ms(now)
    for span in LOOK_BACK:
        since_ms, is_last = newest - span // MILLISECOND, span == LOOK_BACK[-1]
        seen = asker.ask(LastSeen(since_ms, after, limit + 1, is_last))
        if len(seen) > limit:
            break
    counts = _counts(asker, connection, [user_id for user_id, _ in seen[:limit]], now, zone)
    plain = [User(user_id, "", last_ms, counts.get(user_id, (0, 0))[1]) for user_id, last_ms in seen[:limit]]
    return _page(_with_properties(asker, connection, plain), has_more=len(seen) > limit)


def list_doers(
    asker: Asker,
    connection: sa.Connection,
    match: EventMatch,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after: Cursor | None = None,
) -> UserPage:
    """Who did one event in the last 30 days, who did it last first. Times and counts are those of the event."""
    doers = asker.ask(Doers(match, last_days(now, zone, COUNTED_DAYS), after, PAGE + 1))
    plain = [User(user_id, "", seen_ms, count) for user_id, seen_ms, count in doers[:PAGE]]
    return _page(_with_properties(asker, connection, plain), has_more=len(doers) > PAGE)


def _page(users: list[User], *, has_more: bool) -> UserPage:
    return UserPage(users, Cursor(users[-1].last_seen_ms, users[-1].user_id) if has_more else None)


def search_users(
    asker: Asker,
    connection: sa.Connection,
    text: str,
    *,
    now: datetime,
    zone: tzinfo = UTC,
    after_id: int = 0,
    limit: int = PAGE,
) -> UserPage:
    """Users whose identity, e-mail or name contains the text (any case), or whose id it is, by user id."""
    trimmed = text.strip()
    candidates = asker.ask(Named(trimmed, SEARCHED_KEYS, limit + 1, after_id))
    if after_id == 0:
        candidates = sorted({*candidates, *_by_id(asker, connection, trimmed)})
    users = described(asker, connection, candidates[:limit], now=now, zone=zone)
    return UserPage(users, Cursor(0, candidates[limit - 1]) if len(candidates) > limit else None)


def _by_id(asker: Asker, connection: sa.Connection, text: str) -> list[int]:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= len(str(MAX_USER_ID))):
        return []
    user_id = canonical_of(connection, asker.environment_id, int(text))
    return [user_id] if _did_anything(asker, connection, user_id) else []


def _did_anything(asker: Asker, connection: sa.Connection, user_id: int) -> bool:
    here = asker.environment_id
    return did_anything(asker.store, here, raw_ids(connection, here, user_id))


def described(
    asker: Asker,
    connection: sa.Connection,
    user_ids: Sequence[int],
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> list[User]:
    """These canonical users with properties, last seen and events of the last 30 days, in the given order."""
    counts = _counts(asker, connection, user_ids, now, zone)
    plain = [User(user_id, "", *counts.get(user_id, (0, 0))) for user_id in user_ids]
    return _with_properties(asker, connection, plain)


def _counts(
    asker: Asker, connection: sa.Connection, user_ids: Sequence[int], now: datetime, zone: tzinfo
) -> dict[int, tuple[int, int]]:
    """Canonical user -> when it last did something, and how much in the last 30 days."""
    owners = _owners(connection, asker.environment_id, user_ids)
    counts = _did(asker, owners, last_days(now, zone, COUNTED_DAYS).since_ms)
    unseen = {raw: owner for raw, owner in owners.items() if not counts.get(owner, (0, 0))[0]}
    if unseen:
        counts |= {owner: (last, 0) for owner, (last, _) in _did(asker, unseen, 0).items()}
    return counts


def _did(asker: Asker, owners: dict[int, int], since_ms: int) -> dict[int, tuple[int, int]]:
    """Canonical user -> when it last did something since then, and how many things."""
    done: dict[int, tuple[int, int]] = {}
    for raw, last, count in asker.ask(Did(tuple(owners)[:MAX_RAW_IDS], since_ms)):
        before = done.get(owners[raw], (0, 0))
        done[owners[raw]] = (max(before[0], last), before[1] + count)
    return done


def _with_properties(asker: Asker, connection: sa.Connection, users: Sequence[User]) -> list[User]:
    properties, more = properties_of(asker, connection, [user.user_id for user in users])
    return [
        User(
            user.user_id,
            _identity(properties.get(user.user_id, {})),
            user.last_seen_ms,
            user.events,
            properties.get(user.user_id, {}),
            more.get(user.user_id, 0),
        )
        for user in users
    ]


def _identity(properties: dict[str, PropertyValue]) -> str:
    return properties[IDENTITY_KEY].value if IDENTITY_KEY in properties else ""


def properties_of(
    asker: Asker, connection: sa.Connection, user_ids: Iterable[int]
) -> tuple[dict[int, dict[str, PropertyValue]], dict[int, int]]:
    """Canonical user -> its properties, for each key the newest value among all raw ids; and how many were left out.

    A user has as many as anybody sent who knows the app id, so each gets its first hundred.
    """
    owners = _owners(connection, asker.environment_id, user_ids)
    if not owners:
        return {}, {}
    rows = asker.ask(Properties(tuple(owners)[:MAX_RAW_IDS]))
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
    asker: Asker, connection: sa.Connection, user_id: int, *, now: datetime, zone: tzinfo = UTC
) -> User | None:
    """The canonical user behind a raw or canonical id; None when nothing is known of it."""
    canonical = canonical_of(connection, asker.environment_id, user_id)
    user = described(asker, connection, [canonical], now=now, zone=zone)[0]
    is_known = user.properties or user.last_seen_ms or _did_anything(asker, connection, canonical)
    return user if is_known else None


def user_by_identity(
    asker: Asker, connection: sa.Connection, identity: str, *, now: datetime, zone: tzinfo = UTC
) -> User | None:
    user_id = identified_user_id(asker.environment_id, identity)
    return one_user(asker, connection, user_id, now=now, zone=zone)


def raw_ids(connection: sa.Connection, environment_id: int, user_id: int) -> list[int]:
    """Every raw id merged into a canonical user, itself among them."""
    return sorted(_owners(connection, environment_id, [user_id]))


def canonical_of(connection: sa.Connection, environment_id: int, user_id: int) -> int:
    return merges.canonical(connection, environment_id, [user_id]).get(user_id, user_id)


def property_of(asker: Asker, connection: sa.Connection, user_id: int, key: str) -> str:
    """One property of a canonical user; empty when it has none of this name."""
    here = asker.environment_id
    return newest_of(asker.store, here, key, raw_ids(connection, here, user_id))


def _owners(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> dict[int, int]:
    """Raw id -> canonical id, for every raw id of these canonical users."""
    known = merges.raw_ids(connection, environment_id, user_ids)
    return {raw: canonical for canonical, raws in known.items() for raw in raws}
