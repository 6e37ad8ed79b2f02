"""What brought others down and has no better place: each test is one published weakness that must not come back.

The rest stand where they belong: other workspaces' things (api/test_tenancy, web/test_pages), nested and oversize
input (test_bad_input, api/test_limits, gateway/test_app), tokens in addresses (api/test_tenancy), permissions by verb
and role (api/test_tenancy), forms from elsewhere (web/test_entry), hostile text (web/test_pages), guessed passwords
and hashed sessions (workspace/test_sign_in), sealed keys (workspace/test_keys), questions that name no environment or
change something (store/test_store).
"""

import ast
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.databases import environment_of
from tests.prepared import Demos
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
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("security") / "data").start()
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
    """Addresses people type are dialled by nobody (http_client/ is the one guarded client), and what people type is
    parsed by our own grammars."""
    tree = ast.parse(source.read_text())
    assert not imported(tree) & (LOADERS if source.parent.name == "http_client" else LOADERS | CALLERS_OUT)
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & RUNNERS


def test_only_one_port_is_open_and_only_to_this_machine(cairn: Served) -> None:
    """No store and no helper of ours can be reached beside the edge."""
    pids = {cairn.ready[f"{name}pid"] for name in ("", "edge_", "core_", "delivery_")}
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
            [CAIRN, "demo", "--data-dir", tmp_path / name, "--json"],
            check=True,
            capture_output=True,
            env={**os.environ, **environment_of(tmp_path / name)},
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
    "/",
    "/sign-in",
    "/sign-up",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/static",
    "/demo/shop/{app_id}",
    "/demo/shop/{app_id}/",
    "/demo/shop/{app_id}/{name}",
    "/.well-known/oauth-authorization-server",  # where other programs find what they are to ask (RFC 8414)
}


ROUTES = """
import json, os, sys
from starlette.routing import Mount, Route
from cairn.server import CoreProcess
from cairn.settings import load
core = CoreProcess(load({"data_dir": sys.argv[1]}, os.environ))
print(json.dumps([(route.path, sorted(getattr(route, "methods", None) or {"GET"}))
                  for route in core.app.routes]), flush=True)
os._exit(0)  # nothing was asked of it, so there is nothing to end
"""  # in a process of its own: the embedded store serves one folder for the whole life of a process


