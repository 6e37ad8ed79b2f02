"""One workspace can never read or change anything of another, and nobody does what their role does not permit.

Both are generated from the list of endpoints, so a new one is covered the moment it exists.
"""

import itertools
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from cairn.api.app import ENDPOINTS, build_api
from cairn.api.endpoint import PREFIX, Endpoint
from cairn.api.heap_webhook import PATH as WEBHOOK
from cairn.api.labeller import ENDPOINTS as LABELLERS_ENDPOINTS
from cairn.api.labeller import EXCHANGE
from cairn.api.partner import ENDPOINTS as PARTNERS_ENDPOINTS
from cairn.api.partner import OAUTH, PARTNER
from cairn.workspace.permission import LEAST_ROLE, Role, Verb, may
from tests.api.conftest import Tenant, World

APPROVED = [
    "DELETE /audiences/{audience_id}",
    "DELETE /connections/{connection_id}",
    "DELETE /connections/{connection_id}/dead-letters",
    "DELETE /connections/{connection_id}/dead-letters/{letter_id}",
    "DELETE /defined-events/{event_id}",
    "DELETE /flags/{key}",
    "DELETE /flags/{key}/environments/{environment}/rules/{rule_id}",
    "DELETE /label-sites/{site_id}",
    "DELETE /lists/{list_id}",
    "DELETE /partner-apps/{app_id}",
    "DELETE /partner-grants/{grant_id}",
    "DELETE /segments/{segment_id}",
    "DELETE /snapshots/{snapshot_id}",
    "DELETE /sync-targets/{target_id}",
    "DELETE /syncs/{sync_id}",
    "DELETE /users/{user}",
    "DELETE /webhooks/{hook_id}",
    "GET /account_property",
    "GET /accounts",
    "GET /accounts/{account}",
    "GET /audiences",
    "GET /audiences/offered",
    "GET /audiences/{audience_id}",
    "GET /audiences/{audience_id}/contains",
    "GET /audiences/{audience_id}/history",
    "GET /audiences/{audience_id}/members",
    "GET /capture",
    "GET /connections/{connection_id}",
    "GET /connections/{connection_id}/dead-letters",
    "GET /connections/{connection_id}/dead-letters/{letter_id}",
    "GET /connections/{connection_id}/delivery",
    "GET /connections/{connection_id}/samples",
    "GET /defined-events",
    "GET /defined-events/findings",
    "GET /defined-events/{event_id}",
    "GET /defined-events/{event_id}/counts",
    "GET /deletions",
    "GET /deletions/{deletion_id}",
    "GET /destinations",
    "GET /destinations/{slug}",
    "GET /environments",
    "GET /environments/{environment}",
    "GET /events",
    "GET /flags",
    "GET /flags/{key}",
    "GET /flags/{key}/environments/{environment}",
    "GET /flags/{key}/environments/{environment}/rules",
    "GET /flags/{key}/environments/{environment}/rules/{rule_id}",
    "GET /label-sites",
    "GET /lists",
    "GET /lists/{list_id}",
    "GET /lists/{list_id}/contains",
    "GET /lists/{list_id}/values",
    "GET /partner-apps",
    "GET /partner-apps/{app_id}",
    "GET /partner-grants",
    "GET /segments",
    "GET /segments/{segment_id}",
    "GET /segments/{segment_id}/members",
    "GET /segments/{segment_id}/syncs",
    "GET /sessions",
    "GET /snapshots",
    "GET /snapshots/{snapshot_id}",
    "GET /sources",
    "GET /sources/{source_id}",
    "GET /sources/{source_id}/connections",
    "GET /sync-targets",
    "GET /sync-targets/{target_id}",
    "GET /syncs/{sync_id}",
    "GET /syncs/{sync_id}/tasks",
    "GET /users",
    "GET /users/{user}",
    "GET /users/{user}/events",
    "GET /users/{user}/export",
    "GET /users/{user}/sessions",
    "GET /webhooks",
    "GET /webhooks/{hook_id}/messages",
    "PATCH /connections/{connection_id}",
    "PATCH /defined-events/{event_id}",
    "PATCH /environments/{environment}",
    "PATCH /flags/{key}",
    "PATCH /flags/{key}/environments/{environment}/rules/{rule_id}",
    "PATCH /lists/{list_id}",
    "PATCH /partner-apps/{app_id}",
    "PATCH /segments/{segment_id}",
    "PATCH /sources/{source_id}",
    "PATCH /sync-targets/{target_id}",
    "PATCH /syncs/{sync_id}",
    "POST /audiences",
    "POST /connections/{connection_id}/copy",
    "POST /connections/{connection_id}/dead-letters/redrive",
    "POST /connections/{connection_id}/dead-letters/{letter_id}/redrive",
    "POST /connections/{connection_id}/test",
    "POST /defined-events",
    "POST /defined-events/test",
    "POST /defined-events/{event_id}/restore",
    "POST /flags",
    "POST /flags/{key}/environments/{environment}/rules",
    "POST /flags/{key}/restore",
    "POST /label-sites",
    "POST /lists",
    "POST /lists/{list_id}/values",
    "POST /lists/{list_id}/values/remove",
    "POST /partner-apps",
    "POST /partner-apps/{app_id}/client-secret",
    "POST /partner-apps/{app_id}/webhook-secret",
    "POST /segments",
    "POST /segments/preview",
    "POST /segments/{segment_id}/syncs",
    "POST /snapshots",
    "POST /sources/{source_id}/connections",
    "POST /sync-targets",
    "POST /syncs/{sync_id}/now",
    "POST /syncs/{sync_id}/sample",
    "POST /users/{user}/unmerge",
    "POST /webhooks",
    "PUT /account_property",
    "PUT /capture",
    "PUT /flags/{key}/environments/{environment}",
    "PUT /flags/{key}/environments/{environment}/rules/{rule_id}/position",
    "PUT /flags/{key}/environments/{environment}/rules/{rule_id}/state",
    "PUT /lists/{list_id}/values",
    "PUT /snapshots/{snapshot_id}",
]
HEAPS_OWN = {
    WEBHOOK,  # by its signature: sync/test_receiver.py
    "/api/public/v0/auth_token",
    "/api/public/v0/user_deletion",
    "/api/public/v0/deletion_status/{deletion_id}",
}
LABELLERS = {
    *(f"/api/label{endpoint.path}" for endpoint in LABELLERS_ENDPOINTS),
    *(f"{EXCHANGE.prefix}{endpoint.path}" for endpoint in EXCHANGE.endpoints),
}  # by a grant of its own: test_labeller.py
PARTNERS = {
    "/.well-known/oauth-authorization-server",
    *(f"{OAUTH}/{name}" for name in ("token", "revoke", "register")),
    *(f"{PARTNER}{endpoint.path}" for endpoint in PARTNERS_ENDPOINTS),
}  # by client id and secret, or by an access token: sync/test_oauth.py
PUBLIC = {f"{PREFIX}/openapi.json", f"{PREFIX}/docs", "/api/{rest:path}"}

