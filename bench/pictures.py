"""`make pictures`: the pages of a running demo, as the documentation shows them."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.routing.target import always, serving
from tests.routing.world import Routed
from tests.served import Served
from tests.sync.test_story import Pair, add_audience, connect, make_flag, recur

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
PAGES = {
    "home": "/env/production",
    "live": "/env/production/live",
    "users": "/env/production/users",
}
USER = "ada@shop.test"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cairn-pictures-") as folder, sync_playwright() as playwright:
        served = Served(Path(folder) / "data").make_demo().start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        try:
            time.sleep(5)
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            sign_in(page, served)
            walk(page, served)
            for name, path in PAGES.items():
                page.goto(served.url + path)
                page.wait_for_timeout(800)
                page.screenshot(path=str(FOLDER / f"{name}.png"))
            page.goto(f"{served.url}/env/production/users?q={USER}")
            page.locator("tbody td a").first.click()
            page.wait_for_timeout(800)
            page.screenshot(path=str(FOLDER / "user.png"))
            label(page, served)
        finally:
            served.stop()
        between_two(Path(folder), browser)
        to_others(Path(folder), browser)
        browser.close()


class Pictured(Pair):
    """Two Cairns, and a picture of each step of connecting them."""

    def look(self, page: Page, name: str) -> None:
        page.wait_for_timeout(800)
        page.screenshot(path=str(FOLDER / f"{name}.png"))


def between_two(folder: Path, browser: Browser) -> None:
    """The story of a segment of one Cairn in a flag of another, step by step."""
    options = ("--outbound-networks", "127.0.0.0/8,::1")
    analytics = Served(folder / "analytics", options=options).make_demo().start()
    flags = Served(folder / "flags", options=options).make_demo().start()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        pair, page = Pictured(analytics, flags), context.new_page()
        window = connect(pair, context, page)
        recur(pair, window)
        add_audience(pair, page)
        make_flag(pair, page)
    finally:
        context.close()
        analytics.stop()
        flags.stop()


def to_others(folder: Path, browser: Browser) -> None:
    """Connections to a destination that takes what it gets, and to one that is away."""
    served = Served(folder / "routed", options=("--outbound-networks", "127.0.0.0/8")).make_demo().start()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    with serving() as taking, serving() as refusing:
        routed, page = Routed(served), context.new_page()
        try:
            refusing.answer = always(503)
            rules = {"filters": [{"name": "Pings", "condition": "event = 'Internal Ping'"}]}
            crm = routed.connect(taking, name="Customer database", rules=rules)
            routed.connect(refusing, name="Warehouse")
            names = ("Order Completed", "Plan Chosen", "Internal Ping", "Signed Up")
            for name in names:
                routed.send(range(20), USER, "ben@shop.test", event=name)
            routed.passed(crm)
            sign_in(page, served)
            own = f"/env/production/connections/{crm.id}"
            for name, path in (
                ("connections", "/env/production/connections"),
                ("connection-rules", f"{own}/rules"),
                ("connection-delivery", f"{own}/delivery?period=1h"),
            ):
                page.wait_for_timeout(2_500)  # delivery writes what it did each second
                page.goto(served.url + path)
                page.wait_for_timeout(800)
                page.screenshot(path=str(FOLDER / f"{name}.png"))
        finally:
            routed.close()
            context.close()
            served.stop()


def shop_of(served: Served) -> str:
    return f"{served.url}/demo/shop/{served.production['app_id']}/"


def walk(page: Page, served: Served) -> None:
    """A visit of the demo shop, for Live to show."""
    page.goto(shop_of(served))
    page.wait_for_timeout(2000)  # the script has loaded; the shop's policy allows no waiting within
    for product in ("tent", "map-case", "tent", "head-torch"):
        page.click(f"a.product[href$={product}] b")
        page.click("button.add")
        page.click("a.logo")
    page.goto(f"{shop_of(served)}about")
    page.wait_for_timeout(3000)


def label(page: Page, served: Served) -> None:
    """The labeller over the demo shop."""
    shop = shop_of(served)
    page.goto(f"{served.url}/env/production/events/label?address={shop}product/tent")
    link = page.get_by_role("link", name="Open http").get_attribute("href")
    assert link
    page.goto(link)
    page.wait_for_selector("cairn-labeller", state="attached")
    box = page.locator("button.add").bounding_box()
    assert box
    page.wait_for_timeout(500)
    page.mouse.click(box["x"] + 30, box["y"] + 12)
    page.wait_for_timeout(1500)
    page.screenshot(path=str(FOLDER / "labeler.png"))


def sign_in(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.fill("input[name=email]", served.demo["email"])
    page.fill("input[name=password]", served.demo["password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state()


if __name__ == "__main__":
    main()
