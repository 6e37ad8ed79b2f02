"""Flags on their pages: made, switched, tried and archived; their variables and metrics."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from cairn.conditions.tree import InList
from cairn.db.engine import reading
from cairn.flags.definition import get_flag
from cairn.flags.model import Metric, Variable
from cairn.flags.rule_definition import list_rules
from cairn.workspace.environment import reveal_sdk_key
from tests.web.conftest import Browser, World
from tests.web.editing import HERE, form_of, make_flag, make_segment
from tests.web.reading import Reading


def test_a_flag_is_made_ruled_switched_tried_and_archived(world: World, owner: Browser) -> None:
    world.user("vera@shop.test", plan="vip")
    segment = make_segment(owner, "vips", **{"g0.r0.value": "vip"})
    world.live.settle()
    fields = {
        "v0.key": "headline",
        "v0.type": "string",
        "v0.value": "Hello",
        "w0.0": "Welcome <b>back</b>",
        "v1.key": "gifts",
        "v1.type": "boolean",
        "v1.value": "false",
        "w0.1": "true",
    }
    make_flag(owner, "new-checkout", name="New checkout", **fields)
    assert "on for nobody" in owner.get(f"{HERE}/flags/new-checkout").text
    new_rule = f"{HERE}/flags/new-checkout/rules/new"
    form = form_of(owner.get(new_rule).text)
    assert form["r0.name"] == "your_custom_variable"
    unchosen = owner.post(new_rule, {**form, "do": "save"})
    assert unchosen.status_code == 422 and "choose a segment" in unchosen.text
    form |= {"r0.segment": str(segment), "name": "Our best", "traffic": "150"}
    too_much = owner.post(new_rule, {**form, "do": "save"})
    assert too_much.status_code == 422 and Reading(too_much.text).mistake("Traffic in percent")
    page = owner.post(new_rule, {**form, "traffic": "100", "do": "save"}).text
    assert "Our best" in page and "live, 1 member" in page
    off = owner.get(f"{HERE}/flags/new-checkout?as=vera@shop.test").text
    assert "The flag is off in this environment" in off
    world.changed.clear()
    owner.post(f"{HERE}/flags/new-checkout/toggle", {"on": "1"})
    assert world.changed == [world.a.environment.id]
    tried = owner.read(f"{HERE}/flags/new-checkout?as=vera@shop.test")
    assert "A rollout rule gives it to this user" in tried.text
    assert "is in the list since" in tried.text
    assert tried.terms["headline"] == "Welcome <b>back</b>"
    assert tried.terms["gifts"] == "true"
    assert "No rule is meant for this user" in owner.get(f"{HERE}/flags/new-checkout?as=nobody").text
    context = json.dumps({"id": "1", "customVariables": {"wrong_name": "vera@shop.test"}})
    assert "No rule is meant" in owner.get(f"{HERE}/flags/new-checkout", params={"context": context}).text
    assert "not JSON" in owner.get(f"{HERE}/flags/new-checkout", params={"context": "{"}).text
    sdk = owner.get(f"{HERE}/flags/new-checkout/sdk").text
    with reading(world.core.engine) as connection:
        key = reveal_sdk_key(connection, world.a.workspace_id, world.a.environment.id, world.core.seal)
        stored = get_flag(connection, world.a.workspace_id, "new-checkout")
        rule = list_rules(connection, world.a.workspace_id, stored.flag.id, world.a.environment.id)[0]
    assert (
        key in sdk
        and "your_custom_variable" in sdk
        and "gatewayService" in sdk
        and "http://cairn.test" in sdk
    )
    assert stored.states == {world.a.environment.id: True, world.a.other.id: False}
    assert rule.condition == InList("your_custom_variable", segment_id=segment)
    assert "New checkout" in owner.get(f"{HERE}/segments/{segment}").text
    refused = owner.post(f"{HERE}/segments/{segment}/delete")
    assert refused.status_code == 409 and "new-checkout" in refused.text
    archived = owner.post(f"{HERE}/flags/new-checkout/archive")
    assert "is archived" in archived.text and "No flag is called that" not in archived.text
    assert "new-checkout" in owner.get(f"{HERE}/flags?archived=1").text
    assert "back as it was" in owner.post(f"{HERE}/flags/new-checkout/restore").text


def test_archiving_a_flag_names_beforehand_whose_rules_ask_about_it(world: World, owner: Browser) -> None:
    for key in ("asked-about", "asks-about-it", "asks-deep"):
        make_flag(owner, key)
    page = f"{HERE}/flags/asked-about"

    def confirmation(tab: str) -> str:
        text = owner.get(f"{page}{tab}").text
        return text[text.index("Archive asked-about?") :].partition("</details>")[0]

    assert "Rules ask" not in confirmation("")
    with reading(world.core.engine) as connection:
        number = str(get_flag(connection, world.a.workspace_id, "asked-about").flag.id)
    asks = {"r0.subject": "flag", "r0.flag": number, "r0.state": "off"}
    deep = {
        "r0.subject": "country",
        "r0.value": "DE",
        "r1.subject": "flag",
        "r1.flag": number,
        "r1.state": "on",
    }
    there = f"/env/{world.a.other.key}/flags/asks-deep"
    for flag, rule in ((f"{HERE}/flags/asks-about-it", asks), (there, deep)):
        saved = owner.post(f"{flag}/rules/new", {**rule, "key": "one", "variation": "1", "do": "save"})
        assert saved.url.path == flag, saved.text
    for tab in ("", "/variables", "/metrics", "/sdk"):
        links = re.findall(r'<a href="([^"]*)">', confirmation(tab))
        assert links == [f"{HERE}/flags/asks-about-it", there]
        assert "<button" in confirmation(tab), "it is said, not forbidden"
    assert "is archived" in owner.post(f"{page}/archive").text


def test_variables_and_metrics_are_edited(world: World, owner: Browser) -> None:
    make_flag(owner, "typed")
    path = f"{HERE}/flags/typed/variables"
    fields = form_of(owner.get(path).text)
    fields = form_of(owner.post(path, {**fields, "do": "add v"}).text)
    fields |= {"v0.key": "limit", "v0.type": "integer", "v0.value": "many"}
    wrong = owner.post(path, {**fields, "do": "save"})
    assert wrong.status_code == 422 and Reading(wrong.text).mistake("Default of variable 1")
    assert owner.post(path, {**fields, "v0.value": "10", "w0.0": "20", "do": "save"}).status_code == 200
    path = f"{HERE}/flags/typed/metrics"
    fields = form_of(owner.post(path, {"do": "add m"}).text)
    fields |= {"m0.identifier": "Order Completed", "m0.type": "REVENUE_TRACKING", "m0.revenue_prop": "total"}
    assert owner.post(path, {**fields, "do": "save"}).status_code == 200
    with reading(world.core.engine) as connection:
        flag = get_flag(connection, world.a.workspace_id, "typed").flag
    assert flag.variables == (Variable(1, "limit", "integer", 10),)
    assert flag.variations[0].values == {"limit": 20}
    assert flag.metrics == (Metric(1, "Order Completed", "REVENUE_TRACKING", True, "total"),)
    assert "cannot send an event of this name" in owner.get(path).text


def test_a_list_too_long_for_a_kind_of_sdk_needs_a_look(world: World, browse: Callable[..., Browser]) -> None:
    settings = structs.replace(world.core.settings, inline_limit=1)
    owner = browse(replace(world.core, settings=settings)).sign_in(world.a.email())
    for name in ("una", "uli"):
        world.user(f"{name}@shop.test", plan="long")
    owner.get(f"{HERE}/keys")
    owner.post(f"{HERE}/keys/python-lists", {"on": "1"})
    number = make_segment(owner, "long", **{"g0.r0.value": "long"})
    world.live.settle()
    make_flag(owner, "long-list")
    form = form_of(owner.get(f"{HERE}/flags/long-list/rules/new").text) | {"r0.segment": str(number)}
    assert owner.post(f"{HERE}/flags/long-list/rules/new", {**form, "do": "save"}).status_code == 200
    owner.post(f"{HERE}/flags/long-list/toggle", {"on": "1"})
    assert "more than 1 values" in owner.get(f"{HERE}/flags/long-list").text
    assert "Python applications cannot get flag long-list for segment Long" in owner.get(HERE).text
