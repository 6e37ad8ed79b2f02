"""The public port holds each connection to its limits: whoever is slow, large or many pays for it alone."""

import gzip
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn.client_address import TrustedProxies
from cairn.http_server.connections import Connections, Refused, State
from cairn.http_server.limits import (
    BODY_S,
    HEADER_S,
    KEEP_ALIVE_S,
    MOST_PIPELINED,
    WRITE_S,
    Limits,
    limits_for,
)
from tests.edge_alone import SETTINGS, TRACK, EdgeAlone
from tests.gateway.serving import read_answer

BODY = json.dumps(TRACK).encode()
POST = b"POST /api/track HTTP/1.1\r\nHost: cairn.test\r\nContent-Type: application/json\r\n"
GET = b"GET /pages HTTP/1.1\r\nHost: cairn.test\r\n\r\n"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeAlone]:
    edge = EdgeAlone(tmp_path_factory.mktemp("port") / "data")
    yield edge
    edge.close()


def memory_mb(edge: EdgeAlone) -> float:
    return int(Path(f"/proc/{edge.edge.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def until(what: Callable[[], Any], limit_s: float = 60) -> Any:
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def answer_or_end(connection: socket.socket) -> int:
    """The status of the answer; 0 when the connection ended without one."""
    try:
        return read_answer(connection)[0]
    except (ConnectionError, TimeoutError):
        return 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, id="the same host twice"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nhOsT : b\r\n\r\n", 400, id="host with a space"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, id="two hosts in one line"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a/../b\r\n\r\n", 400, id="a path for a host"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, id="a user before the host"),
        pytest.param(b"GET /pages HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET /pages HTTP/1.0\r\n\r\n", 200, id="no host in HTTP/1.0"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: [2001:db8::1]:8300\r\n\r\n", 200, id="IPv6 host"),
        pytest.param(b"\r\n\r\nGET /pages HTTP/1.1\r\nHost: a\r\n\r\n", 200, id="empty lines before"),
        pytest.param(POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, id="two lengths"),
        pytest.param(
            POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="length and chunks",
        ),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, id="folded header"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="no chunk"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 16_000 + b"\r\n\r\n", 200, id="16 KB"),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 17_000 + b"\r\n\r\n", 431, id="17 KB"),
        pytest.param(
            b"GET /pages HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 4_000 + b"\r\n",
            431,
            id="many small headers",
        ),
        pytest.param(b"GET /pages HTTP/1.1\r\nHost: a\r\n" + b"x" * 40_000, 431, id="a name without an end"),
        pytest.param(b"GET /pages?" + b"q" * 30_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 200, id="long line"),
        pytest.param(b"GET /pages?" + b"q" * 70_000, 400, id="line without an end"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"e" * 400_000, 400, id="endless chunk extension"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"t" * 400_000, 400, id="endless trailer"
        ),
        pytest.param(
            b"GET /pages HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
            200,
            id="websocket",
        ),
        pytest.param(
            b"GET /pages HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
            200,
            id="HTTP/2 upgrade as Java's client offers it",
        ),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
def test_what_is_ambiguous_or_too_large_is_refused(
    edge: EdgeAlone, request_bytes: bytes, status: int, pieces: int
) -> None:
    with edge.connect() as connection:
        size = len(request_bytes) // pieces + 1
        try:
            for start in range(0, len(request_bytes), size):
                connection.sendall(request_bytes[start : start + size])
        except ConnectionError:
            assert status >= 400
        assert answer_or_end(connection) in ((status,) if status < 300 else (status, 0))
    assert edge.track() == 200


def test_a_header_line_after_a_pipelined_request_is_never_taken_for_a_query(edge: EdgeAlone) -> None:
    second = b"GET /pages?mine=1 HTTP/1.1\r\nHost: cairn.test\r\n"
    with edge.connect() as connection:
        connection.sendall(GET + second)
        assert read_answer(connection)[0] == 200
        connection.sendall(b"X-Own: \xff a?admin=1 b\r\n\r\n")
        status, _, body = read_answer(connection)
    assert status == 200 and json.loads(body)["query"] == "mine=1"


def test_a_pipelined_line_no_parser_takes_is_refused_after_the_answer_before_it(edge: EdgeAlone) -> None:
    with edge.connect() as connection:
        connection.sendall(GET + b"GET /pages?q=\xff HTTP/1.1\r\nHost: cairn.test\r\n\r\n")
        assert read_answer(connection)[0] == 200, (
            "the first request's own answer, not our refusal of the second"
        )
        assert answer_or_end(connection) == 0


