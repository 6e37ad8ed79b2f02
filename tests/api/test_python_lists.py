"""The switch for lists in the settings of Python's SDK, by the API."""

import pytest

from cairn.workspace.permission import Role
from tests.api.conftest import World


def switch(world: World, role: Role, *, inlines_lists: bool) -> int:
    path = f"/environments/{world.a.environment}"
    return int(world.call("PATCH", path, role=role, json={"inlines_lists": inlines_lists}).status_code)


def test_lists_are_left_out_in_a_new_environment_until_an_admin_says_otherwise(world: World) -> None:
    def states() -> dict[int, bool]:
        found = world.call("GET", "/environments").json()["environments"]
        return {environment["id"]: environment["inlines_lists"] for environment in found}

    assert not any(states().values())
    assert switch(world, Role.ADMIN, inlines_lists=True) == 200
    assert [environment for environment, is_on in states().items() if is_on] == [world.a.environment]
    assert world.changed[-1] == world.a.environment, "published again"
    assert switch(world, Role.ADMIN, inlines_lists=False) == 200
    assert not any(states().values())


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_lists_are_revealed_by_admins_only(world: World, role: Role) -> None:
    assert switch(world, role, inlines_lists=True) == 403
