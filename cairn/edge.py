"""The edge process: owns the public port, accepts events, answers flag SDKs, and passes the rest to the core.

It needs the event log, the members store and nothing else, so it goes on whatever the core does. It never loads the
web pages, the metadata database, statistics or the query engine.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from cairn.client_address import caller_of
from cairn.clock import Clock, PossibleClock, utc_now
from cairn.collect.analytics_js import AnalyticsFiles
from cairn.collect.answer import no_such_call, send_answer
from cairn.collect.app import Collector
from cairn.collect.configuration import CaptureConfigurations
from cairn.collect.files import comment
from cairn.collect.request import request_of
from cairn.collect.script import ScriptFiles
from cairn.disk_space import DiskWatch
from cairn.errors import Misconfigured, Unavailable
from cairn.gateway.answers import Receive, Scope, Send
from cairn.gateway.app import Gateway
from cairn.http_server.connections import Connections
from cairn.http_server.limits import KEEP_ALIVE_S, limits_for, raise_file_limit
from cairn.http_server.protocol import protocol_for
from cairn.ingest.location import open_locations
from cairn.members.sets import Published
from cairn.paths import Paths
from cairn.proxy import Proxy
from cairn.published.directory import DOCUMENT, Directory, decode
from cairn.seams import open_log, open_members
from cairn.settings import Settings

logger = logging.getLogger(__name__)

SCRIPT_FOLDER = Path(__file__).parent / "collect" / "static"  # where browser/build.mjs puts it
HEALTH_PATH = "/-/edge/health"
# Only vendors' clients ask below these. What is unknown there is refused here: the pages would lead to the sign-in,
# which a client takes for success, and its events would be lost without a word.
SEGMENT_PATHS = ("/v1/",)
GATEWAY_PATHS = ("/server-side/", "/user-alias/", "/events/")
WATCH_INTERVAL_S = 0.05  # how soon a change published by the core is in force
GRACE_S = 3  # for requests in flight at the end; the supervisor kills after 5 s
# One append gives the interpreter up a dozen times, at every system call, and a busy event loop would keep it from the
# log's thread for Python's 5 ms each time.
SWITCH_S = 0.0005
SWEEP_S = 1.0  # how often connections that wait too long are looked for


class PublishedDirectory:
    """The directory as last published. An unreadable one never replaces one that could be read."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._seen = -1
        self._directory = Directory()

    def __call__(self) -> Directory:
        return self._directory

    def refresh(self) -> None:
        """Raises Unavailable. Safe to call from several threads."""
        changes = self._published.changes()
        if changes == self._seen:
            return
        try:
            self._directory = decode(self._published.document(DOCUMENT))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            logger.exception("directory_refused")
        self._seen = changes


