"""The metadata database of a test: SQLite, or PostgreSQL where CAIRN_TEST_DATABASE says so (`make test-postgres`)."""

import atexit
import functools
import os
import shutil
import tempfile
import weakref
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.db.engine import sqlite_url
from cairn.db.metadata import open_metadata
from cairn.settings import Settings, load
from tests.postgresql import EMPTY, MIGRATED, databases

IS_POSTGRESQL = os.environ.get("CAIRN_TEST_DATABASE", "sqlite") == "postgresql"
only_on_postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="SQLite has one writer at a time")

NAME = "cairn.db"


def settings_of(folder: Path) -> Settings:
    """For a core in this folder; the same folder has the same database."""
    return load({"data_dir": folder, "database_url": postgresql_url(folder)}, {})


def open_test_metadata(folder: Path) -> sa.Engine:
    """What `open_metadata` would open, without waiting for migrations each time. Closed when nobody has it any more."""
    if not (IS_POSTGRESQL or (folder / NAME).exists()):
        shutil.copyfile(_migrated() / NAME, folder / NAME)
    engine = open_metadata(settings_of(folder))
    weakref.finalize(engine, engine.pool.dispose)
    return engine


def database_url(folder: Path) -> str:
    """Of the database that belongs to this folder; on PostgreSQL it is made, migrated, at the first call."""
    return databases().url(str(folder), template=MIGRATED) if IS_POSTGRESQL else sqlite_url(folder)


def postgresql_url(folder: Path) -> str | None:
    """The value of the setting `database_url` for a core in this folder; None: its default, SQLite."""
    return database_url(folder) if IS_POSTGRESQL else None


def environment_of(folder: Path) -> dict[str, str]:
    """What a process of ours with this data directory has in its environment, to find its database."""
    return {"CAIRN_DATABASE_URL": database_url(folder)} if IS_POSTGRESQL else {}


@functools.cache
def _migrated() -> Path:
    """A folder with a migrated SQLite database."""
    folder = Path(tempfile.mkdtemp(prefix="cairn-sqlite-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_metadata(load({"data_dir": folder}, {})).dispose()
    return folder


def empty_database_url(folder: Path, name: str = "empty", *, template: str = EMPTY) -> str:
    """Of a database that may have no tables yet."""
    if IS_POSTGRESQL:
        return databases().url(f"{folder}/{name}", template=template)
    return f"sqlite:///{folder / name}.db"
