"""A change of something that somebody else changed since it was read is refused, whatever thing it is."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.api.app import ENDPOINTS
from cairn.api.endpoint import Endpoint
from cairn.db.tables import environments
from cairn.workspace.permission import Role, Verb
from tests.api.conftest import Tenant, World, make_tenant

SEGMENT = {
    "key": "lost",
    "name": "Lost",
    "condition": {"type": "user_property", "key": "plan", "operator": "is_set"},
}
RULE = {"kind": "rollout", "key": "lost", "allocations": [{"variation_id": 1}]}
EVENT = {"name": "Lost", "definition": {"parts": [{"kind": "custom", "name": "lost"}]}}
RULES = "/flags/{flag}/environments/production/rules"
# path of the collection, what is made, the name of its own part of the path, a change, and one at the same time
THINGS = [
    pytest.param("/segments", SEGMENT, "id", {"name": "Ann's"}, {"description": "Ben's"}, id="segment"),
    pytest.param("/flags", {"key": "lost"}, "key", {"name": "Ann's"}, {"description": "Ben's"}, id="flag"),
    pytest.param(RULES, RULE, "id", {"traffic": 9}, {"name": "Bens"}, id="rule"),
    pytest.param(
        "/defined-events", EVENT, "id", {"name": "Ann's"}, {"category": "Ben's"}, id="defined event"
    ),
]
every_thing = pytest.mark.parametrize(("path", "new", "part", "first", "second"), THINGS)


# What changes no stored version of a thing, and why a version would say nothing.
WITHOUT_VERSION = {
    "DELETE /label-sites/{site_id}": "a site has nothing to change: it is named or it is not",
    "DELETE /webhooks/{hook_id}": "a webhook has nothing to change: it is there or it is not",
    "DELETE /partner-grants/{grant_id}": "an access has nothing to change: it is in force or it is not",
    "DELETE /audiences/{audience_id}": "an audience has nothing to change: it is added or it is not",
    "DELETE /lists/{list_id}": "a list that a rule asks about is not deleted, whatever is in it",
    "PATCH /lists/{list_id}": "only its name can be changed",
    "PUT /lists/{list_id}/values": "says the whole of what is to be in, whatever was in before",
    "DELETE /connections/{connection_id}/dead-letters": "dead letters are not edited: there or not",
    "DELETE /connections/{connection_id}/dead-letters/{letter_id}": "a dead letter is there or it is not",
    "DELETE /users/{user}": "users are not edited; the answer is a request of its own",
    "POST /users/{user}/unmerge": "names the very id to take out; taken out meanwhile is refused by itself",
}
CHANGING = [
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.verb is not Verb.SEE
    and (endpoint.method in ("PUT", "PATCH", "DELETE") or endpoint.path.endswith(("/restore", "/unmerge")))
]


def read_of(endpoint: Endpoint) -> Endpoint | None:
    """The endpoint whose answer has the version that a change names: at the same path, or the nearest above it."""
    reads = {known.path: known for known in ENDPOINTS if known.method == "GET"}
    if endpoint.path.endswith("/position"):  # of a rule among others: the version is the order's
        return reads[endpoint.path.removesuffix("/{rule_id}/position")]
    path = endpoint.path
    while path and path not in reads:
        path = path.rpartition("/")[0]
    return reads.get(path)


class Editors:
    """Two tokens of one workspace."""

    def __init__(self, world: World, tenant: Tenant) -> None:
        self._world, self._tenant = world, tenant

    def __call__(
        self, role: Role, method: str, path: str, body: Any = None, *, seen: str | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._tenant.tokens[role]}"}
        if seen is not None:
            headers["If-Match"] = seen
        return self._world.client.request(
            method,
            f"/api/v1{path.format(flag=self._tenant.flag_key)}",
            headers=headers,
            **({} if body is None else {"json": body}),
        )


@pytest.fixture
def editors(world: World, request: pytest.FixtureRequest) -> Iterator[Editors]:
    yield Editors(world, make_tenant(world.core, f"v{abs(hash(request.node.name)) % 10**9}"))


@every_thing
def test_a_stale_change_is_refused_and_told_of(
    editors: Editors, path: str, new: Any, part: str, first: Any, second: Any
) -> None:
    made = editors(Role.EDITOR, "POST", path, new)
    assert made.status_code == 201, made.text
    own = f"{path}/{made.json()[part]}"
    seen = editors(Role.EDITOR, "GET", own).headers["etag"]
    assert seen == made.headers["etag"]
    changed = editors(Role.ADMIN, "PATCH", own, first, seen=seen)
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] != seen
    refused = editors(Role.EDITOR, "PATCH", own, second, seen=seen)
    assert (refused.status_code, refused.json()["code"]) == (412, "stale_version"), refused.text
    assert next(iter(first)) in refused.json()["detail"], "what was changed"
    assert "token" in refused.json()["detail"], "who changed it"
    assert editors(Role.EDITOR, "DELETE", own, seen=seen).status_code == 412
    now = editors(Role.EDITOR, "GET", own)
    assert now.json().items() >= first.items()
    assert now.headers["etag"] == changed.headers["etag"]
    repeated = editors(Role.EDITOR, "PATCH", own, second, seen=now.headers["etag"])
    assert repeated.status_code == 200, repeated.text
    assert repeated.json().items() >= {**first, **second}.items()


@every_thing
@pytest.mark.parametrize("seen", [None, "*"], ids=["no header", "any"])
def test_a_change_that_names_no_version_is_made(
    editors: Editors, path: str, new: Any, part: str, first: Any, second: Any, seen: str | None
) -> None:
    own = f"{path}/{editors(Role.EDITOR, 'POST', path, new).json()[part]}"
    assert editors(Role.ADMIN, "PATCH", own, first, seen=seen).status_code == 200
    assert editors(Role.EDITOR, "PATCH", own, second, seen=seen).status_code == 200


@pytest.mark.parametrize(
    "seen", ['W/"1"', "1", '"one"', '"99"', '"1", "2"', "", '"-1"', '"9999999999999999999"']
)
def test_a_version_that_never_was_is_stale(editors: Editors, seen: str) -> None:
    own = f"/segments/{editors(Role.EDITOR, 'POST', '/segments', SEGMENT).json()['id']}"
    assert editors(Role.EDITOR, "PATCH", own, {"name": "Ann's"}, seen=seen).status_code == 412


def test_a_save_that_changes_nothing_keeps_the_version(editors: Editors) -> None:
    made = editors(Role.EDITOR, "POST", "/segments", SEGMENT)
    same = editors(Role.EDITOR, "PATCH", f"/segments/{made.json()['id']}", {"name": "Lost"})
    assert same.headers["etag"] == made.headers["etag"]


def test_every_collection_but_those_that_make_new_things_is_covered() -> None:
    """A POST without a version makes something new, or changes nothing that is stored."""
    made = {"/segments", "/flags", "/defined-events", "/snapshots", "/label-sites"}
    made |= {"/segments/{segment_id}/syncs", "/sync-targets", "/partner-apps", "/webhooks", "/audiences"}
    made |= {"/sources/{source_id}/connections", "/connections/{connection_id}/copy"}
    made |= {"/lists", "/lists/{list_id}/values/remove"}  # values are named, not edited
    sent = {"/syncs/{sync_id}/now", "/syncs/{sync_id}/sample"}  # nothing that people edit changes
    sent.add("/connections/{connection_id}/test")
    letters = "/connections/{connection_id}/dead-letters"
    sent |= {f"{letters}/redrive", f"{letters}/{{letter_id}}/redrive"}
    sent |= {
        f"/partner-apps/{{app_id}}/{secret}" for secret in ("client-secret", "webhook-secret")
    }  # new ones
    posts = {known.path for known in ENDPOINTS if known.method == "POST" and known.verb is not Verb.SEE}
    assert posts - {known.path for known in CHANGING} - sent == made | {
        RULES.replace("production", "{environment}").replace("{flag}", "{key}")
    }


every_change = pytest.mark.parametrize("endpoint", CHANGING, ids=lambda known: f"{known.method} {known.path}")


@every_change
def test_every_change_of_an_existing_thing_has_a_version_to_name(endpoint: Endpoint) -> None:
    read = read_of(endpoint)
    is_covered = endpoint.is_conditional and read is not None and read.is_versioned
    assert is_covered != (f"{endpoint.method} {endpoint.path}" in WITHOUT_VERSION)


@every_change
def test_every_change_is_refused_by_a_version_that_never_was(
    world: World, request: pytest.FixtureRequest, endpoint: Endpoint
) -> None:
    if not endpoint.is_conditional:
        pytest.skip(WITHOUT_VERSION[f"{endpoint.method} {endpoint.path}"])
    tenant = make_tenant(world.core, f"c{abs(hash(request.node.name)) % 10**9}")
    headers = {"Authorization": f"Bearer {tenant.tokens[Role.OWNER]}"}
    in_environment = "environment" in endpoint.query_type.__struct_fields__
    query = {"environment": tenant.environment} if in_environment else {}
    body = {} if endpoint.body_type is None else {"json": endpoint.example}
    address = f"/api/v1{endpoint.path.format(**tenant.path)}"
    read = read_of(endpoint)
    assert read is not None
    before = world.everything()
    for stale in ('"77"', '"-1"', 'W/"0"'):
        refused = world.client.request(
            endpoint.method, address, headers={**headers, "If-Match": stale}, params=query, **body
        )
        assert (refused.status_code, refused.json()["code"]) == (412, "stale_version"), refused.text
    assert world.everything() == before
    seen = world.client.get(f"/api/v1{read.path.format(**tenant.path)}", headers=headers, params=query)
    changed = world.client.request(
        endpoint.method, address, headers={**headers, "If-Match": seen.headers["etag"]}, params=query, **body
    )
    assert changed.status_code in (200, 204), changed.text
    assert endpoint.answer_type is None or changed.headers["etag"]


# path, its query, two different bodies: what a first and a second person write; what is said of the first.
SETTINGS = [
    pytest.param(
        "/environments/production",
        "",
        {"needs_server_key": True},
        {"inlines_lists": True},
        "needs server key",
        id="environment",
    ),
    pytest.param(
        "/capture",
        "?environment=production",
        {"mode": "block"},
        {"is_cookieless": True},
        "mode",
        id="capture settings",
    ),
    pytest.param(
        "/account_property",
        "?environment=production",
        {"key": "a"},
        {"key": "b"},
        "to a",
        id="account property",
    ),
    pytest.param(
        "/flags/{flag}/environments/production",
        "",
        {"is_on": True},
        {"is_on": True},
        "switched on in",
        id="a flag's switch",
    ),
    pytest.param(
        "/sources/{source}",
        "?environment=production",
        {"is_enabled": False},
        {"is_enabled": True},
        "switch",
        id="source",
    ),
    pytest.param(
        "/snapshots/{snapshot}",
        "?environment=production",
        {"name": "p", "trigger": "click", "place": "p", "reading": "text", "target": "p"},
        {"name": "q", "trigger": "click", "place": "q", "reading": "text", "target": "q"},
        "what it reads",
        id="snapshot",
    ),
]


@pytest.mark.parametrize(("path", "query", "first", "second", "said"), SETTINGS)
def test_a_stale_change_of_a_setting_is_refused_and_told_of(
    world: World, request: pytest.FixtureRequest, path: str, query: str, first: Any, second: Any, said: str
) -> None:
    tenant = make_tenant(world.core, f"s{abs(hash(request.node.name)) % 10**9}")
    own = path.format(flag=tenant.flag_key, source=tenant.source_id, snapshot=tenant.snapshot_id)
    editors, address = Editors(world, tenant), f"{own}{query}"
    method = "PATCH" if own.startswith(("/environments/", "/sources/")) else "PUT"
    seen = editors(Role.ADMIN, "GET", address).headers["etag"]
    changed = editors(Role.ADMIN, method, address, first, seen=seen)
    assert changed.status_code == 200, changed.text
    refused = editors(Role.OWNER, method, address, second, seen=seen)
    assert refused.status_code == 412, refused.text
    assert said in refused.json()["detail"] and "token admin" in refused.json()["detail"]
    now = editors(Role.OWNER, "GET", address).headers["etag"]
    assert now == changed.headers["etag"] != seen
    assert editors(Role.OWNER, method, address, second, seen=now).status_code == 200


def test_the_order_of_rules_has_one_version_for_all_of_them(editors: Editors) -> None:
    """Whoever moves, adds or deletes a rule changes what every position means."""
    rules = [editors(Role.EDITOR, "POST", RULES, {**RULE, "key": key}).json()["id"] for key in "abc"]
    seen = editors(Role.EDITOR, "GET", RULES).headers["etag"]
    first = editors(Role.ADMIN, "PUT", f"{RULES}/{rules[0]}/position", {"position": 9}, seen=seen)
    assert first.headers["etag"] != seen
    stale = editors(Role.EDITOR, "PUT", f"{RULES}/{rules[1]}/position", {"position": 0}, seen=seen)
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert "token admin changed rule order: a to place" in stale.json()["detail"]
    own = f"{RULES}/{rules[0]}"
    assert editors(Role.EDITOR, "GET", own).headers["etag"] == '"1"', "the rule itself did not change"
    seen = first.headers["etag"]
    same = editors(Role.EDITOR, "PUT", f"{own}/position", {"position": 9}, seen=seen)
    assert same.headers["etag"] == seen, "it is there already"
    assert editors(Role.EDITOR, "DELETE", f"{RULES}/{rules[2]}").status_code == 204
    assert editors(Role.EDITOR, "PUT", f"{own}/position", {"position": 0}, seen=seen).status_code == 412


def test_the_order_of_another_environment_makes_nothing_older(world: World, editors: Editors) -> None:
    with world.core.engine.begin() as connection:
        connection.execute(sa.update(environments).values(name=environments.c.key))
    other = RULES.replace("production", "development")
    for path in (RULES, other):
        for key in "ab":
            assert editors(Role.EDITOR, "POST", path, {**RULE, "key": key}).status_code == 201
    seen = editors(Role.EDITOR, "GET", RULES)
    elsewhere = editors(Role.EDITOR, "GET", other).json()["rules"]
    moved = editors(Role.EDITOR, "PUT", f"{other}/{elsewhere[0]['id']}/position", {"position": 1})
    assert moved.status_code == 200
    own = f"{RULES}/{seen.json()['rules'][0]['id']}/position"
    answer = editors(Role.EDITOR, "PUT", own, {"position": 1}, seen=seen.headers["etag"])
    assert answer.status_code == 200, answer.text
