from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from cairn.store.store import Store
from tests.ingest import rig as rigs
from tests.seams import open_store

_environments = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Shared by a module, as opening takes a second; every test has environments of its own."""
    opened = open_store(tmp_path_factory.mktemp("store"), memory_mb=512)
    yield opened
    opened.close()


@pytest.fixture
def environment_id() -> int:
    return next(_environments) * 10


@pytest.fixture
def rig(tmp_path: Path, store: Store) -> Iterator[rigs.Rig]:
    opened = rigs.opened(tmp_path, store)
    yield opened
    opened.log.close()
    opened.engine.dispose()
