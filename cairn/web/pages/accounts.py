"""Accounts: the companies, teams or households users belong to, and the user property that names them."""

from starlette.responses import Response

from cairn.analysis.suggestions import PropertyKeys
from cairn.app import accounts
from cairn.app.editions import editions_of
from cairn.errors import CairnError
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.edits import StaleVersion
from cairn.workspace.permission import Verb


def accounts_page(visit: Visit, error: CairnError | None = None) -> Response:
    call, after = visit.call, visit.ask("after")
    return visit.page(
        "accounts.html",
        status=error.status if error else 200,
        error=error,
        found=accounts.list_accounts(call, visit.here, after=after),
        key=accounts.account_key(call, visit.here),
        edition=editions_of(call, "account ID property", [visit.here.project_id])[visit.here.project_id],
        after=after,
        known=call.ask(visit.here.id, PropertyKeys()),
        may_change=visit.may(Verb.DEFINE),
    )


def change_key(visit: Visit) -> Response:
    try:
        chosen = accounts.choose_account_key(
            visit.call, visit.here, visit.form.line("key"), expected=visit.seen_edition
        ).value
    except StaleVersion:
        raise
    except CairnError as error:
        return accounts_page(visit, error)
    said = f"{chosen} names the account of a user." if chosen else "No property names accounts any more."
    return visit.go(visit.url("/accounts"), said)


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/accounts", accounts_page),
    post("/env/{environment}/accounts", change_key, Verb.DEFINE),
)
