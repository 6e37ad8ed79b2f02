"""The real edge as one process, with options and a file limit of the test's own, before a stand-in core."""

import itertools
import json
import os
import resource
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

from cairn.event import Arrival
from cairn.eventlog.log import START
from cairn.ids import key_hash
from cairn.paths import Paths
from cairn.published.directory import DOCUMENT, App, Directory, Sdk, encode
from tests.gateway.serving import read_answer
from tests.patience import PATIENCE_S
from tests.seams import open_log, open_members
from tests.served import CAIRN

KEY = "abcdef0123456789abcdef0123456789"
APP_ID, ACCOUNT, ENVIRONMENT = "1234567890", 12345, 7
SETTINGS = f"/server-side/v2-settings?i={KEY}&a={ACCOUNT}"
_numbers = itertools.count()
TRACK = {"app_id": APP_ID, "identity": "ada@shop.test", "event": "Bought"}


class EdgeAlone:
    def __init__(self, data_dir: Path, *options: str, files: int | None = None) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._publish()
        self.said = data_dir.parent / f"{data_dir.name}.said"
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port: int = listening.getsockname()[1]
        core_socket = str(Paths(data_dir).core_socket)
        self._core = _ready([sys.executable, "-m", "tests.stand_in_core", core_socket], data_dir / "left")
        self.edge = _ready(
            [
                *(str(CAIRN), "edge", "--data-dir", str(data_dir), *options),
                *("--socket-fd", str(listening.fileno()), "--ready-fd"),
            ],
            data_dir / "left",
            keep=(listening.fileno(),),
            files=files,
            errors=self.said,
        )
        listening.close()

    def _publish(self) -> None:
        directory = Directory(
            apps={APP_ID: App(ENVIRONMENT, 1)},
            sdks={key_hash(KEY): Sdk(ENVIRONMENT, 1, ACCOUNT)},
            accounts={str(ACCOUNT): ENVIRONMENT},
            keeps_ip=frozenset({ENVIRONMENT}),
        )
        members = open_members(Paths(self.data_dir).members)
        members.publish({DOCUMENT: encode(directory)})
        members.close()

    def connect(self, timeout_s: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def raw(self, request: bytes) -> tuple[int, bytes, bytes]:
        with self.connect() as connection:
            connection.sendall(request)
            return read_answer(connection)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def track(self, **headers: str) -> int:
        body = json.dumps(
            {**TRACK, "identity": f"user{next(_numbers)}@shop.test"}
        ).encode()  # each has a rate
        return self.ask("POST", "/api/track", body, **{"Content-Type": "application/json"}, **headers)[0]

    def at_core(self, *headers: str) -> dict[str, list[str]]:
        """The headers of a request as the core gets them."""
        lines = "\r\n".join(("GET /pages HTTP/1.1", "Host: cairn.test", *headers))
        status, _, body = self.raw(f"{lines}\r\n\r\n".encode("latin-1"))
        assert status == 200, body
        heard: dict[str, list[str]] = {}
        for name, value in json.loads(body)["headers"]:
            heard.setdefault(name, []).append(value)
        return heard

    def health(self) -> dict[str, Any]:
        status, body = self.ask("GET", "/-/edge/health")
        assert status == 200, body
        return dict(json.loads(body))

    def logged(self) -> list[Arrival]:
        log = open_log(Paths(self.data_dir).log)
        try:
            entries = log.read(START, limit_items=1_000_000)
            return [msgspec.msgpack.decode(item, type=Arrival) for entry in entries for item in entry.items]
        finally:
            log.close()

    def close(self) -> None:
        for process in (self.edge, self._core):
            process.terminate()
        for process in (self.edge, self._core):
            process.wait(20)


def _ready(
    command: list[str],
    left: Path,
    *,
    keep: tuple[int, ...] = (),
    files: int | None = None,
    errors: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that takes the number of its ready pipe last, and wait for its word."""

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    ready, its_end = os.pipe()
    with open(errors or os.devnull, "ab") as said:
        process = subprocess.Popen(
            [*command, str(its_end)],
            pass_fds=(*keep, its_end),
            env={**os.environ, "STAND_IN_LEFT": str(left)},
            stderr=said,
            preexec_fn=limit,
        )
    os.close(its_end)
    with os.fdopen(ready) as pipe:
        assert pipe.readline() == "ready\n", errors.read_text() if errors else command
    return process
