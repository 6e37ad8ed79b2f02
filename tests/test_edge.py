"""The edge as it runs: its own process under the supervisor, real stores, a core that comes and goes."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cairn.edge import is_loopback
from cairn.event import Arrival
from cairn.eventlog.log import START
from cairn.ids import key_hash
from cairn.members.sets import MembersAndDocuments, list_set
from cairn.paths import Paths
from cairn.published.directory import DOCUMENT, App, Directory, Sdk, encode
from tests.patience import PATIENCE_S
from tests.seams import open_log, open_members
from tests.test_supervise import Running, until

KEY = "abcdef0123456789abcdef0123456789"
ACCOUNT, ENVIRONMENT, LIST, APP_ID = 12345, 7, "l-one", "1234567890"
SETTINGS = f"/server-side/v2-settings?i={KEY}&a={ACCOUNT}&sn=vwo-fme-node-sdk&sv=1.60.0"
CHECK = f"/check-attribute?attribute=ada&listId={LIST}&accountId={ACCOUNT}"
EVENTS = f"/events/t?en=purchase&env={KEY}"


def directory() -> Directory:
    return Directory(
        apps={APP_ID: App(ENVIRONMENT, 1)},
        sdks={key_hash(KEY): Sdk(ENVIRONMENT, 1, ACCOUNT)},
        accounts={str(ACCOUNT): ENVIRONMENT},
        lists={LIST: (ACCOUNT, False)},
    )


class Served:
    """A running pair on a data directory that somebody published to."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.members: MembersAndDocuments = open_members(Paths(data_dir).members)
        self.members.publish({DOCUMENT: encode(directory())})
        self.members.replace(list_set(LIST), {"ada": 1})
        os.environ["STAND_IN_LEFT"] = str(data_dir / "left")
        self.pair = Running(data_dir, edge="real", core="real").wait_ready()

    def connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.pair.port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = self.connection()
        try:
            return answer_to(connection, method, path, body, **headers)
        finally:
            connection.close()

    def core_pid(self) -> int | None:
        """Who answers behind the edge; None while nobody does."""
        status, body = self.ask("GET", "/")
        return int(json.loads(body)["pid"]) if status == 200 else None

    def close(self) -> None:
        if self.pair.process.poll() is None:
            self.pair.process.terminate()
            self.pair.end()
        self.members.close()

    def logged(self) -> list[Arrival]:
        log = open_log(Paths(self.data_dir).log)
        try:
            entries = log.read(START, limit_items=1_000_000)
            return [msgspec.msgpack.decode(item, type=Arrival) for entry in entries for item in entry.items]
        finally:
            log.close()


def answer_to(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def event(number: str) -> bytes:
    return json.dumps({"d": {"visId": "V", "msgId": number, "event": {"name": "purchase"}}}).encode()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "data")
    yield served
    served.close()


def test_the_edge_loads_neither_pages_nor_database_nor_engine() -> None:
    code = "import sys, cairn.edge; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "sqlalchemy",
        "alembic",
        "jinja2",
        "numpy",
        "pyarrow",
        "chdb",
        "starlette",
        "clickhouse_connect",
        "scipy",
    }
    assert not heavy & set(loaded)


def test_every_request_finds_its_place(served: Served) -> None:
    assert json.loads(served.ask("GET", SETTINGS)[1])["sdkKey"] == KEY
    assert served.ask("GET", CHECK) == (200, b"true")
    assert served.ask("POST", EVENTS, event("1")) == (200, b"{}")
    track = {"app_id": APP_ID, "identity": "ada@shop.test", "event": "Bought"}
    status, _ = served.ask(
        "POST", "/api/track", json.dumps(track).encode(), **{"Content-Type": "application/json"}
    )
    assert status == 200
    for path in ("/", "/flags", "/api/flags", "/-/edge/other"):
        assert json.loads(served.ask("GET", path)[1])["path"] == path
    assert [one.parser for one in served.logged()] == ["wingify.event", "heap.track"]
    assert {one.environment_id for one in served.logged()} == {ENVIRONMENT}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/tracks", 404, b'"code":"no_such_call"'),
        ("/v1/batch/more", 404, b'"success":false'),
        ("/server-side/v3-settings", 400, b"does not answer"),
        ("/user-alias/other", 400, b"does not answer"),
        ("/events/u", 400, b"does not answer"),
    ],
)
def test_a_mistyped_path_of_a_vendor_is_refused_and_never_led_to_the_pages(
    served: Served, path: str, status: int, said: bytes
) -> None:
    for method in ("GET", "POST"):
        found, body = served.ask(method, path, b"{}" if method == "POST" else None)
        assert (found, said in body) == (status, True)


