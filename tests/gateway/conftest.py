"""A gateway on a real port, with a members store and documents of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.serving import Port, Serving, serving


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.close()


@pytest.fixture
def served(port: Port, tmp_path: Path) -> Iterator[Serving]:
    with serving(port, tmp_path) as running:
        yield running
