from collections.abc import Iterator

import pytest

from tests.clients.cases.sdk import ServedGateway


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    served = ServedGateway(tmp_path_factory.mktemp("gateway"))
    yield served
    served.close()
