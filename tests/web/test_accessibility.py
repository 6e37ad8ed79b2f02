"""Every page with axe: in light and dark, wide and on a phone, with data, empty, and with mistakes in its forms."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from cairn.away_page import away_form, away_page
from tests.patience import WAIT_MS
from tests.prepared import Demos
from tests.served import Served
from tests.web.axe import PHONE, WIDE, axe_context, findings
from tests.web.pages import addresses, sign_in, url_of, values_of
from tests.web.sign_up import fill_sign_up, send_sign_up

pytestmark = pytest.mark.slow

LONG = "correct horse battery"
PATHS = [page.path for page in addresses()]


@dataclass
class Demo:
    served: Served
    context: BrowserContext
    tab: Page
    values: dict[str, str]

    def go(self, path: str, **values: str) -> Page:
        self.tab.set_viewport_size(WIDE)  # type: ignore[arg-type]
        self.tab.emulate_media(color_scheme="light")
        self.tab.goto(self.served.url + url_of(path, {**self.values, **values}))
        return self.tab


@pytest.fixture(scope="module")
def demo(chromium: Browser, tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Demo]:
    served = demos.served(tmp_path_factory.mktemp("axe") / "data").start()
    context = axe_context(chromium)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    tab = context.new_page()
    sign_in(tab, served)
    yield Demo(served, context, tab, values_of(tab, served))
    context.close()
    assert served.stop() == 0


@pytest.fixture(scope="module")
def newcomer(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A Cairn nobody has signed up to yet."""
    served = Served(tmp_path_factory.mktemp("axe-new") / "data").start()
    context = axe_context(chromium)
    context.set_default_timeout(WAIT_MS)
    yield Demo(served, context, context.new_page(), {"environment": "production"})
    context.close()
    assert served.stop() == 0


@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_a_finding(demo: Demo, path: str) -> None:
    assert findings(demo.go(path)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/env/{environment}/nothing-here",
        "/env/{environment}/users?q=nobody-like-this",
        "/env/{environment}/users?after=zzzz",
        "/env/{environment}/live?q=nothing-like-this",
        "/env/{environment}/flags?q=nothing-like-this",
        "/env/{environment}/segments?q=nothing-like-this",
        "/env/{environment}/events?q=nothing-like-this",
        "/env/{environment}/segments/{segment_id}?user=ada@shop.test",
        "/env/{environment}/segments/{segment_id}?user=nobody",
        "/env/{environment}/flags/{key}?as=ada@shop.test",
        "/env/{environment}/events/label?address=nonsense:",
        "/env/{environment}/users/{user_id}?gap=30",
        "/env/nowhere/users",
        "/api/v1/docs",
    ],
)
def test_no_answer_to_a_question_has_a_finding(demo: Demo, path: str) -> None:
    assert findings(demo.go(path)) == []


def test_the_window_in_which_a_partner_app_is_allowed_has_no_finding(demo: Demo) -> None:
    tab = demo.go("/env/{environment}/partner-apps/{app_id}")
    client_id = tab.get_by_label("Copy the client id", exact=True).get_attribute("data-copy")
    asked = f"/api/partner/oauth/authorize?client_id={client_id}&state=s&response_type=code&scope=segment"
    tab = demo.go(f"{asked}&redirect_uri=https://mailer.example/heap/callback")
    expect(tab.get_by_role("button", name="Allow")).to_be_visible()
    assert findings(tab) == []
    tab = demo.go(f"{asked}&redirect_uri=https://elsewhere.example/")
    expect(tab.get_by_role("button", name="Allow")).to_have_count(0)
    assert findings(tab) == []


@pytest.mark.parametrize("rest", ["", "product/tent", "cart", "sign-in", "about"])
def test_the_demo_shop_has_no_finding(demo: Demo, rest: str) -> None:
    tab = demo.go(f"/demo/shop/{demo.served.production['app_id']}/{rest}")
    expect(tab.locator("#main h1").first).to_be_visible()
    assert findings(tab) == []


AWAY = {
    "a page": away_page(),
    "a form": away_form("/env/a", [("name", "Ada"), ("csrf", "x")], may_be_saved=False),
    "a form with a secret": away_form("/env/a", None, may_be_saved=True),
}


@pytest.mark.parametrize(("page", "policy"), AWAY.values(), ids=AWAY)
def test_the_page_of_a_core_that_is_away_has_no_finding(demo: Demo, page: bytes, policy: str) -> None:
    tab = demo.context.new_page()
    tab.route("**/away", lambda route: route.fulfill(status=503, body=page, content_type="text/html"))
    tab.goto(f"{demo.served.url}/away")
    assert findings(tab) == []
    tab.close()


