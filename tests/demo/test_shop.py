"""The demo shop in a real browser: a walk through it is captured, and what was typed is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page

from cairn.clock import utc_now
from cairn.db.engine import open_engine
from cairn.db.tables import environments
from cairn.privacy.capture import CaptureSettings, write_capture
from cairn.privacy.snapshot import NewSnapshot, add_snapshot, list_snapshots
from tests.databases import database_url
from tests.patience import PATIENCE_S, eventually
from tests.served import Served

EMAIL = "walker@shop.test"
SECRETS = ("Wanda Walker", "Long Road 7", "4242 4242 4242 4242", "open sesame")


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("shop") / "data"
    served = Served(folder).make_demo().start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def page(cairn: Served, chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page()
    page.wrong = []  # type: ignore[attr-defined]
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.wrong.append(str(error)))  # type: ignore[attr-defined]
    yield page
    page.close()


def shop(cairn: Served) -> str:
    return f"{cairn.url}/demo/shop/{cairn.production['app_id']}/"


def until(page: Page, holds: str) -> None:
    """Asked from here: the page's policy against eval would stop Playwright from asking inside it."""
    eventually(lambda: page.evaluate(holds), 30)


def events(cairn: Served, user: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}
    address = f"{cairn.url}/api/v1/users/{user}/export?environment=production"
    answer = httpx2.get(address, headers=headers, timeout=PATIENCE_S)
    return list(answer.json()["events"]) if answer.status_code == 200 else []


def test_a_walk_through_the_shop_is_captured(cairn: Served, page: Page) -> None:
    page.goto(shop(cairn))
    until(page, "window.heap && window.heap.loaded")
    page.click("a.product[data-product=tent]")
    page.click("button.add")
    page.click("a.cart")
    page.click("a.checkout")
    page.fill("input[name=name]", SECRETS[0])
    page.fill("input[name=address]", SECRETS[1])
    page.fill("input[name=card-number]", SECRETS[2])
    page.select_option("select[name=delivery]", "Carrier pigeon")
    page.click("form.checkout button")
    page.click("#who")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", SECRETS[3])
    page.select_option("select[name=plan]", "premium")
    page.click("form.sign-in button")
    until(page, f"document.getElementById('who').textContent === '{EMAIL}'")
    page.click("text=About us")  # a whole load, which also sends what waits
    until(page, "window.heap && window.heap.loaded")
    assert page.wrong == [], "nothing the page's policy refuses"  # type: ignore[attr-defined]

    custom = {"Product Viewed", "Added to Cart", "Checkout Started", "Order Completed"}
    eventually(lambda: custom <= {event["name"] for event in events(cairn, EMAIL)})
    eventually(lambda: len([event for event in events(cairn, EMAIL) if event["kind"] == "pageview"]) >= 6)
    found = events(cairn, EMAIL)
    assert {"click", "change", "submit", "session"} <= {one["kind"] for one in found}
    assert {one["library"] for one in found if one["kind"] == "pageview"} == {"web"}
    paths = [one["path"] for one in found if one["kind"] == "pageview"]
    assert any(path.endswith("/product/tent") for path in paths)
    told = str(found)
    assert not [secret for secret in SECRETS if secret in told]
    headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}
    address = f"{cairn.url}/api/v1/users/{EMAIL}?environment=production"
    eventually(
        lambda: "heap_premium_users" in str(httpx2.get(address, headers=headers).json()["segments"]), 30
    )


def test_only_the_demo_has_a_shop(cairn: Served) -> None:
    there = httpx2.get(shop(cairn), timeout=PATIENCE_S)
    assert there.status_code == 200
    assert (
        "'self'" not in there.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
    )
    assert "'unsafe-inline'" not in there.headers["content-security-policy"]
    assert httpx2.get(shop(cairn).rstrip("/"), timeout=PATIENCE_S).status_code == 307
    assert httpx2.get(f"{cairn.url}/demo/shop/1234567890/", timeout=PATIENCE_S).status_code == 404
    assert httpx2.get(f"{shop(cairn)}%2e%2e/%2e%2e/shop.py", timeout=PATIENCE_S).text.startswith(
        "<!doctype html>"
    )


OPENINGS = [
    pytest.param("/demo/shop/{app_id}/", id="the shop"),
    pytest.param("/sign-in", id="a page of the dashboard"),
    pytest.param("/nowhere", id="a page that is not there"),
]


@pytest.mark.parametrize("path", OPENINGS)
def test_code_that_customers_write_never_runs_on_the_origin_of_the_pages(
    cairn: Served, chromium: Browser, path: str
) -> None:
    """Neither by itself nor by markup that somebody got into a page; `window.ran` would say so."""
    app_id = cairn.production["app_id"]
    function = snapshot(cairn, "window.ran = true; return 'read'")
    page = chromium.new_page()
    page.goto(cairn.url + path.format(app_id=app_id))
    if "shop" in path:
        until(page, "window.heap && window.heap.loaded")
        page.click("a.cart")
        until(page, "document.querySelector('h1').textContent === 'Your cart is empty'")
    page.evaluate(
        """(address) => new Promise((done) => {
            const script = document.createElement('script')
            script.onload = script.onerror = done
            script.src = address
            document.body.append(script)
        })""",
        function,
    )
    assert page.evaluate("[window.ran, window.broke]") == [None, None]
    page.close()
    opened = chromium.new_page()
    answer = opened.goto(cairn.url + function)
    assert answer is not None
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert opened.evaluate("[window.ran, window.broke, self.origin]") == [None, None, "null"]
    opened.close()


def snapshot(cairn: Served, code: str) -> str:
    """Make a JavaScript snapshot that also breaks out of its function; return the address of its file.

    In the database, because only an owner may, who has no token here.
    """
    body = code + "\n}; window.broke = true; function also() {"
    app_id = environments.c.app_id == cairn.production["app_id"]
    engine = open_engine(database_url(cairn.data_dir))
    with engine.begin() as connection:
        here, now = connection.execute(sa.select(environments.c.id).where(app_id)).scalar_one(), utc_now()
        write_capture(connection, here, CaptureSettings(may_run_javascript=True), now)
        if not list_snapshots(connection, here):
            new = NewSnapshot("Read", "click", "a", "javascript", body)
            add_snapshot(connection, here, new, now, may_run_javascript=True)
    engine.dispose()
    address = f"{cairn.url}/config/{cairn.production['app_id']}/heap_config.js"

    def functions() -> list[str]:
        return re.findall(r"/v5/functions/\d+/[0-9a-f]+\.js", httpx2.get(address, timeout=PATIENCE_S).text)

    eventually(lambda: len(functions()) > 0)
    assert "/v5/functions" not in httpx2.get(f"{address}?functions=none", timeout=PATIENCE_S).text
    return functions()[0]
