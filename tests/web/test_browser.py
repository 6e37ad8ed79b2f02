"""The pages in a real browser against a served Cairn: from the first visit to a flag that is on for somebody."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect

from tests.patience import WAIT_MS, eventually
from tests.served import Served
from tests.web.sign_up import fill_sign_up, send_sign_up

EMAIL, PASSWORD = "ann@shop.test", "correct horse battery"


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("pages") / "data")
    served.start()
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(timezone_id="Europe/Berlin")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield context
    context.close()


@pytest.fixture(scope="module")
def page(cairn: Served, context: BrowserContext) -> Iterator[Page]:
    """Signed up. Any complaint of the browser fails the test: blocked inline code, missing files, errors."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: _note(complaints, message))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(cairn.url)
    expect(page.get_by_role("heading", name="Welcome to Cairn")).to_be_visible()
    fill_sign_up(page)
    send_sign_up(page)
    expect(page.get_by_text("Waiting for your first event")).to_be_visible()
    yield page
    assert complaints == []


def _note(complaints: list[str], message: ConsoleMessage) -> None:
    refused_by_us = "status of 422" in message.text  # a form with a mistake; the page shows it at the field
    if message.type in ("error", "warning") and not refused_by_us:
        complaints.append(message.text)


def app_id(cairn: Served, page: Page) -> str:
    page.goto(f"{cairn.url}/env/production/keys")
    return page.locator("dt", has_text="App id").locator("+ dd code").inner_text()


def track(
    cairn: Served, key: str, event: str, identity: str = "ann@shop.test", *, status: int = 200, **more: str
) -> None:
    body = {"app_id": key, "identity": identity, "event": event, "properties": more}
    assert httpx2.post(f"{cairn.url}/api/track", json=body).status_code == status


def test_home_of_a_new_workspace_shows_the_visitors_own_click_to_name(
    cairn: Served, page: Page, context: BrowserContext
) -> None:
    page.goto(f"{cairn.url}/env/development")
    first = page.locator("#first")
    expect(first.get_by_role("heading", name="Waiting for your first event")).to_be_visible()
    first.get_by_role("button", name="Copy").click()
    snippet = page.evaluate("navigator.clipboard.readText()")
    site = context.new_page()
    body = f"<!doctype html><head>{snippet}</head><button id=buy>Buy a tent</button>"
    site.route(
        f"{cairn.url}/a-page-of-yours", lambda route: route.fulfill(body=body, content_type="text/html")
    )
    site.goto(f"{cairn.url}/a-page-of-yours")
    expect(first.get_by_role("heading", name="Your first event is here")).to_be_visible()
    site.get_by_role("button", name="Buy a tent").click()
    site.close()
    expect(first).to_contain_text("Buy a tent")
    first.get_by_role("link", name="Name this").click()
    expect(page.get_by_label("CSS selector", exact=True)).to_have_value('[id="buy"]')


def test_live_receives_events_pauses_and_explains(cairn: Served, page: Page) -> None:
    key = app_id(cairn, page)
    page.goto(f"{cairn.url}/env/production/live")
    expect(page.locator("[data-live-state]")).to_have_text("live")
    track(cairn, key, "Hello Cairn", plan="premium")
    row = page.locator("[data-live] li", has_text="Hello Cairn")
    expect(row).to_be_visible()
    expect(page.get_by_text("Waiting for your first event")).to_have_count(0)
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text('"plan": "premium"')
    row.locator("summary").click()
    page.get_by_role("button", name="Pause").click()
    track(cairn, key, "While paused")
    expect(page.get_by_role("button", name="Go on (1 new)")).to_be_visible()
    expect(page.locator("[data-live] li", has_text="While paused")).to_have_count(0)
    page.get_by_role("button", name="Go on (1 new)").click()
    expect(page.locator("[data-live] li", has_text="While paused")).to_have_count(1)
    track(cairn, key, "Wrong one", identity="undefined", status=400)
    refused = page.locator("[data-live] li", has_text="Wrong one")
    expect(refused).to_contain_text("invalid")
    refused.locator("summary").click()
    expect(refused).to_contain_text("would merge unrelated users")
    page.get_by_label("Outcome").select_option("accepted")
    expect(page).to_have_url(re.compile(r"outcome=accepted"))
    expect(page.locator("[data-live] li", has_text="Hello Cairn")).to_be_visible()
    expect(page.locator("[data-live] li", has_text="Wrong one")).to_have_count(0)


