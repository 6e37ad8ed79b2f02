"""Accounts: the companies, teams or households users belong to, and which user property names them."""

from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis.accounts import Account
from cairn.api.endpoint import After, Endpoint, Next, Versioned
from cairn.api.resources.users import EnvironmentQuery, UserProperty, properties_answer
from cairn.app import accounts
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.workspace.account_key import LONGEST_KEY
from cairn.workspace.permission import Verb

AccountName = Annotated[
    str, Meta(min_length=1, max_length=1000, description="An account's id. Limit: without '/'.")
]


class AccountAnswer(Struct, frozen=True):
    id: str
    users: int  # users whose Account ID property names it, after merges
    properties: dict[str, UserProperty]  # the first hundred
    more_properties: int  # left out


class AccountList(Struct, frozen=True):
    accounts: list[AccountAnswer]
    next: Next = None


class AccountKey(Struct, frozen=True, forbid_unknown_fields=True):
    key: Annotated[
        str,
        Meta(
            max_length=LONGEST_KEY,
            description="The user property whose value is the account's id; empty: none.",
        ),
    ]


class AccountsQuery(EnvironmentQuery, frozen=True):
    after: After = ""


def read_accounts(call: Call, query: AccountsQuery) -> AccountList:
    """List accounts by id. Pages of 50."""
    page = accounts.list_accounts(call, call.environment(query.environment), after=query.after)
    return AccountList([_answer(account) for account in page.accounts], page.next)


def read_account(call: Call, account: AccountName, query: EnvironmentQuery) -> AccountAnswer:
    """Read an account: its properties, and how many users belong to it."""
    return _answer(accounts.get_account(call, call.environment(query.environment), account))


def read_account_property(call: Call, query: EnvironmentQuery) -> Versioned[AccountKey]:
    """Read the Account ID property: which user property names a user's account. It holds for the whole project."""
    return _versioned(accounts.read_account_property(call, call.environment(query.environment)))


def change_account_property(
    call: Call, query: EnvironmentQuery, body: AccountKey, expected: int | None
) -> Versioned[AccountKey]:
    """Choose the Account ID property. Retroactive: every user with that property belongs to its account."""
    here = call.environment(query.environment)
    return _versioned(accounts.choose_account_key(call, here, body.key, expected=expected))


def _versioned(edited: Edited[str]) -> Versioned[AccountKey]:
    return Versioned(AccountKey(edited.value), edited.edition)


def _answer(account: Account) -> AccountAnswer:
    return AccountAnswer(
        account.id, account.users, properties_answer(account.properties), account.more_properties
    )


ENDPOINTS = (
    Endpoint("GET", "/accounts", Verb.SEE, read_accounts),
    Endpoint("GET", "/accounts/{account}", Verb.SEE, read_account),
    Endpoint("GET", "/account_property", Verb.SEE, read_account_property),
    Endpoint(
        "PUT",
        "/account_property",
        Verb.DEFINE,
        change_account_property,
        example={"key": "company_id"},
    ),
)
