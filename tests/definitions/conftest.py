from collections.abc import Iterator

import pytest

from cairn.store.embedded import EmbeddedStore, open_embedded


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """One store for a module: its tests keep apart by environment. A process can have one open at a time."""
    store = open_embedded(tmp_path_factory.mktemp("store"), memory_mb=1024)
    yield store
    store.close()
