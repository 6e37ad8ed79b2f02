"""Two people in one editor, and forms whose thing is gone: nothing that was typed or saved is lost."""

import html
import re
from collections.abc import Callable

import pytest

from cairn.workspace.permission import Role
from tests.web.conftest import Browser, World

SEGMENT = {"key": "{name}", "name": "Ours", "g0.r0.key": "plan", "g0.r0.value": "pro"}
EVENT = {"name": "Ours {name}", "p0.kind": "custom", "p0.name": "bought"}
FLAG = {"key": "{name}", "w0.key": "off", "w0.name": "Off", "w1.key": "on", "w1.name": "On"}
# Where it is made, with what; what the first tab changes and what the second one; how the change is told.
THINGS = [
    pytest.param(
        "segments", SEGMENT, {"g0.r0.value": "free"}, {"name": "Mine"}, "condition", "free", id="segment"
    ),
    pytest.param(
        "events", EVENT, {"p0.name": "sold"}, {"category": "Mine"}, "definition", "sold", id="defined event"
    ),
    pytest.param("flags", FLAG, {"name": "Theirs"}, {"description": "Mine"}, "name", "Theirs", id="flag"),
    pytest.param(
        "rules", {"key": "{name}"}, {"traffic": "10"}, {"name": "Mine"}, "traffic", "10 %", id="rule"
    ),
    pytest.param(
        "metrics", {}, {"m0.identifier": "Sold"}, {"m0.identifier": "Mine"}, "metrics", "Sold", id="metrics"
    ),
]
HERE = "/env/production"


