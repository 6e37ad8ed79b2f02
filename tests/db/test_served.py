"""The real command with its metadata on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from cairn.db.engine import open_engine
from cairn.db.tables import flag_states
from cairn.settings import load
from tests.databases import empty_database_url, only_on_postgresql
from tests.patience import PATIENCE_S, eventually
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


def settings_file(cairn: Served) -> bytes:
    query = {"a": cairn.demo["account_id"], "i": cairn.production["sdk_key"], "s": "prod"}
    answer = httpx2.get(f"{cairn.url}/server-side/v2-settings", params=query, timeout=PATIENCE_S)
    assert answer.status_code == 200 and answer.json()["features"]
    return answer.content


def test_what_another_process_commits_is_served(cairn: Served) -> None:
    before = settings_file(cairn)
    other = open_engine(load({}, cairn.environment).database_url)
    with other.begin() as connection:
        connection.execute(sa.update(flag_states).values(is_on=False))
    other.dispose()
    eventually(lambda: settings_file(cairn) != before)


def test_a_cairn_on_postgresql_serves_its_demo_and_keeps_its_password(cairn: Served) -> None:
    headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}
    with httpx2.Client(base_url=cairn.url, headers=headers, timeout=PATIENCE_S) as caller:
        assert caller.get("/api/v1/segments").status_code == 200
    assert settings_file(cairn)
    assert not (cairn.data_dir / "cairn.db").exists()
    lines = [Path(f"/proc/{cairn.ready[pid]}/cmdline").read_text() for pid in ("pid", "edge_pid", "core_pid")]
    assert all("cairn" in line and "hunter2" not in line for line in lines)
