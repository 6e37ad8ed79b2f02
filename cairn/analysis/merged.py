"""What each merged id brought to its user: events, and the property values that show because of it.

So a merge says what it changed, and an un-merge what it will change back.
"""

from collections import defaultdict

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.users import raw_ids
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.captured import MOST_SHOWN
from cairn.query.newest import NEWEST_VALUE
from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY, INITIAL
from cairn.store.store import Store

MOST_VALUES = 20_000  # of the shown ids, all together


class Brought(Struct, frozen=True):
    """A property whose value came with this id."""

    key: str
    value: str
    without: str | None  # what it would be without this id; None: nothing


class MergedId(Struct, frozen=True):
    user_id: int
    events: int  # behaviour only
    first_ms: int  # 0: none
    last_ms: int
    properties: list[Brought]


def merged_ids(
    store: Store, connection: sa.Connection, environment_id: int, user_id: int
) -> tuple[list[MergedId], int]:
    """The raw ids of a canonical user, its own first, then rising; the first hundred, and how many more there are."""
    known = raw_ids(connection, environment_id, user_id)
    others = [raw for raw in known if raw != user_id]
    ids = [user_id, *others][:MOST_SHOWN]
    did = _did(store, environment_id, ids)
    brought = _brought(store, environment_id, ids)
    shown = [MergedId(raw, *did.get(raw, (0, 0, 0)), brought.get(raw, [])[:MOST_SHOWN]) for raw in ids]
    return shown, len(known) - len(ids)


def _did(store: Store, environment_id: int, ids: list[int]) -> dict[int, tuple[int, int, int]]:
    scope = Scope(environment_id)
    sql = f"""
        SELECT user_id, count(), toUnixTimestamp64Milli(min(time)), toUnixTimestamp64Milli(max(time))
        FROM {scope.events("user_id IN {users:Array(UInt64)}", BEHAVIOUR)} GROUP BY user_id
    """
    rows = store.query(scope.statement(sql, users=ids))
    return {int(raw): (int(count), int(first), int(last)) for raw, count, first, last in rows}


def _brought(store: Store, environment_id: int, ids: list[int]) -> dict[int, list[Brought]]:
    scope = Scope(environment_id)
    rows_of_ids = scope.user_properties("user_id IN {users:Array(UInt64)}", "key != {own:String}")
    sql = f"""
        SELECT key, user_id, {NEWEST_VALUE}, max(version) FROM {rows_of_ids}
        GROUP BY key, user_id ORDER BY key LIMIT {MOST_VALUES}
    """
    rows = store.query(scope.statement(sql, users=ids, own=IDENTITY_KEY))
    by_key: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for key, raw, value, version in rows:
        by_key[str(key)].append((int(version), int(raw), str(value)))
    found: defaultdict[int, list[Brought]] = defaultdict(list)
    for key, values in sorted(by_key.items(), key=lambda one: one[0] in INITIAL):  # those are said last
        values.sort(reverse=True)
        _, raw, value = values[0]
        without = values[1][2] if len(values) > 1 else None
        if value and value != without:
            found[raw].append(Brought(key, value, without or None))
    return found
