"""Pages with Segment's own snippet in Chromium, its script host an edge of ours, and what came of their visits."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from cairn.event import Draft, Refused
from cairn.published.source_settings import document_name, encode
from cairn.routing.device_mode import BuiltIn, source_settings
from cairn.routing.rules import Rules
from tests.collect.edges import edge, events, site
from tests.patience import PATIENCE_S, eventually

CLIENTS = Path(__file__).parents[1] / "clients"
SITE = 22  # the web source of the directory
APP_ID = "1234567890"
CAIRN_HOST = "capture.test"
# Instead of the library, which would take over calls: they stay in the array that the bundle made.
NOTHING = "/* the array stays */"

Settings = dict[str, Any]


def device(rules: Rules | None = None, **settings: Any) -> Settings:
    return source_settings("web", [BuiltIn(7, APP_ID, settings, rules or Rules())])


def snippet(url: str, write_key: str = "wk_web", **load: Any) -> str:
    """The official snippet with another host; over plain http it must be told where its files are."""
    host = url.partition("://")[2]
    options: Settings = {"apiKey": write_key, "host": host, "page": False}
    if load:
        options["load"] = load
    rendered = subprocess.run(
        ["node", CLIENTS / "senders" / "segment_snippet.js", json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
        cwd=CLIENTS,
    ).stdout
    if url.startswith("https"):
        return rendered
    return rendered.replace("https://", "http://").replace(
        f'analytics._writeKey = "{write_key}";',
        f'analytics._writeKey = "{write_key}"; analytics._cdn = "{url}";',
    )


class Visit:
    """One page on a site of its own, and what came of it."""

    def __init__(self, context: BrowserContext, port: int, scheme: str = "http") -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.asked: list[str] = []  # addresses
        self.said: list[str] = []  # console
        self.sent: list[Any] = []  # calls that the tracking API has taken
        self.captured: list[str] = []  # bodies that Cairn's capture API has answered
        context.on("request", self._heard)
        context.on("response", self._answered)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(f"ERROR {error}"))
        self.site = f"{scheme}://shop.test:{port}/"

    def _heard(self, request: Any) -> None:
        self.asked.append(request.url)

    def _answered(self, response: Any) -> None:
        request = response.request
        if request.method != "POST" or response.status != 200:
            return
        if "/api/capture/" in request.url:
            self.captured.append(request.post_data or "")
        elif "/v1/" in request.url:
            body = json.loads(request.post_data or "{}")
            self.sent += body.get("batch", [body])

    def open(self, query: str = "", *, is_heap: bool = True) -> "Visit":
        self.page.goto(self.site + query)
        self.page.wait_for_function("window.analytics && analytics.initialized", timeout=PATIENCE_S * 1000)
        if is_heap:
            self.page.wait_for_function("window.heap && heap.loaded", timeout=PATIENCE_S * 1000)
        return self

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def wait_for(self, name: str) -> Any:
        """What the tracking API was sent of an event, or of a call's type."""

        def sent() -> Any:
            wanted = [each for each in self.sent if each.get("event", each.get("type")) == name]
            return wanted and wanted[-1]

        return self._wait(sent, name)

    def wait_for_capture(self, marker: str) -> None:
        """Until the capture API has something that holds this text."""
        self._wait(lambda: any(marker in body for body in self.captured), marker)

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        def look() -> Any:
            self.page.wait_for_timeout(20)  # lets Playwright hear what the browser does
            return condition()

        return eventually(look, f"{what}; heard {self.sent} {self.said}")

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).hostname or "" for url in self.asked if url.startswith("http")}


@contextmanager
def visiting(
    chromium: Browser,
    data: Path,
    script: Path,
    settings: Settings,
    *,
    before: str = "",  # scripts of the page; `{url}` is Cairn's
    after: str = "",
    write_key: str = "wk_web",
    load: Settings | None = None,
    tls: tuple[Path, Path] | None = None,
    library: str | None = None,  # runs instead of Heap's library
) -> Iterator[Visit]:
    with edge(data, script, {document_name(SITE): encode(settings)}, tls=tls) as address:
        url = address.replace("localhost", CAIRN_HOST)
        scripts = (
            before.replace("{url}", url),
            snippet(url, write_key, **(load or {})),
            after.replace("{url}", url),
        )
        html = "<!doctype html><meta charset=utf-8><title>Shop</title>" + "".join(
            f"<script>{text}</script>" for text in scripts
        )
        with site(f"{html}<body><button>Buy</button>") as port:
            context = chromium.new_context(ignore_https_errors=True)
            if library is not None:
                for pattern in ("**/js/heap-*.js", "**/heap_config.js"):
                    context.route(
                        pattern, lambda route: route.fulfill(body=library, content_type="text/javascript")
                    )
            try:
                yield Visit(context, port)
            finally:
                context.close()


def path_of(url: str) -> str:
    return urlsplit(url).path


def found_in(data: Path, kind: str) -> list[Draft]:
    """The stored events of a kind or name, each once."""
    drafts = [
        event for event in events(data) if isinstance(event, Draft) and kind in (event.name, event.kind)
    ]
    return list({draft.key or id(draft): draft for draft in drafts}.values())


def refused_in(data: Path) -> list[str]:
    return [event.reason.value for event in events(data) if isinstance(event, Refused)]
