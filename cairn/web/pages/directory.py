"""Integrations → Directory: what segments can be synced to, with the state of each and what to do next."""

from typing import Literal
from urllib.parse import quote

from msgspec import Struct
from starlette.responses import Response

from cairn.app import directory, syncs
from cairn.app.directory import Connected
from cairn.errors import CairnError, NotFound
from cairn.sync.new_target import NewTarget
from cairn.sync.partner_apps import BUILTIN_NAME
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


class Listing(Struct, frozen=True):
    """An entry of the catalogue. `kind` is in the address of the page that sets it up; empty: there is none."""

    name: str
    kind: Literal["", "webhook", "files", "traits"]
    text: str


COHORT_SYNC = Listing(
    BUILTIN_NAME,
    "",
    "Inside this Cairn nothing is needed: every segment is a list for flags already. Another Cairn, or a program that "
    "speaks Wingify's side, is connected from its side and appears here.",
)

OTHERS = (
    Listing(
        "Webhook",
        "webhook",
        "Changes of a segment are posted to an address of yours, signed as Standard Webhooks has it.",
    ),
    Listing(
        "Files",
        "files",
        "Members and changes are written as CSV or Parquet to S3-compatible storage.",
    ),
    Listing(
        "Segment traits",
        "traits",
        "Membership is set as a trait by identify calls to Segment, or to whatever speaks its API.",
    ),
)


def directory_page(visit: Visit) -> Response:
    known, text = directory.read_directory(visit.call, visit.here), visit.ask("q")
    lowered = text.lower()
    connected = [integration for integration in known.connected if lowered in _said(integration)]
    apps = [app for app in known.apps if lowered in f"{app.name} {app.webhook_url} partner app".lower()]
    builtin = lowered in f"{COHORT_SYNC.name} {COHORT_SYNC.text}".lower()
    others = [entry for entry in OTHERS if lowered in f"{entry.name} {entry.kind} {entry.text}".lower()]
    return visit.page(
        "directory.html",
        text=text,
        connected=connected,
        apps=apps,
        builtin=COHORT_SYNC if builtin else None,
        others=others,
        found=len(connected) + len(apps) + len(others) + builtin,
        secret=visit.once.take(visit.ask("made"), visit.csrf, visit.now),
        may_change=visit.may(Verb.CHANGE_INTEGRATIONS),
    )


def _said(connected: Connected) -> str:
    target = connected.target
    by = connected.grant.granted_by if connected.grant else ""
    return f"{target.name} {target.kind} {target.webhook_url} {by}".lower()


def switch(visit: Visit) -> Response:
    is_enabled = visit.form("on") == "1"
    switched = syncs.switch_target(visit.call, visit.here, visit.number("target_id"), is_enabled=is_enabled)
    done = "is on again." if is_enabled else "is off. What is synced to it waits."
    return visit.go(visit.url("/directory"), f"{switched.value.name} {done}")


def new_target_page(visit: Visit, error: CairnError | None = None) -> Response:
    return visit.page(
        "target_new.html", status=error.status if error else 200, error=error, listing=_listing(visit)
    )


def add_target(visit: Visit) -> Response:
    """Leads on to the directory, which shows the secret of a webhook once."""
    kind, form = _listing(visit).kind, visit.form
    assert kind
    new = NewTarget(
        kind=kind,
        name=form("name"),
        url=form("url"),
        secret=form("target_secret"),
        trait=form("trait"),
        bucket=form("bucket"),
        prefix=form("prefix"),
        region=form("region") or "us-east-1",
        access_key_id=form("access_key_id"),
        format="parquet" if form("format") == "parquet" else "csv",
    )
    try:
        made, secret = syncs.create_target(visit.call, visit.here, new)
    except CairnError as error:
        return new_target_page(visit, error)
    shown = f"?made={quote(visit.once.keep(secret, visit.csrf, visit.now))}" if kind == "webhook" else ""
    notice = f"{made.value.name} is ready. Enable it in a segment, under Integrations."
    return visit.go(f"{visit.url('/directory')}{shown}", notice)


def _listing(visit: Visit) -> Listing:
    """Raises NotFound."""
    kind = visit.part("kind")
    for listing in OTHERS:
        if listing.kind == kind:
            return listing
    raise NotFound("there is no such integration; choose one in the directory")


def remove_target(visit: Visit) -> Response:
    target = syncs.get_target(visit.call, visit.here, visit.number("target_id")).value
    syncs.delete_target(visit.call, visit.here, target.id)
    return visit.go(visit.url("/directory"), f"{target.name} and what was synced to it are removed.")


CHANGE = Verb.CHANGE_INTEGRATIONS
PAGES: tuple[Page, ...] = (
    get("/env/{environment}/directory", directory_page),
    get("/env/{environment}/directory/new/{kind}", new_target_page, CHANGE),
    post("/env/{environment}/directory/new/{kind}", add_target, CHANGE),
    post("/env/{environment}/directory/{target_id}/switch", switch, CHANGE),
    post("/env/{environment}/directory/{target_id}/remove", remove_target, CHANGE),
)
