"""A form that cannot be taken is kept: the session is over, it is not allowed, the page fails, somebody was faster."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest

from cairn.app import privacy
from cairn.app.call import Call
from cairn.privacy.snapshot import NewSnapshot
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World
from tests.web.test_editors import HERE, fields_of
from tests.world import PASSWORD

NEW = f"{HERE}/segments/new"
TYPED = {"name": "Typed for long <b>", "key": "typed_for_long", "g0.r0.key": "plan", "g0.r0.value": "pro"}


def hidden_of(text: str) -> dict[str, str]:
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', text)
    }


@pytest.fixture
def ann(world: World, browse: Callable[..., Browser]) -> Iterator[Browser]:
    """An editor of tenant A with the segment editor filled in, whose session ends before she saves it."""
    browser = browse().sign_in(world.a.email(Role.EDITOR))
    browser.get(NEW)
    yield browser


def filled(browser: Browser) -> dict[str, str]:
    return {**fields_of(browser.get(NEW).text), **TYPED}


def end_session(browser: Browser) -> None:
    browser.client.cookies.delete("cairn_session")


def sign_in(browser: Browser, page: str, email: str) -> str:
    """Fill in the sign-in page that stands there."""
    form = {**hidden_of(page), "email": email, "password": PASSWORD}
    answer = browser.client.post("/sign-in", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def test_what_was_typed_comes_back_after_signing_in_again(world: World, ann: Browser) -> None:
    form = filled(ann)
    end_session(ann)
    page = ann.client.post(NEW, data={**form, "do": "save"})
    assert page.status_code == 401 and 'name="kept"' in page.text
    assert "typed_for_long" not in page.text, "what is carried is sealed"
    resumed = sign_in(ann, page.text, world.a.email(Role.EDITOR))
    carried = hidden_of(resumed)
    assert re.search(r'<form class="card stack" method="post" action="([^"]*)"', resumed)[1] == NEW  # type: ignore[index]
    assert carried["do"] == "refresh" and "csrf" in carried, "shown again, not saved unseen"
    back = ann.client.post(NEW, data=carried)
    assert back.status_code == 200 and fields_of(back.text).items() >= TYPED.items()
    assert "typed_for_long" not in ann.get(f"{HERE}/segments").text


def test_a_wrong_password_does_not_lose_it(world: World, ann: Browser) -> None:
    form = filled(ann)
    end_session(ann)
    page = ann.client.post(NEW, data=form)
    wrong = ann.client.post(
        "/sign-in",
        data={**hidden_of(page.text), "email": world.a.email(Role.EDITOR), "password": "not it at all"},
    )
    assert wrong.status_code == 401 and 'name="kept"' in wrong.text
    assert hidden_of(sign_in(ann, wrong.text, world.a.email(Role.EDITOR))).items() >= TYPED.items()


@pytest.mark.parametrize("who", ["a colleague", "another workspace"])
def test_it_is_given_to_nobody_else(world: World, ann: Browser, who: str) -> None:
    form = filled(ann)
    end_session(ann)
    page = ann.client.post(NEW, data=form)
    email = world.a.email(Role.OWNER) if who == "a colleague" else world.b.email()
    assert "typed_for_long" not in sign_in(ann, page.text, email)


@pytest.mark.parametrize(
    "attack", ["no author", "author of nobody", "other token", "other site", "too large", "secret"]
)
def test_a_form_that_we_did_not_make_or_cannot_keep_is_not_carried(ann: Browser, attack: str) -> None:
    form, headers = filled(ann), {}
    match attack:
        case "no author":
            del form["author"]
        case "author of nobody":
            form["author"] = "1.1." + "0" * 64
        case "other token":
            form["csrf"] = "x" * 43
        case "other site":
            headers = {"sec-fetch-site": "cross-site"}
        case "too large":
            form["description"] = "x" * 300_000
        case _:
            form["password"] = "hunter2 hunter2"
    end_session(ann)
    answer = ann.client.post(NEW, data=form, headers=headers, follow_redirects=False)
    assert answer.status_code == 303 and "kept" not in answer.text
    assert answer.headers["location"].startswith("/sign-in")


def test_a_seal_of_yesterday_or_of_another_thing_opens_nothing(world: World, ann: Browser) -> None:
    form = filled(ann)
    end_session(ann)
    page = ann.client.post(NEW, data=form).text
    other = world.core.seal.close("a key").decode()
    for sealed in (other, "nonsense", "é", hidden_of(page)["kept"][:-4]):
        answer = sign_in(
            ann, page.replace(hidden_of(page)["kept"], html.escape(sealed)), world.a.email(Role.EDITOR)
        )
        assert "typed_for_long" not in answer
        end_session(ann)
        page = ann.client.post(NEW, data=form).text
    now, later = world.core.clock, world.core.clock() + timedelta(days=2)
    object.__setattr__(world.core, "clock", lambda: later)
    try:
        assert "typed_for_long" not in sign_in(ann, page, world.a.email(Role.EDITOR))
    finally:
        object.__setattr__(world.core, "clock", now)


def test_htmx_is_told_to_send_the_form_as_a_whole(ann: Browser) -> None:
    form = filled(ann)
    end_session(ann)
    answer = ann.client.post(NEW, data=form, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["x-send-whole"]) == (401, "1")


def test_a_form_of_the_session_before_is_shown_to_its_author_and_to_nobody_else(
    world: World, ann: Browser
) -> None:
    form = filled(ann)
    end_session(ann)
    ann.sign_in(world.a.email(Role.EDITOR))
    kept = ann.client.post(NEW, data={**form, "do": "save"})
    assert kept.status_code == 403 and hidden_of(kept.text).items() >= TYPED.items()
    assert fields_of(ann.client.post(NEW, data=hidden_of(kept.text)).text).items() >= TYPED.items()
    end_session(ann)
    ann.sign_in(world.a.email(Role.OWNER))
    assert "typed_for_long" not in ann.client.post(NEW, data={**form, "do": "save"}).text


@pytest.mark.parametrize(
    "path", ["/keys/sources", "/flags/never-made/rules/new", "/flags/never-made/variables"]
)
def test_what_is_refused_without_a_form_of_its_own_is_kept_to_be_sent_again(
    world: World, browse: Callable[..., Browser], path: str
) -> None:
    viewer = browse().sign_in(world.a.email(Role.VIEWER if path == "/keys/sources" else Role.EDITOR))
    author = hidden_of(viewer.get(HERE).text)["author"]
    answer = viewer.post(f"{HERE}{path}", {"name": "Typed for long <b>", "author": author})
    assert answer.status_code in (403, 404)
    assert hidden_of(answer.text[answer.text.index("<main") :])["name"] == "Typed for long <b>"
    assert "Send it again" in answer.text


@pytest.mark.parametrize(
    "place",
    [
        "//evil.test",
        "https://evil.test/env/",
        "/\\evil.test",
        "/env/\r\nx",
        "javascript:alert(1)",
        "/sign-out",
        "\\\\evil",
    ],
)
def test_signing_in_leads_to_pages_of_ours_only(
    world: World, browse: Callable[..., Browser], place: str
) -> None:
    browser = browse()
    page = browser.get("/sign-in", params={"next": place})
    form = {"email": world.a.email(), "password": PASSWORD, "next": place}
    assert hidden_of(page.text)["next"] == "/"
    answer = browser.post("/sign-in", form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_signing_in_leads_back_to_the_page(world: World, browse: Callable[..., Browser]) -> None:
    browser = browse()
    page = browser.get(f"{HERE}/users?q=ann")
    answer = browser.client.post(
        "/sign-in",
        data={**hidden_of(page.text), "email": world.a.email(), "password": PASSWORD},
        follow_redirects=False,
    )
    assert answer.headers["location"] == f"{HERE}/users?q=ann"


# A page of two tabs, the form's address in it, what the first and the second tab send, and what is said of the first.
BUTTONS = [
    pytest.param("{flag}", "{flag}/rules/{rule}/toggle", {"on": ""}, "switch|on", id="a rule's switch"),
    pytest.param("{flag}", "{flag}/rules/{rule}/move", {"to": "down"}, "order", id="a rule's order"),
    pytest.param("{flag}", "{flag}/rules/{rule}/delete", {}, "on", id="a rule's deletion"),
    pytest.param("/keys", "/keys/sources/{source}/rotate", {}, "write key", id="a write key"),
    pytest.param("/keys", "/keys/rotate-sdk", {}, "SDK key", id="an SDK key"),
    pytest.param("{flag}", "{flag}/toggle", {"on": "1"}, "switched", id="a flag's switch"),
    pytest.param("/flags", "{flag}/toggle", {"on": "1"}, "switched", id="a flag's switch in the list"),
    pytest.param("/keys", "/keys/server-key", {"on": "1"}, "needs server key", id="the server key's switch"),
    pytest.param(
        "/keys", "/keys/python-lists", {"on": "1"}, "inlines lists", id="the switch of lists for Python"
    ),
    pytest.param("/accounts", "/accounts", {"key": "company"}, "company", id="the account ID property"),
    pytest.param("/privacy", "/privacy", {"mode": "block", "pages": "/a"}, "mode", id="capture settings"),
]


@pytest.mark.parametrize(("page", "action", "form", "said"), BUTTONS)
def test_a_button_of_a_page_that_is_older_than_the_newest_change_asks_first(
    world: World, browse: Callable[..., Browser], page: str, action: str, form: dict[str, str], said: str
) -> None:
    ann, ben = browse().sign_in(world.a.email()), browse().sign_in(world.a.email(Role.ADMIN))
    name = re.sub(r"\W+", "-", f"button {action}").lower().strip("-")
    names = {"flag": f"/flags/{name}", "rule": "", "source": ""}
    ann.post(f"{HERE}/flags/new", {"key": name, "w0.key": "on", "do": "save"})
    rule = {"key": "one", "r0.subject": "visitor", "r0.value": "v", "variation": "1", "do": "save"}
    for key in ("one", "two"):
        ann.post(f"{HERE}/flags/{name}/rules/new", {**rule, "key": key})
    names["rule"] = re.search(r"/rules/(\d+)/edit", ann.get(f"{HERE}/flags/{name}").text)[1]  # type: ignore[index]
    names["source"] = re.search(r"/keys/sources/(\d+)/", ann.get(f"{HERE}/keys").text)[1]  # type: ignore[index]
    address, opened = f"{HERE}{action.format(**names)}", ann.get(f"{HERE}{page.format(**names)}").text
    seen = hidden_of(opened[opened.index(f'action="{address}"') :].partition("</form>")[0])
    other = (
        f"{HERE}/flags/{name}/rules/{names['rule']}/toggle"
        if "/rules/" in action and "move" not in action
        else address
    )
    first = {"on": ""} if other.endswith("toggle") else form
    assert ben.post(other, first, follow_redirects=False).status_code == 303
    stale = ann.post(address, {**seen, **form}, follow_redirects=False)
    assert stale.status_code == 412, stale.text
    assert re.search(rf"{world.a.email(Role.ADMIN)} changed .*({said})", stale.text)
    again = hidden_of(stale.text[stale.text.index("<main") :])
    assert again.items() >= form.items()
    assert "Do it all the same" in stale.text
    assert ann.client.post(address, data=again, follow_redirects=False).status_code == 303


def test_the_switch_of_another_environment_makes_no_page_older(
    world: World, browse: Callable[..., Browser]
) -> None:
    ann = browse().sign_in(world.a.email())
    ann.post(f"{HERE}/flags/new", {"key": "two-switches", "w0.key": "on", "do": "save"})
    address = f"{HERE}/flags/two-switches/toggle"
    page = ann.get(f"{HERE}/flags/two-switches").text
    edition = hidden_of(page[page.index(f'action="{address}"') :].partition("</form>")[0])["edition"]
    statuses = [
        ann.post(
            address, {"edition": edition, "on": "1", "at": str(environment.id)}, follow_redirects=False
        ).status_code
        for environment in (world.a.other, world.a.environment, world.a.other)
    ]
    assert statuses == [303, 303, 412]


def test_moving_a_rule_after_another_one_was_moved_asks_first(
    world: World, browse: Callable[..., Browser]
) -> None:
    """The place of a rule depends on all the others: which one was moved meanwhile does not matter."""
    ann, ben = browse().sign_in(world.a.email()), browse().sign_in(world.a.email(Role.ADMIN))
    flag = f"{HERE}/flags/two-orders"
    ann.post(f"{HERE}/flags/new", {"key": "two-orders", "w0.key": "on", "do": "save"})
    rule = {"r0.subject": "visitor", "r0.value": "v", "variation": "1", "do": "save"}
    for key in ("one", "two", "three"):
        ann.post(f"{flag}/rules/new", {**rule, "key": key, "name": f"Rule {key}"})
    page = ann.get(flag).text
    one, _, three = dict.fromkeys(re.findall(r"/rules/(\d+)/edit", page))
    address = f"{flag}/rules/{three}/move"
    seen = hidden_of(page[page.index(f'action="{address}"') :].partition("</form>")[0])
    moved = ben.post(f"{flag}/rules/{one}/move", {"to": "down"}, follow_redirects=False)
    assert moved.status_code == 303
    stale = ann.post(address, {**seen, "to": "up"}, follow_redirects=False)
    assert stale.status_code == 412
    assert f"{world.a.email(Role.ADMIN)} changed rule order: Rule one to place 2 in" in stale.text
    assert re.findall(r"/rules/(\d+)/edit", ann.get(flag).text)[2] == three, "nothing was moved"
    again = hidden_of(stale.text[stale.text.index("<main") :])
    assert ann.client.post(address, data=again, follow_redirects=False).status_code == 303
    assert re.findall(r"/rules/(\d+)/edit", ann.get(flag).text)[1] == three


def test_deleting_a_snapshot_that_reads_something_else_meanwhile_asks_first(
    world: World, browse: Callable[..., Browser]
) -> None:
    ben = Call(world.core, world.a.workspace_id, "ben@shop.test", Role.ADMIN, NOW)
    new = NewSnapshot(name="Plan", trigger="click", place=".plan", reading="text", target=".price")
    made = privacy.add_snapshot(ben, world.a.environment, new).value
    ann, address = browse().sign_in(world.a.email()), f"{HERE}/privacy/snapshots/{made.id}/delete"
    page = ann.get(f"{HERE}/privacy").text
    seen = hidden_of(page[page.index(f'action="{address}"') :].partition("</form>")[0])
    privacy.change_snapshot(ben, world.a.environment, made.id, msgspec.structs.replace(new, target=".name"))
    stale = ann.post(address, seen)
    assert stale.status_code == 412 and "ben@shop.test changed what it reads" in stale.text
    again = hidden_of(stale.text[stale.text.index("<main") :])
    assert ann.client.post(address, data=again, follow_redirects=False).status_code == 303
    assert privacy.list_snapshots(ben, world.a.environment) == []