def test_strangers_see_only_what_is_meant_for_them(tmp_path: Path, cairn: Served) -> None:
    """Over every address there is, so that no helper page of the developers is left open."""
    told = subprocess.run(
        [sys.executable, "-c", ROUTES, tmp_path / "data"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment_of(tmp_path / "data")},
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


WRONG_KEY = "wk_Wr0ngKeyOfNobodyAtAll9"
_CALL = json.dumps({"writeKey": WRONG_KEY, "event": "Paid", "userId": "u"}).encode()
_BASE64 = base64.b64encode(_CALL).decode()
# Every way in which a key comes with a request that is refused: (method, target, body, headers).
REFUSED = [
    pytest.param("POST", "/v1/track", _CALL, {}, id="JSON"),
    pytest.param("POST", "/v1/track", _CALL[:-4], {}, id="JSON that is cut off"),
    pytest.param(
        "POST", "/v1/batch", b'{"batch":[' + json.dumps(_CALL.decode()).encode(), {}, id="JSON in a text"
    ),
    pytest.param("GET", f"/v1/pixel/track?data={_BASE64}", b"", {}, id="pixel"),
    pytest.param("GET", f"/v1/pixel/track?data={_BASE64[:-5]}!", b"", {}, id="pixel that cannot be decoded"),
    pytest.param("GET", f"/v1/pixel/track?data=x{_BASE64}*", b"", {}, id="pixel moved by a character"),
    pytest.param(
        "GET", f"/v1/pixel/track?data={_BASE64[:40]}~{_BASE64[41:]}", b"", {}, id="pixel damaged inside"
    ),
    pytest.param("GET", f"/v1/pixel/track?data={quote(quote(_CALL.decode()))}", b"", {}, id="encoded twice"),
    pytest.param("GET", f"/v1/pixel/track?writeKey={WRONG_KEY}", b"", {}, id="pixel's parameter"),
    pytest.param("POST", f"/events/t?env={WRONG_KEY}&en=e", b"{}", {}, id="flag event"),
    pytest.param(
        "POST",
        "/events/t?en=e",
        b'{"d":{"event":{"props":{"vwo_envKey":"' + WRONG_KEY.encode() + b'"',
        {},
        id="flag event's body",
    ),
    pytest.param("POST", f"/server-side/batch-events-v2?env={WRONG_KEY}", _CALL, {}, id="flag batch"),
    pytest.param("GET", f"/server-side/v2-settings?i={WRONG_KEY}", b"", {}, id="settings"),
    pytest.param("POST", "/user-alias/setUserAlias?sdkKey=" + WRONG_KEY, b"{", {}, id="alias"),
    pytest.param(
        "POST", "/api/track", b'{"app_id":"' + WRONG_KEY.encode() + b'"}', {}, id="in the place of an app id"
    ),
    pytest.param("GET", "/api/v1/flags", b"", {"Authorization": f"Bearer cairn_{WRONG_KEY}"}, id="token"),
    pytest.param(
        "POST",
        "/v1/track",
        b"{",
        {"Authorization": "Basic " + base64.b64encode(WRONG_KEY.encode()).decode()},
        id="basic",
    ),
]


@pytest.mark.parametrize(("method", "target", "body", "headers"), REFUSED)
def test_a_key_that_is_refused_is_written_down_nowhere_in_full(
    cairn: Served, method: str, target: str, body: bytes, headers: dict[str, str]
) -> None:
    """Neither answered, nor logged, nor in the event log; what is kept names it by four characters."""
    with httpx2.Client(base_url=cairn.url) as client:
        answer = client.request(method, target, content=body, headers=headers)
        assert answer.status_code < 500
        # Whatever is written of it is on the disk once what came after it is.
        after = {"app_id": cairn.production["app_id"], "identity": "after", "event": "After"}
        assert client.post("/api/track", json=after).status_code == 200
    spellings = [
        WRONG_KEY[5:],
        *(base64.b64encode(b"x" * n + WRONG_KEY[5:].encode())[4:-4].decode() for n in range(3)),
    ]
    kept = [
        *(cairn.data_dir / "log").glob("*"),
        *cairn.data_dir.glob("*.db*"),
    ]  # the event store is compressed
    written = {path: path.read_bytes() for path in kept if path.is_file()}
    assert written
    for text in spellings:
        assert text not in answer.text + cairn.errors.read_text()
        assert [path for path, content in written.items() if text.encode() in content] == []


LOGGED = [
    f"could not read {{'writeKey': '{WRONG_KEY}'}}",
    f"GET /server-side/v2-settings?i={WRONG_KEY}&a=1",
    f"Authorization: Bearer cairn_{WRONG_KEY}",
    f"postgresql+psycopg://cairn:{WRONG_KEY}@db.internal/cairn",
    f"password={WRONG_KEY} host=db",
    f"data={_BASE64}",
]


@pytest.mark.parametrize("text", LOGGED)
def test_no_line_of_any_log_holds_a_key_wherever_in_it_the_key_stands(text: str) -> None:
    """Message, named values, exception and its cause; our own loggers and libraries' alike."""
    code = (
        "import logging, sys, warnings; from cairn.logs import set_up_logging; set_up_logging(); t = sys.argv[1]\n"
        "logging.getLogger('cairn.x').warning('event', extra={'path': t, 'why': ValueError(t)})\n"
        "logging.getLogger('uvicorn.error').error('said %s', t)\n"
        "warnings.warn(t)\n"
        "try:\n"
        "    try: raise ValueError(t)\n"
        "    except ValueError as error: raise RuntimeError(t) from error\n"
        "except RuntimeError: logging.getLogger('cairn.y').exception('failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, text], check=True, capture_output=True, text=True)
    assert "event path=" in done.stderr and "failed" in done.stderr and "RuntimeError" in done.stderr
    assert WRONG_KEY not in done.stdout + done.stderr and _BASE64[:40] not in done.stderr


def test_every_process_writes_its_log_through_the_one_that_leaves_keys_out() -> None:
    """No handler of its own, no printing to standard error but by the two that redact what they print."""
    loud = {
        str(source.relative_to(SOURCES[0].parent))
        for source in SOURCES
        if re.search(r"StreamHandler|basicConfig|stderr|err=True|traceback\.print", source.read_text())
    }
    assert loud == {"logs.py", "supervise.py", "cli/main.py"}