# They answer with numbers, or with what is wrong.
NAMELESS = {"preview_segment", "try_definition", "read_event_findings"}
# The catalogue is everybody's, and holds nobody's things.
NOBODYS = {"read_destinations", "read_destination"}

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)


def test_routes_are_the_approved_ones(world: World) -> None:
    assert sorted(f"{each.method} {each.path}" for each in ENDPOINTS) == APPROVED
    routes = {route.path for route in build_api(world.core) if isinstance(route, Route)}
    assert routes - PUBLIC - HEAPS_OWN - LABELLERS - PARTNERS == {PREFIX + each.path for each in ENDPOINTS}
    assert not any("identify" in path for path in routes), "/api/v1/identify is the collector's"


def test_every_verb_and_role_is_decided() -> None:
    assert set(LEAST_ROLE) == set(Verb)
    assert all(may(Role.OWNER, verb) for verb in Verb)
    assert [verb for verb in Verb if may(Role.VIEWER, verb)] == [Verb.SEE]
    for weaker, stronger in itertools.pairwise([Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER]):
        assert all(may(stronger, verb) for verb in Verb if may(weaker, verb))


def _request(world: World, endpoint: Endpoint, path: dict[str, Any], query: dict[str, Any]) -> Any:
    body = {} if endpoint.body_type is None else {"json": endpoint.example}
    return world.call(endpoint.method, endpoint.path.format(**path), role=Role.OWNER, params=query, **body)


def _named(endpoint: Endpoint) -> list[str]:
    """What a request can name of a workspace: parts of the path, and the environment in the query."""
    names = [] if endpoint.name in NOBODYS else list(endpoint.path_types)
    return names + (["?environment"] if "environment" in endpoint.query_type.__struct_fields__ else [])


@every_endpoint
def test_foreign_things_do_not_exist(world: World, endpoint: Endpoint) -> None:
    names = _named(endpoint)
    before = world.everything()
    for owners in itertools.product("ab", repeat=len(names)):
        if "b" not in owners:
            continue
        chosen: dict[str, Tenant] = {
            name: world.a if owner == "a" else world.b for name, owner in zip(names, owners, strict=True)
        }
        path = {name: chosen[name].path[name] for name in endpoint.path_types}
        query = {"environment": chosen["?environment"].environment} if "?environment" in chosen else {}
        response = _request(world, endpoint, path, query)
        assert response.status_code == 404, (owners, response.text)
        assert world.b.name not in response.text.replace(f"'{world.b.name}'", "", 1), (
            "more than was asked for"
        )
    assert world.everything() == before


