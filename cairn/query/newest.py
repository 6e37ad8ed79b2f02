"""The newest value of user properties: of raw users, and of canonical ones over all their raw ids."""

from collections.abc import Iterable, Sequence

from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store

# The value with the greatest version of a group of rows of `user_properties`.
NEWEST_VALUE = "argMax(value, version)"


def newest_values(
    store: Store, environment_id: int, key: str, raw_ids: Iterable[int]
) -> dict[int, tuple[int, str]]:
    """Raw user -> (version, value) of one property, for those that have it."""
    ordered = sorted(set(raw_ids))
    if not ordered:
        return {}
    scope = Scope(environment_id)
    rows = scope.user_properties("key = {key:String}", "user_id IN {users:Array(UInt64)}")
    statement = scope.statement(
        f"SELECT user_id, max(version), {NEWEST_VALUE} FROM {rows} GROUP BY user_id", key=key, users=ordered
    )
    return {int(user_id): (int(version), str(value)) for user_id, version, value in store.query(statement)}


def newest_of(store: Store, environment_id: int, key: str, raw_ids: Iterable[int]) -> str:
    """One property of the user whose raw ids these are; empty when it has none of this name."""
    values = newest_values(store, environment_id, key, raw_ids).values()
    return max(values)[1] if values else ""


def identities(store: Store, environment_id: int, user_ids: Iterable[int]) -> dict[int, str]:
    """The identities set on these very ids, merged ones too; anonymous ones are left out."""
    values = newest_values(store, environment_id, IDENTITY_KEY, user_ids)
    return {user_id: identity for user_id, (_, identity) in values.items()}


def naming_values(
    store: Store, environment_id: int, keys: Sequence[str], user_ids: Sequence[int]
) -> list[str]:
    """All values ever set of these properties, of raw users or of those merged into them."""
    scope = Scope(environment_id)
    rows = scope.user_properties(
        "key IN {keys:Array(String)}",
        "value != ''",
        f"user_id IN {{ids:Array(UInt64)}} OR {scope.canonical()} IN {{ids:Array(UInt64)}}",
    )
    statement = scope.statement(f"SELECT DISTINCT value FROM {rows}", keys=list(keys), ids=list(user_ids))
    return [str(row[0]) for row in store.query(statement)]
