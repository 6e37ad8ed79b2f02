"""The pages as one application: every address, static files, and the pages for what goes wrong."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cairn.app.core import Core
from cairn.errors import NotFound
from cairn.web.door import Door
from cairn.web.form import Form
from cairn.web.guard import SecurityHeaders, is_secure
from cairn.web.pages import (
    account,
    accounts,
    connection_rules,
    connections,
    consent,
    deletion,
    deliveries,
    destinations,
    directory,
    entry,
    environments,
    events,
    flags,
    heap,
    home,
    hooks,
    keys,
    label,
    lists,
    live,
    partner_apps,
    privacy,
    rules,
    segments,
    sources,
    syncs,
    users,
)
from cairn.web.render import STATIC
from cairn.web.visit import Page, Visit, get

PAGES: tuple[Page, ...] = (
    *entry.PAGES,
    *home.PAGES,
    *live.PAGES,
    *users.PAGES,
    *accounts.PAGES,
    *label.PAGES,  # before the event of any id
    *events.PAGES,
    *segments.PAGES,
    *syncs.PAGES,
    *flags.PAGES,
    *rules.PAGES,
    *keys.PAGES,
    *sources.PAGES,
    *connections.PAGES,
    *connection_rules.PAGES,
    *deliveries.PAGES,
    *destinations.PAGES,
    *heap.PAGES,
    *lists.PAGES,
    *environments.PAGES,
    *directory.PAGES,
    *partner_apps.PAGES,
    *hooks.PAGES,
    *privacy.PAGES,
    *deletion.PAGES,
    *account.PAGES,
)


def _not_found(visit: Visit) -> Response:
    raise NotFound("there is no page at this address; it may have moved, or belong to something deleted")


NOTHING_HERE = get("/env/{environment}/{rest:path}", _not_found)  # keeps the navigation around the message


class Static(StaticFiles):
    """Addresses carry the file's content, so a browser asks once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def web_routes(door: Door) -> list[BaseRoute]:

    async def nothing_here(request: Request) -> Response:
        page = Page(request.url.path, _not_found)
        return await run_in_threadpool(door.answer, page, request, Form())

    return [
        live.stream_route(door),
        *(door.route(page) for page in (*PAGES, NOTHING_HERE)),
        Mount("/static", Static(directory=STATIC)),
        Route("/{path:path}", nothing_here, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def build_web(core: Core, *, api: Sequence[BaseRoute] = ()) -> Starlette:
    """The application of one core. `api` routes come first; what they do not know is the pages' business."""
    headers = Middleware(SecurityHeaders, secure=is_secure(core.settings.public_url))
    door = Door(core)
    # Its address is below that of the API, which answers for every path there.
    first = [door.route(page) for page in consent.PAGES]
    return Starlette(routes=[*first, *api, *web_routes(door)], middleware=[headers])
