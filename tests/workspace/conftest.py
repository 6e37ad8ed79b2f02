"""A migrated database and a seal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.workspace.sealed import Seal, open_seal
from tests.databases import open_test_metadata


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_test_metadata(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return open_seal(tmp_path)
