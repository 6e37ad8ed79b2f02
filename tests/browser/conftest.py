"""A site that records what the script sends, and pages on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import snippets
from tests.browser.site import Site, serve
from tests.patience import WAIT_MS, eventually

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def _served(script_folder: Path) -> Iterator[Site]:
    site = Site()
    stop = serve(site, script_folder)
    yield site
    stop()


@pytest.fixture
def site(_served: Site) -> Site:
    _served.reset()
    return _served


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(has_touch=True)
    context.set_default_timeout(WAIT_MS)
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
    # Asked again and again from here: a policy against eval would stop a page from asking itself.
    eventually(lambda: page.evaluate(f"window.cairn && window.cairn.loaded && {arrived}"), "the script")
    # The file is here; it runs in a task of its own before this one ends.
    page.evaluate("new Promise((done) => setTimeout(done, 30))")
