"""Which different names an environment, a user or an account has: of events, and of properties."""

from cairn.query.behaviour import CUSTOM
from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY, INITIAL
from cairn.store.store import Store

# What Cairn itself sets of a user, as SQL.
_OWN_KEYS = ", ".join(f"'{key}'" for key in (IDENTITY_KEY, *INITIAL))


def event_names(store: Store, environment_id: int, most: int) -> list[str]:
    """Of custom events."""
    scope = Scope(environment_id)
    return _distinct(store, scope, "name", scope.events(CUSTOM), most)


def event_properties(store: Store, environment_id: int, most: int) -> list[str]:
    scope = Scope(environment_id)
    return _distinct(store, scope, "arrayJoin(mapKeys(properties))", scope.events(), most)


def user_properties(store: Store, environment_id: int, most: int) -> list[str]:
    scope = Scope(environment_id)
    return _distinct(store, scope, "key", scope.user_properties(), most)


def account_properties(store: Store, environment_id: int, most: int) -> list[str]:
    scope = Scope(environment_id)
    return _distinct(store, scope, "key", scope.account_properties(), most)


def properties_of_user(store: Store, environment_id: int, user_id: int, most: int) -> list[str]:
    """Of one raw user; without those that Cairn itself sets."""
    scope = Scope(environment_id)
    rows = scope.user_properties(
        f"user_id = {scope.bindings.bind(user_id, 'UInt64')}", f"key NOT IN ({_OWN_KEYS})"
    )
    return _distinct(store, scope, "key", rows, most)


def properties_of_account(store: Store, environment_id: int, account_id: str, most: int) -> list[str]:
    scope = Scope(environment_id)
    rows = scope.account_properties(f"account_id = {scope.bindings.text(account_id)}")
    return _distinct(store, scope, "key", rows, most)


def _distinct(store: Store, scope: Scope, column: str, rows: str, most: int) -> list[str]:
    sql = f"SELECT DISTINCT toString({column}) FROM {rows} LIMIT {{most:UInt32}}"
    return [str(row[0]) for row in store.query(scope.statement(sql, most=most))]
