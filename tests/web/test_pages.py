"""Every page on real stores: empty and full, changed through its own forms, and never another workspace's."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cairn.conditions.check import parse
from cairn.conditions.tree import Did, InList, Not, UserProperty
from cairn.db.engine import reading
from cairn.errors import Unavailable
from cairn.event import Kind, Refused
from cairn.flags.definition import get_flag, list_rules
from cairn.flags.model import Metric, Variable
from cairn.identity.merges import merge
from cairn.members.sets import list_set
from cairn.outcomes import Reason
from cairn.segments.definition import list_segments, states
from cairn.workspace.api_token import authenticate_token
from cairn.workspace.environment import reveal_sdk_key, reveal_server_key
from cairn.workspace.permission import Role
from cairn.workspace.source import list_sources, reveal_write_key
from tests.web.conftest import NOW, PASSWORD, Browser, World

HERE = "/env/production"
EMPTY = [
    pytest.param("", "Waiting for your first event", id="home"),
    pytest.param("/live", "Waiting for your first event", id="live"),
    pytest.param("/live?q=x", "Nothing matches", id="live, filtered"),
    pytest.param("/live?keys=unknown", "belongs to no environment", id="unknown keys"),
    pytest.param("/users", "No users yet", id="users"),
    pytest.param("/users?q=ann", "Nobody matches", id="users, searched"),
    pytest.param("/users?after=1-1", "That was the last page", id="users, beyond the end"),
    pytest.param("/segments", "No segment yet", id="segments"),
    pytest.param("/flags", "No flag yet", id="flags"),
    pytest.param("/keys", "waiting for its first event", id="keys"),
    pytest.param("/tokens", "No tokens", id="tokens"),
]


@pytest.mark.parametrize(("path", "said"), EMPTY)
def test_an_empty_page_says_what_it_is_for(world: World, owner: Browser, path: str, said: str) -> None:
    answer = owner.get(HERE + path)
    assert answer.status_code == 200
    assert said in answer.text


def form_of(text: str) -> dict[str, str]:
    """What a browser would send of the editor on a page, unchanged."""
    editor = text[text.index('id="editor"') : text.index("</form>", text.index('id="editor"'))]
    fields = {}
    for tag in re.findall(r"<input [^>]*>", editor):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "csrf":
            fields[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select[^>]* name="([^"]*)"[^>]*>(.*?)</select>', editor, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        fields[name] = chosen[1] if chosen else ""
    return fields


def make_segment(browser: Browser, key: str, **fields: str) -> int:
    browser.get(f"{HERE}/segments/new")
    row = {"g0.r0.what": "property", "g0.r0.key": "plan", "g0.r0.operator": "is", "g0.r0.value": "premium"}
    form = {"name": key.title(), "key": key, **row, **fields, "do": "save"}
    answer = browser.post(f"{HERE}/segments/new", form)
    assert answer.status_code == 200, answer.text
    return int(answer.url.path.rsplit("/", 1)[1])


def make_flag(browser: Browser, key: str, **fields: str) -> None:
    browser.get(f"{HERE}/flags/new")
    form = {"key": key, "w0.key": "on", "w0.name": "On", **fields, "do": "save"}
    answer = browser.post(f"{HERE}/flags/new", form)
    assert answer.url.path == f"{HERE}/flags/{key}", answer.text


def test_a_segment_is_made_counted_explained_edited_and_deleted(world: World, owner: Browser) -> None:
    world.user("ann@shop.test", plan="premium", email="ann@shop.test")
    world.user("ben@shop.test", plan="free")
    number = make_segment(owner, "premium_users")
    assert set(world.changed) >= {world.a.environment.id, world.a.other.id}
    assert "counting" in owner.get(f"{HERE}/segments/{number}").text
    world.live.settle()
    page = owner.get(f"{HERE}/segments/{number}").text
    assert "ann@shop.test" in page and "ben@shop.test" not in page
    assert "<b>1</b>" in page
    assert "live changes and the full count agree" in page
    inside = owner.get(f"{HERE}/segments/{number}?user=ann@shop.test").text
    assert "<b>in</b> since" in inside and "<b>premium</b>" in inside
    outside = owner.get(f"{HERE}/segments/{number}?user=ben@shop.test").text
    assert "<b>not in</b>" in outside and "it is <b>free</b>" in outside
    assert "Nobody matches" in owner.get(f"{HERE}/segments/{number}?user=zoe").text
    listed = owner.get(f"{HERE}/segments").text
    assert "premium_users" in listed and "live" in listed
    assert "No segment is called that" in owner.get(f"{HERE}/segments?q=zzz").text
    edit = f"{HERE}/segments/{number}/edit"
    fields = form_of(owner.get(edit).text)
    assert fields["g0.r0.value"] == "premium"
    answer = owner.post(edit, {**fields, "g0.r0.value": "free", "name": "Free users", "do": "save"})
    assert "Free users" in answer.text
    world.live.settle()
    assert "ben@shop.test" in owner.get(f"{HERE}/segments/{number}").text
    gone = owner.post(f"{HERE}/segments/{number}/delete")
    assert "Segment Free users is deleted" in gone.text
    assert owner.get(f"{HERE}/segments/{number}").status_code == 404


def test_the_segment_editor_adds_rows_and_says_mistakes_at_their_row(world: World, owner: Browser) -> None:
    path = f"{HERE}/segments/new"
    fields = form_of(owner.get(path).text)
    fields = form_of(owner.post(path, {**fields, "do": "add g0.r"}).text)
    fields |= {"g0.r0.key": "plan", "g0.r0.value": "premium", "g0.r1.what": "did"}
    fields = form_of(owner.post(path, {**fields, "do": "refresh"}).text)
    assert fields["g0.r1.count"] == "1"
    fields |= {"name": "Buyers", "key": "buyers", "g0.r1.name": "Order Completed", "g0.r1.count": "lots"}
    wrong = owner.post(path, {**fields, "do": "save"})
    assert wrong.status_code == 422
    assert "expected a whole number" in wrong.text
    assert 'value="lots"' in wrong.text
    bad_key = owner.post(path, {**fields, "g0.r1.count": "2", "key": "Not A Key", "do": "save"})
    assert bad_key.status_code == 422 and 'id="wrong-key"' in bad_key.text
    right = owner.post(path, {**fields, "g0.r1.count": "2", "do": "save"})
    assert right.status_code == 200
    with reading(world.core.engine) as connection:
        made = next(s for s in list_segments(connection, world.a.workspace_id) if s.key == "buyers")
    assert {type(node) for node in made.condition.nodes} == {UserProperty, Did}  # type: ignore[union-attr]
    taken = owner.post(path, {**fields, "g0.r1.count": "2", "do": "save"})
    assert taken.status_code == 409 and 'id="wrong-key"' in taken.text


def test_a_flag_is_made_ruled_switched_tried_and_archived(world: World, owner: Browser) -> None:
    world.user("vera@shop.test", plan="vip")
    segment = make_segment(owner, "vips", **{"g0.r0.value": "vip"})
    world.live.settle()
    fields = {"v0.key": "headline", "v0.type": "string", "v0.value": "Hello", "w0.0": "Welcome <b>back</b>",
              "v1.key": "gifts", "v1.type": "boolean", "v1.value": "false", "w0.1": "true"}  # fmt: skip
    make_flag(owner, "new-checkout", name="New checkout", **fields)
    assert "on for nobody" in owner.get(f"{HERE}/flags/new-checkout").text
    new_rule = f"{HERE}/flags/new-checkout/rules/new"
    form = form_of(owner.get(new_rule).text)
    assert form["r0.name"] == "your_custom_variable"
    unchosen = owner.post(new_rule, {**form, "do": "save"})
    assert unchosen.status_code == 422 and "choose a segment" in unchosen.text
    form |= {"r0.segment": str(segment), "name": "Our best", "traffic": "150"}
    too_much = owner.post(new_rule, {**form, "do": "save"})
    assert too_much.status_code == 422 and 'id="wrong-traffic"' in too_much.text
    page = owner.post(new_rule, {**form, "traffic": "100", "do": "save"}).text
    assert "Our best" in page and "live, 1 member" in page
    off = owner.get(f"{HERE}/flags/new-checkout?as=vera@shop.test").text
    assert "The flag is off in this environment" in off
    world.changed.clear()
    owner.post(f"{HERE}/flags/new-checkout/toggle", {"on": "1"})
    assert world.changed == [world.a.environment.id]
    tried = owner.get(f"{HERE}/flags/new-checkout?as=vera@shop.test").text
    assert "A rollout rule gives it to this user" in tried
    assert "is in the list since" in tried
    assert "Welcome &lt;b&gt;back&lt;/b&gt;" in tried
    assert '<dt class="mono">gifts</dt><dd class="mono">true</dd>' in tried
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


def test_the_segment_editor_counts_what_is_typed_and_suggests_frequent_values(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    for number in range(30):
        world.user(f"size{number}@shop.test", tier="gold" if number < 3 else f"rare-{number}")
    path = f"{HERE}/segments/new"
    form = {**form_of(owner.get(path).text), "g0.r0.key": "tier", "g0.r0.value": "gold"}

    def counted(**more: str) -> str:
        answer = owner.post(path, {**form, **more, "do": "count"})
        assert answer.status_code == 200
        return str(answer.text.partition('id="counted"')[2].partition("Count now")[0])

    said = counted()
    assert "3 users in Production now, 3 of them identified." in said
    assert 'list="values-g0.r0"' in owner.get(path).text
    options = re.findall(r'<option value="([^"]*)">', said.partition('id="values-g0.r0"')[2])
    assert "gold" in options and len(options) <= 20, "the most frequent ones, no more than a list can show"
    assert "No users in Production now." in counted(**{"g0.r0.value": "silver"})
    assert "cannot be counted yet" in counted(**{"g0.r0.key": ""})
    assert "cannot be counted yet" in counted(**{"g0.r0.operator": "matches", "g0.r0.value": "("})
    rival = browse().enter(world.core, world.b.email())
    rival.get(path)
    theirs = rival.post(path, {**form, "do": "count"}).text
    assert "No users in Production now." in theirs and "gold</option" not in theirs and "rare-" not in theirs


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
        ("device_type", "mobile"), ("browser_string", "Mobile Safari"), ("browser_string", "wildcard(*chrome*)"),
        ("browser_version", "126.0.0"), ("os", "Mac OS"), ("os_version", "17.1"),
    ],
)  # fmt: skip
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


def test_variables_and_metrics_are_edited(world: World, owner: Browser) -> None:
    make_flag(owner, "typed")
    path = f"{HERE}/flags/typed/variables"
    fields = form_of(owner.get(path).text)
    fields = form_of(owner.post(path, {**fields, "do": "add v"}).text)
    fields |= {"v0.key": "limit", "v0.type": "integer", "v0.value": "many"}
    wrong = owner.post(path, {**fields, "do": "save"})
    assert wrong.status_code == 422 and 'id="wrong-v0.value"' in wrong.text
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


def test_users_are_listed_found_told_and_unmerged(world: World, owner: Browser) -> None:
    ida = world.user("ida@shop.test", plan="premium", name="Ida")
    with world.core.engine.begin() as connection:
        done = merge(connection, world.a.environment.id, 77, "ida@shop.test", "test", NOW)
    world.core.store.insert_user_map([done.change])  # type: ignore[union-attr]
    world.event(
        "Order Completed", "ida@shop.test", user_id=77, properties={"total": 129.5, "currency": "EUR"}
    )
    world.event(
        "/pricing", "ida@shop.test", kind=Kind.PAGEVIEW, minutes_ago=60 * 24, properties={"path": "/pricing"}
    )
    for listed in (owner.get(f"{HERE}/users").text, owner.get(f"{HERE}/users?q=IDA").text):
        assert f"{HERE}/users/{ida}" in listed and "premium" in listed
    page = owner.get(f"{HERE}/users/{ida}").text
    assert "<b>Order Completed</b> · 129.5 EUR" in page
    assert "Viewed <b>/pricing</b>" in page
    assert "Today" in page and "Yesterday" in page
    assert owner.get(f"{HERE}/users/77").url.path == f"{HERE}/users/{ida}"
    assert owner.get(f"{HERE}/users/123456789").status_code == 404
    apart = owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "77"})
    assert "stands for itself again" in apart.text
    assert "was taken out again" in apart.text
    assert "Order Completed" not in owner.get(f"{HERE}/users/{ida}").text
    assert "Order Completed" in owner.get(f"{HERE}/users/77").text
    assert owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "77"}).status_code == 409
    assert owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "x"}).status_code == 404


def test_live_shows_outcomes_with_their_reason_and_filters(world: World, owner: Browser) -> None:
    world.event("Signed Up", "liv@shop.test", properties={"plan": "free"})
    at = int(NOW.timestamp() * 1000) - 30_000
    here = world.a.environment.id
    world.refuse(
        Refused(here, at, Reason.JUNK_IDENTITY, "identity 'undefined'", "Broken", "undefined", "Server", "{}")
    )
    world.refuse(Refused(0, at, Reason.UNKNOWN_KEY, "wk_zzz", "Lost", "", "", '{"lost": 1}'))
    page = owner.get(f"{HERE}/live").text
    assert "<b>Signed Up</b> · plan free" in page
    assert "would merge strangers" in page and "identity &#39;undefined&#39;" in page
    assert "Lost" not in page
    assert "Broken" not in owner.get(f"{HERE}/live?outcome=accepted").text
    assert "Signed Up" not in owner.get(f"{HERE}/live?outcome=invalid").text
    assert "Signed Up" in owner.get(f"{HERE}/live?user=liv@shop.test&q=free").text
    assert "Nothing matches" in owner.get(f"{HERE}/live?q=nowhere").text
    assert "Lost" in owner.get(f"{HERE}/live?keys=unknown").text
    rows = owner.get(f"{HERE}/live/rows?after=0&outcome=invalid")
    assert "Broken" in rows.text and "Signed Up" not in rows.text
    assert "Signed Up" in owner.get(f"{HERE}/live/rows?after=0&user=liv").text
    assert owner.get(f"{HERE}/live/rows?after={rows.headers['x-after']}").text == ""
    restarted = owner.get(f"{HERE}/live/rows?after=999999999")
    assert "Broken" in restarted.text, "a page that outlived the core starts again"
    home = owner.get(HERE).text
    assert "refused in the last hour" in home and "unknown key in the last hour" in home


def test_home_counts_the_rarer_reasons_of_refusal_together(world: World, owner: Browser) -> None:
    at = int(NOW.timestamp() * 1000) - 20_000
    reasons = (Reason.TOO_DEEP, Reason.NOT_UTF8, Reason.NO_USER, Reason.BAD_TIMESTAMP, Reason.TIME_TOO_OLD,
               Reason.TYPE_UNKNOWN)  # fmt: skip
    for number, reason in enumerate(reasons):
        for _ in range(50 - number):
            world.refuse(Refused(world.a.environment.id, at, reason, "", "Broken", "", "Server", "{}"))
    home = owner.get(HERE).text
    for reason in reasons[:4]:
        assert f"/live?outcome=invalid&amp;q={reason}" in home
    assert "Time too old" not in home and "Type unknown" not in home
    assert re.search(r"For \d other reasons", home)


def test_pages_show_the_first_hundred_of_what_senders_made_many_and_say_how_many_more(
    world: World, owner: Browser
) -> None:
    user_id = world.user(
        "many@shop.test", email="many@shop.test", **{f"key{n:03}": "v" * 1000 for n in range(300)}
    )
    facts = {f"fact{n:03}": "v" * 1000 for n in range(900)}
    for minute in range(1, 30):
        world.event(f"Wide {minute}", "many@shop.test", minutes_ago=minute, properties=facts)
    with world.core.engine.begin() as connection:
        for raw in range(10_000, 10_150):
            merge(connection, world.a.environment.id, raw, "many@shop.test", "test", NOW)
    page = owner.get(f"{HERE}/users/{user_id}")
    assert page.status_code == 200
    assert "202 more stand in the user" in page.text, "300 keys, identity and email, a hundred shown"
    assert "51 more stand in the export" in page.text and "50 earlier" in page.text
    assert "800 more" in page.text, "of an event's properties"
    listed = owner.get(f"{HERE}/users").text
    assert "many@shop.test" in listed
    live = owner.get(f"{HERE}/live?q=Wide")
    assert live.status_code == 200 and len(live.content) < 1_500_000
    assert "more characters" in live.text


def test_requests_with_an_unknown_key_are_shown_to_who_runs_the_machine_only(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    at = int(NOW.timestamp() * 1000) - 1000
    world.refuse(Refused(0, at, Reason.UNKNOWN_KEY, "", "Somebody else's", "", "", "{}"))
    unnamed = replace(world.core, settings=structs.replace(world.core.settings, operators=()))
    others = [
        browse().enter(world.core, world.a.email(Role.EDITOR)),
        browse().enter(world.core, world.b.email()),
        browse(unnamed).sign_in(world.a.email()),  # the first workspace's owner, of two workspaces
    ]
    for path in ("/live?keys=unknown", "/live/rows?keys=unknown&after=0"):
        assert "Somebody else" in owner.get(HERE + path).text
        for other in others:
            assert "Somebody else" not in other.get(HERE + path).text
    assert "unknown key in the last hour" in owner.get(HERE).text
    assert not [other for other in others if "unknown key in the last hour" in other.get(HERE).text]


def test_flag_events_can_be_left_to_the_server_sdk_key(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    def server_key() -> str:
        with reading(world.core.engine) as connection:
            return reveal_server_key(
                connection, world.a.workspace_id, world.a.environment.id, world.core.seal
            )

    assert "count with any SDK key" in owner.get(f"{HERE}/keys").text
    page = owner.post(f"{HERE}/keys/server-key", {"on": "1"}).text
    first = server_key()
    assert "count only with the server SDK key" in page and f'data-copy="{first}"' in page
    assert server_key() not in browse().enter(world.core, world.a.email(Role.VIEWER)).get(f"{HERE}/keys").text
    page = owner.post(f"{HERE}/keys/rotate-server").text
    assert server_key() != first and f'data-copy="{server_key()}"' in page
    editor = browse().enter(world.core, world.a.email(Role.EDITOR))
    assert editor.post(f"{HERE}/keys/server-key", {"on": ""}).status_code == 403
    assert "count with any SDK key" in owner.post(f"{HERE}/keys/server-key", {"on": ""}).text


def test_keys_are_shown_copied_and_changed(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    def keys() -> tuple[str, list[str]]:
        with reading(world.core.engine) as connection:
            sources = [s for s in list_sources(connection, world.a.workspace_id)
                       if s.environment_id == world.a.environment.id]  # fmt: skip
            return (
                reveal_sdk_key(connection, world.a.workspace_id, world.a.environment.id, world.core.seal),
                [reveal_write_key(connection, world.a.workspace_id, s.id, world.core.seal) for s in sources],
            )

    sdk_key, write_keys = keys()
    page = owner.get(f"{HERE}/keys").text
    for secret in (sdk_key, *write_keys, world.a.environment.app_id):
        assert f'data-copy="{secret}"' in page
    for client in (
        "heap-api",
        "@segment/analytics-node",
        "segment.analytics",
        "vwo-fme-node-sdk",
        "from vwo import init",
    ):
        assert client in page
    owner.post(f"{HERE}/keys/rotate-sdk")
    assert keys()[0] != sdk_key and keys()[0] in owner.get(f"{HERE}/keys").text
    with reading(world.core.engine) as connection:
        sources = list_sources(connection, world.a.workspace_id)
        source = next(each for each in sources if each.environment_id == world.a.environment.id)
    owner.post(f"{HERE}/keys/sources/{source.id}/rotate")
    assert keys()[1][0] != write_keys[0]
    owner.post(f"{HERE}/keys/sources/{source.id}/toggle", {"on": ""})
    assert "off" in owner.get(f"{HERE}/keys").text
    assert owner.post(f"{HERE}/keys/sources", {"name": "Shop server", "kind": "server"}).status_code == 200
    for name in ("Shop server", "shop SERVER ", "website"):
        double = owner.post(f"{HERE}/keys/sources", {"name": name, "kind": "server"})
        assert double.status_code == 409 and 'id="wrong-name"' in double.text, "one name is one source"
    wrong = owner.post(f"{HERE}/keys/sources", {"name": "", "kind": "server"})
    assert wrong.status_code == 422 and 'id="wrong-name"' in wrong.text
    made = owner.post(f"{HERE}/environments", {"environment_name": "Staging", "environment_key": "staging"})
    assert made.url.path == "/env/staging/keys"
    taken = owner.post(f"{HERE}/environments", {"environment_name": "Again", "environment_key": "staging"})
    assert taken.status_code == 409 and 'id="wrong-environment_key"' in taken.text
    heaps = {"environment_name": "Web", "environment_key": "web", "app_id": "2468013579"}
    shown = owner.post(f"{HERE}/environments", heaps).text
    assert "heap.load(&#39;2468013579&#39;)" in shown and "/k/2468013579.js" in shown
    again = owner.post(f"{HERE}/environments", {**heaps, "environment_key": "web2"})
    assert again.status_code == 409 and 'id="wrong-app_id"' in again.text
    viewer = browse().enter(world.core, world.a.email(Role.VIEWER)).get(f"{HERE}/keys").text
    assert keys()[0] not in viewer and not any(key in viewer for key in keys()[1])


def test_a_token_is_shown_once_and_works_until_deleted(world: World, owner: Browser) -> None:
    owner.get(f"{HERE}/tokens")
    page = owner.post(f"{HERE}/tokens", {"name": "deploy", "role": "editor"}).text
    secret = re.search(r"cairn_[\w-]{40,}", page)
    assert secret is not None
    assert secret[0] not in owner.get(f"{HERE}/tokens").text
    with reading(world.core.engine) as connection:
        token = authenticate_token(connection, secret[0])
    assert token is not None and token.role is Role.EDITOR
    owner.post(f"{HERE}/tokens/{token.id}/delete")
    with reading(world.core.engine) as connection:
        assert authenticate_token(connection, secret[0]) is None
    assert owner.post(f"{HERE}/tokens", {"name": "", "role": "editor"}).status_code == 422


def test_a_password_is_changed(world: World, browse: Callable[..., Browser]) -> None:
    admin, elsewhere = (browse().enter(world.core, world.b.email(Role.ADMIN)) for _ in range(2))
    admin.get(f"{HERE}/account")
    path, new = f"{HERE}/account/password", "another good password"
    wrong = admin.post(path, {"current": "not it, surely", "password": new, "again": new})
    assert wrong.status_code == 422 and 'id="wrong-current"' in wrong.text
    differs = admin.post(path, {"current": PASSWORD, "password": new, "again": new + "!"})
    assert differs.status_code == 422 and 'id="wrong-again"' in differs.text
    weak = admin.post(path, {"current": PASSWORD, "password": "short", "again": "short"})
    assert weak.status_code == 422 and 'id="wrong-password"' in weak.text
    assert "is changed" in admin.post(path, {"current": PASSWORD, "password": new, "again": new}).text
    assert elsewhere.get(HERE).url.path == "/sign-in"
    browse().sign_in(world.b.email(Role.ADMIN), new)


def test_the_environment_switch_keeps_the_page(world: World, owner: Browser) -> None:
    def switched(to: str) -> str:
        query = {"environment": str(world.a.other.id), "to": to}
        return str(owner.client.get("/switch", params=query, follow_redirects=False).headers["location"])

    assert switched(f"{HERE}/live") == "/env/development/live"
    assert switched(f"{HERE}/users/123") == "/env/development/users"
    assert switched(f"{HERE}/flags/checkout/sdk") == "/env/development/flags/checkout"
    assert switched(f"{HERE}") == "/env/development"
    assert switched("https://evil.test/x/y/z").startswith("/env/development")
    assert owner.get("/switch", params={"environment": world.b.environment.id, "to": HERE}).status_code == 404


def test_no_page_shows_or_changes_another_workspace(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    segment = make_segment(owner, "ours_alone")
    make_flag(owner, "ours-alone")
    user = world.user("secret@shop.test")
    world.event("Secret Event", "secret@shop.test")
    with reading(world.core.engine) as connection:
        source = list_sources(connection, world.a.workspace_id)[0].id
        list_id = states(connection, world.a.workspace_id, segment)[0].list_id
    rival = browse().enter(world.core, world.b.email())
    before = list(world.changed)
    for path in (
        f"/segments/{segment}", f"/segments/{segment}/edit", "/flags/ours-alone", "/flags/ours-alone/variables",
        "/flags/ours-alone/sdk", "/flags/ours-alone/rules/new", f"/users/{user}",
    ):  # fmt: skip
        assert rival.get(HERE + path).status_code == 404, path
    for path in (
        f"/segments/{segment}/delete", f"/segments/{segment}/edit", "/flags/ours-alone/toggle",
        "/flags/ours-alone/archive", "/flags/ours-alone/variables", f"/keys/sources/{source}/rotate",
        f"/users/{user}/unmerge",
    ):  # fmt: skip
        assert rival.post(HERE + path, {"do": "save", "raw": "1"}).status_code == 404, path
    for path in (
        "",
        "/live",
        "/live/rows?after=0",
        "/users",
        "/users?q=secret",
        "/segments",
        "/flags",
        "/keys",
    ):
        text = rival.get(HERE + path).text
        for ours in (
            "ours_alone",
            "ours-alone",
            "secret@shop.test",
            "Secret Event",
            list_id,
            world.a.environment.app_id,
        ):
            assert ours not in text.replace("Users whose identity", ""), (path, ours)
    for number in (world.a.environment.id, world.a.other.id):
        for path in ("", "/live", "/live/rows", "/live/stream", "/users", "/keys"):
            assert rival.client.get(f"/env/{number}{path}").status_code in (401, 404)
    assert world.changed == before


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='alert(1)",
    "</pre></textarea><svg onload=alert(1)>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_is_shown(world: World, owner: Browser, text: str) -> None:
    number = HOSTILE.index(text)
    user = world.user(f"{text}", name=text, email=text, **{text: text})
    world.event(text, text, properties={text: text, "path": text}, source=text)
    at = int(NOW.timestamp() * 1000) - 500
    world.refuse(Refused(world.a.environment.id, at, Reason.BAD_REQUEST, text, text, text, text, text))
    segment = make_segment(
        owner, f"hostile{number}", name=text, description=text, **{"g0.r0.key": text, "g0.r0.value": text}
    )
    world.live.settle()
    make_flag(owner, f"hostile-{number}", name=text, description=text,
              **{"v0.key": "a", "v0.type": "string", "v0.value": text})  # fmt: skip
    rule = f"{HERE}/flags/hostile-{number}/rules/new"
    form = form_of(owner.get(rule).text) | {
        "r0.name": "n",
        "r0.operator": "is",
        "r0.value": text,
        "name": text,
    }
    assert owner.post(rule, {**form, "do": "save"}).status_code == 200
    pages = ["", "/live", "/live/rows?after=0", "/users", "/segments", "/flags", "/keys", f"/users/{user}",
             f"/segments/{segment}", f"/segments/{segment}/edit", f"/flags/hostile-{number}",
             f"/flags/hostile-{number}/variables", f"/flags/hostile-{number}/sdk"]  # fmt: skip
    for path in pages:
        answer = owner.get(HERE + path)
        assert answer.status_code == 200, path
        assert_harmless(answer.text, path)
    for path in ("/users", "/live", f"/segments/{segment}", f"/flags/hostile-{number}"):
        query = {"q": text, "user": text, "source": text, "as": text, "context": text}
        assert_harmless(owner.get(HERE + path, params=query).text, path)
    assert "{{ 7 * 7 }}" in owner.get(f"{HERE}/users/{user}").text or "{{" not in text


def assert_harmless(html: str, path: str) -> None:
    assert "<script>alert" not in html and "<img" not in html and "<svg onload" not in html, path
    for tag in re.findall(r"<[a-z][^>]*>", html):
        names = re.findall(
            r"""\s([a-z:-]+)(?:=(?:"[^"]*"|'[^']*'))?""", re.sub(r"=\"[^\"]*\"|='[^']*'", "=''", tag)
        )
        assert not any(name.startswith("on") for name in names), (path, tag)


