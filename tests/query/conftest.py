"""A real embedded store for the tests of a module; they keep apart by environment."""

from collections.abc import Iterator
from itertools import count

import pytest

from cairn.store.store import Store
from tests.seams import open_store

_environments = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(tmp_path_factory.mktemp("query") / "store", memory_mb=300)
    yield opened
    opened.close()


@pytest.fixture
def here() -> int:
    """An environment with nothing in it yet; the one after it is free as well."""
    return next(_environments) * 10