# Of one address in an environment that has seen nothing yet.
LISTS = [path for path in PATHS if path.count("{") == 1 and "environment" in path]


@pytest.mark.parametrize("path", LISTS)
def test_no_empty_page_has_a_finding(demo: Demo, path: str) -> None:
    assert findings(demo.go(path, environment="development")) == []


def test_no_page_of_a_newcomer_has_a_finding(newcomer: Demo) -> None:
    tab = newcomer.go("/sign-up")
    assert findings(tab) == []
    tab.set_viewport_size(PHONE)  # type: ignore[arg-type]
    fill_sign_up(tab, password="short")
    send_sign_up(tab)
    expect(tab.get_by_role("alert")).to_be_visible()
    assert findings(tab) == []
    tab.get_by_label("Password").fill("correct horse battery")
    send_sign_up(tab)
    tab.wait_for_url("**/env/production")
    for path in LISTS:
        assert findings(newcomer.go(path)) == [], path


def test_signing_in_has_no_finding(demo: Demo, chromium: Browser) -> None:
    context = axe_context(chromium)
    tab = context.new_page()
    tab.goto(f"{demo.served.url}/sign-in")
    assert findings(tab) == []
    tab.get_by_label("E-mail").fill("nobody@shop.test")
    tab.get_by_label("Password").fill("wrong horse battery")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    assert findings(tab) == []
    context.close()


_EMPTIED = """(form) => {
  form.noValidate = true
  for (const each of form.querySelectorAll('input:not([type=hidden]):not([type=checkbox]), textarea')) each.value = ''
}"""


def send_emptied(tab: Page) -> Response | None:
    """Press the page's main button with nothing typed; None where the page has no form of its own."""
    button = tab.locator("main form[method=post]:not(:has(input[name=sure])) button[data-main]").first
    if not button.count():
        return None
    button.evaluate(f"(button) => ({_EMPTIED})(button.form)")
    with tab.expect_response(lambda response: response.request.method == "POST") as answer:
        button.click()
    return answer.value


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("/sign-in", "/sign-up")])
def test_no_form_with_a_mistake_has_a_finding(demo: Demo, path: str) -> None:
    answer = send_emptied(demo.go(path))
    if answer is not None and answer.status == 422:
        expect(demo.tab.get_by_role("alert").first).to_be_visible()
        assert findings(demo.tab) == []


@pytest.fixture
def phone(demo: Demo, chromium: Browser) -> Iterator[Page]:
    """A tab of a telephone, signed in as the demo's owner."""
    context = axe_context(
        chromium, viewport=PHONE, has_touch=True, storage_state=demo.context.storage_state()
    )
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


def inside(tab: Page, selector: str) -> bool:
    """Whether what the selector names lies on the screen as a whole, sideways."""
    box = tab.locator(selector).bounding_box()
    assert box is not None
    return box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]


def test_the_menu_of_a_phone_names_the_page_and_leads_to_others(demo: Demo, phone: Page) -> None:
    phone.goto(f"{demo.served.url}/env/production/segments")
    expect(phone.locator("nav.nav")).to_be_hidden()
    button = phone.get_by_role("button", name="Menu, now at Segments")
    button.tap()
    expect(phone.locator("nav.nav [aria-current=page]")).to_have_text("Segments")
    assert inside(phone, "nav.nav")
    assert findings(phone) == []
    phone.set_viewport_size(PHONE)  # type: ignore[arg-type]
    phone.keyboard.press("Escape")
    expect(phone.locator("nav.nav")).to_be_hidden()
    button.focus()
    phone.keyboard.press("Enter")
    phone.get_by_role("link", name="Sources and keys").tap()
    expect(phone.get_by_role("heading", name="Sources and keys", level=1)).to_be_visible()


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/env/production/tokens", "Delete"),
        ("/env/production/keys", "Rotate"),
        ("/env/production/keys", "Rotate the SDK key"),
        ("/env/production/flags/featureFlag", "Archive"),
        ("/env/production/flags/featureFlag", "Delete"),
        ("/env/production/segments/1", "Delete"),
    ],
)
def test_a_confirmation_opens_on_the_screen_of_a_phone(
    demo: Demo, phone: Page, path: str, label: str
) -> None:
    phone.goto(demo.served.url + path)
    asked = phone.locator("details.ask", has=phone.locator("summary", has_text=label)).last
    asked.locator("summary").tap()
    expect(asked.locator(".card")).to_be_visible()
    assert inside(phone, "details.ask[open] > .card")
    asked.get_by_role("button", name=re.compile("Cancel|Close")).tap()
    # By its state: to ask whether the sheet can be seen while it is closed ends headless Chromium's renderer.
    expect(asked).to_have_js_property("open", False)
    asked.locator("summary").tap()
    phone.touchscreen.tap(PHONE["width"] / 2, 60)  # beside the sheet
    expect(asked).to_have_js_property("open", False)


