"""Making or changing a rule by the API warns of what its page warns of: what SDKs will not decide as it is written."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.app.call import Call
from cairn.app.flag_warnings import warnings_of
from cairn.clock import to_ms
from cairn.db.tables import environments
from cairn.members.askers import note_python
from cairn.members.sets import list_set
from cairn.workspace.permission import Role
from tests.api.conftest import Tenant, World, make_tenant

RULES = "/flags/{key}/environments/production/rules"


class Api:
    def __init__(self, world: World, tenant: Tenant) -> None:
        self._world, self.tenant = world, tenant

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._world.client.request(
            method,
            f"/api/v1{path.format(**self.tenant.path)}",
            headers={"Authorization": f"Bearer {self.tenant.tokens[Role.EDITOR]}"},
            **({} if body is None else {"json": body}),
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def api(world: World, request: pytest.FixtureRequest) -> Iterator[Api]:
    tenant = make_tenant(world.core, f"w{abs(hash(request.node.name)) % 10**9}")
    with world.core.engine.begin() as connection:
        own = environments.c.id == tenant.environment
        connection.execute(sa.update(environments).where(own).values(inlines_lists=True))
    yield Api(world, tenant)


def attribute(operator: str, value: str) -> dict[str, Any]:
    return {"type": "attribute", "name": "plan", "operator": operator, "value": value}


def listed(api: Api, *, negated: bool = False) -> dict[str, Any]:
    leaf = {"type": "in_list", "attribute": "who", "segment_id": api.tenant.segment_id}
    return {"type": "not", "node": leaf} if negated else leaf


def fill(world: World, api: Api, count: int) -> None:
    """The list of the tenant's segment, as if so many identified members were in."""
    state = api("GET", "/segments/{segment_id}")["environments"][0]
    now = to_ms(world.core.clock())
    values = {f"user{number}@x.test": now for number in range(count)}
    world.core.members.apply(list_set(state["list_id"]), add=values, remove=())


def of_page(world: World, api: Api) -> tuple[str, ...]:
    """What the flag's page shows."""
    tenant = api.tenant
    call = Call(world.core, tenant.workspace_id, "ann", Role.EDITOR, world.core.clock())
    return warnings_of(call, call.environment(tenant.environment), tenant.flag_key).all


CONDITIONS = [
    pytest.param(attribute("greater", "1.10.0"), "a number", id="a version"),
    pytest.param(
        attribute("is", "12345678901234567890"), "15 digits", id="a number longer than any client keeps"
    ),
    pytest.param(attribute("contains", "1.0"), "007 as 7", id="a text that clients read as a number"),
]


@pytest.mark.parametrize(("condition", "said"), CONDITIONS)
def test_what_no_client_spells_alike_is_warned_of_where_the_rule_is_made(
    world: World, api: Api, condition: Any, said: str
) -> None:
    new = {"kind": "rollout", "key": "made", "allocations": [{"variation_id": 1}]}
    made = api("POST", RULES, {**new, "condition": condition})
    assert len(made["warnings"]) == 1 and said in made["warnings"][0], made
    assert made["warnings"][0].startswith(f"flag '{api.tenant.flag_key}', rule 'made': ")
    own = f"{RULES}/{made['id']}"
    assert api("GET", own)["warnings"] == made["warnings"]
    assert tuple(made["warnings"]) == of_page(world, api), "one source for both"
    other, this = api("GET", RULES)["rules"]
    assert (other["warnings"], this["warnings"]) == ([], made["warnings"]), "each rule its own"
    flag = api("GET", "/flags/{key}/environments/production")
    assert flag["warnings"] == made["warnings"]
    assert api("PATCH", own, {"condition": attribute("is", "premium")})["warnings"] == []
    assert api("PATCH", own, {"condition": condition})["warnings"] == made["warnings"]
    assert api("PUT", f"{own}/state", {"is_on": False})["warnings"] == made["warnings"]
    assert api("PUT", f"{own}/position", {"position": 0})["rules"][0]["warnings"] == made["warnings"]


@pytest.mark.parametrize("negated", [False, True], ids=["in", "not in"])
@pytest.mark.parametrize("place", ["condition", "whitelist"])
def test_a_list_longer_than_python_is_given_says_what_python_answers(
    world: World, api: Api, negated: bool, place: str
) -> None:
    limit = world.core.settings.inline_limit
    fill(world, api, limit)
    asked = listed(api, negated=negated)
    new: dict[str, Any] = {"kind": "rollout", "key": "made", "allocations": [{"variation_id": 1}]}
    if place == "whitelist":
        variations = [{"id": number, "key": f"v{number}"} for number in (1, 2)]
        api("PATCH", "/flags/{key}", {"variations": variations})
        halves = [{"variation_id": number, "weight": 50} for number in (1, 2)]
        forced = [{"variation_id": 1, "condition": asked}]
        new |= {"kind": "testing", "allocations": halves, "whitelist": forced}
    else:
        new["condition"] = asked
    made = api("POST", RULES, new)
    assert made["warnings"] == [], "as long as Python is given"
    fill(world, api, limit + 1)
    (warning,) = api("GET", f"{RULES}/{made['id']}")["warnings"]
    assert f"more than {limit} values" in warning
    assert "for them this condition holds for nobody, in the list or not" in warning
    assert (warning,) == of_page(world, api)


def test_a_list_that_a_switch_keeps_from_python_is_warned_of_once_python_asks(world: World, api: Api) -> None:
    with world.core.engine.begin() as connection:
        own = environments.c.id == api.tenant.environment
        connection.execute(sa.update(environments).where(own).values(inlines_lists=False))
    new = {"kind": "rollout", "key": "made", "allocations": [{"variation_id": 1}]}
    made = api("POST", RULES, {**new, "condition": listed(api)})
    assert made["warnings"] == [], "nobody is bothered where only Node asks"
    note_python(world.core.members, api.tenant.environment, world.core.clock().date())
    other, this = api("GET", RULES)["rules"]
    assert "holds for nobody, in the list or not" in this["warnings"][0] and "'who'" in this["warnings"][0]
    assert other["warnings"] == [], "it asks about no list"
