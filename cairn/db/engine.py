"""Opening the metadata database. The only place that knows which engine it is."""

from enum import IntEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from cairn.db.changes import count_changes
from cairn.errors import Misconfigured

# For a server that is on another machine, and may be gone without saying so: seconds to connect, milliseconds without
# an acknowledgement, seconds of silence before asking whether the other side is there. An address may say otherwise.
_PATIENCE = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10}

# How long a writer waits for another one, on either engine.
_LOCK_MS = 5_000
_HOUR_MS = 3_600_000


class Lock(IntEnum):
    """What only one transaction at a time does. The numbers are PostgreSQL's keys; any constants of our own."""

    MIGRATION = 4318031
    DEFINITIONS = 4318032  # looking whether a thing may be made or changed, and doing it
    MERGES = 4318033  # so that the history's ids rise in the order of commits


def open_engine(url: str) -> sa.Engine:
    """`sqlite:///path` or `postgresql+psycopg://…`. SQLite runs in WAL mode, writers lock at once."""
    address = sa.make_url(url)
    engine = _engine_for(address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "connect", _configure_postgresql)
    count_changes(engine)
    return engine


def _engine_for(address: sa.URL) -> sa.Engine:
    # Errors end up in logs: they name the statement, not the values, which may be anybody's.
    if address.get_backend_name() == "sqlite":
        return sa.create_engine(address, hide_parameters=True)
    patience = {name: value for name, value in _PATIENCE.items() if name not in address.query}
    try:  # a connection that the server has closed meanwhile is replaced before it is used
        return sa.create_engine(address, hide_parameters=True, pool_pre_ping=True, connect_args=patience)
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"database_url: {error.name} is not installed; pip install 'cairn[postgres]'",
            field="database_url",
        ) from error


def sqlite_url(data_dir: Path) -> str:
    return f"sqlite:///{data_dir / 'cairn.db'}"


def _configure_sqlite(connection: Any, _record: Any) -> None:  # Any: the driver's own types
    connection.isolation_level = None  # we say BEGIN ourselves
    # secure_delete: what was deleted is overwritten, because some of it was deleted for a user who asked for that
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={_LOCK_MS}",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    """`engine.begin()` writes, so it takes the lock first, not half-way; reads use `reading(engine)`."""
    options = connection.get_execution_options()
    if options.get("is_patient"):
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_HOUR_MS}")
    connection.exec_driver_sql("BEGIN" if options.get("read") else "BEGIN IMMEDIATE")
    if options.get("is_patient"):
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOCK_MS}")


def _configure_postgresql(connection: Any, _record: Any) -> None:  # Any: the driver's own types
    connection.execute(f"SET lock_timeout = {_LOCK_MS}")
    connection.commit()


def patient(engine: sa.Engine) -> sa.Engine:
    """The same, for transactions that wait however long somebody else holds what they take."""
    return engine.execution_options(is_patient=True)


def take(connection: sa.Connection, lock: Lock) -> None:
    """Until the transaction ends nobody else takes this lock. SQLite's write lock does it already."""
    if connection.dialect.name == "postgresql":
        if connection.get_execution_options().get("is_patient"):
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock.value})")


def reading(engine: sa.Engine) -> sa.Connection:
    """A connection for reading only, which sees one state of the database; use as a context manager."""
    connection = engine.connect().execution_options(read=True)
    if engine.dialect.name == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return connection


def scrub(engine: sa.Engine) -> bool:
    """Leave nothing on the disk of deleted rows; False when a writer was in the way. PostgreSQL vacuums by itself."""
    if engine.dialect.name != "sqlite":
        return True
    raw = engine.raw_connection()
    try:
        busy = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        raw.close()
    return not busy
