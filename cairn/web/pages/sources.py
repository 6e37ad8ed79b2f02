"""A source: what it sent in the last hour, what was refused of it and why, and where its events go."""

from starlette.responses import Response

from cairn.app import connections, deliveries, sources
from cairn.web.pages.connections import shown_connection
from cairn.web.pages.live import explain
from cairn.web.portion import portion
from cairn.web.visit import Page, Visit, get
from cairn.workspace.permission import Verb


def source_page(visit: Visit) -> Response:
    source = sources.get_source(visit.call, visit.here, visit.number("source_id"))
    sent, refused = sources.sent_lately(visit.call, visit.here, source)
    listed = [
        entry
        for entry in connections.list_all_connections(visit.call, visit.here)
        if entry.source_id == source.id
    ]
    page = portion(listed, visit.ask("from"))
    standings = deliveries.read_standings(visit.call, [entry.id for entry in page.items])
    analytics = [
        entry
        for entry in sources.list_connections(visit.call)
        if entry.source_id == source.id and entry.destination == "heap"
    ]
    return visit.page(
        "source.html",
        source=source,
        sent=sent,
        refused=refused,
        explain=explain,
        page=page,
        connections=[shown_connection(entry, standings) for entry in page.items],
        analytics=[
            (place, entry.is_enabled)
            for entry in analytics
            for _, place in visit.environments
            if place.id == entry.environment_id
        ],
        may_change=visit.may(Verb.CHANGE_SOURCES),
    )


PAGES: tuple[Page, ...] = (get("/env/{environment}/keys/sources/{source_id}", source_page),)