def test_a_segment_is_made_row_by_row(cairn: Served, page: Page) -> None:
    key = app_id(cairn, page)
    body = {"app_id": key, "identity": "ann@shop.test", "properties": {"plan": "premium"}}
    assert httpx2.post(f"{cairn.url}/api/add_user_properties", json=body).status_code == 200
    page.goto(f"{cairn.url}/env/production/segments/new")
    page.get_by_label("Name", exact=True).fill("Premium users")
    page.get_by_label("Key", exact=True).fill("heap_premium_users")
    page.get_by_label("Property", exact=True).fill("plan")
    page.get_by_label("Value", exact=True).fill("premium")
    expect(page.locator("#counted")).to_contain_text("1 user in Production now")
    expect(page.locator('#values-g0\\.r0 option[value="premium"]')).to_have_count(1)
    page.get_by_role("button", name="Add a condition").click()
    second = page.locator("#g0\\.r1")
    second.get_by_label("What").select_option("did")
    expect(second.get_by_label("Times")).to_have_value("1")
    second.get_by_label("Event name").fill("Hello Cairn")
    second.get_by_label("When").select_option("last")
    expect(second.get_by_label("How many")).to_have_value("30")
    expect(page.get_by_label("Value", exact=True)).to_have_value("premium")
    second.get_by_label("Times").fill("some")
    page.get_by_role("button", name="Create the segment").click()
    expect(second.get_by_role("alert")).to_contain_text("whole number")
    second.get_by_label("Times").fill("1")
    page.get_by_role("button", name="Create the segment").click()
    expect(page.get_by_role("heading", name="Premium users")).to_be_visible()
    eventually(lambda: page.reload() and page.locator("td a", has_text="ann@shop.test").count())
    page.keyboard.press("/")
    page.keyboard.type("ann@shop.test")
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_contain_text("ann@shop.test is in since")


def test_a_flag_is_made_for_the_segment_and_switched_on(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}/env/production/flags/new")
    page.get_by_label("Key", exact=True).fill("new-checkout")
    page.get_by_label("Name", exact=True).fill("New checkout")
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Key of variable 1").fill("columns")
    page.get_by_label("Type").select_option("integer")
    page.get_by_label("Default of variable 1").fill("2")
    page.get_by_role("button", name="Create the flag").click()
    page.get_by_role("link", name="Add the first rule").click()
    page.get_by_label("Segment", exact=True).select_option(label="Premium users (heap_premium_users)")
    page.get_by_label("Traffic in percent").fill("100")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.locator(".rule")).to_contain_text("live, 1 member")
    switch = page.get_by_role("switch", name="On in Production")
    expect(switch).not_to_be_checked()
    switch.check()
    expect(page.locator(".head")).to_contain_text("on in Production since")
    page.reload()
    expect(page.get_by_role("switch", name="On in Production")).to_be_checked()
    page.get_by_label("User").fill("ann@shop.test")
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#tried")).to_contain_text("A rollout rule gives it to this user")
    expect(page).to_have_url(re.compile(r"as=ann"))
    page.get_by_role("switch", name="On in Production").uncheck()
    expect(page.locator(".head")).to_contain_text("off in Production")
    page.goto(f"{cairn.url}/env/production/flags")
    with page.expect_response("**/toggle"):
        page.get_by_role("switch", name="new-checkout on in Development").check()
    page.reload()
    expect(page.get_by_role("switch", name="new-checkout on in Development")).to_be_checked()


def test_copying_a_key_and_confirming_what_is_lost(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}/env/production/keys")
    button = page.get_by_role("button", name="Copy the SDK key")
    key = page.locator("dt", has_text="SDK key").locator("+ dd code").inner_text()
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == key
    page.locator("summary", has_text="Rotate the SDK key").click()
    expect(page.get_by_text("Make a new SDK key?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Make a new SDK key?")).to_be_hidden()
    page.locator("summary", has_text="Rotate the SDK key").click()
    page.get_by_role("button", name="Make a new key").last.click()
    expect(page.get_by_role("status")).to_contain_text("new SDK key")
    assert page.locator("dt", has_text="SDK key").locator("+ dd code").inner_text() != key


