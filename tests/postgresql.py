"""Debian's PostgreSQL for tests, started at the first use and ended with the process that started it.

It listens on a socket in a folder of its own, on no port, and runs as an unprivileged user, since it refuses root.
What a crash would lose does not matter here, so it never waits for the disk.
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
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cairn.db.engine import open_engine
from cairn.db.migrate import migrate

UNPRIVILEGED = "nobody"
MOST_DATABASES = 12  # each has 8 MB of files
READY = "ready to accept connections"
OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")
PR_SET_PDEATHSIG = 1


@functools.cache
def server() -> "Server":
    return Server()


class Server:
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cairn-postgresql-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._owner: dict[str, Any] = {"cwd": self._folder, "env": {**os.environ, "LC_ALL": "C.UTF-8"}}
        if os.geteuid() == 0:
            shutil.chown(self._folder, UNPRIVILEGED)
            self._owner |= {"user": UNPRIVILEGED, "extra_groups": []}
        self._process = self._start()
        atexit.register(self._stop)
        self._admin = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        self._made: list[str] = []
        self._create("migrated", "template0")
        engine = open_engine(self._url("migrated"))
        migrate(engine)
        engine.dispose()  # a database that is copied may have no connection

    def database(self, key: str, *, template: str) -> str:
        """The address of the database of this key, made as a copy of `template` at the first call."""
        name = "test_" + hashlib.sha256(key.encode()).hexdigest()[:16]
        if name not in self._made:
            self._drop_unused()
            self._create(name, template)
            self._made.append(name)
        return self._url(name)

    def _start(self) -> "subprocess.Popen[str]":
        programs, data = _programs(), self._folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "cairn", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **self._owner)
        options = [part for option in OPTIONS for part in ("-c", option)]
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", self._folder, "-c", "listen_addresses=", *options],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_end_with_the_parent,
            **self._owner,
        )
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if READY in line:
                break
        else:
            raise RuntimeError("PostgreSQL did not start: " + "".join(said))
        log = (self._folder / "log").open("w")
        threading.Thread(target=shutil.copyfileobj, args=(process.stderr, log), daemon=True).start()
        return process

    def _stop(self) -> None:
        self._admin.dispose()
        self._process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
        self._process.wait()

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://cairn@/{name}?host={self._folder}"

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


def _programs() -> Path:
    """The folder of `initdb` and `postgres`: Debian keeps them off the PATH."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if known:
        return known[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).parent
    raise RuntimeError("PostgreSQL is not installed; run sh tests/postgresql_setup.sh")


def _end_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
