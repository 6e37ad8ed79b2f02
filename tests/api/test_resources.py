"""What the API does, through its front door, with what it told the core to publish."""

import re
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.clock import to_ms
from cairn.db.tables import api_tokens
from cairn.event import Draft
from cairn.ids import event_id, identified_user_id
from cairn.store.store import PropertyChange
from cairn.workspace.permission import Role
from tests.api.conftest import Tenant, World, make_tenant


@pytest.fixture
def own(world: World, request: pytest.FixtureRequest) -> Tenant:
    """A workspace of this test's own."""
    return make_tenant(world.core, re.sub(r"\W+", "_", request.node.name)[:40])


class _Api:
    def __init__(self, world: World, tenant: Tenant) -> None:
        self._world, self._tenant = world, tenant

    def __call__(
        self, method: str, path: str, body: Any = None, *, status: int = 200, role: Role = Role.EDITOR
    ) -> Any:
        response = self._world.client.request(
            method,
            f"/api/v1{path}",
            headers={"Authorization": f"Bearer {self._tenant.tokens[role]}"},
            **({} if body is None else {"json": body}),
        )
        assert response.status_code == status, response.text
        return response.json() if response.content else None


@pytest.fixture
def api(world: World, own: Tenant) -> _Api:
    world.changed.clear()
    world.touched.clear()
    return _Api(world, own)


def test_environments_and_sources(api: _Api, own: Tenant) -> None:
    environments = api("GET", "/environments")["environments"]
    assert [environment["key"] for environment in environments] == ["production", "development"]
    assert environments[0]["id"] == own.environment
    assert environments[0]["app_id"].isdigit()
    sources = api("GET", "/sources?environment=development")["sources"]
    assert [(source["kind"], source["is_enabled"]) for source in sources] == [("web", True), ("server", True)]
    connection = {"destination": "heap", "environment_id": environments[1]["id"], "is_enabled": True}
    assert sources[0]["connections"] == [connection]
    assert len(api("GET", "/sources")["sources"]) == 4
    browser = sources[0]["browser"]
    assert browser["app_id"] == environments[1]["app_id"] and browser["settings"]["mode"] == "device"
    assert sources[1]["browser"] is None


def test_how_a_sources_pages_run_heap(api: _Api, own: Tenant) -> None:
    web, server = api("GET", "/sources?environment=production")["sources"]

    def change(source: Any, body: Any, status: int = 200) -> Any:
        path = f"/sources/{source['id']}?environment=production"
        return api("PATCH", path, body, status=status, role=Role.ADMIN)

    settings = change(web, {"browser": {"disableTextCapture": True, "mode": "cloud"}})["browser"]["settings"]
    assert (settings["mode"], settings["disableTextCapture"], settings["variant"]) == (
        "cloud",
        True,
        "classic",
    )
    assert change(web, {"is_enabled": False})["browser"]["settings"] == settings
    assert change(web, {"is_enabled": True, "browser": {"mode": "device"}})["is_enabled"]
    known = api("GET", f"/sources/{web['id']}?environment=production")
    assert known["browser"]["settings"] == {**settings, "mode": "device"}
    for wrong in ({"mode": "phone"}, {"browserArrayLimit": -1}, {"browserArrayLimit": 10**9}, {"x": 1}):
        change(web, {"browser": wrong}, status=422)
    change(server, {"browser": {"mode": "cloud"}}, status=422)


