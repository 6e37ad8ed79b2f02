from collections.abc import Iterator

import pytest

from cairn.store.store import Store
from tests.seams import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for a module: its tests keep apart by environment. A process can have one open at a time."""
    store = open_store(tmp_path_factory.mktemp("store"), memory_mb=1024)
    yield store
    store.close()
