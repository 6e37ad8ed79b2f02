"""The script's files over HTTP: caching, encodings, configuration, and what is not there."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from cairn.collect.script import ScriptFiles
from tests.browser.site import Site


def ask(site: Site, path: str, **headers: str) -> Any:
    headers = {
        "accept-encoding": "identity",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    return httpx.get(site.url(path), headers=headers)


@pytest.fixture
def version(script_folder: Path) -> str:
    return str(json.loads((script_folder / "manifest.json").read_text())["version"])


@pytest.mark.parametrize("name", ["core.js", "core-rules.js", "later.js", "loader.js", "labeller.js"])
def test_members_of_our_own_have_short_names_and_those_of_the_browser_keep_theirs(
    script_folder: Path, name: str
) -> None:
    """Whatever ends in an underscore in the sources; names of browser interfaces stay as they are."""
    script = (script_folder / name).read_text()
    assert re.findall(r"[.{,]\s*([A-Za-z]\w*_)\b", script) == []
    if name != "loader.js":
        assert ".splice(" in script and ".length" in script


LOADERS = ["/js/heap-1234567890.js", "/config/1234567890/heap_config.js", "/k/1234567890.js"]


@pytest.mark.parametrize("path", LOADERS)
def test_loaders_carry_the_environments_configuration(site: Site, version: str, path: str) -> None:
    site.configuration["privacy"] = {"disableTextCapture": True}
    answer = ask(site, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"].startswith("public, max-age=60")
    found = re.search(r"\}\)\((\{.*\})\)$", answer.text)
    assert found
    carried = json.loads(found[1])
    assert carried["envId"] == "1234567890" and carried["isNeutral"] is path.startswith("/k/")
    assert carried["server"]["privacy"] == {"disableTextCapture": True}
    assert carried["server"]["sdk"] == {"version": version, "plugins": ["core"]}


def test_a_changed_configuration_is_a_new_version_of_the_loader(site: Site) -> None:
    before = ask(site, LOADERS[0])
    assert ask(site, LOADERS[0], if_none_match=before.headers["etag"]).status_code == 304
    site.configuration["captureErrors"] = True
    after = ask(site, LOADERS[0], if_none_match=before.headers["etag"])
    assert after.status_code == 200 and after.headers["etag"] != before.headers["etag"]


def test_a_long_configuration_is_compressed(site: Site) -> None:
    site.configuration["capture"] = {
        "mode": "block",
        "pages": [f"/private/{number}" for number in range(100)],
    }
    with httpx.Client() as client:
        request = httpx.Request("GET", site.url(LOADERS[0]), headers={"accept-encoding": "gzip"})
        answer = client.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        answer.close()
    assert answer.headers["content-encoding"] == "gzip"
    plain = ask(site, LOADERS[0])
    assert gzip.decompress(raw) == plain.content and len(raw) < 0.6 * len(plain.content)
    assert plain.headers["etag"] != answer.headers["etag"]


def runtimes(version: str) -> list[str]:
    return [
        f"/v5/heapjs-static/{version}/core/heap.js",
        f"/v5/heapjs-static/{version}/core/later.js",
        f"/v5/heapjs-static/{version}/core-rules/heap.js",
        f"/v5/heapjs-experimental/{version}/core/heap.js",
        f"/k/{version}/core.js",
        f"/k/{version}/core-rules.js",
        f"/k/{version}/later.js",
        f"/v5/heapjs-static/{version}/core-rules/labeller.js",
        f"/k/{version}/labeller.js",
    ]


FUNCTIONS = [f"/{folder}/1234567890/{'a1' * 10}.js" for folder in ("k", "v5/functions")]


def test_versioned_names_are_cached_for_ever(site: Site, version: str) -> None:
    for path in runtimes(version):
        answer = ask(site, path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert ask(site, path, if_none_match=answer.headers["etag"]).status_code == 304
        assert answer.headers["access-control-allow-origin"] == "*"


def test_another_version_gets_todays_for_a_while(site: Site, version: str) -> None:
    ours = ask(site, f"/v5/heapjs-static/{version}/core/heap.js")
    pinned = ask(site, "/v5/heapjs-static/5.3.10/core/heap.js")
    assert pinned.content == ours.content
    assert "immutable" not in pinned.headers["cache-control"]


ENCODINGS: list[Any] = [
    ("identity", None),
    ("", None),
    ("gzip", "gzip"),
    ("gzip, deflate, br, zstd", "br"),
    ("br;q=0, gzip;q=0.5", "gzip"),
    ("deflate", None),
]


@pytest.mark.parametrize(("accepted", "sent"), ENCODINGS)
def test_encodings_are_built_ahead(
    site: Site, script_folder: Path, version: str, accepted: str, sent: str | None
) -> None:
    request = httpx.Request("GET", site.url(f"/k/{version}/core.js"), headers={"accept-encoding": accepted})
    with httpx.Client() as client:
        answer = client.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        answer.close()
    ending = {None: "", "gzip": ".gz", "br": ".br"}[sent]
    assert answer.headers.get("content-encoding") == sent
    assert raw == (script_folder / f"core.js{ending}").read_bytes()
    assert answer.headers["vary"] == "Accept-Encoding"


def test_the_tag_of_one_encoding_is_not_that_of_another(site: Site, version: str) -> None:
    path = f"/k/{version}/core.js"
    zipped = ask(site, path, accept_encoding="gzip")
    assert ask(site, path, accept_encoding="gzip", if_none_match=zipped.headers["etag"]).status_code == 304
    assert ask(site, path, if_none_match=zipped.headers["etag"]).status_code == 200


def test_the_files_hold_their_budget(script_folder: Path) -> None:
    manifest = json.loads((script_folder / "manifest.json").read_text())
    for name, size in manifest["files"].items():
        zipped = (script_folder / f"{name}.gz").read_bytes()
        assert len(zipped) == size["gzip"] <= size["budget"]
        assert gzip.decompress(zipped) == (script_folder / name).read_bytes()
    assert manifest["files"]["core.js"]["budget"] == 8192


CODE = "return '</script>' + `${document.title}` // é"


def carried(text: str) -> Any:
    found = re.search(r"\}\)\((\{.*\})\)$", text)
    assert found
    return json.loads(found[1])["server"]


@pytest.mark.parametrize("path", LOADERS)
def test_a_function_is_a_file_of_its_own_while_a_snapshot_has_it(site: Site, path: str) -> None:
    site.configuration["snapshots"] = {"click": {"a": {"j": {"One": CODE, "Same": CODE}, "t": {"Two": "b"}}}}
    loader = ask(site, path)
    assert "return" not in loader.text.rpartition("})(")[2]
    [file] = carried(loader.text)["functions"]
    identifier = file.rpartition("/")[2].removesuffix(".js")
    assert carried(loader.text)["snapshots"] == {
        "click": {"a": {"j": {"One": identifier, "Same": identifier}, "t": {"Two": "b"}}}
    }
    assert file.startswith("/k/" if path.startswith("/k/") else "/v5/functions/")
    answer = ask(site, file)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert f"\n{CODE}\n" in answer.content.decode()
    assert ask(site, file, if_none_match=answer.headers["etag"]).status_code == 304
    site.configuration["snapshots"]["click"]["a"]["j"] = {"One": CODE + "!"}
    assert ask(site, file).status_code == 404
    assert carried(ask(site, path).text)["functions"] != [file]
    del site.configuration["snapshots"]
    assert "functions" not in carried(ask(site, path).text)


NOT_OURS = [
    ("GET", "/js/heap-.js"),
    ("GET", "/js/heap-12345678901234567.js"),
    ("GET", "/js/heap-123.js.map"),
    ("GET", "/js/../heap-123.js"),
    ("GET", "/config/abc/heap_config.js"),
    ("GET", "/v5/heapjs-static/1/core/../../x.js"),
    ("GET", "/v5/heapjs-static/1/core/other.js"),
    ("GET", "/k/1.2/loader.js"),
    ("GET", "/k/123/abc.js"),
    ("GET", "/v5/functions/abc/" + "a" * 20 + ".js"),
    ("GET", "/k/e"),
    ("POST", "/js/heap-123.js"),
]


@pytest.mark.parametrize(("method", "path"), NOT_OURS)
def test_other_paths_are_not_handled(script_folder: Path, method: str, path: str) -> None:
    assert not ScriptFiles(script_folder).handles(method, path)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_our_paths_are_handled(script_folder: Path, method: str) -> None:
    for path in [*LOADERS, *FUNCTIONS, *runtimes("0.1.0-abc")]:
        assert ScriptFiles(script_folder).handles(method, path)


def test_an_unknown_environment(script_folder: Path) -> None:
    async def unknown(_environment: str) -> None:
        return None

    for path in (LOADERS[0], *FUNCTIONS):
        assert TestClient(ScriptFiles(script_folder, unknown)).get(path).status_code == 404


def test_a_script_that_was_never_built_is_our_fault_and_not_the_pages(tmp_path: Path) -> None:
    client = TestClient(ScriptFiles(tmp_path), raise_server_exceptions=False)
    assert client.get(LOADERS[0]).status_code >= 500