def test_what_is_published_is_in_force_at_once(served: Served) -> None:
    new_key = "9" * 32
    assert served.ask("GET", SETTINGS.replace(KEY, new_key))[0] == 400
    known = directory()
    known.sdks[key_hash(new_key)] = Sdk(8, 1, ACCOUNT)
    known.apps["2222222222"] = App(8, 1)
    served.members.publish({DOCUMENT: encode(known)})
    assert served.ask("GET", SETTINGS.replace(KEY, new_key))[0] == 200, (
        "the gateway looks again before it says no"
    )
    track = json.dumps({"app_id": "2222222222", "identity": "ada@shop.test", "event": "Bought"}).encode()
    until(lambda: served.ask("POST", "/api/track", track)[0] == 200)


def test_an_unreadable_directory_keeps_the_last_good_one(served: Served) -> None:
    served.members.publish({DOCUMENT: b"\xc1 no directory"})
    assert served.ask("GET", SETTINGS.replace(KEY, "8" * 32))[0] == 400, "it has looked again"
    assert served.ask("GET", SETTINGS)[0] == 200
    served.members.publish({DOCUMENT: encode(directory())})
    assert served.ask("GET", SETTINGS)[0] == 200


def test_health_is_told_to_this_machine_only(served: Served) -> None:
    served.ask("GET", SETTINGS)
    status, body = served.ask("GET", "/-/edge/health")
    assert (status, json.loads(body)["gateway"]["counts"]["settings"]) == (200, 1)
    _, body = served.ask("GET", "/-/edge/health", **{"X-Forwarded-For": "203.0.113.7"})
    assert json.loads(body)["path"] == "/-/edge/health", "left to the core, which knows no such page"
    assert not is_loopback({"client": ("203.0.113.7", 1)}) and not is_loopback({"client": None})
    assert not is_loopback({"client": ("unknown", 1)}) and is_loopback({"client": ("::1", 1)})


class Caller(threading.Thread):
    """Repeats one call on a kept connection; remembers everything but the wanted answer, and the longest time."""

    def __init__(self, served: Served, method: str, path: str, wanted: bytes, *, sends: bool = False) -> None:
        super().__init__(daemon=True)
        self._served, self._call, self._wanted, self._sends = served, (method, path), wanted, sends
        self.stop = threading.Event()
        self.calls, self.longest_ms = 0, 0.0
        self.failures: list[Any] = []

    def run(self) -> None:
        connection = self._served.connection()
        while not self.stop.is_set():
            started = time.perf_counter()
            try:
                status, body = answer_to(
                    connection, *self._call, event(str(self.calls)) if self._sends else None
                )
                if status != 200 or not body.startswith(self._wanted):
                    self.failures.append((status, body))
            except (OSError, HTTPException) as error:
                self.failures.append(error)
                connection.close()
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - started) * 1000)
            self.calls += 1
        connection.close()


def test_flags_and_events_go_on_while_the_core_is_killed(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    callers = {
        "settings": Caller(served, "GET", SETTINGS, b'{"version"'),
        "list check": Caller(served, "GET", CHECK, b"true"),
        "details": Caller(served, "GET", "/get-user-details", b"{}"),
        "event": Caller(served, "POST", EVENTS, b"{}", sends=True),
    }
    for caller in callers.values():
        caller.start()
    for _ in range(5):
        until(lambda: served.core_pid() is not None)
        pid = served.core_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: served.core_pid() not in (None, pid))  # type: ignore[misc]
    for caller in callers.values():
        caller.stop.set()
        caller.join()
    assert {name: caller.failures for name, caller in callers.items() if caller.failures} == {}
    assert len(served.logged()) == callers["event"].calls
    with capsys.disabled():
        times = {
            name: f"{caller.calls} calls, longest {caller.longest_ms:.1f} ms"
            for name, caller in callers.items()
        }
        print(f"\ncore killed 5 times: {times}")


