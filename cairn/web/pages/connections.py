"""Connect → Connections: the map of sources and destinations, and a connection's settings."""

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.responses import Response

from cairn.app import connections, deliveries, sources
from cairn.app.connection_trial import try_connection
from cairn.app.connections import ConnectionChanges, ConnectionView
from cairn.app.deliveries import Standing
from cairn.errors import CairnError, InvalidInput
from cairn.routing.connections import DEFAULT_RETRY_HOURS, MOST_RETRY_HOURS, Connection
from cairn.routing.destination import Destination
from cairn.routing.trying import Tried, can_be_tried
from cairn.web.portion import choices, portion
from cairn.web.settings_form import read_changes, shown_settings
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb
from cairn.workspace.source import Source

SHOWN_EACH = 10  # connections of a source on the map
TABS = (
    ("", "settings", "Settings"),
    ("/rules", "rules", "Rules"),
    ("/delivery", "delivery", "Delivery"),
    ("/dead-letters", "letters", "Dead letters"),
)


class ShownState(Struct, frozen=True):
    text: str
    look: str = ""  # good, warn, bad or nothing
    detail: str = ""


class ShownConnection(Struct, frozen=True):
    connection: Connection
    destination: str  # its name
    state: ShownState
    last_hour: dict[str, int]  # by outcome


class Route(Struct, frozen=True):
    """A source, and where its events go."""

    source: Source
    is_analysed: bool  # by the built-in analytics of this environment
    connections: list[ShownConnection]
    more: int


def connections_page(visit: Visit) -> Response:
    page = portion(sources.list_sources(visit.call, visit.here), visit.ask("from"))
    by_source: dict[int, list[Connection]] = {}
    for connection in connections.list_all_connections(visit.call, visit.here):
        by_source.setdefault(connection.source_id, []).append(connection)
    analysed = {
        entry.source_id
        for entry in sources.list_connections(visit.call)
        if entry.destination == "heap" and entry.is_enabled
    }
    shown = [entry for source in page.items for entry in by_source.get(source.id, [])[:SHOWN_EACH]]
    standings = deliveries.read_standings(visit.call, [entry.id for entry in shown])
    routes = [
        Route(
            source,
            source.id in analysed,
            [shown_connection(entry, standings) for entry in by_source.get(source.id, [])[:SHOWN_EACH]],
            max(0, len(by_source.get(source.id, [])) - SHOWN_EACH),
        )
        for source in page.items
    ]
    return visit.page(
        "connections.html",
        routes=routes,
        page=page,
        total=sum(map(len, by_source.values())),
        may_change=visit.may(Verb.CHANGE_SOURCES),
    )


def shown_connection(connection: Connection, standings: dict[int, Standing]) -> ShownConnection:
    destination = _destination(connection.destination)
    standing = standings.get(connection.id, Standing(None, {}))
    state = state_of(connection, standing, is_known=destination is not None)
    name = destination.name if destination else connection.destination
    return ShownConnection(connection, name, state, standing.last_hour)


def state_of(connection: Connection, standing: Standing, *, is_known: bool = True) -> ShownState:
    """How a connection does, in a word."""
    state = standing.state
    if not is_known:
        return ShownState("not available", "bad", "This Cairn has no such destination any more.")
    if not connection.is_enabled:
        return ShownState("off")
    if not connection.is_source_enabled:
        return ShownState("source is off")
    if state is not None and state.state in ("waiting", "stopped"):
        return ShownState(state.state, "bad" if state.state == "stopped" else "warn", state.detail)
    if standing.last_hour.get("failed"):
        return ShownState("giving up messages", "bad", "The dead letters say why.")
    if state is None and not standing.last_hour:
        return ShownState("nothing yet")
    return ShownState("delivering", "good")


def _destination(slug: str) -> Destination | None:
    return next((entry for entry in connections.list_destinations() if entry.slug == slug), None)


def view_of(visit: Visit) -> ConnectionView:
    """The connection of the address. Raises ConnectionNotFound."""
    return connections.get_connection(visit.call, visit.here, visit.number("connection_id"))


def connection_page(
    visit: Visit,
    view: ConnectionView,
    template: str,
    tab: str,
    *,
    status: int = 200,
    **values: Any,  # Any: what the template shows
) -> Response:
    """A tab of a connection."""
    connection = view.connection
    standing = deliveries.read_standings(visit.call, [connection.id])[connection.id]
    return visit.page(
        template,
        status=status,
        view=view,
        here=visit.url(f"/connections/{connection.id}"),
        connection=connection,
        destination=view.destination,
        destination_name=view.destination.name if view.destination else connection.destination,
        state=state_of(connection, standing, is_known=view.destination is not None),
        standing=standing,
        source=sources.get_source(visit.call, visit.here, connection.source_id),
        tabs=TABS,
        tab=tab,
        may_change=visit.may(Verb.CHANGE_SOURCES),
        **values,
    )


