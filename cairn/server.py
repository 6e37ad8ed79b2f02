"""The core process: everything that is not the edge, wired together. The only place that knows the concrete classes.

It owns the event store (exactly one process may), loads the event log into it, keeps segments live, publishes what
the edge serves, and answers pages and API on a local socket. Killing it loses nothing and stops no flag.
"""

import faulthandler
import gc
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from cairn.api.app import build_api
from cairn.app.core import Core
from cairn.clock import Clock, PossibleClock, utc_now
from cairn.db.engine import reading
from cairn.definitions.matching import Definitions
from cairn.demo.shop import shop_routes
from cairn.health import health_of
from cairn.http_client import HttpClient
from cairn.ingest.attempts import DIED_VARIABLE, Attempts
from cairn.ingest.feed import Feed
from cairn.ingest.loader import Loader
from cairn.ingest.location import open_locations
from cairn.ingest.set_aside import forget_old
from cairn.jobs.queue import Worker
from cairn.lists.changing import drop_interrupted
from cairn.members.sets import Published
from cairn.paths import Paths
from cairn.privacy import retention
from cairn.privacy.deletion import DeletionResources, delete_users
from cairn.privacy.destinations import Destinations
from cairn.privacy.request import JOB as DELETE_USERS
from cairn.private_files import SOCKET_MODE
from cairn.published.directory import DOCUMENT, Directory, decode
from cairn.publisher import Publisher
from cairn.routing.connections import log_readers
from cairn.seams import open_log, open_members, open_store, wait_for_metadata
from cairn.segments.live import LiveSegments
from cairn.settings import Settings
from cairn.sync.applying import Applying
from cairn.sync.hook_sender import HookSender
from cairn.sync.sender import Sender
from cairn.web.app import build_web
from cairn.workspace.sealed import open_seal

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0  # longest wait for a thread to finish what it is doing at the end


class DirectoryReader:
    """The published directory, decoded again only when something was published."""

    def __init__(self, members: Published) -> None:
        self._members = members
        self._seen = -1
        self._directory = Directory()

    def __call__(self) -> Directory:
        changes = self._members.changes()
        if changes != self._seen:
            self._seen, self._directory = changes, decode(self._members.document(DOCUMENT))
        return self._directory


class Workers:
    """The core's threads: loader, live segments, publisher, sync and jobs, started and stopped together."""

    def __init__(self, parts: dict[str, Callable[[threading.Event], None]]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
            for name, run in parts.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)


class CoreProcess:
    """The parts of a running core; tests build one, `run_core` serves one."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        paths = Paths(settings.data_dir)
        self.settings, self.clock = settings, clock
        self.engine = wait_for_metadata(settings)
        seal = open_seal(settings.data_dir)
        self.log = open_log(settings)
        self.members = open_members(settings)
        drop_interrupted(self.members)
        self.store = open_store(settings, on_cut_off=_start_again)
        self.feed = Feed()
        self.client = HttpClient(settings.outbound_networks)
        self.destinations = Destinations(self.engine, seal, self.client)
        self.hooks = HookSender(self.engine, seal, self.client, clock)
        self.publisher = Publisher(
            self.engine, self.members, settings, on_published=self.hooks.settings_changed
        )
        definitions = Definitions(self.store)
        self.live = LiveSegments(
            self.engine,
            self.store,
            self.members,
            clock,
            recount_interval_s=settings.recount_interval_s,
            on_change=self._lists_changed,
            definitions=definitions,
        )
        self.sender = Sender(self.engine, self.store, self.members, seal, self.client, clock)
        self.publisher.publish_all()
        locate = open_locations(settings.location_file)
        self.loader = Loader(
            self.log,
            self.store,
            self.engine,
            DirectoryReader(self.members),
            self.feed,
            clock,
            self.live.touched,
            published=self.members,
            attempts=Attempts(paths.loading, paths.set_aside, os.environ.get(DIED_VARIABLE, "")),
            locate=locate,
        )
        applying = Applying(self.engine, self.members, clock, on_change=self.publisher.lists_changed)
        core = Core(
            settings=settings,
            engine=self.engine,
            store=self.store,
            members=self.members,
            definitions=definitions,
            feed=self.feed,
            seal=seal,
            clock=clock,
            changed=self.publisher.changed,
            touched=self.live.touched,
            syncs_changed=self.sender.wake,
            client=self.client,
            health=health_of(settings.data_dir, self.log, self.loader, self.live, self.publisher, clock),
            locate=locate,
            received=applying.completed,
            log_end=self.log.end,
        )
        self.app: Starlette = build_web(core, api=[*build_api(core), *shop_routes(self.engine)])
        self.workers = Workers(
            {
                "loader": self.loader.run,
                "segments": self.live.run,
                "publisher": self.publisher.run,
                "sync": self.sender.run,
                "hooks": self.hooks.run,
                "audiences": applying.run,
                "jobs": Worker(
                    self.engine, self._jobs(paths), recurring={retention.JOB: retention.EVERY}, clock=clock
                ).run,
            }
        )

    def _lists_changed(self, environment_ids: set[int]) -> None:
        self.publisher.lists_changed(environment_ids)
        self.sender.wake()

    def _jobs(self, paths: Paths) -> dict[str, Callable[[Any], None]]:
        """What is done outside a request, by the kind of the job."""
        clock = self.clock
        resources = DeletionResources(
            self.engine,
            self.store,
            self.members,
            self.log,
            self.feed,
            paths,
            clock,
            self.loader.paused,
            self.live.paused,
            self.publisher.changed,
            self.destinations,
        )
        keep = timedelta(days=self.settings.log_retention_days)

        def forget_log(_payload: Any) -> None:
            with reading(self.engine) as connection:
                readers = log_readers(connection)
            retention.forget_log(self.log, readers, keep=keep, now=clock())
            forget_old(paths.set_aside, keep=keep, now=clock())

        return {DELETE_USERS: partial(delete_users, resources), retention.JOB: forget_log}

    def close(self) -> None:
        self.workers.stop()
        self.store.close()
        self.log.close()
        self.members.close()
        self.engine.dispose()


def run_core(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM. `ready` is called once the socket answers."""
    _use_own_temporary_folder(Paths(settings.data_dir).temporary)
    process = CoreProcess(settings, clock=PossibleClock([Paths(settings.data_dir).log_end]))
    _die_of_native_crashes()
    # What start-up made stays; the loader makes and drops thousands of objects at a time that hold no cycles.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    process.workers.start()
    core_socket = Paths(settings.data_dir).core_socket
    _claim_socket(core_socket)
    config = uvicorn.Config(
        process.app,
        uds=str(core_socket),
        forwarded_allow_ips="*",  # only our own user can open this socket, and the edge says who asked
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    try:
        _Announcing(config, ready).run()
    finally:
        process.close()


def _claim_socket(path: Path) -> None:
    """Leave a socket that only our user may open. uvicorn gives its own the mode of the one it finds, else 0666."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as claimed:
        claimed.bind(str(path))
    path.chmod(SOCKET_MODE)


def _die_of_native_crashes() -> None:
    """At once, saying where. The store's engine has handlers of its own, in which a crashed process can stand still."""
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable()


def _start_again() -> None:
    """End, as on SIGTERM; the supervisor starts the core again."""
    os.kill(os.getpid(), signal.SIGTERM)


def _use_own_temporary_folder(folder: Path) -> None:
    """Inserts pass through files; a kill could leave one behind, and what people did belongs nowhere but here."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # kept: a full disk has no space for a new one
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
    tempfile.tempdir = str(folder)


class _Announcing(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets=None)
        self._ready()
