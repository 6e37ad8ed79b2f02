"""A gateway on a real port: the edge's own HTTP protocol, a real members store, and the arrivals it would log."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from cairn.clock import utc_now
from cairn.errors import Unavailable
from cairn.event import Arrival, Refused
from cairn.gateway.app import Gateway
from cairn.gateway.request_line import LenientProtocol
from cairn.ids import key_hash
from cairn.ingest.location import open_locations
from cairn.members.sets import Members, MembersAndDocuments, list_set
from cairn.published.directory import Directory, Sdk
from tests.patience import PATIENCE_S
from tests.seams import open_members

KEY = "abcdef0123456789abcdef0123456789"
OTHER_KEY = "0123456789abcdef0123456789abcdef"
SERVER_KEY = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"
ACCOUNT = 12345
EXACT, FOLDING = "l-exact", "l-folding"
STAGING, PRODUCTION = 7, 8


def directory() -> Directory:
    return Directory(
        sdks={
            key_hash(KEY): Sdk(PRODUCTION, 1, ACCOUNT),
            key_hash(OTHER_KEY): Sdk(STAGING, 1, ACCOUNT),
        },
        accounts={str(ACCOUNT): PRODUCTION},
        lists={EXACT: (ACCOUNT, False), FOLDING: (ACCOUNT, True)},
    )


def needing_server_key() -> Directory:
    """The production environment takes events only with its server SDK key."""
    sdks = {
        key_hash(KEY): Sdk(PRODUCTION, 1, ACCOUNT, may_write=False),
        key_hash(SERVER_KEY): Sdk(PRODUCTION, 1, ACCOUNT),
    }
    return Directory(sdks=sdks)


class Serving:
    def __init__(
        self,
        folder: Path,
        port: int,
        members: Members | None = None,
        locations: Path | None = None,
        look_up_s: float = PATIENCE_S,
    ) -> None:
        self.store: MembersAndDocuments = open_members(folder / "members")
        self.directory = directory()
        self.refreshed: list[Directory] = []  # what the next refresh finds, if anything
        self.arrivals: list[Arrival] = []
        self.refusals: list[Refused] = []
        self.is_disk_full = False
        self.is_store_away = False
        self.port = port
        self.gateway = Gateway(
            members or self.store,
            _Published(self),
            lambda: self.directory,
            self._append,
            utc_now,
            refresh=self._refresh,
            refuse=self.refusals.append,
            locate=open_locations(locations),
            look_up_s=look_up_s,
            details_s=PATIENCE_S,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def members_of(self, list_id: str, *values: str) -> None:
        self.store.replace(list_set(list_id), dict.fromkeys(values, 1))

    def _refresh(self) -> None:
        if self.is_store_away:
            raise Unavailable("the store is away")
        if self.refreshed:
            self.directory = self.refreshed.pop()

    async def _append(self, arrivals: list[Arrival]) -> None:
        if self.is_disk_full:
            raise OSError(28, "No space left on device")
        self.arrivals += arrivals

    def raw(self, request: bytes, *, pieces: int = 1) -> tuple[int, bytes, bytes]:
        """Send bytes as they are; return status, head and body of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            size = max(1, len(request) // pieces)
            for start in range(0, len(request), size):
                connection.sendall(request[start : start + size])
            return read_answer(connection)

    def get(self, target: bytes, *headers: bytes) -> tuple[int, bytes, bytes]:
        lines = (b"GET " + target + b" HTTP/1.1", b"Host: gw", b"Connection: close", *headers)
        return self.raw(b"\r\n".join(lines) + b"\r\n\r\n")

    def post(self, target: bytes, body: bytes, *headers: bytes) -> tuple[int, bytes, bytes]:
        length = b"Content-Length: %d" % len(body)
        lines = (b"POST " + target + b" HTTP/1.1", b"Host: gw", b"Connection: close", length, *headers)
        return self.raw(b"\r\n".join(lines) + b"\r\n\r\n" + body)


class _Published:
    """The published documents, which a test can take away."""

    def __init__(self, served: Serving) -> None:
        self._served = served

    def __getattr__(self, name: str) -> Any:
        if self._served.is_store_away:
            raise Unavailable("the store is away")
        return getattr(self._served.store, name)


def read_answer(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """One answer, and no byte of the one behind it: answers to requests sent together arrive together."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _received(connection, 1)
    body = b""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
            while len(body) < length:
                body += _received(connection, length - len(body))
    return int(head.split(b" ", 2)[1]), head[:-4].lower(), body


def _received(connection: socket.socket, most: int) -> bytes:
    data = connection.recv(most)
    if not data:
        raise ConnectionError("the server closed before its answer was whole")
    return data


class Port:
    """One real port for many tests; each puts its own application behind it."""

    def __init__(self) -> None:
        self.app: Any = None  # Any: an ASGI application
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._listening.getsockname()[1]
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=LenientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._server.serve(sockets=[self._listening]))


@contextmanager
def serving(
    port: Port,
    folder: Path,
    members: Members | None = None,
    locations: Path | None = None,
    look_up_s: float = PATIENCE_S,
) -> Iterator[Serving]:
    served = Serving(folder, port.number, members, locations, look_up_s)
    port.app = served.gateway
    try:
        yield served
    finally:
        served.gateway.close()
        served.store.close()