def test_segment_from_making_to_deleting(api: _Api, own: Tenant, world: World) -> None:
    condition = {"type": "user_property", "key": "plan", "operator": "is", "value": "premium", "values": []}
    made = api("POST", "/segments", {"key": "premium", "name": "Premium", "condition": condition}, status=201)
    assert made["condition"] == condition
    assert [
        (environment["environment"], environment["is_current"]) for environment in made["environments"]
    ] == [
        ("production", False),
        ("development", False),
    ]
    assert len(set(world.changed)) == 2, "both environments are published again"
    api("POST", "/segments", {"key": "premium", "name": "Again", "condition": condition}, status=409)
    path = f"/segments/{made['id']}"
    renamed = api("PATCH", path, {"name": "Paying"})
    assert (renamed["name"], renamed["version"], renamed["condition"]) == ("Paying", 1, condition)
    edited = api("PATCH", path, {"condition": {**condition, "value": "gold"}})
    assert (edited["name"], edited["version"]) == ("Paying", 2)
    api("DELETE", path, status=204)
    api("GET", path, status=404)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        pytest.param({"type": "and", "nodes": []}, (1, 1), id="everybody"),
        pytest.param({"type": "user_property", "key": "plan", "operator": "is_set"}, (1, 1), id="property"),
        pytest.param(
            {"type": "did", "event": {}, "operator": "at_least", "count": 60}, (1, 1), id="did enough"
        ),
        pytest.param(
            {"type": "did", "event": {}, "operator": "at_least", "count": 61}, (0, 0), id="did less"
        ),
    ],
)
def test_condition_is_counted_before_it_is_a_segment(
    api: _Api, condition: dict[str, Any], count: tuple[int, int]
) -> None:
    answer = api("POST", "/segments/preview?environment=production", {"condition": condition})
    assert (answer["users"], answer["identified"]) == count


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param({"type": "visitor", "ids": "a"}, id="only flags know"),
        pytest.param({"type": "or", "nodes": []}, id="empty"),
        pytest.param(
            {"type": "user_property", "key": "k", "operator": "matches", "value": "("}, id="bad pattern"
        ),
    ],
)
def test_condition_that_cannot_be_counted_is_refused(api: _Api, condition: dict[str, Any]) -> None:
    api("POST", "/segments/preview?environment=production", {"condition": condition}, status=422)
    api("POST", "/segments", {"key": "k", "name": "n", "condition": condition}, status=422)


def test_segment_in_use_is_not_deleted(api: _Api, own: Tenant) -> None:
    rule = {
        "kind": "rollout",
        "key": "members",
        "allocations": [{"variation_id": 1}],
        "condition": {"type": "in_list", "attribute": "id", "segment_id": own.segment_id},
    }
    path = f"/flags/{own.flag_key}/environments/production/rules"
    made = api("POST", path, rule, status=201)
    problem = api("DELETE", f"/segments/{own.segment_id}", status=409)
    assert problem["code"] == "segment_in_use" and own.flag_key in problem["detail"]
    api("DELETE", f"{path}/{made['id']}", status=204)
    api("DELETE", f"/segments/{own.segment_id}", status=204)


def test_members_are_paged(api: _Api, own: Tenant) -> None:
    seen: dict[int, str | None] = {}
    after, pages = "", 0
    while True:
        path = f"/segments/{own.segment_id}/members?environment=production&limit=2&after={after}"
        answer = api("GET", path)
        assert answer["size"] == 3
        seen |= {member["user_id"]: member["identity"] for member in answer["members"]}
        pages += 1
        if answer["next"] is None:
            break
        after = answer["next"]
    assert pages == 2
    assert seen == {5: None, 6: None, own.user_id: own.identity}
    elsewhere = api("GET", f"/segments/{own.segment_id}/members?environment=development")
    assert elsewhere == {"size": 0, "members": [], "next": None}


def test_flag_from_making_to_restoring(api: _Api, own: Tenant, world: World) -> None:
    flag = {"key": "checkout", "variables": [{"id": 1, "key": "color", "type": "string", "value": "grey"}]}
    made = api("POST", "/flags", flag, status=201)
    assert [environment["is_on"] for environment in made["environments"]] == [False, False]
    assert own.environment in world.changed
    world.changed.clear()
    switched = api("PUT", "/flags/checkout/environments/production", {"is_on": True})
    assert [environment["is_on"] for environment in switched["environments"]] == [True, False]
    assert world.changed == [own.environment], "only where something changed"
    assert api("PATCH", "/flags/checkout", {"description": "Bigger button"})["description"] == "Bigger button"
    api("DELETE", "/flags/checkout", status=204)
    assert [flag["key"] for flag in api("GET", "/flags")["flags"]] == [own.flag_key]
    assert len(api("GET", "/flags?with_archived=true")["flags"]) == 2
    assert api("PATCH", "/flags/checkout", {"name": "x"}, status=409)["code"] == "flag_archived"
    assert api("POST", "/flags/checkout/restore")["archived_at"] is None


