"""A partner's server: verifies each webhook, keeps every segment from the deltas, and fails as it is told to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cairn.sync.signature import HEADER, is_signed

Answer = tuple[int, dict[str, str]]
OK: Answer = (200, {})


class Partner:
    """Applies a task when all its pages are here. `answer(body)` decides what is said, before anything is kept."""

    def __init__(self, secret: str, now_ms: Callable[[], int]) -> None:
        self.secret, self.now_ms = secret, now_ms
        self.answer: Callable[[dict[str, Any]], Answer] = lambda _: OK
        self.bodies: list[dict[str, Any]] = []  # that were taken
        self.seen = 0  # requests, taken or not
        self.segments: dict[int, set[str]] = {}
        self.url = ""
        self._pages: dict[str, dict[int, dict[str, Any]]] = {}
        self._applied: set[str] = set()
        self._lock = threading.Lock()

    def take(self, header: str, raw: bytes) -> Answer:
        self.seen += 1
        if not is_signed(self.secret, header, raw, self.now_ms()):
            return 403, {}
        body = json.loads(raw)
        answer = self.answer(body)
        if answer[0] == 200:
            with self._lock:
                self._keep(body)
        return answer

    def _keep(self, body: dict[str, Any]) -> None:
        self.bodies.append(body)
        info, segment = body["data"]["sync_info"], body["data"]["segment"]["id"]
        pages = self._pages.setdefault(info["sync_task_id"], {})
        known = pages.setdefault(info["page_number"], body)
        assert known["data"] == body["data"], "the same page of the same task is the same"
        assert info["total_pages"] == known["data"]["sync_info"]["total_pages"]
        # A page that arrives again, and late, changes nothing: its task was applied.
        if len(pages) == info["total_pages"] and info["sync_task_id"] not in self._applied:
            self._applied.add(info["sync_task_id"])
            members = self.segments.setdefault(segment, set())
            for page in pages.values():
                added, removed = ({one["id"] for one in page["data"][what]} for what in ("add", "remove"))
                members -= removed
                members |= added


@contextmanager
def serve(partner: Partner) -> Iterator[Partner]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            status, headers = partner.take(self.headers.get(HEADER, ""), raw)
            body = b"{}" if status == 200 else b'{"error":"not now"}'
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    partner.url = f"http://127.0.0.1:{server.server_port}/webhook"
    try:
        yield partner
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
