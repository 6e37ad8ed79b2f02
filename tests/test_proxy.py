"""The edge passes on what it does not answer itself, and says so when the core is away. Over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from cairn.client_address import TrustedProxies
from cairn.http_server.limits import limits_for
from cairn.proxy import Proxy
from tests.gateway.serving import Port, read_answer
from tests.patience import PATIENCE_S


class StandIn:
    def __init__(self, folder: Path) -> None:
        self.socket = folder / "core.sock"
        self.left = folder / "left"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready, its_end = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stand_in_core", str(self.socket), str(its_end)],
            pass_fds=(its_end,),
            env={**os.environ, "STAND_IN_LEFT": str(self.left)},
        )
        os.close(its_end)
        assert os.read(ready, 6) == b"ready\n"
        os.close(ready)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    core = StandIn(tmp_path_factory.mktemp("core"))
    core.start()
    yield core
    core.kill()


@pytest.fixture(scope="module")
def port(core: StandIn) -> Iterator[Port]:
    port = Port()
    port.app = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"), first_byte_s=PATIENCE_S)
    yield port
    port.close()


def call(port: Port, request: bytes) -> tuple[int, bytes, bytes]:
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        return read_answer(connection)


def get(port: Port, target: str, *headers: str) -> tuple[int, bytes, bytes]:
    lines = (f"GET {target} HTTP/1.1", "Host: cairn.test:8300", *headers)
    return call(port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def heard(answer: tuple[int, bytes, bytes]) -> dict[str, Any]:
    assert answer[0] == 200
    return dict(json.loads(answer[2]))


def header(found: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in found["headers"] if key == name]


def test_a_request_arrives_as_it_was_sent_minus_what_was_about_the_connection(port: Port) -> None:
    found = heard(
        get(
            port,
            "/flags/new%2Fone?q=a%20b&x=1#top",
            "Cookie: session=1",
            "Connection: keep-alive, X-Private",
            "X-Private: mine",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "X-Forwarded-Host: evil.test",
            "Forwarded: for=evil",
            "X-Own: kept",
        )
    )
    assert (found["method"], found["path"], found["query"]) == ("GET", "/flags/new/one", "q=a%20b&x=1%23top")
    assert header(found, "host") == header(found, "x-forwarded-host") == ["cairn.test:8300"]
    assert header(found, "x-forwarded-for") == ["127.0.0.1"]
    assert header(found, "x-forwarded-proto") == ["http"]
    assert header(found, "cookie") == ["session=1"] and header(found, "x-own") == ["kept"]
    for gone in ("x-private", "keep-alive", "te", "forwarded"):
        assert header(found, gone) == []


def test_the_word_of_a_proxy_in_front_is_passed_on(port: Port) -> None:
    found = heard(get(port, "/", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https"))
    assert (header(found, "x-forwarded-for"), header(found, "x-forwarded-proto")) == (
        ["203.0.113.7"],
        ["https"],
    )


def test_answer_headers_are_kept_and_the_connection_stays(port: Port) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        for _ in range(3):
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            status, head, _ = read_answer(connection)
            assert (status, head.count(b"set-cookie:"), head.count(b"\r\ndate:")) == (200, 2, 1)
            assert b"connection: close" not in head


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "chunked"])
def test_bodies_are_passed_on(port: Port, size: int, chunked: bool) -> None:
    body = b"x" * size
    if chunked:
        pieces = [body[start : start + 100_000] for start in range(0, size, 100_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        request = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + framed
    else:
        request = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body
    found = heard(call(port, request))
    assert (found["method"], found["body_bytes"]) == ("POST", size)


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "found out"])
def test_a_body_over_ten_megabytes_is_refused(port: Port, chunked: bool) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        if not chunked:
            connection.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10485761\r\n\r\n")
        else:
            connection.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(11):
                connection.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        status, head, body = read_answer(connection)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert b"application/problem+json" in head


UPLOADS = [
    "/api/v1/lists/l1/values?environment=1",
    "/api/v1/lists/l1/values/remove",
    "/env/production/lists/l1/upload",
]


@pytest.mark.parametrize("path", UPLOADS)
def test_a_file_of_more_than_ten_megabytes_is_passed_on_to_the_addresses_of_uploads(
    port: Port, path: str
) -> None:
    size = 12 * 2**20
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendall(b"x" * size)
        status, _, body = read_answer(connection)
    assert (status, json.loads(body)["body_bytes"]) == (200, size)


@pytest.mark.parametrize(
    "path", [UPLOADS[0], "/api/v1/lists/l1", "/api/v1/lists/l1/values/more", "/env/x/lists"]
)
def test_no_address_takes_more_than_its_own_limit(port: Port, path: str) -> None:
    length = 258 * 2**20 if path in UPLOADS else 11 * 2**20
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        status, _, body = read_answer(connection)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")


def test_long_answers_are_streamed_whole(port: Port) -> None:
    connection = HTTPConnection("127.0.0.1", port.number, timeout=PATIENCE_S)
    connection.request("GET", "/long")
    body = connection.getresponse().read()
    connection.close()
    assert body == b"".join(bytes([number]) * 65_536 for number in range(48))


def test_head_and_empty_answers(port: Port) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        connection.sendall(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        assert b" 200 " in head and b"content-length" in head
        connection.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 204
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_server_sent_events_flow_and_end_with_their_reader(port: Port, core: StandIn) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        data = b""
        while b"data: 5\n\n" not in data:
            data += connection.recv(4096)
        assert b"data: 10\n" not in data, "events come one by one, not all at the end"
    until(core.left.exists)


def test_a_silent_core_is_given_up(port: Port, core: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"), first_byte_s=0.1)
    monkeypatch.setattr(port, "app", hasty)
    status, _, body = get(port, "/silent")
    assert (status, json.loads(body)["code"]) == (504, "core_silent")


def test_a_core_away_gives_people_a_page_and_programs_a_problem(tmp_path: Path) -> None:
    core, port = StandIn(tmp_path), Port()
    port.app = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"))
    try:
        for _ in ("never there", "killed"):
            status, head, page = get(port, "/flags", "Accept: text/html,application/xhtml+xml")
            assert status == 503 and b"retry-after: 1" in head and b"text/html" in head
            assert b'http-equiv="refresh" content="1"' in page and b"Events and flags go on" in page
            status, head, body = get(port, "/api/flags", "Accept: application/json")
            assert status == 503 and b"application/problem+json" in head
            assert json.loads(body)["code"] == "unavailable"
            core.start()
            assert get(port, "/flags")[0] == 200
            core.kill()
    finally:
        port.close()


def post(port: Port, body: bytes, *headers: str, path: str = "/env/a/flags/new") -> tuple[int, bytes, bytes]:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: cairn.test:8300",
        "Accept: text/html",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return call(port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


@pytest.fixture
def coreless(tmp_path: Path) -> Iterator[Port]:
    """An edge before a core that is not there."""
    port = Port()
    port.app = Proxy(tmp_path / "core.sock", limits_for(1024), TrustedProxies("127.0.0.1"))
    yield port
    port.close()


OURS = "Sec-Fetch-Site: same-origin"


def test_a_form_that_meets_no_core_is_shown_to_be_sent_again(coreless: Port) -> None:
    body = b"csrf=c5rf&author=1.2.x&name=A%20%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&text=one%0D%0Atwo&empty=&name=2"
    status, head, page = post(coreless, body, OURS)
    assert status == 503 and b"retry-after: 1" in head and b"cache-control: no-store" in head
    assert b"Send it again" in page and b"nothing of what you typed is lost" in page
    assert b'action="/env/a/flags/new"' in page
    assert b"<script>alert" not in page and b"&quot;&gt;&lt;script&gt;alert(1)" in page
    for field in ((b"csrf", b"c5rf"), (b"author", b"1.2.x"), (b"empty", b""), (b"name", b"2")):
        assert b'name="%b" value="%b"' % field in page
    assert page.index(b"one\r\ntwo") and b"c5rf" not in page[page.index(b"<details") :]
    policy = head[head.index(b"content-security-policy: ") :].partition(b"\r\n")[0]
    nonce = policy.partition(b"'nonce-")[2].partition(b"'")[0]
    assert nonce and page.lower().count(b'nonce="%b"' % nonce) == 2 and b"'unsafe" not in policy
    assert b"default-src 'none'" in policy and b"form-action 'self'" in policy
    assert b"x-frame-options: deny" in head and b"x-content-type-options: nosniff" in head


NOT_SHOWN = [
    pytest.param(b"email=a&password=hunter2secret", (OURS,), "/env/a", id="a password"),
    pytest.param(b"current=hunter2secret&again=x", (OURS,), "/env/a", id="the current password"),
    pytest.param(b"api_token=hunter2secret", (OURS,), "/env/a", id="a token"),
    pytest.param(b"Client-Secret=hunter2secret", (OURS,), "/env/a", id="a secret"),
    pytest.param(b"name=hunter2secret", ("Sec-Fetch-Site: cross-site",), "/env/a", id="from another site"),
    pytest.param(b"name=hunter2secret", ("Sec-Fetch-Site: same-site",), "/env/a", id="from a neighbour"),
    pytest.param(b"name=hunter2secret", ("Origin: http://evil.test",), "/env/a", id="another origin"),
    pytest.param(b"name=hunter2secret", ("Origin: null",), "/env/a", id="no origin to name"),
    pytest.param(b"name=hunter2secret", (), "/env/a", id="nobody says from where"),
    pytest.param(b"name=hunter2secret", (OURS,), "//evil.test/env/", id="an address of another site"),
    pytest.param(b"name=hunter2secret", (OURS,), "/env/\\evil.test", id="a backslash"),
    pytest.param(b"name=hunter2secret&x=" + b"x" * 205_000, (OURS,), "/env/a", id="too long"),
    pytest.param(
        b"&".join(b"name=hunter2secret" for _ in range(2_001)), (OURS,), "/env/a", id="too many fields"
    ),
    pytest.param(
        b"name=hunter2secret", (OURS, "HX-Request: true"), "/env/a", id="part of a page, which keeps it"
    ),
]


@pytest.mark.parametrize(("body", "headers", "path"), NOT_SHOWN)
def test_a_form_is_shown_again_to_nobody_but_its_page_and_never_with_a_secret(
    coreless: Port, body: bytes, headers: tuple[str, ...], path: str
) -> None:
    status, _, page = post(coreless, body, *headers, path=path)
    assert status == 503 and b"hunter2secret" not in page and b"<form" not in page
    assert b"was not saved" in page


def test_a_form_whose_core_dies_under_it_is_kept_and_said_to_be_saved_perhaps(tmp_path: Path) -> None:
    core, port = StandIn(tmp_path), Port()
    core.start()
    port.app = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"))
    try:
        status, _, page = post(port, b"name=Ada", OURS, path="/env/dies")
        assert status == 503 and b'value="Ada"' in page
        assert b"may be saved already" in page and b"Nothing was saved" not in page
        assert core.process is not None and core.process.wait(5) == 9
    finally:
        port.close()


def test_a_core_that_dies_in_the_middle_of_an_answer_breaks_the_connection(tmp_path: Path) -> None:
    core, port = StandIn(tmp_path), Port()
    core.start()
    port.app = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"))
    try:
        with pytest.raises(ConnectionError):
            get(port, "/cut")
        assert core.process is not None and core.process.wait(5) == 9
        assert get(port, "/")[0] == 503
    finally:
        port.close()


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.01)
