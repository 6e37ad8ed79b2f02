"""The rules of a flag, on their pages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cairn.conditions.check import parse
from cairn.conditions.tree import Not
from cairn.db.engine import reading
from cairn.flags.definition import get_flag
from cairn.flags.rule_definition import list_rules
from tests.web.conftest import Browser, World
from tests.web.editing import HERE, form_of, make_flag, make_segment


@pytest.mark.parametrize("subject", ["country", "region", "city"])
def test_a_rule_by_location_says_when_no_location_file_is_set(
    world: World, owner: Browser, browse: Callable[..., Browser], subject: str, tmp_path: Path
) -> None:
    make_flag(owner, f"by-{subject}")
    path = f"{HERE}/flags/by-{subject}/rules/new"
    owner.get(path)
    assert "location_file" in owner.post(path, {"do": "refresh", "r0.subject": subject}).text
    settings = structs.replace(world.core.settings, location_file=tmp_path / "city.mmdb")
    located = browse(replace(world.core, settings=settings)).sign_in(world.a.email())
    located.get(path)
    assert "location_file" not in located.post(path, {"do": "refresh", "r0.subject": subject}).text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("device_type", "mobile"),
        ("browser_string", "Mobile Safari"),
        ("browser_string", "wildcard(*chrome*)"),
        ("browser_version", "126.0.0"),
        ("os", "Mac OS"),
        ("os_version", "17.1"),
    ],
)
def test_a_rule_by_device_browser_or_system_is_what_the_api_makes_of_it_and_names_the_gateway(
    world: World, owner: Browser, key: str, value: str
) -> None:
    flag = f"by-{key}-{len(value)}".replace("_", "-")
    make_flag(owner, flag)
    path = f"{HERE}/flags/{flag}/rules/new"
    form = form_of(owner.get(path).text)
    chosen = owner.post(path, {**form, "do": "refresh", "r0.subject": key})
    assert "gatewayService" in chosen.text and "userAgent" in chosen.text
    saved = owner.post(path, {**form_of(chosen.text), "r0.value": value, "do": "save"})
    assert saved.status_code == 200 and value in saved.text
    with reading(world.core.engine) as connection:
        stored = get_flag(connection, world.a.workspace_id, flag)
        rule = list_rules(connection, world.a.workspace_id, stored.flag.id, world.a.environment.id)[0]
    assert rule.condition == parse({"type": "device", "key": key, "value": value})
    again = form_of(owner.get(f"{HERE}/flags/{flag}/rules/{rule.id}/edit").text)
    assert (again["r0.subject"], again["r0.value"]) == (key, value)
    empty = owner.post(path, {**form, "do": "save", "r0.subject": key, "r0.value": " "})
    assert empty.status_code == 422 and "is missing; fill it in" in empty.text


def test_rules_are_edited_ordered_switched_and_deleted(world: World, owner: Browser) -> None:
    make_flag(owner, "ordered", **{"w1.key": "off", "w1.name": "Off"})
    path = f"{HERE}/flags/ordered/rules"
    for name in ("first", "second"):
        form = form_of(owner.get(f"{path}/new").text)
        form |= {"r0.operator": "not_in_list" if name == "second" else "is", "r0.value": "x", "name": name}
        if name == "second":
            form["r0.segment"] = str(make_segment(owner, "negated"))
            owner.get(f"{path}/new")
        assert owner.post(f"{path}/new", {**form, "do": "save"}).status_code == 200
    assert "also holds for users the application names nobody for" in owner.get(f"{HERE}/flags/ordered").text

    def rules() -> list[Any]:
        with reading(world.core.engine) as connection:
            flag = get_flag(connection, world.a.workspace_id, "ordered").flag
            return list_rules(connection, world.a.workspace_id, flag.id, world.a.environment.id)

    one, two = (rule.id for rule in rules())
    assert isinstance(rules()[1].condition, Not)
    owner.post(f"{path}/{two}/move", {"to": "up"})
    assert [rule.id for rule in rules()] == [two, one]
    owner.post(f"{path}/{two}/move", {"to": "up"})
    owner.post(f"{path}/{two}/move", {"to": "down"})
    assert [rule.id for rule in rules()] == [one, two]
    owner.post(f"{path}/{one}/toggle", {"on": ""})
    assert [rule.is_on for rule in rules()] == [False, True]
    form = form_of(owner.get(f"{path}/{one}/edit").text)
    assert form["r0.value"] == "x"
    owner.post(f"{path}/{one}/edit", {**form, "traffic": "12,5", "name": "renamed", "do": "save"})
    assert (rules()[0].traffic, rules()[0].name) == (12.5, "renamed")
    test = form_of(owner.get(f"{path}/new").text) | {"kind": "testing", "key": "ab", "do": "remove r0"}
    test = form_of(owner.post(f"{path}/new", test).text)
    wrong = owner.post(f"{path}/new", {**test, "weight-1": "50", "weight-2": "60", "do": "save"})
    assert wrong.status_code == 422 and "add up to 110" in wrong.text
    assert (
        owner.post(f"{path}/new", {**test, "weight-1": "50", "weight-2": "50", "do": "save"}).status_code
        == 200
    )
    owner.post(f"{path}/{two}/delete")
    assert [rule.name for rule in rules()] == ["renamed", "ab"]
