"""A migrated SQLite file and a seal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.db.engine import open_engine, sqlite_url
from cairn.db.migrate import migrate
from cairn.workspace.sealed import Seal, open_seal


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(sqlite_url(tmp_path))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return open_seal(tmp_path)
