"""Chromium, the script as built, and a site that records."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import snippets
from tests.browser.site import PATIENCE_S, Site, serve

BROWSER = Path(__file__).parents[2] / "browser"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1", "--disable-dev-shm-usage"]

Visit = Callable[..., Page]


@pytest.fixture(scope="package")
def modules() -> Path:
    """The packages of browser/, installed once."""
    if not (BROWSER / "node_modules" / "esbuild").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=BROWSER, check=True)
    return BROWSER / "node_modules"


@pytest.fixture(scope="package")
def script_folder(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, built from source."""
    folder = tmp_path_factory.mktemp("script")
    environ = {**os.environ, "CAIRN_SCRIPT_FOLDER": str(folder)}
    subprocess.run(["node", "build.mjs"], cwd=BROWSER, check=True, env=environ, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="package")
def _served(script_folder: Path) -> Iterator[Site]:
    site = Site()
    stop = serve(site, script_folder)
    yield site
    stop()


@pytest.fixture
def site(_served: Site) -> Site:
    _served.reset()
    return _served


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(has_touch=True)
    yield context
    context.close()


@pytest.fixture
def visit(site: Site, context: BrowserContext) -> Visit:
    """Put a page with a snippet on the site and open it; by default the v5 snippet."""

    def open_page(
        body: str = "",
        *,
        path: str = "/",
        host: str = "localhost",
        snippet: str | None = None,
        before: str = "",
        title: str = "Home",
        headers: dict[str, str] | None = None,
        is_ready: bool = True,
        **options: Any,
    ) -> Page:
        script = snippets.v5(options) if snippet is None else snippet
        html = (
            f"<!doctype html><meta charset=utf-8><title>{title}</title>"
            f"<script>{before}</script><script>{script}</script><body>{body}"
        )
        site.pages[path.partition("?")[0].partition("#")[0]] = (site.fill(html), headers or {})
        page = context.new_page()
        page.goto(site.url(path, host))
        if is_ready:
            ready(page)
        return page

    return open_page


def ready(page: Page) -> None:
    """Wait until the script runs, the part that loads late too."""
    arrived = "performance.getEntriesByType('resource').some((one) => one.name.endsWith('later.js'))"
    deadline = time.monotonic() + PATIENCE_S
    # Asked again and again from here: a policy against eval would stop a page from asking itself.
    while not page.evaluate(f"window.cairn && window.cairn.loaded && {arrived}"):
        assert time.monotonic() < deadline, "the script never came"
        time.sleep(0.01)
    # The file is here; it runs in a task of its own before this one ends.
    page.evaluate("new Promise((done) => setTimeout(done, 30))")
