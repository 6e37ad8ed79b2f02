"""Every page of a served Cairn, by the table of addresses: a new page is in the list without being named here."""

import re
import time
from pathlib import Path

import sqlalchemy as sa
from playwright.sync_api import Page as Tab

from cairn.clock import utc_now
from cairn.db.tables import environments, workspaces
from cairn.web.app import PAGES
from cairn.web.visit import Page
from cairn.workspace.sealed import open_seal
from tests.databases import open_test_metadata
from tests.routing.delivered import delivered_connection
from tests.served import Served
from tests.sync.heap import synced_audience

PARAMETER = re.compile(r"\{(\w+)\}")
LOADED_WITHIN_S = 60
# Addresses that answer with something else than a page of their own.
NO_PAGES = {
    "/": "leads on",
    "/switch": "leads on",
    "/env/{environment}/first": "the card that Home of a new workspace opens with",
    "/env/{environment}/live/rows": "rows for the page of Live",
    "/env/{environment}/users/{user_id}/export": "a file",
    "/env/{environment}/lists/{list_id}/download": "a file",
    "/integrations/heap/callback": "where Heap's page leads back to, with an answer that counts once",
}


def addresses() -> list[Page]:
    return [page for page in PAGES if page.method == "GET" and page.path not in NO_PAGES]


def url_of(path: str, values: dict[str, str]) -> str:
    """The path with `values` for the names in it. Raises KeyError for a name that has no value."""
    return PARAMETER.sub(lambda match: values[match[1]], path)


def sign_in(tab: Tab, served: Served) -> None:
    tab.goto(f"{served.url}/sign-in")
    tab.get_by_label("E-mail").fill(served.demo["email"])
    tab.get_by_label("Password").fill(served.demo["password"])
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url("**/env/production")


def linked(tab: Tab, url: str, pattern: str) -> str:
    """What `pattern` names in the first link of a page that fits. The demo's events may still be arriving."""
    deadline = time.monotonic() + LOADED_WITHIN_S
    while time.monotonic() < deadline:
        tab.goto(url)
        addresses_there = tab.locator("a[href]").evaluate_all("(all) => all.map((each) => each.pathname)")
        if match := next(filter(None, (re.search(pattern, link) for link in addresses_there)), None):
            return match[1]
    raise AssertionError(f"no link on {url} fits {pattern}")


def registered(tab: Tab, url: str) -> str:
    """The id of a partner app, which the demo has none of."""
    tab.goto(url)
    for label, value in (
        ("Name", "Mailer"),
        ("Redirect addresses", "https://mailer.example/heap/callback"),
        ("Webhook address", "https://hooks.mailer.example/heap"),
    ):
        tab.get_by_label(label, exact=True).fill(value)
    tab.get_by_role("button", name="Register").click()
    tab.wait_for_url(re.compile(r"/partner-apps/\d+"))
    return tab.url.partition("?")[0].rpartition("/")[2]


def made_list(tab: Tab, url: str) -> str:
    """The id of a list of the team's own, which the demo has none of."""
    tab.goto(url)
    tab.get_by_label("Name", exact=True).fill("Beta testers")
    tab.get_by_role("button", name="Make the list").click()
    tab.wait_for_url(re.compile(r"/lists/l\w+"))
    return tab.url.partition("?")[0].rpartition("/")[2]


def connected(data_dir: Path) -> dict[str, str]:
    """A source with a connection that has delivered and given up messages."""
    now = utc_now()
    with open_test_metadata(data_dir).begin() as connection:
        here = connection.execute(
            sa.select(environments.c.id).where(environments.c.key == "production")
        ).scalar_one()
        workspace_id = connection.execute(sa.select(workspaces.c.id)).scalar_one()
        made = delivered_connection(connection, open_seal(data_dir), workspace_id, here, now)
    return {name: str(getattr(made, name)) for name in made.__struct_fields__}


def values_of(tab: Tab, served: Served) -> dict[str, str]:
    """A value for every name in a path, as the demo's own pages link them."""
    here = f"{served.url}/env/production"
    sought = {
        "user_id": (f"{here}/users?q=ada@shop.test", r"/users/(\d+)$"),
        "event_id": (f"{here}/events", r"/events/(\d+)$"),
        "segment_id": (f"{here}/segments", r"/segments/(\d+)$"),
        "key": (f"{here}/flags", r"/flags/(?!new$)(\w+)$"),
        "rule_id": (f"{here}/flags/{served.demo['flag']}", r"/rules/(\d+)/edit$"),
    }
    return {
        "environment": "production",
        "kind": "files",
        "list_id": made_list(tab, f"{here}/lists"),
        "app_id": registered(tab, f"{here}/partner-apps"),
        "audience_id": str(synced_audience(served.data_dir)),
        **connected(served.data_dir),
        "slug": "webhook",
        **{name: linked(tab, url, pattern) for name, (url, pattern) in sought.items()},
    }
