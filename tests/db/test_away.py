"""What a database that is away, or does not take a value, means to whoever asked."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from cairn.cli.main import cli
from cairn.db.engine import open_engine, reading
from cairn.db.failure import explained
from cairn.db.tables import workspaces
from cairn.errors import InvalidInput, Unavailable
from tests.databases import only_on_postgresql, open_test_metadata

ASK = sa.select(workspaces.c.id)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_test_metadata(tmp_path)
    yield engine
    engine.dispose()


def test_more_readers_than_connections_are_told_to_come_again(engine: sa.Engine) -> None:
    small = sa.create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with small.connect() as held, pytest.raises(Unavailable, match="try again"), explained():
        held.execute(ASK)
        small.connect()
    small.dispose()


@only_on_postgresql
@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        pytest.param({"account_id": 2**40}, "", "a number is too large", id="number"),
        pytest.param({"name": "a\0b"}, "name", "name: a text holds a character", id="text"),
    ],
)
def test_a_value_the_database_cannot_keep_is_described(
    engine: sa.Engine, values: dict[str, object], field: str, message: str
) -> None:
    row = {"name": "a", "account_id": 1, "created_at": None, "is_demo": False} | values
    with pytest.raises(InvalidInput, match=message) as refused, explained(), engine.begin() as connection:
        connection.execute(sa.insert(workspaces).values(row))
    assert refused.value.field == field


@only_on_postgresql
def test_a_server_that_takes_no_writes_is_away(engine: sa.Engine) -> None:
    """As after a failover, while the standby is not the primary yet."""
    with pytest.raises(Unavailable), explained(), engine.begin() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.execute(sa.delete(workspaces))


@only_on_postgresql
def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(engine: sa.Engine) -> None:
    with reading(engine) as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    other = open_engine(engine.url.render_as_string(hide_password=False))
    with other.begin() as connection:
        assert connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)").scalar()
    other.dispose()
    with reading(engine) as connection:
        assert connection.execute(ASK).all() == []


@only_on_postgresql
@pytest.mark.parametrize(
    "command", [["demo"], ["set-password", "ann@shop.test", "--password", "long enough"]]
)
def test_a_command_without_its_database_says_so_in_one_line(tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    address = f"postgresql://cairn:hunter2@127.0.0.1:{port}/cairn"
    done = CliRunner().invoke(cli, [*command, "--data-dir", str(tmp_path), "--database-url", address])
    assert isinstance(done.exception, Unavailable)
    assert "hunter2" not in str(done.exception)
