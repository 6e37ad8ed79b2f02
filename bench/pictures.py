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
        finally:
            browser.close()
            served.stop()


def sign_in(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.fill("input[name=email]", served.demo["email"])
    page.fill("input[name=password]", served.demo["password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state()


if __name__ == "__main__":
    main()
