"""Accounts: the companies, teams or households users belong to, and the user property that names them."""

from cairn.analysis import accounts
from cairn.analysis.accounts import Account, AccountPage
from cairn.app.call import Call, siblings
from cairn.app.editions import Edited, record
from cairn.errors import NotFound
from cairn.workspace.account_key import read_account_key, write_account_key
from cairn.workspace.edits import check_edition, edition_of
from cairn.workspace.environment import Environment


class AccountNotFound(NotFound):
    """Nothing is known of this account in this environment."""

    code = "account_not_found"


def account_key(call: Call, environment: Environment) -> str:
    """The user property whose value is a user's account; empty: none is chosen. It holds for the whole project."""
    with call.reading() as connection:
        return read_account_key(connection, environment.project_id)


def read_account_property(call: Call, environment: Environment) -> Edited[str]:
    """The same with its edition."""
    with call.reading() as connection:
        key = read_account_key(connection, environment.project_id)
        return Edited(key, edition_of(connection, "account ID property", environment.project_id))


def choose_account_key(
    call: Call, environment: Environment, key: str, *, expected: int | None = None
) -> Edited[str]:
    """Retroactive: every user with that property belongs to its account. For every environment of the project.

    Raises InvalidInput and StaleVersion.
    """
    call.check_whole_workspace()
    project_id = environment.project_id
    with call.writing() as connection:
        check_edition(connection, "account ID property", project_id, expected)
        before = read_account_key(connection, project_id)
        chosen = write_account_key(connection, project_id, key, call.now)
        what = [f"it to {chosen or 'none'}"] if chosen != before else []
        edition = record(call, connection, "account ID property", project_id, what)
        concerned = siblings(connection, call.workspace_id, environment.project_id)
    call.changed(sibling.id for sibling in concerned)
    return Edited(chosen, edition)


def list_accounts(call: Call, environment: Environment, *, after: str = "") -> AccountPage:
    """By id. Pages of 50."""
    key = account_key(call, environment)
    return accounts.list_accounts(call.asker(environment.id), key, after=after)


def get_account(call: Call, environment: Environment, account_id: str) -> Account:
    """Raises AccountNotFound."""
    key = account_key(call, environment)
    account = accounts.read_account(call.asker(environment.id), key, account_id)
    if account is None:
        raise AccountNotFound("nothing is known of this account in this environment", field="account")
    return account
