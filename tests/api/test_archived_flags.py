"""An archived flag stays as it is until it is restored, whatever the verb; and what it holds can be released."""

import re
from typing import Any

import pytest

from tests.api.conftest import Tenant, World, make_tenant
from tests.api.test_resources import _Api


@pytest.fixture
def own(world: World, request: pytest.FixtureRequest) -> Tenant:
    return make_tenant(world.core, re.sub(r"\W+", "_", request.node.name)[:40])


@pytest.fixture
def api(world: World, own: Tenant) -> _Api:
    return _Api(world, own)


def test_nothing_of_an_archived_flag_changes(api: _Api, own: Tenant, world: World) -> None:
    flag = f"/flags/{own.flag_key}"
    rules = f"{flag}/environments/production/rules"
    api("DELETE", flag, status=204)
    before = world.everything()
    changes: list[tuple[str, str, Any]] = [
        ("PATCH", flag, {"name": "Renamed"}),
        ("PUT", f"{flag}/environments/production", {"is_on": True}),
        ("POST", rules, {"kind": "rollout", "key": "second", "allocations": [{"variation_id": 1}]}),
        ("PATCH", f"{rules}/{own.rule_id}", {"name": "Renamed"}),
        ("PUT", f"{rules}/{own.rule_id}/position", {"position": 0}),
        ("PUT", f"{rules}/{own.rule_id}/state", {"is_on": False}),
        ("DELETE", f"{rules}/{own.rule_id}", None),
    ]
    for method, path, body in changes:
        assert api(method, path, body, status=409)["code"] == "flag_archived", (method, path)
    assert world.everything() == before


def test_a_segment_that_an_archived_flag_holds_is_named_and_released(api: _Api, own: Tenant) -> None:
    flag = f"/flags/{own.flag_key}"
    rules = f"{flag}/environments/production/rules"
    condition = {"type": "in_list", "attribute": "email", "segment_id": own.segment_id}
    api("PATCH", f"{rules}/{own.rule_id}", {"condition": condition})
    api("DELETE", flag, status=204)
    refused = api("DELETE", f"/segments/{own.segment_id}", status=409)
    assert f"archived flag '{own.flag_key}' (restore it" in str(refused)
    api("POST", f"{flag}/restore")
    api("DELETE", f"{rules}/{own.rule_id}", status=204)
    api("DELETE", f"/segments/{own.segment_id}", status=204)