class Edge:
    """The edge as an ASGI application."""

    def __init__(
        self, settings: Settings, *, clock: Clock = utc_now, script_folder: Path = SCRIPT_FOLDER
    ) -> None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        paths = Paths(settings.data_dir)
        # Opened when it is first written: a full disk must not keep flags from being decided.
        self._log = open_log(settings)
        self._disk = DiskWatch(settings.data_dir)
        self._members = open_members(settings)
        self._directory = PublishedDirectory(self._members)
        # Before anything is answered: an SDK whose key is unknown at its start stays off until it is restarted.
        self._directory.refresh()
        self._collector = Collector(self._log, self._directory, clock, settings, check_room=self._disk.check)
        self._gateway = Gateway(
            self._members,
            self._members,
            self._directory,
            self._collector.append,
            clock,
            refresh=self._directory.refresh,
            refuse=self._collector.refuse,
            poll_interval_ms=settings.poll_interval_ms,
            locate=open_locations(settings.location_file),
        )
        self._script = ScriptFiles(
            script_folder,
            CaptureConfigurations(self._members, self._directory),
            public_url=settings.public_url,
        )
        self._analytics = AnalyticsFiles(
            script_folder / "segment", self._members, self._directory, public_url=settings.public_url
        )
        self._trusted = settings.trusted_proxies
        limits = limits_for(raise_file_limit())
        self.connections = Connections(limits, self._trusted)
        self._proxy = Proxy(paths.core_socket, limits, self._trusted)
        self._watcher = ThreadPoolExecutor(1, thread_name_prefix="directory")
        self._watching: asyncio.Future[tuple[None, None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._name_caller(scope)
        method, path = scope["method"], scope["path"]
        if self._collector.handles(method, path, scope["raw_path"]):  # most of all requests
            await self._collector(scope, receive, send)
        elif self._gateway.handles(method, path):
            await self._gateway(scope, receive, send)
        elif self._script.handles(method, path):
            await self._send_script(self._script, scope, receive, send)
        elif self._analytics.handles(path):
            await self._send_script(self._analytics, scope, receive, send)
        elif path.startswith(SEGMENT_PATHS):
            await send_answer(send, no_such_call(request_of(scope, path)))
        elif path.startswith(GATEWAY_PATHS):
            await self._gateway(scope, receive, send)  # which says that it does not know the path
        elif path == HEALTH_PATH and is_loopback(scope):
            await self._say_health(send)
        else:
            await self._proxy(scope, receive, send)

    def _name_caller(self, scope: Scope) -> None:
        """Whatever asks for an address from here on gets the client's, not that of a proxy in front."""
        if scope["client"]:
            peer, port = scope["client"]
            client, scheme = caller_of(peer, scope["headers"], self._trusted)
            scope["client"] = (client, port)
            scope["scheme"] = scheme or scope["scheme"]

    async def _send_script(
        self, files: ScriptFiles | AnalyticsFiles, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await files(scope, receive, send)
        except (Misconfigured, Unavailable) as error:
            logger.error("script_not_served", extra={"why": str(error)})
            await send_answer(send, comment("the script cannot be served now", 503))

    async def start(self) -> None:
        self._watching = asyncio.gather(self._watch(), self._sweep())

    def drain(self) -> None:
        """End streams that never end by themselves, so that the rest can finish."""
        self._proxy.cut_streams()

    async def stop(self) -> None:
        """Wait until everything that was accepted is on the disk, and let go of the files."""
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._collector.close()
        self._gateway.close()
        self._watcher.shutdown()
        self._log.close()
        self._members.close()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        is_failing = False
        while True:
            try:
                await loop.run_in_executor(self._watcher, self._look)
                is_failing = False
            except (Unavailable, OSError) as error:
                if not is_failing:  # once, not twenty times a second
                    logger.warning("directory_not_read", extra={"why": str(error)})
                is_failing = True
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            self.connections.sweep(loop.time())

    def _look(self) -> None:
        self._disk.look()
        self._directory.refresh()

    async def _say_health(self, send: Send) -> None:
        space = self._disk.space
        try:
            damage = await asyncio.get_running_loop().run_in_executor(self._watcher, self._log.damaged)
        except Unavailable as error:
            damage = [(0, str(error))]
        body = msgspec.json.encode(
            {
                "gateway": self._gateway.health(),
                "connections": self.connections.report() | {"proxied": self._proxy.report()},
                "runs_as_root": os.geteuid() == 0,
                "collector": {
                    "unrecorded": self._collector.unrecorded,
                    "refusing": space.text if space.is_short else self._collector.error,
                },
                "disk": {"free_mb": space.free_bytes >> 20, "reserved_mb": space.reserved_bytes >> 20},
                "log": {"damaged": [reason for _, reason in damage]},
            }
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def is_loopback(scope: Scope) -> bool:
    """Whether the caller sits on this machine; a proxy's word for its own caller was already taken into account."""
    try:
        return bool(scope.get("client")) and ipaddress.ip_address(scope["client"][0]).is_loopback
    except ValueError:
        return False


def build_edge(settings: Settings, *, clock: Clock = utc_now, script_folder: Path = SCRIPT_FOLDER) -> Edge:
    """Open the files and read what was published. Raises whatever the stores raise; `start` and `stop` it."""
    return Edge(settings, clock=clock, script_folder=script_folder)


class _Server(uvicorn.Server):
    """uvicorn, saying when it listens; signals are ours, because it would end the process before the log is flushed."""

    def __init__(self, config: uvicorn.Config, edge: Edge, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._edge, self._ready = edge, ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.drain()
        await super().shutdown(sockets)


def run_edge(settings: Settings, *, socket_fd: int | None = None, ready_fd: int | None = None) -> None:
    """Serve until SIGTERM. The public socket is inherited, or opened here when the edge runs alone."""
    if socket_fd is None:
        listening = socket.create_server((settings.host, settings.port), backlog=2048)
    else:
        listening = socket.socket(fileno=socket_fd)

    def ready() -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listening, ready))


async def _serve(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    edge = build_edge(settings, clock=PossibleClock([Paths(settings.data_dir).log_end]))
    config = uvicorn.Config(
        edge,
        interface="asgi3",
        http=protocol_for(edge.connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(KEEP_ALIVE_S),
        timeout_graceful_shutdown=GRACE_S,
        backlog=edge.connections.limits.backlog,
    )
    await edge.start()
    try:
        await _Server(config, edge, ready).serve(sockets=[listening])
    finally:
        await edge.stop()
