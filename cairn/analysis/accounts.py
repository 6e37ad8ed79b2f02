"""Accounts: the companies, teams or households users belong to, and the properties kept of them.

A user belongs to the account that the project's Account ID property names (workspace.account_key).
"""

from collections.abc import Sequence

from msgspec import Struct

from cairn.analysis.users import PropertyValue
from cairn.query.captured import MOST_SHOWN
from cairn.query.newest import NEWEST_VALUE
from cairn.query.scope import Scope
from cairn.store.store import Store

PAGE = 50  # accounts on a page


class Account(Struct, frozen=True):
    id: str
    users: int  # after merges; 0 while no Account ID property is chosen
    properties: dict[str, PropertyValue] = {}  # the first hundred
    more_properties: int = 0  # left out


class AccountPage(Struct, frozen=True):
    accounts: list[Account]
    next: str | None = None  # the last account's id


def list_accounts(store: Store, environment_id: int, account_key: str, *, after: str = "") -> AccountPage:
    """Every account that has users or properties, by id."""
    found = _counted(store, environment_id, account_key, ">", after)
    more = len(found) > PAGE
    accounts = _with_properties(store, environment_id, found[:PAGE])
    return AccountPage(accounts, accounts[-1].id if more else None)


def read_account(store: Store, environment_id: int, account_key: str, account_id: str) -> Account | None:
    """None: nothing is known of it."""
    found = _counted(store, environment_id, account_key, "=", account_id)
    return _with_properties(store, environment_id, found)[0] if found else None


def _counted(
    store: Store, environment_id: int, account_key: str, compared: str, account_id: str
) -> list[Account]:
    """Without properties, one more than a page holds. `compared`: how the id stands to the one given."""
    scope = Scope(environment_id)
    sql = f"""
        SELECT id, sum(users) FROM (
            SELECT account AS id, count() AS users FROM (
                SELECT {scope.canonical()} AS canonical, {NEWEST_VALUE} AS account
                FROM {scope.user_properties(f"key = {scope.bindings.text(account_key)}")}
                GROUP BY canonical)
            WHERE account != '' GROUP BY account
            UNION ALL
            SELECT DISTINCT account_id AS id, toUInt64(0) AS users FROM {scope.account_properties()})
        WHERE id {compared} {scope.bindings.text(account_id)} GROUP BY id ORDER BY id LIMIT {PAGE + 1}
    """
    rows = store.query(scope.statement(sql))
    return [Account(str(account_id), int(users)) for account_id, users in rows]


def _with_properties(store: Store, environment_id: int, accounts: Sequence[Account]) -> list[Account]:
    if not accounts:
        return []
    scope = Scope(environment_id)
    sql = f"""
        SELECT account_id, key, value, set_ms, count() OVER (PARTITION BY account_id) AS keys FROM (
            SELECT account_id, key, argMax(value, version) AS value,
                   toUnixTimestamp64Milli(argMax(time, version)) AS set_ms
            FROM {scope.account_properties("account_id IN {accounts:Array(String)}")}
            GROUP BY account_id, key)
        ORDER BY account_id, key LIMIT {MOST_SHOWN} BY account_id
    """
    rows = store.query(scope.statement(sql, accounts=[account.id for account in accounts]))
    known: dict[str, dict[str, PropertyValue]] = {}
    more: dict[str, int] = {}
    for account_id, key, value, set_ms, keys in rows:
        more[account_id] = max(0, int(keys) - MOST_SHOWN)
        known.setdefault(account_id, {})[key] = PropertyValue(value, int(set_ms))
    return [Account(one.id, one.users, known.get(one.id, {}), more.get(one.id, 0)) for one in accounts]
