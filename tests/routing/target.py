"""A destination of a test's own: a real HTTP server that notes what it got and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct


class Got(Struct, frozen=True):
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body if isinstance(self.body, list) else [self.body]


class Say(Struct, frozen=True):
    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b"ok"


Answering = Callable[[Got], Say]


def always(status: int = 200, **headers: str) -> Answering:
    say = Say(status, {name.replace("_", "-"): text for name, text in headers.items()})
    return lambda _got: say


class Target:
    """`answer` may be replaced at any time. `taken`: what it answered 2xx to, message by message, in order."""

    def __init__(self) -> None:
        self.answer: Answering = always()
        self.got: list[Got] = []
        self.taken: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.release = threading.Event()  # ends whatever hangs
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/in"

    def start(self) -> None:
        """On the port that it had before, if it had one."""
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Got(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body))
                say = target.hear(got)
                self.send_response(say.status)
                for name, text in say.headers.items():
                    self.send_header(name, text)
                self.send_header("content-length", str(len(say.body)))
                self.end_headers()
                self.wfile.write(say.body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """The other side may go away at any time."""

        self._server = Quiet(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hear(self, got: Got) -> Say:
        with self.lock:
            self.got.append(got)
        say = self.answer(got)
        if 200 <= say.status < 300:
            with self.lock:
                self.taken += got.messages
        return say

    def hang(self, _got: Got) -> Say:
        self.release.wait()
        return Say(503)

    def numbers(self, user: str) -> list[int]:
        """Of a user's events that were taken, in their order."""
        with self.lock:
            return [message["properties"]["number"] for message in self.taken if message["userId"] == user]


@contextmanager
def serving() -> Iterator[Target]:
    target = Target()
    target.start()
    yield target
    target.release.set()
    target.stop()
