"""Connect → Destinations: the catalogue, and the form that connects a source to one of them."""

from msgspec import structs
from starlette.responses import Response

from cairn.app import connections, sources
from cairn.errors import CairnError, InvalidInput
from cairn.routing.destination import Destination
from cairn.routing.trying import can_be_tried
from cairn.web.pages.connections import tried_url
from cairn.web.portion import choices
from cairn.web.settings_form import read_changes, shown_settings
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb


def destinations_page(visit: Visit) -> Response:
    text = visit.ask("q")
    counts: dict[str, int] = {}
    for connection in connections.list_all_connections(visit.call, visit.here):
        counts[connection.destination] = counts.get(connection.destination, 0) + 1
    listed = [entry for entry in connections.list_destinations() if text.lower() in _words_of(entry)]
    return visit.page(
        "destinations.html",
        text=text,
        destinations=listed,
        counts=counts,
        source_id=visit.ask("source"),
        may_change=visit.may(Verb.CHANGE_SOURCES),
    )


def _words_of(destination: Destination) -> str:
    return f"{destination.name} {destination.slug} {destination.summary}".lower()


def new_page(visit: Visit, error: CairnError | None = None) -> Response:
    destination = connections.get_destination(visit.part("slug"))
    known = sources.list_sources(visit.call, visit.here)
    chosen = visit.form("source") or visit.ask("source") or (str(known[0].id) if known else "")
    return visit.page(
        "connection_new.html",
        status=error.status if error else 200,
        error=error,
        destination=destination,
        sources=choices([(source.id, f"{source.name} ({source.kind})") for source in known], [chosen]),
        chosen=chosen,
        settings=shown_settings(destination, {}, typed=visit.form if error else None),
        can_be_tried=can_be_tried(destination),
    )


def connect(visit: Visit) -> Response:
    destination, form = connections.get_destination(visit.part("slug")), visit.form
    is_tried = form("do") == "test"
    try:
        changes = structs.replace(read_changes(form, destination), is_enabled=not is_tried)
        made = connections.create_connection(
            visit.call, visit.here, _source_id(form("source")), destination.slug, changes
        ).connection
    except CairnError as error:
        return new_page(visit, error)
    url = visit.url(f"/connections/{made.id}")
    if is_tried:
        return visit.leave(tried_url(visit, made.id), f"{made.name} is saved, switched off.")
    return visit.go(url, f"{made.name} is connected. What arrives from now on is delivered.")


def _source_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput("source: choose one of the list", field="source")
    return int(text)


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/destinations", destinations_page),
    get("/env/{environment}/destinations/{slug}", new_page, Verb.CHANGE_SOURCES),
    post("/env/{environment}/destinations/{slug}", connect, Verb.CHANGE_SOURCES),
)