def test_rules_keep_their_order_and_state(api: _Api, own: Tenant, world: World) -> None:
    path = f"/flags/{own.flag_key}/environments/production/rules"
    new = {"kind": "rollout", "key": "second", "traffic": 50, "allocations": [{"variation_id": 1}]}
    made = api("POST", path, new, status=201)
    assert made["traffic"] == 50
    assert [rule["key"] for rule in api("GET", path)["rules"]] == [own.flag_key, "second"]
    moved = api("PUT", f"{path}/{made['id']}/position", {"position": 0})
    assert [rule["key"] for rule in moved["rules"]] == ["second", own.flag_key]
    assert api("PUT", f"{path}/{made['id']}/state", {"is_on": False})["is_on"] is False
    changed = api("PATCH", f"{path}/{made['id']}", {"traffic": 10})
    assert (changed["traffic"], changed["is_on"]) == (10, False)
    assert api("PATCH", f"{path}/{made['id']}", {"traffic": 101}, status=422)["field"] == "traffic"
    elsewhere = f"/flags/{own.flag_key}/environments/development/rules"
    assert api("GET", elsewhere)["rules"] == []
    api("PATCH", f"{elsewhere}/{made['id']}", {"traffic": 5}, status=404)
    api("DELETE", f"{path}/{made['id']}", status=204)
    assert set(world.changed) == {own.environment}


def test_user_by_id_by_merged_id_and_by_identity(api: _Api, own: Tenant) -> None:
    by_identity = api("GET", f"/users/{own.identity}?environment=production")
    assert by_identity["user"]["id"] == own.user_id
    assert by_identity["user"]["properties"]["plan"]["value"] == own.name
    assert by_identity["user_ids"] == [own.raw_id, own.user_id]
    assert [segment["id"] for segment in by_identity["segments"]] == [own.segment_id]
    assert [(merge["kind"], merge["user_id"]) for merge in by_identity["merges"]] == [("merge", own.raw_id)]
    for name in (own.user_id, own.raw_id):
        assert api("GET", f"/users/{name}?environment=production") == by_identity
    api("GET", f"/users/{own.identity}?environment=development", status=404)


def test_users_are_listed_and_searched(api: _Api, own: Tenant) -> None:
    listed = api("GET", "/users?environment=production")
    assert [user["identity"] for user in listed["users"]] == [own.identity]
    found = api("GET", f"/users?environment=production&search={own.identity[:12].upper()}")
    assert [user["id"] for user in found["users"]] == [own.user_id]
    assert api("GET", "/users?environment=production&search=nobody-at-all")["users"] == []


def test_events_of_a_user_are_paged_over_merged_ids(api: _Api, own: Tenant) -> None:
    first = api("GET", f"/users/{own.identity}/events?environment=production")
    rest = api("GET", f"/users/{own.identity}/events?environment=production&after={first['next']}")
    events = first["events"] + rest["events"]
    assert (len(first["events"]), len(events), rest["next"]) == (50, 60, None)
    assert len({event["event_id"] for event in events}) == 60
    assert {event["user_id"] for event in events} == {own.raw_id, own.user_id}
    assert [event["time"] for event in events] == sorted((event["time"] for event in events), reverse=True)


@pytest.mark.parametrize("search", ["", "paged"], ids=["listed", "searched"])
def test_users_come_in_pages_of_a_chosen_size(world: World, api: _Api, search: str) -> None:
    here = api("GET", "/environments")["environments"]
    [development] = [environment["id"] for environment in here if environment["key"] == "development"]
    at = to_ms(world.core.clock()) - 60_000
    people = {identified_user_id(development, name): name for name in (f"paged{n}@x.test" for n in range(5))}
    world.core.store.insert_properties(
        [PropertyChange(development, user, "identity", name, at, at << 22) for user, name in people.items()]
    )
    world.core.store.insert_events(
        [
            Draft(development, "custom", "Paged", at, at, user_id=user, event_id=event_id("paged", name))
            for user, name in people.items()
        ]
    )
    seen: list[str] = []
    sizes, after = [], ""
    while after is not None:
        path = f"/users?environment=development&limit=2&search={search}&after={after}"
        page = api("GET", path)
        sizes.append(len(page["users"]))
        seen += [user["identity"] for user in page["users"]]
        after = page["next"]
    assert (sorted(seen), sizes) == (sorted(people.values()), [2, 2, 1])


