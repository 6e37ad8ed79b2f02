"""Which ids a segment's members go by at a target: their identities, or the values of a user property."""

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.identity.merges import raw_ids
from cairn.members.sets import Members
from cairn.query.newest import newest_values
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store
from cairn.sync.syncs import EMAIL, IDENTITY, PROPERTY

_USERS_AT_ONCE = 10_000
MOST_CHARACTERS = 1_000  # of an id; a longer value names nobody


def mapped_set(sync_id: int) -> str:
    """Name of the set of the ids under a sync's mapping, where that is not the identity."""
    return f"mapped/{sync_id}"


def keys_of(mapping: str) -> tuple[str, ...]:
    """The user properties whose value is the id; the first that a user has counts."""
    return ("email", "_email") if mapping == EMAIL else (mapping.removeprefix(PROPERTY),)


def fill_mapped(
    engine: sa.Engine,
    store: Store,
    members: Members,
    environment_id: int,
    users_set: str,
    target_set: str,
    keys: Sequence[str],
) -> None:
    """Make `target_set` the ids of the users in `users_set`, as they are now."""
    scratch = f"{target_set}/next"
    members.drop(scratch)
    for users in _users(members, users_set):
        with reading(engine) as connection:
            raws = raw_ids(connection, environment_id, users)
        values = _values(store, environment_id, keys, raws.values())
        members.apply(scratch, add=dict.fromkeys(values, 0), remove=())
    members.adopt(target_set, scratch)


def _users(members: Members, users_set: str) -> Iterator[list[int]]:
    after = ""
    while rows := members.values(users_set, after=after, limit=_USERS_AT_ONCE):
        yield [int(value) for value, _ in rows]
        after = rows[-1][0]


def users_without_id(
    connection: sa.Connection, store: Store, environment_id: int, users: Sequence[int], mapping: str
) -> list[int]:
    """Those of these canonical users whom a target cannot be told of, in the given order."""
    keys = (IDENTITY_KEY,) if mapping == IDENTITY else keys_of(mapping)
    raws = raw_ids(connection, environment_id, users)
    newest = _newest(store, environment_id, keys, raws.values())
    return [user for user in users if not _id_of(raws[user], newest)]


def _values(
    store: Store, environment_id: int, keys: Sequence[str], users: Iterable[list[int]]
) -> Iterator[str]:
    users = list(users)
    newest = _newest(store, environment_id, keys, users)
    return filter(None, (_id_of(raws, newest) for raws in users))


def _newest(
    store: Store, environment_id: int, keys: Sequence[str], users: Iterable[list[int]]
) -> list[dict[int, tuple[int, str]]]:
    every_raw = [raw for raws in users for raw in raws]
    return [newest_values(store, environment_id, key, every_raw) for key in keys]


def _id_of(raws: Sequence[int], newest: Sequence[dict[int, tuple[int, str]]]) -> str:
    """Empty: none, or one that is too long."""
    for of_key in newest:
        value = max((of_key[raw] for raw in raws if raw in of_key), default=(0, ""))[1].strip()
        if value:
            return value if len(value) <= MOST_CHARACTERS else ""
    return ""
