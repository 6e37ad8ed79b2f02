"""Integrations → Directory: what segments can be synced to, with the state of each and what to do next."""

from msgspec import Struct
from starlette.responses import Response

from cairn.app import directory, syncs
from cairn.app.directory import Connected
from cairn.sync.partner_apps import BUILTIN_NAME
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


class Listing(Struct, frozen=True):
    """An entry of the catalogue that is not connected by a person's hand."""

    name: str
    kind: str
    text: str


COHORT_SYNC = Listing(
    BUILTIN_NAME,
    "built in",
    "Inside this Cairn nothing is needed: every segment is a list for flags already. Another Cairn, or a program that "
    "speaks Wingify's side, is connected from its side and appears here.",
)


def directory_page(visit: Visit) -> Response:
    known, text = directory.read_directory(visit.call, visit.here), visit.ask("q")
    wanted = text.lower()
    connected = [each for each in known.connected if wanted in _said(each)]
    apps = [app for app in known.apps if wanted in f"{app.name} {app.webhook_url} partner app".lower()]
    builtin = wanted in f"{COHORT_SYNC.name} {COHORT_SYNC.text}".lower()
    return visit.page(
        "directory.html", text=text, connected=connected, apps=apps, builtin=COHORT_SYNC if builtin else None,
        total=len(known.connected) + len(known.apps) + 1, found=len(connected) + len(apps) + builtin,
        may_change=visit.may(Verb.CHANGE_INTEGRATIONS),
    )  # fmt: skip


def _said(connected: Connected) -> str:
    target = connected.target
    by = connected.grant.granted_by if connected.grant else ""
    return f"{target.name} {target.kind} {target.webhook_url} {by}".lower()


def switch(visit: Visit) -> Response:
    is_enabled = visit.form("on") == "1"
    switched = syncs.switch_target(visit.call, visit.here, visit.number("target_id"), is_enabled=is_enabled)
    done = "is on again." if is_enabled else "is off. What is synced to it waits."
    return visit.go(visit.url("/directory"), f"{switched.value.name} {done}")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/directory", directory_page),
    post("/env/{environment}/directory/{target_id}/switch", switch, Verb.CHANGE_INTEGRATIONS),
)