def test_events_of_a_user_come_in_pages_of_a_chosen_size(api: _Api, own: Tenant) -> None:
    path = f"/users/{own.identity}/events?environment=production"
    first = api("GET", f"{path}&limit=7")
    assert first["events"] == api("GET", path)["events"][:7]
    assert api("GET", f"{path}&limit=7&after={first['next']}")["events"] == api("GET", path)["events"][7:14]
    for limit in (0, 201):
        api("GET", f"{path}&limit={limit}", status=422)
        api("GET", f"/users?environment=production&limit={limit}", status=422)


def test_latest_events_with_outcomes(api: _Api, own: Tenant) -> None:
    latest = api("GET", "/events?environment=production&limit=200")
    assert len(latest["events"]) == 61
    refused = [event for event in latest["events"] if event["outcome"] == "invalid"]
    assert [(each["reason"], each["event_id"]) for each in refused] == [("junk_identity", None)]
    later = api("GET", f"/events?environment=production&after={latest['next']}")["events"]
    assert 1 <= len(later) <= 2, "only the newest millisecond comes again"
    assert len(api("GET", "/events?environment=production&outcome=invalid")["events"]) == 1


def test_unmerge_takes_an_id_out_and_tells_live_segments(api: _Api, own: Tenant, world: World) -> None:
    path = f"/users/{own.identity}/unmerge?environment=production"
    api("POST", path, {"user_id": own.user_id}, status=409)
    assert api("POST", path, {"user_id": 12345}, status=409)["code"] == "not_merged_here"
    api("POST", path, {"user_id": own.raw_id})
    api("POST", path, {"user_id": own.raw_id}, status=409)
    user = api("GET", f"/users/{own.identity}?environment=production")
    assert user["user_ids"] == [own.user_id]
    events = api("GET", f"/users/{own.raw_id}/events?environment=production")["events"]
    assert len(events) == 30 and {event["user_id"] for event in events} == {own.raw_id}
    assert [(each.environment_id, each.merged) for each in world.touched] == [
        (own.environment, {own.raw_id, own.user_id})
    ]


def test_lists_are_paged_in_a_stable_order(api: _Api, own: Tenant) -> None:
    for number in range(5):
        api("POST", "/flags", {"key": f"flag-{number}"}, status=201)
    keys: list[str] = []
    after = ""
    while after is not None:
        answer = api("GET", f"/flags?limit=4&after={after}")
        keys += [flag["key"] for flag in answer["flags"]]
        after = answer["next"]
    assert keys == sorted({own.flag_key, *(f"flag-{number}" for number in range(5))})


@pytest.mark.parametrize(("name", "warned"), [("order_completed", 0), ("Order Completed", 1), ("a#b", 1)])
def test_a_metric_that_sdks_cannot_send_is_warned_of(api: _Api, name: str, warned: int) -> None:
    body = {"key": f"warned-{len(name)}", "metrics": [{"id": 1, "identifier": name}]}
    assert len(api("POST", "/flags", body, status=201)["warnings"]) == warned


def test_failed_change_leaves_nothing_and_publishes_nothing(api: _Api, own: Tenant, world: World) -> None:
    before = world.everything()
    api("POST", "/flags", {"key": "x", "metrics": [{"id": 1, "identifier": ""}]}, status=422)
    rules = f"/flags/{own.flag_key}/environments/production/rules"
    api("POST", rules, {"kind": "testing", "key": "t", "allocations": [{"variation_id": 1}]}, status=422)
    assert world.everything() == before
    assert world.changed == []


def test_token_remembers_when_it_was_used(api: _Api, own: Tenant, world: World) -> None:
    api("GET", "/environments")
    with world.core.engine.connect() as connection:
        used = sa.select(api_tokens.c.last_used_at).where(
            api_tokens.c.workspace_id == own.workspace_id, api_tokens.c.role == Role.EDITOR
        )
        assert connection.execute(used).scalar_one() is not None
