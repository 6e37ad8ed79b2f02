"""The collector behind a real server on loopback, with a real log."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cairn.collect.app import Collector
from cairn.event import Arrival, Draft, Refused
from cairn.eventlog.log import START, EventLog
from cairn.ids import key_hash
from cairn.published.directory import App, Directory, Source
from cairn.settings import Settings, load
from cairn.wire.parsers import PARSERS
from tests.seams import open_log
from tests.wire.arrivals import delivered

DIRECTORY = Directory(
    apps={"1234567890": App(1, 2), "11": App(5, 2), "22": App(6, 2)},
    sources={
        key_hash("wk_node"): Source(21, 1, 2, "back end", "server", True, (1,)),
        key_hash("testsecret"): Source(26, 1, 2, "the client's own tests", "server", True, (1,)),
        key_hash("wk_web"): Source(22, 1, 2, "site", "web", True, (1,)),
        key_hash("wk_two"): Source(23, 1, 2, "both", "server", True, (1, 5)),
        key_hash("wk_off"): Source(24, 1, 2, "off", "server", False, (1,)),
        key_hash("wk_loose"): Source(25, 1, 2, "loose", "server", True, ()),
    },
    keeps_ip=frozenset({1, 5}),
)


class Served:
    """A running collector and what it wrote."""

    def __init__(self, url: str, collector: Collector, log: EventLog) -> None:
        self.url = url
        self.host = url.removeprefix("http://")
        self.http = httpx.Client(base_url=url, verify=False)
        self.collector = collector
        self.log = log

    def arrivals(self) -> list[Arrival]:
        entries = self.log.read(START, limit_items=10**6)
        return [msgspec.msgpack.decode(item, type=Arrival) for entry in entries for item in entry.items]

    def events(self) -> list[Draft | Refused]:
        return [event for arrival in self.arrivals() for event in delivered(PARSERS[arrival.parser](arrival))]

    def drafts(self) -> list[Draft]:
        return [event for event in self.events() if isinstance(event, Draft)]

    def refusals(self) -> list[tuple[str, int]]:
        return [
            (event.reason.value, event.environment_id)
            for event in self.events()
            if isinstance(event, Refused)
        ]


class StoppedClock:
    """Shows the real time unless it is told another."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def __call__(self) -> datetime:
        return self.moment or datetime.now(UTC)


Serve = Callable[..., Any]


@contextmanager
def serving(
    log: EventLog, *, clock: Callable[[], datetime] | None = None, **options: Any
) -> Iterator[Served]:
    settings: Settings = load(options, {})
    collector = Collector(log, lambda: DIRECTORY, clock or StoppedClock(), settings)
    listening = socket.create_server(("127.0.0.1", 0))
    # asyncio sets this only on sockets that name their protocol; without it each answer waits 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(
        uvicorn.Config(collector, lifespan="off", log_config=None, access_log=False, ws="none")
    )

    async def run() -> None:
        await server.serve(sockets=[listening])
        await collector.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        served = Served(f"http://127.0.0.1:{listening.getsockname()[1]}", collector, log)
        with served.http:
            yield served
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = open_log(tmp_path / "log")
    yield log
    log.close()


@pytest.fixture
def served(log: EventLog) -> Iterator[Served]:
    with serving(log) as served:
        yield served


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "capture.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private
