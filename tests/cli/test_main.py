"""The command line, as an operator types it."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cairn.cli.main import cli
from cairn.db.engine import open_engine, reading
from cairn.errors import Misconfigured, NotFound
from cairn.workspace.member import authenticate
from tests.databases import database_url, environment_of
from tests.served import CAIRN


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(tmp_path).items():
        monkeypatch.setenv(name, value)


def test_demo_is_made_once_and_tells_the_same_keys(tmp_path: Path) -> None:
    first, second = (
        CliRunner().invoke(cli, ["demo", "--data-dir", str(tmp_path), "--json"]) for _ in range(2)
    )
    assert first.exit_code == second.exit_code == 0
    told = json.loads(first.output)
    assert told == json.loads(second.output)
    assert set(told) == {
        "url",
        "email",
        "password",
        "workspace_id",
        "account_id",
        "environments",
        "api_token",
        "segments",
        "flag",
    }
    assert set(told["environments"]) == {"production", "development"}
    for environment in told["environments"].values():
        assert set(environment) == {"environment_id", "app_id", "sdk_key", "write_keys"}
        assert set(environment["write_keys"]) == {"web", "server"}
    assert set(told["segments"]) == {"heap_premium_users", "active_buyers"}
    assert told["flag"] == "featureFlag"


def test_two_demos_at_once_make_one_workspace(tmp_path: Path) -> None:
    command = [CAIRN, "demo", "--data-dir", tmp_path / "data", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert len({one.communicate()[0] for one in both}) == 1
    assert [one.returncode for one in both] == [0, 0]


def test_shell_form_can_be_taken_over(tmp_path: Path) -> None:
    told = json.loads(CliRunner().invoke(cli, ["demo", "--data-dir", str(tmp_path), "--json"]).output)
    shell = CliRunner().invoke(cli, ["demo", "--data-dir", str(tmp_path), "--shell"]).output
    assert f"export TOKEN={told['api_token']}\n" in shell
    assert f"export APP_ID={told['environments']['production']['app_id']}\n" in shell


def test_a_forgotten_password_is_replaced_at_the_machine(tmp_path: Path) -> None:
    told = json.loads(CliRunner().invoke(cli, ["demo", "--data-dir", str(tmp_path), "--json"]).output)
    arguments = ["set-password", "--data-dir", str(tmp_path), told["email"], "--password", "a new long one"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    engine = open_engine(database_url(tmp_path))
    with reading(engine) as connection:
        assert authenticate(connection, email=told["email"], password="a new long one").email == told["email"]
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(
            ["set-password", "nobody@shop.test", "--password", "long enough"], NotFound, id="unknown member"
        ),
        pytest.param(["settings", "--port", "eighty"], Misconfigured, id="bad setting"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: list[str], error: type[Exception]) -> None:
    CliRunner().invoke(cli, ["demo", "--data-dir", str(tmp_path)])
    done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(tmp_path)])
    assert isinstance(done.exception, error)


def test_the_password_of_the_database_is_not_printed(tmp_path: Path) -> None:
    address = "postgresql://cairn:hunter2@db.test/cairn"
    printed = CliRunner().invoke(cli, ["settings", "--data-dir", str(tmp_path), "--database-url", address])
    refused = CliRunner().invoke(cli, ["settings", "--database-url", address.replace("postgresql", "mysql")])
    assert "database_url = (set)" in printed.output
    assert isinstance(refused.exception, Misconfigured) and refused.exception.field == "database_url"
    assert "hunter2" not in printed.output + str(refused.exception)
