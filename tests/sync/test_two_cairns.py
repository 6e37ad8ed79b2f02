"""Two Cairns, one with segments and one with flags: connected by mouse, as the reference story has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.patience import PATIENCE_S
from tests.served import Served

ALLOWED = ("--outbound-networks", "127.0.0.0/8, ::1")


@pytest.fixture(scope="module")
def cairns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """Of segments, and of flags."""
    folder = tmp_path_factory.mktemp("two")
    analytics = Served(folder / "analytics", options=ALLOWED).make_demo().start()
    flags = Served(folder / "flags", options=ALLOWED).make_demo().start()
    yield analytics, flags
    analytics.stop()
    flags.stop()


def named(served: Served) -> str:
    """Its address by name: a browser keeps the sessions of two hosts apart, and not those of two ports."""
    return served.url.replace("127.0.0.1", "localhost")


def sign_in(tab: Page, served: Served) -> None:
    tab.get_by_label("E-mail").fill(served.demo["email"])
    tab.get_by_label("Password").fill(served.demo["password"])
    tab.get_by_role("button", name="Sign in").click()


def api(served: Served, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {served.demo['api_token']}"}
    answer = httpx2.request(method, f"{served.url}/api/v1{path}", json=body, headers=headers, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_the_story_by_mouse(chromium: Browser, cairns: tuple[Served, Served], tmp_path: Path) -> None:
    analytics, flags = cairns
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    tab = context.new_page()
    tab.goto(f"{flags.url}/sign-in")
    sign_in(tab, flags)
    tab.wait_for_url("**/env/production")
    tab.get_by_role("link", name="Heap", exact=True).click()
    tab.get_by_role("button", name="Enable Heap").click()
    tab.get_by_label("Enable use of Heap segment for visitor targeting").check()
    tab.get_by_label("Heap’s address").fill(named(analytics))
    tab.get_by_role("button", name="Save").click()
    with context.expect_page() as opened:
        tab.get_by_role("button", name="Authenticate Wingify on Heap").click()
    window = opened.value
    window.wait_for_url("**/sign-in**")
    sign_in(window, analytics)
    window.get_by_label("Environment").select_option(index=0)
    window.get_by_role("button", name="Allow").click()
    expect(window.get_by_text("Connected.")).to_be_visible()
    expect(tab.locator("#connection").get_by_text("Heap environment")).to_be_visible()
    window.close()

    (target,) = api(analytics, "GET", "/sync-targets?environment=production")["targets"]
    segment = next(
        known
        for known in api(analytics, "GET", "/segments")["segments"]
        if known["key"] == "heap_premium_users"
    )
    body = {"target_id": target["id"], "every": "continuous"}
    api(analytics, "POST", f"/segments/{segment['id']}/syncs?environment=production", body)

    tab.get_by_role("link", name="Audiences").click()
    tab.get_by_role("link", name="Add segments from Heap").first.click()
    tab.get_by_label(segment["name"]).check()
    tab.get_by_role("button", name="Add", exact=True).click()
    row = tab.locator("#audiences tbody tr")
    expect(row.get_by_text("synced", exact=True)).to_be_visible()
    (audience,) = api(flags, "GET", "/audiences?environment=production")["audiences"]
    members = api(flags, "GET", f"/audiences/{audience['id']}/members?environment=production&limit=1")
    assert audience["members"] == members["total"] > 0
    asked = {
        "attribute": members["members"][0]["value"], "listId": audience["list_id"],
        "accountId": str(flags.demo["account_id"]),
    }  # fmt: skip
    assert httpx2.get(f"{flags.url}/check-attribute", params=asked).json() is True
    context.close()
