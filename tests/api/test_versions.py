"""A change of something that somebody else changed since it was read is refused, whatever thing it is."""

from collections.abc import Iterator
from typing import Any

import pytest

from cairn.workspace.permission import Role
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
    pytest.param("/defined-events", EVENT, "id", {"name": "Ann's"}, {"category": "Ben's"}, id="defined event"),
]  # fmt: skip
every_thing = pytest.mark.parametrize(("path", "new", "part", "first", "second"), THINGS)


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
            method, f"/api/v1{path.format(flag=self._tenant.flag_key)}", headers=headers,
            **({} if body is None else {"json": body}),
        )  # fmt: skip


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
