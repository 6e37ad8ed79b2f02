"""The real command with its metadata on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.databases import empty_database_url, only_on_postgresql
from tests.served import Served

pytestmark = only_on_postgresql


@pytest.fixture
def cairn(tmp_path: Path) -> Iterator[Served]:
    """Of an empty database."""
    address = empty_database_url(tmp_path).replace(
        "postgresql+psycopg://cairn@", "postgresql://cairn:hunter2@"
    )
    served = Served(tmp_path / "data", environment={"CAIRN_DATABASE_URL": address}).make_demo().start()
    yield served
    served.stop()


def test_a_cairn_on_postgresql_serves_its_demo_and_keeps_its_password(cairn: Served) -> None:
    headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}
    with httpx2.Client(base_url=cairn.url, headers=headers, timeout=30) as caller:
        assert caller.get("/api/v1/segments").status_code == 200
        account, key = cairn.demo["account_id"], cairn.production["sdk_key"]
        settings = caller.get("/server-side/v2-settings", params={"a": account, "i": key, "s": "prod"})
        assert settings.status_code == 200 and settings.json()["features"]
    assert not (cairn.data_dir / "cairn.db").exists()
    lines = [Path(f"/proc/{cairn.ready[pid]}/cmdline").read_text() for pid in ("pid", "edge_pid", "core_pid")]
    assert all("cairn" in line and "hunter2" not in line for line in lines)