def test_identified_members_are_what_flags_see(world: World, owner: Browser) -> None:
    world.user("nora@shop.test", plan="gold")
    number = make_segment(owner, "gold", **{"g0.r0.value": "gold"})
    world.live.settle()
    with reading(world.core.engine) as connection:
        state = next(s for s in states(connection, world.a.workspace_id, number)
                     if s.environment_id == world.a.environment.id)  # fmt: skip
    assert world.core.members.contains(list_set(state.list_id), "nora@shop.test")
    assert state.list_id in owner.get(f"{HERE}/segments/{number}").text


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


class Broken:
    """A store that cannot answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def state(self, _environment_id: int) -> None:
        return None

    def query(self, *_: object, **__: object) -> list[Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        pytest.param(Unavailable("the question took longer than 10 s"), 503, "Nothing was lost", id="away"),
        pytest.param(
            RuntimeError("secret detail"), 500, "This page failed, and it is our fault", id="our fault"
        ),
    ],
)
def test_a_store_that_fails_is_told_without_alarm(
    world: World, browse: Callable[..., Browser], error: Exception, status: int, said: str
) -> None:
    owner = browse(replace(world.core, store=Broken(error))).sign_in(world.a.email())  # type: ignore[arg-type]
    answer = owner.get(f"{HERE}/users")
    assert answer.status_code == status
    assert said in answer.text and "secret detail" not in answer.text
    assert "Flags" in answer.text, "the navigation stays"
