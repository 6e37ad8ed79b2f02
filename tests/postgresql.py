"""Debian's PostgreSQL for tests, started at the first use and ended with the process that started it.

It listens on a socket in a folder of its own, on no port, and runs as an unprivileged user, since it refuses root.
What a crash of the machine would lose does not matter here, so it never waits for the disk. Processes that a test
starts find it by RUNNING in their environment.
"""

import atexit
import ctypes
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from cairn.db.engine import open_engine
from cairn.db.migrate import migrate

UNPRIVILEGED = "nobody"
# Each has 8 MB of files.
MOST_DATABASES = 12
# PostgreSQL's own database without anything in it, and one with our tables.
EMPTY, MIGRATED = "template0", "migrated"
# As an operator's server has it: by a language's rules "b" stands before "C", and "a-b" beside "ab".
LOCALE = ("--locale-provider=icu", "--icu-locale=en-US")
READY = "ready to accept connections"
OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")
PR_SET_PDEATHSIG = 1
# Where the server's socket is.
RUNNING = "CAIRN_TEST_POSTGRESQL"


@functools.cache
def databases() -> "Databases":
    """Of the server of this process, or of the test that started this process."""
    if folder := os.environ.get(RUNNING):
        return Databases(Path(folder))
    server = Server()
    server.start()
    os.environ[RUNNING] = str(server.folder)
    atexit.register(os.environ.pop, RUNNING)
    return Databases(server.folder)


class Server:
    """One PostgreSQL with data of its own, empty at first. With a port it asks callers on 127.0.0.1 for passwords."""

    def __init__(self, *, port: int = 0, options: Sequence[str] = ()) -> None:
        self._options = [*OPTIONS, "listen_addresses=127.0.0.1" if port else "listen_addresses=", *options]
        self._options += [f"port={port}"] if port else []
        self.folder = Path(tempfile.mkdtemp(prefix="cairn-postgresql-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._data = self.folder / "data"
        self._owner: dict[str, Any] = {"cwd": self.folder, "env": {**os.environ, "LC_ALL": "C.UTF-8"}}
        if os.geteuid() == 0:
            shutil.chown(self.folder, UNPRIVILEGED)
            self._owner |= {"user": UNPRIVILEGED, "extra_groups": []}
        self._process: subprocess.Popen[str] | None = None
        made = [programs() / "initdb", "-D", self._data, "-U", "cairn", "-A", "trust", "-E", "UTF8", *LOCALE]
        made.append("--auth-host=scram-sha-256")
        subprocess.run([*made, "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self._owner)
        atexit.register(self.kill)

    def start(self) -> None:
        options = [part for option in self._options for part in ("-c", option)]
        self._process = subprocess.Popen(
            [
                programs() / "postgres",
                "-D",
                self._data,
                "-k",
                self.folder,
                *options,
            ],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_end_with_the_parent,
            **self._owner,
        )
        assert self._process.stderr is not None
        lines = []
        for line in self._process.stderr:
            lines.append(line)
            if READY in line:
                break
        else:
            raise RuntimeError("PostgreSQL did not start: " + "".join(lines))
        self._log = threading.Thread(target=self._keep_log, args=(self._process.stderr,), daemon=True)
        self._log.start()

    def _keep_log(self, lines: IO[str]) -> None:
        with lines, (self.folder / "log").open("a") as log:
            shutil.copyfileobj(lines, log)

    def kill(self) -> None:
        """Kill −9 of all its processes; what was committed is there at the next start."""
        if self._process is None:
            return
        pid = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # it starts no more of them
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._log.join()


class Databases:
    """Those of a running server, each made at its first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._admin = sa.create_engine(
            _url(folder, "postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool
        )
        self._made: list[str] = []

    def url(self, key: str, *, template: str) -> str:
        """The address of the database of this key, made as a copy of `template` at the first call."""
        name = "test_" + hashlib.sha256(key.encode()).hexdigest()[:16]
        if template == MIGRATED:
            self._migrated()
        if not self._exists(name):
            self._drop_unused()
            self._create(name, template)
            self._made.append(name)
        return _url(self._folder, name)

    def _migrated(self) -> None:
        if self._exists(MIGRATED):
            return
        self._create(MIGRATED, EMPTY)
        engine = open_engine(_url(self._folder, MIGRATED))
        migrate(engine)
        engine.dispose()  # a database that is copied may have no connection

    def _exists(self, name: str) -> bool:
        query = sa.text("SELECT count(*) FROM pg_database WHERE datname = :name")
        with self._admin.connect() as connection:
            return bool(connection.execute(query, {"name": name}).scalar())

    def _create(self, name: str, template: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")

    def _drop_unused(self) -> None:
        """The oldest databases, except those that somebody is connected to."""
        query = "SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL"
        with self._admin.connect() as connection:
            used = set(connection.exec_driver_sql(query).scalars())
            for name in [name for name in self._made[:-MOST_DATABASES] if name not in used]:
                connection.exec_driver_sql(f"DROP DATABASE {name}")
                self._made.remove(name)


def _url(folder: Path, name: str) -> str:
    return f"postgresql+psycopg://cairn@/{name}?host={folder}"


def programs() -> Path:
    """The folder of `initdb` and `postgres`: Debian keeps them off the PATH."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if known:
        return known[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).parent
    raise RuntimeError("PostgreSQL is not installed; run sh tests/postgresql_setup.sh")


def _end_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
