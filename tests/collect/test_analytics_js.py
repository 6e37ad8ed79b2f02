"""What a page of analytics.js asks its script host for: files, settings, and what is not there."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from cairn.published.source_settings import document_name, encode
from cairn.routing.device_mode import BuiltIn, source_settings
from tests.collect.edges import edge, publish

PACKAGE = (
    Path(__file__).parents[2] / "browser" / "node_modules" / "@segment" / "analytics-next" / "dist" / "umd"
)
SITE, OFF = 22, 24  # sources of the directory: a web source, and one that is switched off
DEVICE = source_settings("web", [BuiltIn(7, "1234567890", {})])
SETTINGS = "/v1/projects/wk_web/settings"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, script_folder: Path) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("edge") / "data"
    documents: dict[str, bytes | None] = {
        document_name(SITE): encode(DEVICE),
        document_name(OFF): encode(DEVICE),
    }
    with edge(data, script_folder, documents) as url, httpx.Client(base_url=url) as client:
        yield client


def test_the_library_is_the_packages_own_byte_for_byte(served: httpx.Client) -> None:
    for path in ("analytics.min.js", "platform/analytics.min.js", "analytics.js"):
        answer = served.get(f"/analytics.js/v1/wk_web/{path}")
        assert answer.status_code == 200 and answer.content == (PACKAGE / "standalone.js").read_bytes()
        assert answer.headers["content-type"].startswith("application/javascript")
        assert answer.headers["access-control-allow-origin"] == "*"
    files = [path for path in PACKAGE.glob("*.js") if "bundle" in path.name]
    assert len(files) > 5
    for file in files:
        answer = served.get(f"/analytics-next/bundles/{file.name}")
        assert answer.content == file.read_bytes() and "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/next-integrations/integrations/heap/2.1.1/heap.dynamic.js.gz",
        "/next-integrations/integrations/heap/latest/heap.dynamic.js.gz",
        "/next-integrations/integrations/aGVhcA/2.1.1/aGVhcA.dynamic.js.gz",
        "/next-integrations/actions/heap-web/latest.js",
        "/next-integrations/actions/aGVhcC13ZWI/0123abcd.js",
    ],
)
def test_our_destinations_are_scripts_in_every_encoding_and_under_obfuscated_names(
    served: httpx.Client, path: str
) -> None:
    plain = served.get(path, headers={"accept-encoding": "identity"})
    assert plain.status_code == 200 and "content-encoding" not in plain.headers
    packed = served.get(path, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.content == plain.content
    again = served.get(path, headers={"accept-encoding": "gzip", "if-none-match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/analytics.js/v1/wk_nobody/analytics.min.js",
        "/analytics.js/v1/wk_web/analytics.classic.js",
        "/analytics.js/v1/a%2Fb/analytics.min.js",
        "/analytics-next/bundles/404.bundle.0123.js",
        "/analytics-next/bundles/../manifest.json",
        "/next-integrations/integrations/google-analytics/2.0/google-analytics.dynamic.js.gz",
        "/next-integrations/integrations/heap/2.1.1/other.dynamic.js.gz",
        "/next-integrations/actions/braze/0123.js",
        "/next-integrations/middleware/tsub/latest/tsub.js.gz",
        "/next-integrations/vendor/commons.js.gz",
    ],
)
def test_what_is_not_there_is_a_comment_in_javascript_and_never_json(served: httpx.Client, path: str) -> None:
    answer = served.get(path)
    assert answer.status_code == 404 and answer.text.startswith("/* Cairn: ")
    assert "javascript" in answer.headers["content-type"]


def test_settings_name_this_host_for_everything(served: httpx.Client) -> None:
    answer = served.get(SETTINGS, headers={"origin": "https://shop.test"})
    host = served.base_url.host + f":{served.base_url.port}/v1"
    settings = answer.json()
    segment = settings["integrations"]["Segment.io"]
    assert (segment["apiKey"], segment["apiHost"], segment["protocol"]) == ("wk_web", host, "http")
    assert settings["metrics"] == {"sampleRate": 0, "host": host}
    assert settings["integrations"]["Heap"]["appId"] == "1234567890"
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"
    assert "Origin" in answer.headers["vary"] and "max-age=60" in answer.headers["cache-control"]
    assert (
        "segment.io" not in answer.text.lower().replace('"segment.io"', "")
        and "segment.com" not in answer.text
    )


def test_settings_are_asked_again_for_304(served: httpx.Client) -> None:
    first = served.get(SETTINGS)
    headers = {"origin": "https://shop.test", "if-none-match": first.headers["etag"]}
    again = served.get(SETTINGS, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["access-control-allow-origin"] == "https://shop.test"
    other = served.get("/v1/projects/wk_node/settings", headers=headers)
    assert other.status_code == 200 and other.headers["etag"] != first.headers["etag"]


def test_settings_of_a_preflight_and_of_other_methods(served: httpx.Client) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-headers": "x-custom"}
    preflight = served.options(SETTINGS, headers=asked)
    assert preflight.status_code == 204 and "x-custom" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-allow-origin"] == "https://shop.test"
    posted = served.post(SETTINGS)
    assert posted.status_code == 405 and posted.json()["code"] == "method_not_allowed"
    assert served.get("/v1/projects/wk_web/other").json()["code"] == "no_such_call"
    assert served.head(SETTINGS).status_code == 200


@pytest.mark.parametrize("write_key", ["wk_off", "wk_nobody", "wk_loose"])
def test_without_a_source_that_is_on_settings_have_only_this_host_and_never_send_a_page_to_the_vendor(
    served: httpx.Client, write_key: str
) -> None:
    """A page whose settings fail reports to the vendor; a page without `Segment.io` sends it everything."""
    answer = served.get(f"/v1/projects/{write_key}/settings")
    settings = answer.json()
    assert answer.status_code == 200 and list(settings["integrations"]) == ["Segment.io"]
    assert settings["integrations"]["Segment.io"]["apiHost"] == settings["metrics"]["host"]
    assert settings["remotePlugins"] == []


@pytest.mark.parametrize("document", [b"{", b"[]", b"{}", b'{"integrations": null}', encode({"plan": {}})])
def test_a_document_that_cannot_be_used_still_gives_an_address(
    tmp_path: Path, script_folder: Path, document: bytes
) -> None:
    with edge(tmp_path / "data", script_folder, {document_name(SITE): document}) as url:
        settings = httpx.get(url + SETTINGS).json()
    assert settings["integrations"]["Segment.io"]["apiHost"] == settings["metrics"]["host"] != ""


def test_settings_follow_a_change_at_once(tmp_path: Path, script_folder: Path) -> None:
    data = tmp_path / "data"
    with edge(data, script_folder, {document_name(SITE): encode(DEVICE)}) as url:
        first = httpx.get(url + SETTINGS)
        publish(data, {document_name(SITE): encode(source_settings("web", []))})
        second = httpx.get(url + SETTINGS, headers={"if-none-match": first.headers["etag"]})
    assert "Heap" in first.json()["integrations"] and "Heap" not in second.json()["integrations"]


ADDRESSES: list[tuple[str, dict[str, str], tuple[str, str]]] = [
    ("", {"host": "events.shop.test"}, ("http", "events.shop.test/v1")),
    ("", {"host": "events.shop.test", "x-forwarded-proto": "https"}, ("https", "events.shop.test/v1")),
    ("", {"host": "events.shop.test", "origin": "https://shop.test"}, ("https", "events.shop.test/v1")),
    ("", {"host": "localhost:8300", "origin": "https://shop.test"}, ("http", "localhost:8300/v1")),
    ("", {"host": "127.0.0.1:8300", "origin": "https://shop.test"}, ("http", "127.0.0.1:8300/v1")),
    ("https://cairn.test/a/", {"host": "other.test"}, ("https", "cairn.test/a/v1")),
]


@pytest.mark.parametrize(("public_url", "headers", "expected"), ADDRESSES)
def test_the_address_in_settings_is_the_one_that_a_page_can_reach(
    tmp_path: Path, script_folder: Path, public_url: str, headers: dict[str, str], expected: tuple[str, str]
) -> None:
    with edge(tmp_path / "data", script_folder, public_url=public_url) as url:
        segment = httpx.get(url + SETTINGS, headers=headers).json()["integrations"]["Segment.io"]
    assert (segment["protocol"], segment["apiHost"]) == expected


def test_a_host_that_is_none_is_refused_with_words(served: httpx.Client) -> None:
    answer = served.get(SETTINGS, headers={"host": 'a"b', "origin": "https://shop.test"})
    assert answer.status_code == 400 and answer.json()["code"] == "bad_request"


def test_files_that_were_never_built(tmp_path: Path) -> None:
    with edge(tmp_path / "data", tmp_path) as url:
        assert httpx.get(f"{url}/analytics.js/v1/wk_web/analytics.min.js").status_code == 503
        assert httpx.get(url + SETTINGS).status_code == 200


def test_the_built_twins_are_the_same_file(script_folder: Path) -> None:
    folder = script_folder / "segment"
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert {"heap.js", "heap-web.js", "bundles/standalone.js"} <= set(manifest["files"])
    for name in manifest["files"]:
        assert gzip.decompress((folder / f"{name}.gz").read_bytes()) == (folder / name).read_bytes()
    assert "MIT" in (folder / "LICENSE").read_text()
