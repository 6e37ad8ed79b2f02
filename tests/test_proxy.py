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
    port.app = Proxy(core.socket, limits_for(1024), TrustedProxies("127.0.0.1"), first_byte_s=0.5)
    yield port
    port.close()


def call(port: Port, request: bytes) -> tuple[int, bytes, bytes]:
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
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
            port, "/flags/new%2Fone?q=a%20b&x=1#top",
            "Cookie: session=1", "Connection: keep-alive, X-Private", "X-Private: mine", "Keep-Alive: timeout=5",
            "TE: trailers", "X-Forwarded-Host: evil.test", "Forwarded: for=evil", "X-Own: kept",
        )
    )  # fmt: skip
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
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
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
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        if not chunked:
            connection.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10485761\r\n\r\n")
        else:
            connection.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(11):
                connection.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        status, head, body = read_answer(connection)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert b"application/problem+json" in head


def test_long_answers_are_streamed_whole(port: Port) -> None:
    connection = HTTPConnection("127.0.0.1", port.number, timeout=10)
    connection.request("GET", "/long")
    body = connection.getresponse().read()
    connection.close()
    assert body == b"".join(bytes([number]) * 65_536 for number in range(48))


def test_head_and_empty_answers(port: Port) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
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
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        data = b""
        while b"data: 5\n\n" not in data:
            data += connection.recv(4096)
        assert b"data: 10\n" not in data, "events come one by one, not all at the end"
    until(core.left.exists)


def test_a_silent_core_is_given_up(port: Port) -> None:
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
