"""The script from the edge, with what its environment allows; and from a page in Chromium to the draft."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest
from playwright.sync_api import Browser

from cairn.privacy import capture
from cairn.privacy.snapshot import Snapshot
from cairn.published.capture import document_name as capture_name
from tests.browser import snippets
from tests.collect.edges import drafts, edge, publish, site
from tests.patience import PATIENCE_S

APP_ID = snippets.ENVIRONMENT
LOADERS = [f"/js/heap-{APP_ID}.js", f"/config/{APP_ID}/heap_config.js", f"/k/{APP_ID}.js"]


@pytest.mark.parametrize("path", LOADERS)
def test_the_loader_carries_what_the_environment_allows(
    tmp_path: Path, script_folder: Path, path: str
) -> None:
    allowed = {"privacy": {"disableTextCapture": True}, "capture": {"mode": "block", "pages": ["/admin/*"]}}
    with edge(tmp_path / "data", script_folder, {capture_name(1): json.dumps(allowed).encode()}) as url:
        answer = httpx.get(url + path)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/javascript")
    found = re.search(r"\}\)\((\{.*\})\)$", answer.text)
    assert found
    server = json.loads(found[1])["server"]
    assert {key: server[key] for key in allowed} == allowed


def test_scripts_that_are_not_there(tmp_path: Path, script_folder: Path) -> None:
    with edge(tmp_path / "data", script_folder) as url:
        for path in LOADERS:
            assert httpx.get(url + path).status_code == 200
            answer = httpx.get(url + path.replace(APP_ID, "404"))
            assert answer.status_code == 404 and answer.text.startswith("/* ")
            assert answer.headers["content-type"].startswith("text/javascript")
        answer = httpx.head(url + LOADERS[0])
        assert answer.status_code == 200 and answer.content == b""
        assert httpx.get(f"{url}/v5/heapjs-static/5.3.10/core/heap.js").status_code == 200


@pytest.mark.parametrize("configuration", [b"{", b"[]"])
def test_without_its_configuration_an_environments_script_stays_away(
    tmp_path: Path,
    script_folder: Path,
    configuration: bytes,
) -> None:
    with edge(tmp_path / "data", script_folder, {capture_name(1): configuration}) as url:
        answer = httpx.get(url + LOADERS[0])
        assert answer.status_code == 503 and answer.text.startswith("/* ")


def test_a_script_that_was_never_built(tmp_path: Path) -> None:
    with edge(tmp_path / "data", tmp_path) as url:
        assert httpx.get(url + LOADERS[0]).status_code == 503


PAGE = """<!doctype html><meta charset=utf-8><title>Pricing for ann@shop.test</title><script>{snippet}</script>
<body><div id=root><a class="btn wide" href="/signup" onclick="return false">Start free</a></div>"""


def test_from_a_page_to_drafts(tmp_path: Path, script_folder: Path, chromium: Browser) -> None:
    data = tmp_path / "data"
    with (
        edge(data, script_folder) as url,
        site(PAGE.replace("{snippet}", snippets.v5(host=url.replace("localhost", "capture.test")))) as port,
    ):
        answered: list[Any] = []
        page = chromium.new_page()
        page.on("response", lambda response: answered.append(response))
        page.goto(f"http://shop.test:{port}/pricing?utm_source=news&token=secret")
        page.wait_for_function("window.heap && window.heap.loaded", timeout=PATIENCE_S * 1000)
        page.evaluate("heap.addEventProperties({theme: 'dark'})")
        page.click("a")
        page.evaluate(
            "heap.identify('dana'); heap.addUserProperties({plan: 'pro'}); heap.track('Paid', {amount: 5})"
        )
        with page.expect_response(
            lambda response: "/track" in response.url and "Paid" in (response.request.post_data or "")
        ):
            pass
        user_id = int(page.evaluate("heap.getUserId()"))
        statuses = {response.status for response in answered if "/api/capture/" in response.url}
    assert statuses == {200}
    found = {draft.name: draft for draft in drafts(data)}
    assert set(found) >= {"First seen", "session", "pageview", "click", "Identify", "Set properties", "Paid"}
    pageview, click, paid = found["pageview"], found["click"], found["Paid"]
    expected = {
        "domain": "shop.test",
        "path": "/pricing",
        "query": "?utm_source=news&token={token}",
        "title": "Pricing for {email}",
        "utm_source": "news",
        "landing_path": "/pricing",
        "landing_domain": "shop.test",
        "platform": "web",
    }
    for draft in (pageview, click, paid):
        assert {key: draft.facts.get(key) for key in expected} == expected
        assert (draft.environment_id, draft.user_id, draft.session_id > 0) == (1, user_id, True)
        assert draft.session_id == found["session"].session_id and draft.pageview_id == pageview.pageview_id
        assert draft.sent_ms >= draft.time_ms > 0 and "Chrome" in draft.user_agent and draft.library == "web"
    assert click.element is not None
    assert (click.element.tag, click.element.text, click.element.classes) == ("a", "Start free", "btn wide")
    assert click.element.hierarchy == "@div;#root;|@a;.btn;.wide;[href=/signup];|"
    assert (click.identity, click.properties["theme"]) == ("", "dark")
    assert (paid.kind, paid.identity, paid.merge_user_id) == ("custom", "dana", user_id)
    assert paid.properties == {"amount": 5, "theme": "dark"}
    assert (found["Identify"].identity, found["Identify"].merge_user_id) == ("dana", user_id)
    assert found["Set properties"].user_properties == {"plan": "pro"}


CART = """<!doctype html><meta charset=utf-8>
<meta http-equiv=content-security-policy content="default-src 'none'; script-src 'nonce-n1' {url}; connect-src {url}">
<script nonce=n1>{snippet}</script><body><div class=cart data-total=42><button><b>Buy</b></button></div>"""
CART_SNAPSHOTS = [
    Snapshot(
        "Items", "pageview", "/cart", "javascript", "return document.querySelectorAll('.cart').length", id=1
    ),
    Snapshot("Total", "click", "button", "javascript", "return +this.closest('.cart').dataset.total", id=2),
    Snapshot("Text", "click", "button", "text", "${this}", id=3),
]


def test_javascript_snapshots_run_only_while_they_are_on(
    tmp_path: Path, script_folder: Path, chromium: Browser
) -> None:
    data = tmp_path / "data"

    def document(*, is_on: bool) -> bytes:
        settings = capture.CaptureSettings(may_run_javascript=is_on)
        return msgspec.json.encode(capture.capture_document(settings, CART_SNAPSHOTS))

    def visit(port: int) -> None:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"http://shop.test:{port}/cart")
        page.wait_for_function("window.heap && window.heap.loaded", timeout=PATIENCE_S * 1000)
        with page.expect_response(
            lambda response: "/track" in response.url and "interaction" in (response.request.post_data or "")
        ):
            page.click("b")
        context.close()

    with edge(data, script_folder, {capture_name(1): document(is_on=True)}) as url:
        host = url.replace("localhost", "capture.test")
        html = CART.replace("{url}", host).replace("{snippet}", snippets.v5(host=host))
        with site(html) as port:
            loader = httpx.get(url + LOADERS[0]).text
            files = re.findall(r"/v5/functions/\d+/\w+\.js", loader)
            assert [httpx.get(url + file).status_code for file in files] == [200, 200]
            visit(port)
            publish(data, {capture_name(1): document(is_on=False)})
            assert "/v5/functions/" not in httpx.get(url + LOADERS[0]).text
            assert [httpx.get(url + file).status_code for file in files] == [404, 404]
            visit(port)
    # By id: what is on its way when the page closes is sent again.
    events = {draft.key: draft for draft in drafts(data)}.values()
    shown = [draft for draft in events if draft.name in ("pageview", "click")]
    names = ("Items", "Total", "Text")
    assert [[draft.properties.get(name) for name in names] for draft in shown] == [
        [1, None, None],
        [None, 42, "Buy"],
        [None, None, None],
        [None, None, "Buy"],
    ]