def fields_of(text: str) -> dict[str, str]:
    """What a browser would send of the editor, unchanged."""
    editor = text[text.index('id="editor"') : text.index("</form>", text.index('id="editor"'))]
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", editor):
        name, value = re.search(r' name="([^"]*)"', tag), re.search(r' value="([^"]*)"', tag)
        if name and 'type="checkbox"' not in tag:
            fields[name[1]] = html.unescape(value[1]) if value else ""
    for name, options in re.findall(r'<select[^>]* name="([^"]*)"[^>]*>(.*?)</select>', editor, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        fields[name] = chosen[1] if chosen else ""
    return fields


def made(browser: Browser, thing: str, new: dict[str, str], name: str) -> str:
    """Make it through its editor; the address of its editor."""
    values = {field: value.format(name=name) for field, value in new.items()}
    if thing in ("rules", "metrics"):
        browser.post(
            f"{HERE}/flags/new",
            {key: value.format(name=name) for key, value in FLAG.items()} | {"do": "save"},
        )
        if thing == "metrics":
            return f"{HERE}/flags/{name}/metrics"
        page = f"{HERE}/flags/{name}"
        form = fields_of(browser.get(f"{page}/rules/new").text)
        browser.post(
            f"{page}/rules/new",
            {**form, **values, "r0.segment": "", "r0.subject": "visitor", "r0.value": "v", "do": "save"},
        )
        found = re.search(rf"{page}/rules/\d+/edit", browser.get(page).text)
        assert found
        return found[0]
    answer = browser.post(f"{HERE}/{thing}/new", {**values, "do": "save"})
    assert answer.status_code == 200, answer.text
    return f"{answer.url.path}/{'variables' if thing == 'flags' else 'edit'}"


@pytest.mark.parametrize(("thing", "new", "first", "second", "field", "now"), THINGS)
def test_a_save_from_a_tab_that_is_older_than_the_newest_change_loses_nothing(
    world: World,
    browse: Callable[..., Browser],
    thing: str,
    new: dict[str, str],
    first: dict[str, str],
    second: dict[str, str],
    field: str,
    now: str,
) -> None:
    ann, ben = (
        browse().enter(world.core, world.a.email()),
        browse().enter(world.core, world.a.email(Role.EDITOR)),
    )
    address = made(ann, thing, new, f"two-{thing}")
    opened = ann.post(address, {"do": "add m"}) if thing == "metrics" else ann.get(address)
    seen = fields_of(opened.text)
    assert ben.post(address, {**fields_of(ben.get(address).text), **first, "do": "save"}).status_code == 200
    refused = ann.post(address, {**seen, **second, "do": "save"})
    assert refused.status_code == 412
    assert f"{world.a.email(Role.EDITOR)} changed {field}" in refused.text, "who changed what"
    told = refused.text[refused.text.index("data-refused") :].partition("</section>")[0]
    assert now in html.unescape(told), "what is stored now"
    kept = fields_of(refused.text)
    assert kept.items() >= second.items() and kept["edition"] == seen["edition"]
    assert ann.post(address, {**kept, "do": "save"}).status_code == 412, "saving once more is no decision"
    over = re.search(r'name="do" value="(save-over \d+)"', refused.text)
    assert over
    assert ann.post(address, {**kept, "do": over[1]}).status_code == 200
    assert fields_of(ann.get(address).text).items() >= second.items()


@pytest.mark.parametrize("thing", ["segments", "rules"])
def test_what_was_deleted_while_it_was_edited_can_be_saved_as_new(
    world: World, browse: Callable[..., Browser], thing: str
) -> None:
    ann, ben = (
        browse().enter(world.core, world.a.email()),
        browse().enter(world.core, world.a.email(Role.EDITOR)),
    )
    address = made(ann, thing, SEGMENT if thing == "segments" else {"key": "{name}"}, f"gone-{thing}")
    typed = {**fields_of(ann.get(address).text), "name": "Typed for long"}
    assert ben.post(f"{address.removesuffix('/edit')}/delete", follow_redirects=False).status_code == 303
    gone = ann.post(address, {**typed, "do": "save"})
    assert gone.status_code == 404
    assert f"{world.a.email(Role.EDITOR)} deleted it" in gone.text
    kept = fields_of(gone.text)
    assert kept["name"] == "Typed for long" and "edition" not in kept
    new = re.search(r'id="editor" method="post" action="([^"]*)"', gone.text)
    assert new and new[1].endswith("/new")
    answer = ann.post(new[1], {**kept, "do": "save"})
    assert answer.status_code == 200 and "Typed for long" in answer.text


def test_variations_that_were_not_touched_get_the_default_of_a_new_variable(owner: Browser) -> None:
    page = f"{HERE}/flags/new"
    owner.get(page)
    form = fields_of(owner.post(page, {"key": "defaults", "w0.key": "on", "do": "add v"}).text)
    form |= {"v0.key": "headline", "v0.value": "Hello"}
    form = fields_of(owner.post(page, {**form, "do": "add w"}).text)
    assert (form["w0.0"], form["w1.0"]) == ("Hello", "Hello")
    form |= {"w1.key": "silent", "w1.0": "", "v0.value": "Welcome", "do": "save"}
    saved = owner.post(page, form)
    assert saved.status_code == 200, saved.text
    stored = fields_of(owner.get(f"{HERE}/flags/defaults/variables").text)
    assert (stored["w0.0"], stored["w1.0"]) == ("Welcome", ""), "emptied on purpose stays empty"
    typed = {
        "key": "at-once",
        "w0.key": "on",
        "w0.0": "",
        "v0.key": "headline",
        "v0.value": "Hello",
        "v0.drawn": "",
    }
    owner.post(page, {**typed, "do": "save"})
    assert fields_of(owner.get(f"{HERE}/flags/at-once/variables").text)["w0.0"] == "Hello"


@pytest.mark.parametrize(
    ("variations", "chosen"),
    [("off on", 2), ("control treatment other", 2), ("on off", 1), ("blue green", 1), ("off", 1)],
)
def test_a_new_rule_offers_the_first_variation_that_is_something_new(
    owner: Browser, variations: str, chosen: int
) -> None:
    key = f"first-{variations.replace(' ', '-')}"
    form = {f"w{at}.key": name for at, name in enumerate(variations.split())}
    owner.get(f"{HERE}/flags/new")
    owner.post(f"{HERE}/flags/new", {"key": key, **form, "do": "save"})
    assert fields_of(owner.get(f"{HERE}/flags/{key}/rules/new").text)["variation"] == str(chosen)


@pytest.mark.parametrize("operator", ["in", "is"])
def test_a_value_over_its_limit_is_marked_at_its_row_and_says_the_limit(
    owner: Browser, operator: str
) -> None:
    owner.get(f"{HERE}/segments/new")
    value = "a\n" + "x" * 10_001 if operator == "in" else "x" * 10_001
    row = {"g0.r0.what": "property", "g0.r0.key": "plan", "g0.r0.operator": operator, "g0.r0.value": value}
    refused = owner.post(
        f"{HERE}/segments/new", {"name": "Long", "key": f"long-{operator}", **row, "do": "save"}
    )
    assert refused.status_code == 422
    main = refused.text[refused.text.index("<main") :]
    assert "data-wrong" in main and 'id="wrong-' in main
    assert "at most 10000 are accepted" in main and "10001 characters" in main
    assert "condition.values" not in main, "in the reader's words"
    assert "x" * 10_001 in main, "what was typed stays"
