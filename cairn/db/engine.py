"""Opening the metadata database. The only place that knows which engine it is."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from cairn.db.changes import count_changes


def open_engine(url: str) -> sa.Engine:
    """`sqlite:///path` or `postgresql+psycopg://…`. SQLite runs in WAL mode, writers lock at once."""
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    count_changes(engine)
    return engine


def sqlite_url(data_dir: Path) -> str:
    return f"sqlite:///{data_dir / 'cairn.db'}"


def _configure_sqlite(connection: Any, _record: Any) -> None:  # Any: the driver's own types
    connection.isolation_level = None  # we say BEGIN ourselves
    # secure_delete: what was deleted is overwritten, because some of it was deleted for a user who asked for that
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON", "secure_delete=ON"
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    """`engine.begin()` writes, so it takes the lock first, not half-way; reads use `reading(engine)`."""
    options = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN" if options.get("read") else "BEGIN IMMEDIATE")


def lock_for_migration(connection: sa.Connection) -> None:
    """Until the transaction ends, no other process migrates. SQLite's write lock does it already."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4318031)")  # any constant of our own


def reading(engine: sa.Engine) -> sa.Connection:
    """A connection for reading only; use as a context manager."""
    return engine.connect().execution_options(read=True)


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