class Sender(threading.Thread):
    """Sends numbered events one after the other, again until each is acknowledged."""

    def __init__(self, served: Served, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self._served = served
        self.stop = threading.Event()
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        connection, number = self._served.connection(), 0
        while not self.stop.is_set():
            name = f"{self.name}-{number}"
            try:
                if answer_to(connection, "POST", EVENTS, event(name))[0] == 200:
                    self.acknowledged.add(name)
                    number += 1
            except (OSError, HTTPException):
                connection.close()
        connection.close()


def test_a_killed_edge_loses_nothing_it_acknowledged(served: Served) -> None:
    senders = [Sender(served, f"s{number}") for number in range(4)]
    for sender in senders:
        sender.start()
    killed: set[int] = set()
    for _ in range(4):
        until(lambda: edge_pid(served) not in (0, *killed))
        so_far = sum(len(sender.acknowledged) for sender in senders)
        until(lambda so_far=so_far: sum(len(s.acknowledged) for s in senders) > so_far + 50)  # type: ignore[misc]
        pid = edge_pid(served)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)
    for sender in senders:
        sender.stop.set()
        sender.join()
    logged = {json.loads(one.body)["d"]["msgId"] for one in served.logged()}
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert len(acknowledged) > 200
    assert acknowledged - logged == set()


def edge_pid(served: Served) -> int:
    """The supervisor's child that serves the public port."""
    children = (
        Path(f"/proc/{served.pair.process.pid}/task/{served.pair.process.pid}/children").read_text().split()
    )
    for pid in children:
        if b"run_edge" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return 0


def test_it_ends_in_order_while_people_listen_and_events_come(served: Served) -> None:
    listener = socket.create_connection(("127.0.0.1", served.pair.port), timeout=PATIENCE_S)
    listener.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in listener.recv(4096)
    sender = Sender(served, "s")
    sender.start()
    until(lambda: len(sender.acknowledged) > 20)
    served.pair.process.terminate()
    status, said = served.pair.end()
    expected = ("data_dir_shared", "cairn: running as root")  # said of the folder and the user of the tests
    said = "".join(line for line in said.splitlines() if not any(word in line for word in expected))
    assert (status, said) == (0, ""), "neither the endless answer nor the sender held it up"
    sender.stop.set()
    sender.join()
    listener.close()
    logged = {json.loads(one.body)["d"]["msgId"] for one in served.logged()}
    assert sender.acknowledged <= logged


@pytest.mark.parametrize(
    "target",
    [
        "/server-side/batch-events-v2?env=nobody",
        "/server-side/batch-events-v2?a=12345",
        "/events/t?a=12345&en=e",
        "/api/track",
        "/v1/batch",
        "/api/capture/v2/track",
        "/k/a",
    ],
)
def test_a_flood_without_a_key_costs_no_disk(served: Served, target: str) -> None:
    """Reasons are kept, shortened and so many a minute; bodies never. What was not recorded is counted."""
    body = b'{"ev":[],"events":[' + b'"x",' * 200_000 + b'"x"]}'
    before = size_of(served.data_dir)
    answers = {served.ask("POST", target, body)[0] for _ in range(10)}
    answers |= {served.ask("POST", target, b'{"events":["x"]}')[0] for _ in range(150)}
    assert answers <= {400, 401, 404}
    assert size_of(served.data_dir) - before < 2_000_000
    assert max(len(arrival.body) for arrival in served.logged()) < 2_000
    health = json.loads(served.ask("GET", "/-/edge/health")[1])
    assert health["collector"]["unrecorded"] >= 40


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "log").iterdir())
