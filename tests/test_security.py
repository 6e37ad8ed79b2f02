"""What brought others down and has no better place: each test is one published weakness that must not come back.

The rest stand where they belong: other workspaces' things (api/test_tenancy, web/test_pages), nested and oversize
input (test_bad_input, api/test_limits, gateway/test_app), tokens in addresses (api/test_tenancy), permissions by verb
and role (api/test_tenancy), forms from elsewhere (web/test_entry), hostile text (web/test_pages), guessed passwords
and hashed sessions (workspace/test_sign_in), sealed keys (workspace/test_keys), questions that name no environment or
change something (store/test_store).
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.served import CAIRN, Served

SOURCES = sorted((Path(__file__).parent.parent / "cairn").rglob("*.py"))
CALLERS_OUT = {
    "aiohttp",
    "ftplib",
    "http",
    "httpx",
    "httpx2",
    "requests",
    "smtplib",
    "urllib3",
    "urllib.request",
}
RUNNERS = {"eval", "exec", "compile", "__import__"}
LOADERS = {"pickle", "marshal", "shelve", "yaml", "code"}


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("security") / "data").make_demo().start()
    yield served
    assert served.stop() == 0


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found | {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_nothing_calls_out_and_no_text_becomes_code(source: Path) -> None:
    """Addresses people type are dialled by nobody (http_client.py is the one guarded client), and what people type is
    parsed by our own grammars."""
    tree = ast.parse(source.read_text())
    assert not imported(tree) & (LOADERS if source.name == "http_client.py" else LOADERS | CALLERS_OUT)
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & RUNNERS


def test_only_one_port_is_open_and_only_to_this_machine(cairn: Served) -> None:
    """No store and no helper of ours can be reached beside the edge."""
    pids = {cairn.ready["pid"], cairn.ready["edge_pid"], cairn.ready["core_pid"]}
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(link)
            except FileNotFoundError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1])
    assert listening == {f"0100007F:{cairn.port:04X}"}


def test_no_two_installations_share_a_secret(tmp_path: Path) -> None:
    told = []
    for name in ("one", "two"):
        made = subprocess.run(
            [CAIRN, "demo", "--data-dir", tmp_path / name, "--json"], check=True, capture_output=True
        )
        told.append(json.loads(made.stdout))
        assert (tmp_path / name / "secret.key").stat().st_mode & 0o077 == 0
    first, second = ({text for text in texts(one) if len(text) > 9} for one in told)
    assert first & second == {told[0]["url"], told[0]["email"], "featureFlag"} - {""}


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    else:
        yield str(value)


OPEN = {  # whoever they are
    "/", "/sign-in", "/sign-up", "/api/v1/openapi.json", "/api/v1/docs", "/static",
    "/demo/shop/{app_id}", "/demo/shop/{app_id}/", "/demo/shop/{app_id}/{name}",
}  # fmt: skip


ROUTES = """
import json, os, sys
from starlette.routing import Mount, Route
from cairn.server import CoreProcess
from cairn.settings import load
core = CoreProcess(load({"data_dir": sys.argv[1]}, {}))
print(json.dumps([(route.path, sorted(getattr(route, "methods", None) or {"GET"}))
                  for route in core.app.routes]), flush=True)
os._exit(0)  # nothing was asked of it, so there is nothing to end
"""  # in a process of its own: the embedded store serves one folder for the whole life of a process


def test_strangers_see_only_what_is_meant_for_them(tmp_path: Path, cairn: Served) -> None:
    """Over every address there is, so that no helper page of the developers is left open."""
    told = subprocess.run(
        [sys.executable, "-c", ROUTES, tmp_path / "data"], check=True, capture_output=True, text=True
    )
    routes = json.loads(told.stdout.splitlines()[-1])
    assert len(routes) > 60
    with httpx2.Client(base_url=cairn.url) as stranger:
        for path, methods in routes:
            for method in methods:
                if path in OPEN or "{path:path}" in path or method == "OPTIONS":  # a preflight tells nothing
                    continue
                body = {"json": {}} if path.startswith("/api/") and method != "GET" else {}
                status = stranger.request(method, re.sub(r"{[^}]+}", "1", path), **body).status_code
                assert status >= 300 and status != 500, (method, path, status)


def test_no_secret_and_nobodys_data_is_in_the_log_of_the_processes(cairn: Served) -> None:
    token, key = cairn.demo["api_token"], cairn.production["write_keys"]["server"]
    secrets = [token, key, cairn.production["sdk_key"], cairn.demo["password"], "private@shop.test"]
    with httpx2.Client(base_url=cairn.url) as client:
        for path in (
            f"/api/v1/flags?token={token}",
            f"/env/production?token={token}",
            f"/v1/batch?key={key}",
        ):
            client.get(path)
        client.post(
            "/v1/track", content=b"{" + key.encode() + b"\xff", headers={"Authorization": f"Basic {key}"}
        )
        client.post("/v1/track", json={"writeKey": key, "userId": "private@shop.test", "event": {"a": key}})
        client.post("/sign-in", data={"email": cairn.demo["email"], "password": cairn.demo["password"]})
        client.get("/api/v1/flags/%00", headers={"Authorization": f"Bearer {token}"})
    said = cairn.errors.read_text()
    assert [secret for secret in secrets if secret in said] == []
