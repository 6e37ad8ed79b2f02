"""The sites to label on, by the API: listed by all, named and removed by who defines, each environment by itself."""

from typing import Any

import pytest

from cairn.workspace.permission import Role
from tests.api.conftest import World

HERE = {"environment": "development"}


def sites(world: World, environment: str = "development") -> list[str]:
    found = world.call("GET", "/label-sites", role=Role.VIEWER, params={"environment": environment}).json()
    return [site["origin"] for site in found["sites"]]


def add(world: World, address: str, *, role: Role = Role.EDITOR) -> Any:
    return world.call("POST", "/label-sites", role=role, params=HERE, json={"address": address})


def test_sites_to_label_on_are_named_once_per_environment_and_removed(world: World) -> None:
    made = add(world, "https://Shop.example:443/cart?x=1")
    assert (made.status_code, made.json()["origin"]) == (201, "https://shop.example")
    assert add(world, "https://shop.example").json() == made.json()
    assert sites(world) == ["https://shop.example"]
    assert "https://shop.example" not in sites(world, "production"), "another environment"
    path = f"/label-sites/{made.json()['id']}"
    assert world.call("DELETE", path, params={"environment": "production"}).status_code == 404
    assert world.call("DELETE", path, params=HERE).status_code == 204
    assert world.call("DELETE", path, params=HERE).status_code == 404
    assert sites(world) == []


@pytest.mark.parametrize(
    "address", ["", "shop.example", "ftp://shop.example", "https://ann:x@shop.example", "https://"]
)
def test_what_is_no_site_is_refused_at_its_field(world: World, address: str) -> None:
    answer = add(world, address)
    assert (answer.status_code, answer.json()["field"]) == (422, "address"), answer.text


def test_viewers_name_and_remove_no_site(world: World) -> None:
    assert add(world, "https://shop.example", role=Role.VIEWER).status_code == 403
    removed = world.call(
        "DELETE", f"/label-sites/{world.a.site_id}", role=Role.VIEWER, params={"environment": "production"}
    )
    assert removed.status_code == 403


def test_an_environment_has_at_most_fifty_sites(world: World) -> None:
    for number in range(50):
        assert add(world, f"https://s{number}.example").status_code == 201
    refused = add(world, "https://one-more.example")
    assert (refused.status_code, refused.json()["code"]) == (413, "limit_exceeded")
    assert len(sites(world)) == 50