def test_pipelined_requests_are_answered_in_order_and_a_flood_of_them_ends_the_connection(
    edge: EdgeAlone,
) -> None:
    with edge.connect() as connection:
        connection.sendall(b"".join(GET.replace(b"/pages", b"/%d" % n) for n in range(MOST_PIPELINED)))
        paths = [json.loads(read_answer(connection)[2])["path"] for _ in range(MOST_PIPELINED)]
    assert paths == [f"/{n}" for n in range(MOST_PIPELINED)]
    before = edge.health()["connections"]["refused"]["too_many_pipelined"]
    with edge.connect() as connection:
        connection.sendall(GET * 2_000)
        answers = 0
        while answer_or_end(connection) == 200:
            answers += 1
    assert answers <= MOST_PIPELINED + 1
    assert edge.health()["connections"]["refused"]["too_many_pipelined"] == before + 1


def test_trailers_are_no_headers(edge: EdgeAlone) -> None:
    chunked = b"POST /pages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n"
    status, _, body = edge.raw(chunked)
    assert status == 200 and "x-late" not in {name for name, _ in json.loads(body)["headers"]}


def test_headers_without_an_end_cost_no_memory(edge: EdgeAlone) -> None:
    before = memory_mb(edge)
    sent = 0
    with edge.connect() as connection:
        try:
            connection.sendall(b"GET /pages HTTP/1.1\r\nHost: a\r\n")
            while sent < 200 * 2**20:
                connection.sendall(b"X: " + b"x" * 8_000 + b"\r\n")
                sent += 8_000
        except ConnectionError:
            pass
    assert sent < 20 * 2**20, "cut off early"
    assert memory_mb(edge) - before < 30


def test_slow_senders_are_cut_off_while_others_are_served(edge: EdgeAlone) -> None:
    """Silent, trickling headers, a body that stops, one that trickles, a compressed one: all at once, all cut."""
    beginnings = {
        "silent": b"",
        "half a line": b"GET /pa",
        "half a header": GET[:-4],
        "no body": POST + b"Content-Length: 9000000\r\n\r\n",
        "half a body": POST + b"Content-Length: 9000000\r\n\r\n" + BODY,
        "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + BODY,
        "half a compressed body": POST
        + b"Content-Encoding: gzip\r\nContent-Length: 900\r\n\r\n"
        + gzip.compress(BODY),
        "half a batch of flag events": b"POST /server-side/batch-events-v2 HTTP/1.1\r\nHost: a\r\n"
        b"Content-Length: 9000000\r\n\r\n{",
        "half a page's form": b"POST /pages HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nx=",
    }
    slow = {name: edge.connect(timeout_s=60) for name in beginnings}
    for name, connection in slow.items():
        connection.sendall(beginnings[name])
    began = time.monotonic()
    while time.monotonic() - began < HEADER_S / 2:
        for name in ("half a header", "half a body"):  # one byte now and then is not enough
            slow[name].sendall(b"x")
        assert edge.track() == 200 and edge.ask("GET", SETTINGS)[0] in (200, 400)
    ends = {name: answer_or_end(connection) for name, connection in slow.items()}
    assert ends == {name: 0 if name == "silent" else 408 for name in beginnings}
    refused = edge.health()["connections"]["refused"]
    assert refused["headers_too_slow"] >= 3 and refused["body_too_slow"] >= 6
    for connection in slow.values():
        connection.close()


def test_more_silent_connections_than_files_stop_nobody(tmp_path: Path) -> None:
    """With a limit of 256 files: new connections take the place of those that have waited longest."""
    edge = EdgeAlone(tmp_path / "data", files=256)
    silent: list[socket.socket] = []
    try:
        most = limits_for(256).connections
        for _ in range(3 * most):
            silent.append(edge.connect())
        assert edge.track() == 200
        assert edge.ask("GET", SETTINGS)[0] in (200, 400)
        assert edge.ask("GET", "/pages")[0] == 200
        shown = edge.health()["connections"]
        assert shown["most"] == most and shown["open"] <= most
        assert shown["refused"]["made_room"] >= most
    finally:
        for connection in silent:
            connection.close()
        edge.close()


def test_one_address_has_its_share_and_a_trusted_proxy_speaks_for_many(tmp_path: Path) -> None:
    direct = EdgeAlone(tmp_path / "direct", "--trusted-proxies", "", files=1024)
    most = limits_for(1024).per_address
    busy: list[socket.socket] = []
    try:
        for _ in range(most):  # under way, so they make room for nobody
            connection = direct.connect()
            connection.sendall(POST + b"Content-Length: 900\r\n\r\n{")
            busy.append(connection)
        with direct.connect() as connection:
            connection.sendall(GET)
            assert answer_or_end(connection) in (503, 0)
    finally:
        for connection in busy:
            connection.close()
        direct.close()
    trusted = EdgeAlone(tmp_path / "trusted", files=1024)
    many: list[socket.socket] = []
    try:
        for _ in range(most + 20):
            connection = trusted.connect()
            connection.sendall(POST + b"Content-Length: 900\r\n\r\n{")
            many.append(connection)
        assert trusted.track() == 200
        assert trusted.health()["connections"]["refused"]["address_full"] == 0
    finally:
        for connection in many:
            connection.close()
        trusted.close()


