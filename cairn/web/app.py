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

from cairn.analysis.core import Core
from cairn.errors import NotFound
from cairn.web.form import Form
from cairn.web.guard import SecurityHeaders
from cairn.web.pages import account, entry, flags, home, keys, live, rules, segments, users
from cairn.web.render import STATIC
from cairn.web.visit import Door, Page

PAGES: tuple[Page, ...] = (
    *entry.PAGES,
    *home.PAGES,
    *live.PAGES,
    *users.PAGES,
    *segments.PAGES,
    *flags.PAGES,
    *rules.PAGES,
    *keys.PAGES,
    *account.PAGES,
)


class Static(StaticFiles):
    """Addresses carry the file's content, so a browser asks once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response


def web_routes(core: Core) -> list[BaseRoute]:
    door = Door(core)
    return [
        *(door.route(page) for page in PAGES),
        live.stream_route(door),
        Mount("/static", Static(directory=STATIC)),
        Route("/{path:path}", _nothing_here(core, door), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def build_web(core: Core, *, api: Sequence[BaseRoute] = ()) -> Starlette:
    """The application of one core. `api` routes come first; what they do not know is the pages' business."""
    secure = Door(core).secure
    return Starlette(
        routes=[*api, *web_routes(core)], middleware=[Middleware(SecurityHeaders, secure=secure)]
    )


def _nothing_here(core: Core, door: Door):  # type: ignore[no-untyped-def]
    async def endpoint(request: Request) -> Response:
        page = Page(request.url.path, _not_found)
        return await run_in_threadpool(door.answer, page, request, Form())

    return endpoint


def _not_found(visit: object) -> Response:
    raise NotFound("there is no page at this address; it may have moved, or belong to something deleted")
