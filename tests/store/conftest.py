from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from cairn.store.store import Store
from tests.seams import open_store

_environments = count(1)


def _embedded(folder: Path) -> Store:
    return open_store(folder, memory_mb=300)


# One more implementation is one more line: every test below runs over all of them.
OPENERS: dict[str, Callable[[Path], Store]] = {"embedded": _embedded}


@pytest.fixture(scope="module")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module", params=OPENERS)
def store(request: pytest.FixtureRequest, store_folder: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](store_folder)
    yield opened
    opened.close()


@pytest.fixture
def environment_id() -> int:
    """Tests keep apart by environment, as opening a store takes a second."""
    return next(_environments) * 10
