"""A small shop of the demo workspace, at /demo/shop/<app id>/, that a person can click through while Live shows it.

It loads the capture script as a customer's site does: by Heap's v5 snippet, for the demo's own app id, but without the
functions of JavaScript snapshots: what a customer writes never runs where people are signed in to Cairn. Every address
of the shop answers with the same page, which draws itself by its path, so links work with and without a reload.
"""

import json
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from cairn.db.engine import reading
from cairn.db.tables import environments, workspaces

PATH = "/demo/shop"
FILES = Path(__file__).parent / "shop"
POLICY = "; ".join(
    (
        "default-src 'none'",
        # Not by host: the functions that an environment's owner writes come from this host, which has the pages
        # and the sessions of every workspace.
        "script-src 'nonce-NONCE'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    )
)
# The stubs of Heap's snippet. Source: contracts/heap.md 4.1.
METHODS = (
    "init",
    "startTracking",
    "stopTracking",
    "track",
    "resetIdentity",
    "identify",
    "identifyHashed",
    "getSessionId",
    "getUserId",
    "getIdentity",
    "addUserProperties",
    "addEventProperties",
    "removeEventProperty",
    "clearEventProperties",
    "addAccountProperties",
    "addAdapter",
    "addTransformer",
    "addTransformerFn",
    "onReady",
    "addPageviewProperties",
    "removePageviewProperty",
    "clearPageviewProperties",
    "trackPageview",
)
_KINDS = {"shop.css": "text/css", "shop.js": "text/javascript"}


def shop_routes(engine: sa.Engine) -> list[BaseRoute]:
    async def serve(request: Request) -> Response:
        app_id, rest = str(request.path_params["app_id"]), str(request.path_params.get("rest", ""))
        if not await run_in_threadpool(is_demo, engine, app_id):
            return PlainTextResponse("there is no demo shop for this app id", 404)
        if request.url.path == f"{PATH}/{app_id}":
            return Response(status_code=307, headers={"Location": f"{PATH}/{app_id}/"})
        return _answer(app_id, rest, str(request.state.nonce))

    return [Route(f"{PATH}/{{app_id}}", serve), Route(f"{PATH}/{{app_id}}/{{rest:path}}", serve)]


def is_demo(engine: sa.Engine, app_id: str) -> bool:
    """Only the demo workspace has a shop: nobody's own data gets visits from a stage."""
    query = (
        sa.select(environments.c.id)
        .join(workspaces, workspaces.c.id == environments.c.workspace_id)
        .where(environments.c.app_id == app_id, workspaces.c.is_demo)
    )
    with reading(engine) as connection:
        return connection.execute(query).first() is not None


def snippet(app_id: str) -> str:
    """What a site pastes, as a file because the shop's policy allows no script in the page."""
    return _read("snippet.js").replace("APP_ID", json.dumps(app_id)).replace("METHODS", json.dumps(METHODS))


def _answer(app_id: str, rest: str, nonce: str) -> Response:
    headers = {"Content-Security-Policy": POLICY.replace("NONCE", nonce), "Cache-Control": "no-cache"}
    if rest == "snippet.js":
        return Response(snippet(app_id), headers=headers, media_type="text/javascript")
    if rest in _KINDS:
        return Response(_read(rest), headers=headers, media_type=_KINDS[rest])
    page = _read("index.html").replace("BASE", f"{PATH}/{app_id}").replace("NONCE", nonce)
    return Response(page, headers=headers, media_type="text/html")


@cache
def _read(name: str) -> str:
    return (FILES / name).read_text()
