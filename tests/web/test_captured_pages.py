"""Captured events on the pages, in a real browser over the demo: told, filtered, defined, used, split by silence."""

import re
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.patience import PATIENCE_S, WAIT_MS, eventually
from tests.prepared import Demos
from tests.served import Served

A_SECOND, SECONDS = 500, 4
HERE = "/env/production"


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("captured") / "data", "--rate-limits", "false")
    yield served.start()
    assert served.stop() == 0


@pytest.fixture(scope="module")
def page(cairn: Served, chromium: Browser) -> Iterator[Page]:
    page = chromium.new_context(timezone_id="Europe/Berlin").new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(cairn.url)
    page.fill("input[name=email]", cairn.demo["email"])
    page.fill("input[name=password]", cairn.demo["password"])
    page.press("input[name=password]", "Enter")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    until_loaded(page, cairn)
    yield page
    assert wrong == []


def until_loaded(page: Page, cairn: Served) -> None:
    """The demo's history is loaded when the event that comes after it is there."""
    body = {"app_id": cairn.production["app_id"], "identity": "last@shop.test", "event": "After the history"}
    assert httpx2.post(f"{cairn.url}/api/track", json=body, timeout=PATIENCE_S).status_code == 200
    page.goto(f"{cairn.url}{HERE}/live?q=After+the+history")
    expect(page.locator("[data-live] li")).to_have_count(1)


def test_live_tells_what_was_done_to_what_and_filters_by_a_defined_event(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}{HERE}/live")
    page.get_by_label("Type").select_option(label="Clicks")
    expect(page).to_have_url(re.compile("type=click"))
    first = page.locator("[data-live] li").first
    expect(first).to_contain_text(re.compile("Clicked (link|button) .+ on /"))
    page.get_by_label("Type").select_option(label="Cart - Add")
    expect(page).to_have_url(re.compile(r"type=defined-\d+"))
    told = page.locator("[data-live] summary").all_inner_texts()
    assert told and all(re.fullmatch("Clicked button Add to cart on /product/.+", one) for one in told)
    shop = page.context.new_page()
    shop.goto(f"{cairn.url}/demo/shop/{cairn.production['app_id']}/product/tent")
    shop.get_by_role("button", name="Add to cart").click()
    shop.goto(f"{cairn.url}/demo/shop/{cairn.production['app_id']}/")
    shop.locator("main a svg").first.click()
    shop.get_by_role("link", name="About us").click()  # leaving sends what waits
    expect(page.locator("[data-live] li", has_text="/demo/shop/").first).to_contain_text("Add to cart")
    shop.close()
    texts = page.locator("[data-live] summary").all_inner_texts()
    assert all("Add to cart" in text for text in texts), "the visit's other events are not of this definition"
    page.get_by_label("Type").select_option(label="Clicks")
    expect(
        page.locator("[data-live] li", has_text="Clicked picture in link /demo/shop/").first
    ).to_be_visible()


def test_an_open_payload_is_read_in_peace_and_becomes_a_definition(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}{HERE}/live?type=click&q=Check+out")
    page.locator("[data-live] summary").first.click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.locator("[data-live] pre").first).to_contain_text('"hierarchy"')
    page.get_by_role("link", name="Define an event from this").first.click()
    expect(page.get_by_label("CSS selector")).to_have_value("a.button.checkout")
    expect(page.locator("#tried")).to_contain_text(re.compile(r"\d+ events by \d+ users"))
    expect(page.locator("#tried")).to_contain_text("Clicked link Check out on /cart")
    page.get_by_label("CSS selector").fill("a.nothing-like-it")
    expect(page.locator("#tried")).to_contain_text("Nothing that was captured matches")
    page.get_by_label("CSS selector").fill("a +")
    expect(page.locator("#tried")).to_contain_text("cannot be counted yet")


def test_live_stays_at_ease_with_five_hundred_a_second(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}{HERE}/live")
    expect(page.locator("[data-live-state]")).to_have_text("live")
    sender = threading.Thread(target=send_many, args=(cairn,))
    sender.start()
    expect(page.locator("[data-live-state]")).to_contain_text("a second")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-state]")).to_have_text("paused")
    sender.join()
    assert page.locator("[data-live] li").count() <= 200
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[data-live-state]")).to_contain_text("live")
    assert page.locator("[data-live] li").count() <= 200


def send_many(cairn: Served) -> None:
    with httpx2.Client(timeout=PATIENCE_S) as client:
        for second in range(SECONDS):
            began = time.monotonic()
            events = [
                {"identity": f"u{n}@busy.test", "event": "Busy", "idempotency_key": f"{second}-{n}"}
                for n in range(A_SECOND)
            ]
            client.post(
                f"{cairn.url}/api/track", json={"app_id": cairn.production["app_id"], "events": events}
            )
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))


def test_a_defined_event_is_used_in_segments_and_users(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}{HERE}/users")
    page.get_by_label("Who did").select_option(label="Did Checkout - Order")
    expect(page).to_have_url(re.compile(r"did=\d+"))
    expect(page.get_by_role("columnheader", name="Times")).to_be_visible()
    buyer = page.locator("tbody td a").first.inner_text()
    sizes = [segment(cairn, page, what) for what in ("did", "did_not")]
    everybody = httpx2.get(
        f"{cairn.url}/api/v1/defined-events/5/counts?environment=production",
        headers={"Authorization": f"Bearer {cairn.demo['api_token']}"},
        timeout=20,
    ).json()
    assert sizes[0][1] > 0 and sizes[1][1] > 0
    assert everybody["users"] == sizes[0][1], "one count everywhere"
    assert buyer in sizes[0][0] or sizes[0][1] > 50


def segment(cairn: Served, page: Page, what: str) -> tuple[str, int]:
    """Make one of who did, or did not, order; return its page's text and its size."""
    page.goto(f"{cairn.url}{HERE}/segments/new")
    page.get_by_label("Name", exact=True).fill(f"Ordering {what}")
    page.get_by_label("Key", exact=True).fill(f"ordering_{what}")
    row = page.locator("#g0\\.r0")
    row.get_by_label("What").select_option(what)
    row.get_by_label("Kind").select_option(label="Checkout - Order")
    page.get_by_role("button", name="Create the segment").click()
    expect(page.get_by_role("heading", name=f"Ordering {what}")).to_be_visible()
    headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}

    def size() -> int:
        found = httpx2.get(f"{cairn.url}/api/v1/segments", headers=headers, timeout=PATIENCE_S).json()[
            "segments"
        ]
        own = next(each for each in found if each["key"] == f"ordering_{what}")
        states = {state["environment"]: state["users"] for state in own["environments"]}
        return int(states.get("production") or 0)

    counted = eventually(size)
    page.reload()
    return page.locator("main").inner_text(), counted


def test_a_timeline_is_split_by_sessions_and_by_any_silence(cairn: Served, page: Page) -> None:
    page.goto(f"{cairn.url}{HERE}/users?q=ada@shop.test")
    page.locator("tbody td a").first.click()
    expect(page.get_by_text("as captured").first).to_be_visible()
    captured = page.locator(".days h3", has_text="session").count()
    assert captured > 0
    page.get_by_label("What ends a session").select_option("240")
    expect(page).to_have_url(re.compile("gap=240"))
    expect(page.locator(".days header")).to_contain_text("split by 240 min of silence")
    assert page.locator(".days h3", has_text="session").count() > 0
    expect(page.get_by_role("heading", name="Flags")).to_be_visible()
    expect(page.get_by_text(re.compile(r"brought \d+ event")).first).to_be_visible()
