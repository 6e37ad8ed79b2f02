"""What the page on PostgreSQL types works, in order, on an empty server; the Cairn it describes then serves."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import only_on_postgresql
from tests.postgresql import Server, programs
from tests.served import Served

pytestmark = only_on_postgresql

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations" / "postgresql.md"
SHELL = re.compile(r"^( *)```sh\n(.*?)^ *```", re.S | re.M)
ADDRESS = "postgresql://cairn:secret@db.internal/cairn"


@pytest.fixture
def postgresql() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.kill()


def test_what_the_page_types_makes_a_cairn_that_serves_and_a_backup_that_restores(
    postgresql: Server, tmp_path: Path
) -> None:
    address = f"postgresql://cairn@/cairn?host={postgresql.folder}"
    page = PAGE.read_text()
    assert ADDRESS in page
    typed = "\n".join(block for _, block in SHELL.findall(page)).replace(ADDRESS, f"'{address}'")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    environment = os.environ | {
        "PGHOST": str(postgresql.folder),
        "PGUSER": "cairn",
        "PATH": f"{programs()}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", typed],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Demo workspace" in done.stdout
    restored = sa.create_engine(f"postgresql+psycopg://cairn@/cairn_restored?host={postgresql.folder}")
    with restored.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM workspaces").scalar() == 1
    restored.dispose()
    served = Served(tmp_path / "data", environment={"CAIRN_DATABASE_URL": address}).start()
    assert served.stop() == 0
    assert not (tmp_path / "data" / "cairn.db").exists()
