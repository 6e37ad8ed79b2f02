"""The whole API: every endpoint there is, and the two pages that describe them."""

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from cairn.api.caller import by_token
from cairn.api.docs_page import HEADERS, docs_page
from cairn.api.endpoint import PREFIX, Endpoint, Surface, nothing_here, routes
from cairn.api.heap_deletion import heap_deletion_surfaces
from cairn.api.heap_webhook import heap_webhook_route
from cairn.api.labeller import EXCHANGE, labeller_surface
from cairn.api.openapi import openapi
from cairn.api.partner import partner_routes, partner_surface
from cairn.api.resources import (
    accounts,
    audiences,
    connections,
    defined_events,
    deliveries,
    destinations,
    environments,
    events,
    flags,
    hooks,
    label_sites,
    lists,
    partner_apps,
    privacy,
    rules,
    segments,
    sessions,
    syncs,
    users,
)
from cairn.app.core import Core

ENDPOINTS: tuple[Endpoint, ...] = (
    *environments.ENDPOINTS,
    *destinations.ENDPOINTS,
    *connections.ENDPOINTS,
    *deliveries.ENDPOINTS,
    *segments.ENDPOINTS,
    *syncs.ENDPOINTS,
    *lists.ENDPOINTS,
    *flags.ENDPOINTS,
    *rules.ENDPOINTS,
    *users.ENDPOINTS,
    *sessions.ENDPOINTS,
    *accounts.ENDPOINTS,
    *events.ENDPOINTS,
    *defined_events.ENDPOINTS,
    *privacy.ENDPOINTS,
    *label_sites.ENDPOINTS,
    *hooks.ENDPOINTS,
    *partner_apps.ENDPOINTS,
    *audiences.ENDPOINTS,
)


def build_api(core: Core) -> list[BaseRoute]:
    """Routes for everything below /api; only the two that describe the others ask for no authentication."""
    document = openapi(ENDPOINTS)
    encoded = msgspec.json.encode(document)

    async def openapi_json(request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def docs(request: Request) -> Response:
        # Made when asked for: by then every module has declared its errors.
        return HTMLResponse(docs_page(document), headers=HEADERS)

    surfaces = (
        *heap_deletion_surfaces(),
        EXCHANGE,
        labeller_surface(),
        partner_surface(),
        Surface(PREFIX, ENDPOINTS, by_token),
    )
    return [
        Route(f"{PREFIX}/openapi.json", openapi_json),
        Route(f"{PREFIX}/docs", docs),
        *partner_routes(core),
        *(route for surface in surfaces for route in routes(core, surface)),
        heap_webhook_route(core),
        nothing_here(surfaces),
    ]
