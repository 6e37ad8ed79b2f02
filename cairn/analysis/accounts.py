"""Accounts: the companies, teams or households users belong to, and the properties kept of them.

A user belongs to the account that the project's Account ID property names (workspace.account_key).
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, canonical_user
from cairn.analysis.users import PropertyValue
from cairn.query.captured import MOST_SHOWN
from cairn.query.newest import NEWEST_VALUE
from cairn.query.scope import Scope
from cairn.store.store import Row

PAGE = 50  # accounts on a page


class Account(Struct, frozen=True):
    id: str
    users: int  # after merges; 0 while no Account ID property is chosen
    properties: dict[str, PropertyValue] = {}  # the first hundred
    more_properties: int = 0  # left out


class AccountPage(Struct, frozen=True):
    accounts: list[Account]
    next: str | None = None  # the last account's id


def list_accounts(asker: Asker, account_key: str, *, after: str = "") -> AccountPage:
    """Every account that has users or properties, by id."""
    found = asker.ask(_Accounts(account_key, ">", after))
    more = len(found) > PAGE
    accounts = _with_properties(asker, found[:PAGE])
    return AccountPage(accounts, accounts[-1].id if more else None)


def read_account(asker: Asker, account_key: str, account_id: str) -> Account | None:
    """None: nothing is known of it."""
    accounts = asker.ask(_Accounts(account_key, "=", account_id))
    return _with_properties(asker, accounts)[0] if accounts else None


class _Accounts(Struct, frozen=True):
    """Without properties, one more than a page holds."""

    account_key: str
    compared: Literal["=", ">"]  # how the ids compare with the given one
    account_id: str

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT id, sum(users) FROM (
                SELECT account AS id, count() AS users FROM (
                    SELECT {canonical_user(plan, scope)} AS canonical, {NEWEST_VALUE} AS account
                    FROM {scope.user_properties(f"key = {scope.bindings.text(self.account_key)}")}
                    GROUP BY canonical)
                WHERE account != '' GROUP BY account
                UNION ALL
                SELECT DISTINCT account_id AS id, toUInt64(0) AS users FROM {scope.account_properties()})
            WHERE id {self.compared} {scope.bindings.text(self.account_id)}
            GROUP BY id ORDER BY id LIMIT {PAGE + 1}
        """

    def answer(self, rows: list[Row]) -> list[Account]:
        return [Account(str(account_id), int(users)) for account_id, users in rows]


class _Properties(Struct, frozen=True):
    """Of some accounts. Rows: account, key, value, when it was set, how many keys the account has."""

    account_ids: tuple[str, ...]

    def plan(self) -> Plan:
        return Plan()

    def select(self, _plan: Plan, scope: Scope) -> str:
        rows = scope.account_properties(scope.bindings.contains("account_id", self.account_ids, "String"))
        return f"""
            SELECT account_id, key, value, set_ms, count() OVER (PARTITION BY account_id) AS keys FROM (
                SELECT account_id, key, argMax(value, version) AS value,
                       toUnixTimestamp64Milli(argMax(time, version)) AS set_ms
                FROM {rows}
                GROUP BY account_id, key)
            ORDER BY account_id, key LIMIT {MOST_SHOWN} BY account_id
        """

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def _with_properties(asker: Asker, accounts: Sequence[Account]) -> list[Account]:
    if not accounts:
        return []
    properties: dict[str, dict[str, PropertyValue]] = {}
    more: dict[str, int] = {}
    for account_id, key, value, set_ms, keys in asker.ask(
        _Properties(tuple(account.id for account in accounts))
    ):
        more[account_id] = max(0, int(keys) - MOST_SHOWN)
        properties.setdefault(account_id, {})[key] = PropertyValue(value, int(set_ms))
    return [
        Account(account.id, account.users, properties.get(account.id, {}), more.get(account.id, 0))
        for account in accounts
    ]
