from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from cairn.store.embedded import EmbeddedStore, open_embedded
from tests.ingest import rig as rigs

_environments = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """Shared by a module, as opening takes a second; every test has environments of its own."""
    opened = open_embedded(tmp_path_factory.mktemp("store"), memory_mb=512)
    yield opened
    opened.close()


@pytest.fixture
def environment_id() -> int:
    return next(_environments) * 10


@pytest.fixture
def rig(tmp_path: Path, store: EmbeddedStore) -> Iterator[rigs.Rig]:
    opened = rigs.opened(tmp_path, store)
    yield opened
    opened.log.close()
    opened.engine.dispose()
