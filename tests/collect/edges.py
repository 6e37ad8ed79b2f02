"""A running edge with what the core would have published, web sites of one page, and what came of their visits."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import uvicorn

from cairn.edge import build_edge
from cairn.event import Arrival, Draft, Refused
from cairn.eventlog.log import START
from cairn.paths import Paths
from cairn.published.directory import DOCUMENT, encode
from cairn.settings import load
from cairn.wire.parsers import PARSERS
from tests.collect.conftest import DIRECTORY
from tests.patience import PATIENCE_S
from tests.seams import open_log, open_members
from tests.wire.arrivals import delivered


def publish(folder: Path, documents: Mapping[str, bytes | None]) -> None:
    published = open_members(Paths(folder).members)
    published.publish(documents)
    published.close()


@contextmanager
def edge(
    folder: Path,
    script: Path,
    documents: Mapping[str, bytes | None] | None = None,
    *,
    tls: tuple[Path, Path] | None = None,
    **options: Any,
) -> Iterator[str]:
    """Yields its address. `tls`: certificate and key."""
    publish(folder, {DOCUMENT: encode(DIRECTORY), **(documents or {})})
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stop: list[Callable[[], None]] = []
    secure = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]} if tls else {}

    async def run() -> None:
        served = build_edge(load({"data_dir": str(folder), **options}, {}), script_folder=script)
        config = uvicorn.Config(
            served,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            **secure,  # type: ignore[arg-type]  # paths alone
        )
        server = uvicorn.Server(config)
        stop.append(lambda: setattr(server, "should_exit", True))
        await served.start()
        await server.serve(sockets=[listening])
        await served.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    url = f"{'https' if tls else 'http'}://localhost:{port}"
    try:
        httpx.get(f"{url}/-/edge/health", timeout=PATIENCE_S, verify=False)
        yield url
    finally:
        for end in stop:
            end()
        thread.join()


@contextmanager
def site(html: str) -> Iterator[int]:
    """A web site of one page; the answer is its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def arrivals(folder: Path) -> list[Arrival]:
    log = open_log(Paths(folder).log)
    try:
        items = [item for entry in log.read(START, limit_items=10**6) for item in entry.items]
    finally:
        log.close()
    return [msgspec.msgpack.decode(item, type=Arrival) for item in items]


def events(folder: Path) -> list[Draft | Refused]:
    return [event for arrival in arrivals(folder) for event in delivered(PARSERS[arrival.parser](arrival))]


def drafts(folder: Path) -> list[Draft]:
    """Fails where anything was refused."""
    all_events = events(folder)
    found = [event for event in all_events if isinstance(event, Draft)]
    assert len(found) == len(all_events), all_events
    return found
