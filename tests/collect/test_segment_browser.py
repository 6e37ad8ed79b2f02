"""A page changes its script host, and everything comes from here: boot, releases, what is sent, and nothing elsewhere.

Source: contracts/segment.md section 3.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from cairn.published.source_settings import document_name, encode
from cairn.routing.rules import Rules
from cairn.web import browser_snippet
from cairn.web.snippets import Client
from tests.collect.edges import edge, site
from tests.collect.segment_pages import (
    CAIRN_HOST,
    CLIENTS,
    NOTHING,
    SITE,
    Visit,
    device,
    found_in,
    path_of,
    refused_in,
    visiting,
)
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BROWSER = ROOT / "browser"
RELEASES = ("1.84.0", "1.83.0", "1.76.1")


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


@pytest.mark.parametrize("variant", ["classic", "actions"])
def test_obfuscated_names_lead_to_the_same_files(
    chromium: Browser, tmp_path: Path, script_folder: Path, variant: str
) -> None:
    data = tmp_path / "data"
    with visiting(chromium, data, script_folder, device(variant=variant), load={"obfuscate": True}) as visit:
        visit.open()
        visit.run("analytics.track('Hidden')")
        visit.wait_for_capture("Hidden")
        visit.wait_for("Hidden")
        names = [path for path in map(path_of, visit.asked) if "/next-integrations/" in path]
    assert names and not [name for name in names if "heap" in name]
    assert len(found_in(data, "Hidden")) == 1 and set(refused_in(data)) == {"sent_by_browser"}


def test_a_device_bundle_that_fails_is_reported_and_its_events_go_from_here(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    data = tmp_path / "data"
    with visiting(chromium, data, script_folder, device()) as visit:
        visit.context.route("**/next-integrations/**", lambda route: route.abort())
        visit.open(is_heap=False)
        # An event before that is one the browser says it has sent itself: the vendor's client knows no better then.
        visit.page.wait_for_function("analytics.failedInitializations.length")
        visit.run("analytics.track('Blocked', {n: 1})")
        event = visit.wait_for("Blocked")
        assert event["_metadata"]["failedInitializations"] == ["Heap"]
        assert "Heap" in event["_metadata"]["bundled"]
        assert visit.hosts == {"shop.test", CAIRN_HOST}
    [blocked] = found_in(data, "Blocked")
    assert blocked.library == "analytics.js" and refused_in(data) == []


def test_consent_travels_with_events_and_settings_name_what_heap_needs(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    settings = device(Rules(consent=("Analytics",)))
    with visiting(chromium, tmp_path / "data", script_folder, settings) as visit:
        visit.open()
        # What the consent wrapper does for each call: it stamps it, and skips what was not agreed to.
        visit.run("""
            analytics.addSourceMiddleware(({payload, next}) => {
              payload.obj.context.consent = {categoryPreferences: {Analytics: false}}
              next(payload)
            })
        """)
        visit.run("analytics.track('Asked')")
        event = visit.wait_for("Asked")
        known = visit.run("analytics.settings.cdnSettings ?? analytics.settings")
    assert event["context"]["consent"] == {"categoryPreferences": {"Analytics": False}}
    assert known["integrations"]["Heap"]["consentSettings"] == {"categories": ["Analytics"]}
    assert known["consentSettings"]["allCategories"] == ["Analytics"]


def test_alias_of_an_anonymous_visitor_and_of_a_known_one(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    with visiting(chromium, tmp_path / "data", script_folder, device()) as visit:
        visit.open()
        anonymous_id = visit.run("analytics.user().anonymousId()")
        visit.run("analytics.alias('u1')")
        first = visit.wait_for("alias")
        assert (first["userId"], first["previousId"]) == ("u1", anonymous_id)
        visit.run("analytics.identify('u1')")
        visit.wait_for("identify")
        visit.sent.clear()
        visit.run("analytics.alias('u2')")
        second = visit.wait_for("alias")
    # The client loses its target once it knows the visitor; what it sends is kept as it is.
    assert (second["userId"], second["previousId"]) == ("u1", "u1")


def test_the_query_string_api(chromium: Browser, tmp_path: Path, script_folder: Path) -> None:
    with visiting(chromium, tmp_path / "data", script_folder, device()) as visit:
        visit.open("?ajs_uid=u9&ajs_aid=a9&ajs_event=Came&ajs_prop_from=mail&ajs_trait_plan=pro")
        came, identified = visit.wait_for("Came"), visit.wait_for("identify")
    assert came["properties"] == {"from": "mail"} and came["anonymousId"] == "a9"
    assert (identified["userId"], identified["traits"]) == ("u9", {"plan": "pro"})


def test_telemetry_of_the_client_comes_here_too(
    chromium: Browser, tmp_path: Path, script_folder: Path, certificate: tuple[Path, Path]
) -> None:
    """Over TLS: the client sends it no other way."""
    settings = device()
    settings["metrics"]["sampleRate"] = 1
    data = tmp_path / "data"
    with visiting(chromium, data, script_folder, settings, library=NOTHING, tls=certificate) as visit:
        visit.open(is_heap=False)
        visit.page.wait_for_function("window.heap && heap.track", timeout=PATIENCE_S * 1000)
        with visit.page.expect_response("**/v1/m", timeout=PATIENCE_S * 1000) as heard:
            visit.run("void (heap.track = () => { throw new Error('broken') }, analytics.track('Breaks'))")
        assert heard.value.status == 200
        assert visit.hosts == {"shop.test", CAIRN_HOST}


def test_an_unknown_write_key_starts_nothing_and_sends_nobody_anything(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    data = tmp_path / "data"
    with visiting(chromium, data, script_folder, device(), write_key="wk_nobody") as visit:
        visit.page.goto(visit.site)
        visit.run("analytics.track('Lost')")
        visit.page.wait_for_load_state("networkidle")
        assert visit.hosts == {"shop.test", CAIRN_HOST}
        assert [path_of(url) for url in visit.asked[1:]] == ["/analytics.js/v1/wk_nobody/analytics.min.js"]


def test_the_snippet_that_cairn_offers_is_the_guides_and_works(
    chromium: Browser, tmp_path: Path, script_folder: Path
) -> None:
    guide = (ROOT / "docs/guide/move-from-segment.md").read_text()
    offered = browser_snippet.segment(Client("https://cairn.example", write_key="wk_shop")).code
    assert f"```html\n{offered}\n```" in guide
    data = tmp_path / "data"
    with edge(data, script_folder, {document_name(SITE): encode(device())}) as address:
        url = address.replace("localhost", CAIRN_HOST)
        with site(
            browser_snippet.segment(Client(url, write_key="wk_web")).code + "<button>x</button>"
        ) as port:
            context = chromium.new_context()
            visit = Visit(context, port).open()
            visit.run("analytics.track('Offered')")
            visit.wait_for("Offered")
            visit.wait_for_capture("Offered")
            assert visit.wait_for("page")["writeKey"] == "wk_web"
            assert visit.hosts == {"shop.test", CAIRN_HOST} and visit.said == []
            context.close()
    assert [len(found_in(data, kind)) for kind in ("pageview", "Offered")] == [1, 1]