def test_the_keyboard_goes_everywhere(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}/env/production")
    for letter, heading in (
        ("l", "Live"),
        ("u", "Users"),
        ("s", "Segments"),
        ("f", "Flags"),
        ("k", "Sources and keys"),
        ("a", "Your sign-in"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    page.goto(f"{cairn.url}/env/production/users")
    page.keyboard.press("/")
    expect(page.get_by_label("Search users")).to_be_focused()
    page.keyboard.type("nobody like this")
    expect(page.get_by_text("Nobody matches")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=nobody"))
    expect(page.get_by_label("Search users")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search users")).not_to_be_focused()
    page.get_by_label("Environment").select_option(label="Shop · Development")
    expect(page).to_have_url(re.compile(r"/env/development/users"))
    expect(page.get_by_text("Times in Europe/Berlin")).to_be_visible()


def test_pages_work_without_javascript(
    cairn: Served, context: BrowserContext, page: Page, tmp_path: Path
) -> None:
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, storage_state=context.storage_state())
    still = plain.new_page()
    still.goto(f"{cairn.url}/env/production/users?q=ann")
    expect(still.get_by_role("link", name="ann@shop.test")).to_be_visible()
    still.goto(f"{cairn.url}/env/production/segments/new")
    still.get_by_role("button", name="Add a condition").click()
    expect(still.locator(".condition")).to_have_count(2)
    still.goto(f"{cairn.url}/env/production/flags/new-checkout")
    still.get_by_role("button", name="Switch on").click()
    expect(still.locator(".head")).to_contain_text("on in Production since")
    plain.close()


def answer_with(answer: dict[str, Any], route: Route) -> None:
    route.fulfill(content_type="text/html", **answer)


def test_an_editor_keeps_what_was_typed_while_the_session_ends_or_the_server_is_away(
    cairn: Served, page: Page, context: BrowserContext
) -> None:
    tab = context.new_page()
    tab.goto(f"{cairn.url}/env/production/segments/new")
    tab.get_by_label("Name", exact=True).fill("Typed for long")
    tab.get_by_label("Key", exact=True).fill("typed_for_long")
    tab.get_by_label("Property", exact=True).fill("plan")
    save = tab.get_by_role("button", name="Create the segment")
    for fulfil, said in (
        ({"status": 503, "body": "<main>away</main>"}, "restarting"),
        ({"status": 500, "body": "<main id=main><p data-error>It failed</p></main>"}, "It failed"),
    ):
        tab.route("**/segments/new", partial(answer_with, fulfil))
        save.click()
        expect(tab.locator("#editor [role=alert]")).to_contain_text(said)
        expect(tab.locator("#editor [role=alert]")).to_be_focused()
        expect(tab.get_by_label("Key", exact=True)).to_have_value("typed_for_long")
        tab.unroute("**/segments/new")
    tab.route("**/segments/new", lambda route: route.abort())
    save.click()
    expect(tab.locator("#editor [role=alert]")).to_contain_text("does not answer")
    tab.unroute("**/segments/new")
    context.clear_cookies(name="cairn_session")
    save.click()
    expect(tab.get_by_text("What you typed is kept")).to_be_visible()
    tab.get_by_label("E-mail").fill(EMAIL)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("button", name="Go on").click()
    expect(tab.get_by_label("Key", exact=True)).to_have_value("typed_for_long")
    expect(tab.get_by_label("Property", exact=True)).to_have_value("plan")
    tab.close()


def test_a_file_is_uploaded_with_its_progress_and_bad_lines_are_named(
    cairn: Served, page: Page, tmp_path: Path
) -> None:
    said: list[str] = []
    page.expose_function("noted", lambda text: said.append(text))
    page.goto(f"{cairn.url}/env/production/lists")
    page.get_by_label("Name", exact=True).fill("Uploaded")
    page.get_by_role("button", name="Make the list").click()
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("user_id\n" + "".join(f"u{number},{'x' * 400}\n" for number in range(30_000)))
    bad.write_text("u1\n,two\n")
    watch = """new MutationObserver((found) => noted(found[0].target.textContent))
        .observe(document.querySelector('[data-upload] [role=status]'), { childList: true })"""
    page.get_by_label("CSV file").set_input_files(good)
    page.evaluate(watch)
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_text("30,000 added, 0 removed; 30,000 values now.")).to_be_visible()
    expect(page.get_by_text("“user_id”, was taken as heading")).to_be_visible()
    assert said[-1] == "Reading the values…"
    with page.expect_response(lambda answer: answer.url.endswith("/upload")) as refused:
        page.get_by_label("CSV file").set_input_files(bad)
        page.get_by_role("button", name="Upload", exact=True).click()
    assert refused.value.status == 422
    alert = page.get_by_role("alert").filter(has_text="line 2: empty")
    expect(alert).to_be_focused()
    expect(page.get_by_role("button", name="Upload", exact=True)).to_be_enabled()