def settings_page(visit: Visit, error: CairnError | None = None) -> Response:
    view = view_of(visit)
    destination, typed = view.destination, visit.form if error else None
    others = [(environment.id, name) for name, environment in _places(visit)]
    chosen = visit.ask("copy_to")
    elsewhere = next((str(place.id) for _, place in visit.environments if place.id != visit.here.id), "")
    target = next((place for _, place in visit.environments if str(place.id) == chosen), None)
    targets = sources.list_sources(visit.call, target) if target else []
    return connection_page(
        visit,
        view,
        "connection.html",
        "settings",
        status=error.status if error else 200,
        error=error,
        settings=shown_settings(destination, view.connection.settings, view.secrets, typed)
        if destination
        else [],
        tried=_tried(visit),
        can_be_tried=destination is not None and can_be_tried(destination),
        name=typed("name") if typed else view.connection.name,
        retry_hours=typed("retry_hours") if typed else view.connection.retry_hours,
        default_retry_hours=DEFAULT_RETRY_HOURS,
        most_retry_hours=MOST_RETRY_HOURS,
        places=choices(others, [chosen]),
        copy_to=chosen or elsewhere,
        target=target,
        target_sources=choices([(source.id, source.name) for source in targets]),
    )


def _places(visit: Visit) -> list[tuple[str, Any]]:
    return [(f"{project} · {environment.name}", environment) for project, environment in visit.environments]


def save(visit: Visit) -> Response:
    view = view_of(visit)
    if view.destination is None:
        raise InvalidInput("this Cairn has no such destination any more; the connection can only be deleted")
    try:
        changes = read_changes(visit.form, view.destination)
        changed = connections.change_connection(
            visit.call, visit.here, view.connection.id, changes, expected=visit.seen_edition
        )
    except InvalidInput as error:
        return settings_page(visit, error)
    return visit.go(_url(visit, view), f"{changed.connection.name} is saved.")


def switch(visit: Visit) -> Response:
    view, is_enabled = view_of(visit), visit.form("on") == "1"
    changes = ConnectionChanges(is_enabled=is_enabled)
    connections.change_connection(
        visit.call, visit.here, view.connection.id, changes, expected=visit.seen_edition
    )
    done = "is on. What arrives from now on is delivered." if is_enabled else "is off."
    return visit.go(_url(visit, view), f"{view.connection.name} {done}")


def send_test(visit: Visit) -> Response:
    view = view_of(visit)
    return visit.leave(tried_url(visit, view.connection.id), "A test was sent.")


def tried_url(visit: Visit, connection_id: int) -> str:
    """Sends a test; the page at this address shows how it went, once."""
    tried = try_connection(visit.call, visit.here, connection_id)
    handle = visit.once.keep(msgspec.json.encode(tried).decode(), visit.csrf, visit.now)
    return f"{visit.url(f'/connections/{connection_id}')}?tried={quote(handle)}#trial"


def _tried(visit: Visit) -> Tried | None:
    kept = visit.once.take(visit.ask("tried"), visit.csrf, visit.now)
    return msgspec.json.decode(kept, type=Tried) if kept else None


def copy(visit: Visit) -> Response:
    view, form = view_of(visit), visit.form
    target = visit.call.environment(form("environment"))
    text = form("source")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput("source: choose a source of the other environment", field="source")
    made = connections.copy_connection(visit.call, visit.here, view.connection.id, target, int(text))
    notice = f"{made.connection.name} is copied to {target.name}, switched off."
    return visit.go(visit.url(f"/connections/{made.connection.id}", target), notice)


def remove(visit: Visit) -> Response:
    view = view_of(visit)
    connections.delete_connection(visit.call, visit.here, view.connection.id, expected=visit.seen_edition)
    return visit.go(visit.url("/connections"), f"{view.connection.name} is deleted.")


def _url(visit: Visit, view: ConnectionView) -> str:
    return visit.url(f"/connections/{view.connection.id}")


_CONNECTION = "/env/{environment}/connections/{connection_id}"
CHANGE = Verb.CHANGE_SOURCES
PAGES: tuple[Page, ...] = (
    get("/env/{environment}/connections", connections_page),
    get(_CONNECTION, settings_page),
    post(_CONNECTION, save, CHANGE),
    post(f"{_CONNECTION}/switch", switch, CHANGE),
    post(f"{_CONNECTION}/test", send_test, CHANGE),
    post(f"{_CONNECTION}/copy", copy, CHANGE),
    post(f"{_CONNECTION}/delete", remove, CHANGE),
)