@pytest.mark.parametrize(
    ("path", "fills", "button", "field"),
    [
        ("/segments/new", {"Name": "No property"}, "Create the segment", "Property"),
        ("/flags/new", {"Name": "No key"}, "Create the flag", "Key"),
        ("/flags/{key}/rules/new", {"Traffic in percent": "50"}, "Add the rule", "Segment"),
        ("/tokens", {"Name": " "}, "Create the token", "Name"),
        ("/accounts", {"Account ID property": "k" * 2000}, "Save", "Account ID property"),
        (
            "/account",
            {"Current password": "not mine", "New password": LONG, "The new one again": LONG},
            "Change the password",
            "Current password",
        ),
    ],
)
def test_a_refused_form_says_so_at_the_field_in_red_and_gives_it_the_focus(
    demo: Demo, path: str, fills: dict[str, str], button: str, field: str
) -> None:
    tab = demo.go(f"/env/{{environment}}{path}")
    for label, value in fills.items():
        tab.get_by_label(label, exact=True).fill(value)
    tab.get_by_role("button", name=button).last.click()
    wrong = tab.get_by_label(field, exact=True)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_be_focused()
    described = (wrong.get_attribute("aria-describedby") or "").split()
    message = tab.locator(f"[id='{described[-1]}']")  # names of controls hold dots
    expect(message).to_have_attribute("role", "alert")
    expect(message).to_have_css("color", "rgb(168, 54, 42)")  # --bad in light


def test_deleting_what_is_used_names_with_links_what_uses_it(demo: Demo) -> None:
    tab = demo.go("/env/{environment}/segments/{segment_id}")
    tab.locator("summary", has_text="Delete").click()
    sheet = tab.locator("details.ask[open] > .card")
    expect(sheet.get_by_role("link")).to_have_attribute(
        "href", f"/env/production/flags/{demo.served.demo['flag']}"
    )
    expect(sheet.get_by_role("button", name="Delete the segment")).to_have_count(0)


def test_a_form_that_is_kept_through_signing_in_has_no_finding(demo: Demo, chromium: Browser) -> None:
    context = axe_context(chromium, storage_state=demo.context.storage_state())
    context.set_default_timeout(WAIT_MS)
    tab = context.new_page()
    tab.goto(f"{demo.served.url}/env/production/segments/new")
    tab.get_by_label("Name", exact=True).fill("Typed for long")
    context.clear_cookies(name="cairn_session")
    tab.get_by_role("button", name="Create the segment").click()
    expect(tab.locator("input[name=kept]")).to_have_count(1)
    assert findings(tab) == []
    tab.get_by_label("E-mail").fill(demo.served.demo["email"])
    tab.get_by_label("Password").fill(demo.served.demo["password"])
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", name="What you typed is kept")).to_be_visible()
    assert findings(tab) == []
    context.close()


def test_what_was_changed_meanwhile_is_told_without_a_finding(demo: Demo) -> None:
    """An editor and a button of a page that is older than the newest change."""
    older = demo.context.new_page()
    older.goto(f"{demo.served.url}{url_of('/env/{environment}/segments/{segment_id}/edit', demo.values)}")
    tab = demo.go("/env/{environment}/segments/{segment_id}/edit")
    tab.get_by_label("Description").fill("Changed second")
    tab.get_by_role("button", name="Save").last.click()
    expect(tab.get_by_role("heading", level=1)).not_to_contain_text("Edit")
    older.get_by_label("Description").fill("Changed third")
    older.get_by_role("button", name="Save").last.click()
    expect(older.get_by_role("alert", name="Changed meanwhile")).to_be_visible()
    assert findings(older) == []
    older.goto(f"{demo.served.url}/env/production/keys")
    tab = demo.go("/env/{environment}/keys")
    tab.get_by_role("switch", name="Flag events only with the server SDK key").check()
    expect(tab.get_by_text("count only with the server SDK key")).to_be_visible()
    asked = older.locator("details.ask", has=older.locator("summary", has_text="Rotate the SDK key"))
    asked.locator("summary").click()
    asked.get_by_role("button", name="Make a new key").click()
    expect(older.get_by_role("heading", name="Changed in the meantime")).to_be_visible()
    assert findings(older) == []
    older.close()
    tab.get_by_role("switch", name="Flag events only with the server SDK key").uncheck()
