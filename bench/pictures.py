"""`make pictures`: the pages of a running demo, as the documentation shows them."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.served import Served

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
PAGES = {
    "home": "/env/production",
    "live": "/env/production/live",
    "users": "/env/production/users",
    "segments": "/env/production/segments",
    "flags": "/env/production/flags",
    "keys": "/env/production/keys",
}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cairn-pictures-") as folder, sync_playwright() as playwright:
        served = Served(Path(folder) / "data").make_demo().start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        try:
            time.sleep(5)
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            sign_in(page, served)
            for name, path in PAGES.items():
                page.goto(served.url + path)
                page.wait_for_timeout(800)
                page.screenshot(path=str(FOLDER / f"{name}.png"))
            label(page, served)
        finally:
            browser.close()
            served.stop()


def label(page: Page, served: Served) -> None:
    """A few visits of the demo shop, then the labeller over it."""
    shop = f"{served.url}/demo/shop/{served.production['app_id']}/"
    page.goto(shop)
    page.wait_for_function("window.heap && window.heap.loaded")
    for product in ("tent", "map-case", "tent", "head-torch"):
        page.click(f"a.product[href$={product}] b")
        page.click("button.add")
        page.click("a.logo")
    page.goto(f"{shop}about")
    page.wait_for_timeout(3000)
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
