"""Pages with Segment's own snippet and library in Chromium: only the script host is ours, nothing goes elsewhere.

Source: contracts/segment.md sections 3, 5.2 and 5.4.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, BrowserContext, Page

from cairn.event import Draft, Refused
from cairn.published.source_settings import document_name, encode
from cairn.routing.device_mode import BuiltIn, source_settings
from cairn.routing.rules import Rules
from tests.collect.edges import edge, events, site
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parents[1] / "clients"
BROWSER = Path(__file__).parents[2] / "browser"
SITE = 22  # the web source of the directory
APP_ID = "1234567890"
CAIRN_HOST = "capture.test"
RELEASES = ("1.84.0", "1.83.0", "1.76.1")

Settings = dict[str, Any]


def device(rules: Rules | None = None, **settings: Any) -> Settings:
    return source_settings("web", [BuiltIn(7, APP_ID, settings, rules or Rules())])


def snippet(url: str, **load: Any) -> str:
    """The official snippet with another host; over plain http it must be told where its files are."""
    host = url.partition("://")[2]
    options: Settings = {"apiKey": "wk_web", "host": host, "page": False}
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
        'analytics._writeKey = "wk_web";', f'analytics._writeKey = "wk_web"; analytics._cdn = "{url}";'
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
    body: str = "",
    before: str = "",
    load: Settings | None = None,
    tls: tuple[Path, Path] | None = None,
    init: str = "",
) -> Iterator[Visit]:
    with edge(data, script, {document_name(SITE): encode(settings)}, tls=tls) as address:
        url = address.replace("localhost", CAIRN_HOST)
        html = (
            "<!doctype html><meta charset=utf-8><title>Shop</title>"
            f"<script>{before.replace('{url}', url)}</script>"
            f"<script>{snippet(url, **(load or {}))}</script><body>{body.replace('{url}', url)}<button>Buy</button>"
        )
        with site(html) as port:
            context = chromium.new_context(ignore_https_errors=True)
            if init:
                context.add_init_script(init)
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


@pytest.fixture(scope="module", params=["ours", *RELEASES])
def release(
    request: pytest.FixtureRequest, script_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The script folder with the library of a release; sites that pin one load it from their own host as from ours."""
    if request.param == "ours":
        return script_folder
    package = CLIENTS / "node_modules" / f"analytics-next-{request.param.replace('.', '-')}"
    if not package.exists():
        pytest.skip("run npm ci in tests/clients")
    folder = tmp_path_factory.mktemp("release") / "static"
    shutil.copytree(script_folder, folder, ignore=shutil.ignore_patterns("segment"))
    script = (
        "import('./build-segment.mjs').then((built) => built.buildSegment(process.env.CAIRN_SCRIPT_FOLDER))"
    )
    environ = {**os.environ, "CAIRN_SCRIPT_FOLDER": str(folder), "CAIRN_ANALYTICS_NEXT": str(package)}
    subprocess.run(["node", "-e", script], cwd=BROWSER, check=True, env=environ)
    return folder


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CAIRN_HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


# Batching of releases before 1.84 knows no plain http.
@pytest.mark.parametrize("strategy", ["standard", "batching over TLS"])
def test_a_page_changes_its_script_host_and_everything_comes_from_here(
    chromium: Browser, tmp_path: Path, release: Path, certificate: tuple[Path, Path], strategy: str
) -> None:
    settings = device()
    is_batching = strategy != "standard"
    if is_batching:
        settings["integrations"]["Segment.io"]["deliveryStrategy"] = {
            "strategy": "batching",
            "config": {"size": 2, "timeout": 500},
        }
    data = tmp_path / "data"
    with visiting(chromium, data, release, settings, tls=certificate if is_batching else None) as visit:
        visit.open()
        visit.run("analytics.identify('u1', {email: 'ann@shop.test', plan: 'pro'})")
        visit.run("analytics.track('Order Completed', {revenue: 9.5, items: [{sku: 'a'}]})")
        visit.page.click("button")
        order = visit.wait_for("Order Completed")
        visit.wait_for_capture("Order Completed")
        visit.wait_for("identify")
        assert order["_metadata"]["bundled"] == ["Heap", "Segment.io"]
        assert order["_metadata"]["bundledIds"] == ["connection/7"]
        assert visit.hosts == {"shop.test", CAIRN_HOST}
        posted = {path for path in map(path_of, visit.asked) if re.fullmatch(r"/v1/\w", path)}
        assert posted == ({"/v1/b"} if is_batching else {"/v1/i", "/v1/t"})
    # Stored once, as the browser sent it; from here the call went nowhere.
    [completed] = found_in(data, "Order Completed")
    assert completed.library == "web" and completed.properties == {"revenue": 9.5, "items": '[{"sku":"a"}]'}
    [identified] = found_in(data, "Identify")
    assert identified.identity == "u1"
    assert len(found_in(data, "pageview")) == 1
    [traits] = found_in(data, "Set properties")
    assert traits.user_properties == {"plan": "pro", "_email": "ann@shop.test"}
    assert set(refused_in(data)) == {"sent_by_browser"}
