"""The one client for outbound calls: where it goes, where it does not, and what it gives away on the way."""

import gzip
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cairn.client_address import TrustedProxies
from cairn.http_client import Answer, Call, CallFailed, CallRefused, HttpClient, Secret, is_public, resolve

LOOPBACK = TrustedProxies("127.0.0.0/8, ::1")
NOBODY = TrustedProxies("")

REFUSED = [
    # this machine, in every notation a resolver takes
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "127.255.255.254",
    "localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    # networks of its own
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "167772161",
    "0xa000001",
    "100.64.0.1",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]",
    # links and clouds' metadata
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "169.254.0.1",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    # IPv4 within IPv6: mapped, compatible, NAT64, 6to4, Teredo
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[::10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:c0a8:101::1]",
    "[2001:0:7f00:1::1]",
    # groups, reserved and documentation
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "[ff0e::1]",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "192.88.99.1",
    "[2001:db8::1]",
    "[100::1]",
    "[3fff::1]",
]


@pytest.mark.parametrize("host", REFUSED)
def test_what_only_this_machine_or_its_network_can_reach_is_refused(host: str) -> None:
    found: list[str] = []

    def looked_up(name: str, port: int) -> list[str]:
        found.extend(resolve(name, port))
        assert not any(map(is_public, found))  # before anything could be called
        return found

    with pytest.raises((CallRefused, CallFailed)) as refused:
        HttpClient(NOBODY, timeout_s=5, resolve=looked_up).send(Call("GET", f"http://{host}:9/"))
    # Where this machine's resolver does not take the notation, it leads nowhere.
    assert isinstance(refused.value, CallRefused) or "no address" in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://one.test/",
        "file:///etc/passwd",
        "gopher://one.test/",
        "http://",
        "//one.test",
        "http://a:b@one.test/",
        "unix:///tmp/socket",
        "http://[::1/",
        "javascript:alert(1)",
    ],
)
def test_other_schemes_and_passwords_in_addresses_are_refused(url: str) -> None:
    with pytest.raises(CallRefused):
        HttpClient(LOOPBACK).send(Call("GET", url))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which keeps connections

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        self.server.peers.append(self.client_address)  # type: ignore[attr-defined]
        body = b"ok"
        if self.path.startswith("/to/"):
            self.send_response(int(self.path.split("/")[2]))
            self.send_header("location", self.path.split("/", 3)[3])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("set-cookie", "known=1")
        if self.path == "/bomb":
            body = gzip.compress(b"0" * 50_000_000)
            self.send_header("content-encoding", "gzip")
        elif self.path == "/packed":
            body = gzip.compress(b"packed")
            self.send_header("content-encoding", "gzip")
        elif self.path == "/large":
            body = b"0" * 2_000_000
        elif self.path == "/drip":
            self.end_headers()
            self.server.stop.wait(60)  # type: ignore[attr-defined]
            return
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    served.seen, served.peers, served.stop = [], [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.stop.set()  # type: ignore[attr-defined]
    served.shutdown()
    thread.join()
    served.server_close()


def named(host: str, _port: int) -> list[str]:
    """one.test and two.test are both this machine."""
    return ["127.0.0.1"] if host.endswith(".test") else resolve(host, _port)


def send(server: ThreadingHTTPServer, path: str, *, host: str = "one.test", **fields: object) -> Answer:
    client = HttpClient(LOOPBACK, resolve=named, timeout_s=5)
    return client.send(Call("GET", f"http://{host}:{server.server_port}{path}", **fields))  # type: ignore[arg-type]


def test_a_call_gets_its_answer(server: ThreadingHTTPServer) -> None:
    assert (send(server, "/").body, send(server, "/packed").body) == (b"ok", b"packed")
    assert server.seen[0][1]["Host"] == f"one.test:{server.server_port}"  # type: ignore[attr-defined]


def test_a_name_that_changes_its_mind_gains_nothing(server: ThreadingHTTPServer) -> None:
    """Looked up once: what was checked is what is called."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["203.0.113.77"] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(CallRefused):
        HttpClient(NOBODY, resolve=rebinding).send(Call("GET", f"http://one.test:{server.server_port}/"))
    with pytest.raises(CallRefused):  # one bad address among good ones
        mixed = HttpClient(NOBODY, resolve=lambda *_: ["1.1.1.1", "127.0.0.1"])
        mixed.send(Call("GET", f"http://one.test:{server.server_port}/"))
    assert (asked, server.seen) == (["one.test"], [])  # type: ignore[attr-defined]


def test_redirects_are_followed_only_when_asked_and_checked_again(server: ThreadingHTTPServer) -> None:
    assert send(server, "/to/302/http://two.test/").status == 302
    assert send(server, f"/to/302/http://two.test:{server.server_port}/", redirects=2).body == b"ok"
    for place in (
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://[fe80::1]/",
    ):
        with pytest.raises(CallRefused):
            send(server, f"/to/302/{place}", redirects=2)
    with pytest.raises(CallFailed):
        send(server, "/to/302//to/302//to/302//to/302/", redirects=2)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_secrets_stay_with_their_host(server: ThreadingHTTPServer, status: int) -> None:
    secret = Secret("one.test", {"authorization": "Bearer s3cret"})
    there = f"http://two.test:{server.server_port}"
    send(
        server,
        f"/to/{status}/{there}/to/{status}/http://one.test:{server.server_port}/",
        redirects=3,
        secret=secret,
    )
    send(server, "/", host="two.test", secret=secret)
    sent = [headers.get("authorization") for _, headers in server.seen]  # type: ignore[attr-defined]
    assert sent == ["Bearer s3cret", None, None, None]


def test_secrets_go_over_encryption_only_unless_an_operator_allows() -> None:
    client = HttpClient(NOBODY, resolve=lambda *_: ["1.1.1.1"])
    with pytest.raises(CallRefused, match="https"):
        client.send(Call("GET", "http://one.test/", secret=Secret("one.test", {"x-key": "s3cret"})))


def test_a_session_keeps_its_connections_and_nothing_else(server: ThreadingHTTPServer) -> None:
    secret = Secret("one.test", {"authorization": "Bearer s3cret"})
    at = f"http://one.test:{server.server_port}"
    with HttpClient(LOOPBACK, resolve=named).session() as session:
        for call in (Call("GET", at), Call("GET", at), Call("GET", at, secret=secret), Call("GET", at)):
            assert session.send(call).body == b"ok"
    assert len(set(server.peers)) == 2, "one connection for secrets without encryption, one for all else"  # type: ignore[attr-defined]
    assert [headers.get("authorization") for _, headers in server.seen] == [None, None, "Bearer s3cret", None]  # type: ignore[attr-defined]
    assert not any("cookie" in headers for _, headers in server.seen)  # type: ignore[attr-defined]


def test_a_session_gives_up_one_call_and_makes_the_next(server: ThreadingHTTPServer) -> None:
    at = f"http://127.0.0.1:{server.server_port}"
    with HttpClient(LOOPBACK, timeout_s=0.3).session() as session:
        for path in ("/drip", "/large", "/bomb"):
            with pytest.raises(CallFailed):
                session.send(Call("GET", at + path))
            assert session.send(Call("GET", at)).body == b"ok"


def test_a_kept_connection_carries_no_secret_where_a_new_one_may_not(server: ThreadingHTTPServer) -> None:
    """As for a public address over http: what was opened without a secret is not used for one."""
    asked: list[str] = []

    def first_here_then_elsewhere(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["1.1.1.1"]

    at = f"http://one.test:{server.server_port}"
    with HttpClient(LOOPBACK, resolve=first_here_then_elsewhere).session() as session:
        assert session.send(Call("GET", at)).body == b"ok"
        with pytest.raises(CallRefused, match="https"):
            session.send(Call("GET", at, secret=Secret("one.test", {"x-key": "s3cret"})))


@pytest.mark.parametrize("path", ["/large", "/bomb"])
def test_an_answer_has_a_size_also_unpacked(server: ThreadingHTTPServer, path: str) -> None:
    with pytest.raises(CallFailed, match="bytes"):
        send(server, path)


def test_an_answer_that_does_not_end_is_given_up(server: ThreadingHTTPServer) -> None:
    with pytest.raises(CallFailed):
        HttpClient(LOOPBACK, timeout_s=0.3).send(Call("GET", f"http://127.0.0.1:{server.server_port}/drip"))


def test_nothing_else_makes_calls() -> None:
    """No other module has a client: whoever calls out goes through this one."""
    clients = re.compile(
        r"^\s*(?:import|from)\s+(httpx2?|httpcore2?|requests|aiohttp|urllib3|urllib\.request|http\.client)\b",
        re.M,
    )
    package = Path(__file__).parent.parent / "cairn"
    found = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if clients.search(path.read_text())
    }
    assert {path.split("/")[0] for path in found} == {"http_client"}
