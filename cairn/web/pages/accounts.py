"""Accounts: the companies, teams or households users belong to, and the user property that names them."""

from starlette.responses import Response

from cairn.analysis import accounts
from cairn.analysis.pulse import property_keys
from cairn.errors import CairnError
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.account_key import read_account_key, write_account_key
from cairn.workspace.permission import Verb


def accounts_page(visit: Visit, error: CairnError | None = None) -> Response:
    store, after = visit.core.store, visit.ask("after")
    with visit.reading() as connection:
        key = read_account_key(connection, visit.here.project_id)
    found = accounts.list_accounts(store, visit.here.id, key, after=after)
    return visit.page(
        "accounts.html", status=error.status if error else 200, error=error, found=found, key=key, after=after,
        known=property_keys(store, visit.here.id), may_change=visit.may(Verb.DEFINE),
    )  # fmt: skip


def change_key(visit: Visit) -> Response:
    try:
        with visit.core.engine.begin() as connection:
            chosen = write_account_key(connection, visit.here.project_id, visit.form.line("key"), visit.now)
    except CairnError as error:
        return accounts_page(visit, error)
    visit.changed_everywhere()
    said = f"{chosen} names the account of a user." if chosen else "No property names accounts any more."
    return visit.go(visit.url("/accounts"), said)


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/accounts", accounts_page),
    post("/env/{environment}/accounts", change_key, Verb.DEFINE),
)