def test_unfinished_requests_leave_room_for_flag_sdks(tmp_path: Path) -> None:
    edge = EdgeAlone(tmp_path / "data", files=256)
    busy: list[socket.socket] = []
    try:
        for _ in range(limits_for(256).requests):
            connection = edge.connect()
            connection.sendall(POST + b"Content-Length: 900\r\n\r\n{")
            busy.append(connection)
        until(lambda: edge.track() == 503, 8)
        assert edge.ask("GET", SETTINGS)[0] in (200, 400), "what settings say, published or not; never 503"
    finally:
        for connection in busy:
            connection.close()
        edge.close()


class Client:
    """A connection as the table sees it."""

    def __init__(self) -> None:
        self.state, self.since, self.held_bytes = State.HEAD, 0.0, 0
        self.ended: list[str] = []
        self.is_slow = False

    def end(self, why: Refused) -> None:
        self.ended.append(why)
        self.table.remove(self, self.peer)

    def end_idle(self) -> None:
        self.ended.append("idle")
        self.table.remove(self, self.peer)

    def is_too_slow(self, now: float) -> bool:
        return self.is_slow

    def join(self, table: Connections, peer: str, now: float = 0.0) -> "Client":
        self.table, self.peer = table, peer
        why = table.add(self, peer, now)
        if why:
            self.ended.append(why)
        return self


def table(*, connections: int = 4, per_address: int = 2, held_bytes: int = 100) -> Connections:
    limits = Limits(connections, per_address, connections - 1, 2, 1, 16, held_bytes)
    return Connections(limits, TrustedProxies("10.0.0.1"))


def test_ipv6_neighbours_share_one_limit_and_a_proxy_has_none() -> None:
    crowded = table(connections=10)
    neighbours = [Client().join(crowded, f"2001:db8:1:2::{n}") for n in range(3)]
    assert [client.ended for client in neighbours] == [["made_room"], [], []]
    proxied = [Client().join(crowded, "10.0.0.1") for _ in range(5)]
    assert not any(client.ended for client in proxied)


def test_who_waits_longest_without_a_request_makes_room_and_a_request_never_does() -> None:
    full = table(per_address=10)
    first, idle, asking, last = (Client().join(full, f"192.0.2.{n}", n) for n in range(4))
    full.move(idle, State.IDLE, 5.0)
    full.move(asking, State.ANSWER, 5.0)
    Client().join(full, "192.0.2.9", 6.0)
    assert (first.ended, idle.ended, asking.ended, last.ended) == (["made_room"], [], [], [])
    for client in (idle, last):
        full.move(client, State.BODY, 7.0)
    newest = Client().join(full, "192.0.2.10", 8.0)
    assert newest.ended == [], "the one of 6.0 still waited"
    full.move(newest, State.ANSWER, 9.0)
    assert Client().join(full, "192.0.2.11", 9.0).ended == ["full"]
    assert asking.ended == []


def test_bodies_that_are_not_whole_share_a_bound_and_the_oldest_ends() -> None:
    shared = table(per_address=10, connections=10)
    old, new = (Client().join(shared, "192.0.2.1") for _ in range(2))
    for client in (old, new):
        shared.move(client, State.BODY, 1.0)
        shared.hold(client, 50)
    assert old.ended == [] and new.ended == []
    shared.hold(new, 10)
    assert old.ended == ["body_not_kept"] and new.ended == []
    shared.let_go(new)
    assert shared.report()["held_bytes"] == 0


@pytest.mark.parametrize(
    ("state", "limit_s", "end"),
    [
        (State.HEAD, HEADER_S, "headers_too_slow"),
        (State.IDLE, KEEP_ALIVE_S, "idle"),
        (State.STUCK, WRITE_S, "answer_not_read"),
        (State.ANSWER, BODY_S * 100, None),
    ],
)
def test_each_state_has_its_time(state: State, limit_s: float, end: str | None) -> None:
    timed = table()
    client = Client().join(timed, "192.0.2.1", 0.0)
    if state is not State.HEAD:
        timed.move(client, state, 0.0)
    timed.sweep(limit_s)
    assert client.ended == []
    timed.sweep(limit_s + 1)
    assert client.ended == ([end] if end else [])


@pytest.mark.parametrize("files", [64, 256, 1024, 20_000, 1_048_576])
def test_limits_fit_into_the_files_there_are(files: int) -> None:
    limits = limits_for(files)
    assert limits.requests < limits.connections and limits.per_address <= max(16, limits.connections)
    if files >= 256:
        assert limits.connections + limits.proxied + limits.backlog < files