@every_endpoint
def test_answers_hold_nothing_of_another_workspace(world: World, endpoint: Endpoint) -> None:
    if endpoint.verb is not Verb.SEE:
        pytest.skip("changes are covered by what they change")
    for query in _queries(endpoint):
        response = _request(world, endpoint, world.a.path, query)
        assert response.status_code == 200, response.text
        assert world.b.name not in response.text
        assert endpoint.name in NAMELESS | NOBODYS or world.a.name in response.text


def _queries(endpoint: Endpoint) -> list[dict[str, Any]]:
    """With the environment where there is one, and without it where it may be left out."""
    fields = {field.name: field for field in msgspec.structs.fields(endpoint.query_type)}
    given = [{"environment": "production"}] if "environment" in fields else []
    return given + ([] if "environment" in fields and fields["environment"].required else [{}])


@every_endpoint
@pytest.mark.parametrize("role", list(Role))
def test_role_decides(world: World, endpoint: Endpoint, role: Role) -> None:
    """Of things that do not exist, so that nothing changes: who may is told so, who may not is told that."""
    path = endpoint.path.format(
        segment_id=2**31 - 1,
        source_id=2**31 - 1,
        event_id=2**31 - 1,
        key="nothing",
        environment="nowhere",
        rule_id=2**31 - 1,
        user="nobody",
        snapshot_id=2**31 - 1,
        site_id=2**31 - 1,
        sync_id=2**31 - 1,
        list_id="nothing",
        target_id=2**31 - 1,
        hook_id=2**31 - 1,
        deletion_id="nothing",
        account="nothing",
        app_id=2**31 - 1,
        grant_id=2**31 - 1,
        audience_id=2**31 - 1,
        connection_id=2**31 - 1,
        letter_id=2**31 - 1,
        slug="nothing",
    )
    body = {} if endpoint.body_type is None else {"json": {"no_such_field": 1}}
    response = world.call(endpoint.method, path, role=role, **body)
    assert (response.status_code == 403) == (not may(role, endpoint.verb)), response.text
    if response.status_code == 403:
        assert response.json()["code"] == "role_too_low"


@every_endpoint
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="none"),
        pytest.param("Bearer", id="empty"),
        pytest.param("Bearer cairn_wrong", id="unknown"),
        pytest.param("Basic {token}", id="wrong scheme"),
        pytest.param("Bearer {token}x", id="longer"),
    ],
)
def test_without_a_token_nothing_answers(world: World, endpoint: Endpoint, header: str) -> None:
    headers = {"Authorization": header.format(token=world.a.tokens[Role.OWNER])} if header else {}
    path = PREFIX + endpoint.path.format(**world.a.path)
    body = {} if endpoint.body_type is None else {"json": endpoint.example}
    response = world.client.request(endpoint.method, path, headers=headers, **body)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert world.a.tokens[Role.OWNER] not in response.text


@every_endpoint
@pytest.mark.parametrize("name", ["token", "access_token", "anything"])
def test_token_in_the_address_is_refused(world: World, endpoint: Endpoint, name: str) -> None:
    token = world.a.tokens[Role.OWNER]
    path = endpoint.path.format(**world.a.path)
    body = {} if endpoint.body_type is None else {"json": endpoint.example}
    response = world.call(endpoint.method, path, params={name: token}, **body)
    assert (response.status_code, response.json()["code"]) == (400, "token_in_query")
    assert token not in response.text


@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param(
            lambda b: {"type": "in_list", "attribute": "id", "segment_id": b.segment_id}, id="segment"
        ),
        pytest.param(lambda b: {"type": "other_flag", "flag_id": 2, "state": "on"}, id="flag"),
    ],
)
def test_conditions_cannot_name_foreign_things(world: World, leaf: Any) -> None:
    rule = {"kind": "rollout", "key": "r", "allocations": [{"variation_id": 1}], "condition": leaf(world.b)}
    path = f"/flags/{world.a.flag_key}/environments/{world.a.environment}/rules"
    response = world.call("POST", path, json=rule)
    assert response.status_code == 422, response.text
    assert response.json()["field"] == "condition"


def test_segments_cannot_count_foreign_events(world: World) -> None:
    condition = {"type": "did", "event": {"defined": world.b.event_id}}
    for path, body in (
        ("/segments", {"key": "foreign", "name": "Foreign", "condition": condition}),
        ("/segments/preview?environment=production", {"condition": condition}),
    ):
        response = world.call("POST", path, json=body)
        assert response.status_code == 422, response.text
    combo = {"name": "Foreign", "definition": {"events": [world.b.event_id]}}
    assert world.call("POST", "/defined-events", json=combo).status_code == 422
