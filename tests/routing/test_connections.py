"""Connections: what their settings accept, who holds the log back, and that secrets stay sealed."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.db.routing_tables import connections
from cairn.errors import InvalidInput
from cairn.eventlog.readers import passed_by_all
from cairn.privacy.retention import forget_log
from cairn.routing.connections import (
    Connection,
    ConnectionChange,
    ConnectionNotFound,
    change_connection,
    configuration_of,
    create_connection,
    delete_connection,
    list_connections,
    log_readers,
    read_active,
)
from cairn.routing.destination import Configuration, Destination, Setting
from cairn.workspace.sealed import Seal, open_seal
from cairn.workspace.source import SourceNotFound, connect_analytics, list_sources, set_source_enabled
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_log

NOW = utc_now()


def no_port_80(configuration: Configuration) -> dict[str, str]:
    return {"url": "use another port"} if ":80/" in configuration.settings["url"] else {}


TARGET = Destination(
    "target",
    "Target",
    "For tests.",
    (
        Setting("url", "Address", "", "url", is_required=True),
        Setting("key", "Key", "", "secret", is_required=True),
        Setting("size", "Size", "", "number", default=10),
        Setting("is_fast", "Fast", "", "switch", default=False),
        Setting("mode", "Mode", "", "choice", default="a", choices=(("a", "A"), ("b", "B"))),
        Setting("names", "Names", "", "lines", default=[]),
    ),
    prepare=lambda *_: [],
    check=no_port_80,
)
GOOD = {"url": "https://target.test/in"}
SECRETS = {"key": "s3cret"}


class World:
    def __init__(self, folder: Path) -> None:
        self.engine = open_test_metadata(folder)
        self.seal: Seal = open_seal(folder)
        with self.engine.begin() as connection:
            self.workspace = create_workspace(connection, self.seal, name="Shop", now=NOW).id
            self.other = create_workspace(connection, self.seal, name="Other", now=NOW).id
            self.source = list_sources(connection, self.workspace)[0].id

    def create(
        self, settings: dict[str, Any] = GOOD, secrets: dict[str, str] = SECRETS, **fields: Any
    ) -> Connection:
        with self.engine.begin() as connection:
            return create_connection(
                connection,
                fields.pop("workspace", self.workspace),
                self.source,
                TARGET,
                self.seal,
                ConnectionChange(settings=settings, secrets=secrets, **fields),
                log_end=7,
                now=NOW,
            )

    def change(self, known: Connection, **fields: Any) -> Connection:
        with self.engine.begin() as connection:
            return change_connection(
                connection,
                self.workspace,
                known.id,
                TARGET,
                self.seal,
                ConnectionChange(**fields),
                log_end=99,
                now=NOW,
            )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.dispose()


def test_a_source_has_several_connections_to_one_destination(world: World) -> None:
    first, second = world.create(name="Ours"), world.create(name="Theirs")
    with world.engine.begin() as connection:
        known = list_connections(connection, world.workspace, source_id=world.source)
    assert [(made.id, made.name, made.destination) for made in known] == [
        (first.id, "Ours", "target"),
        (second.id, "Theirs", "target"),
    ]
    assert (first.settings["size"], first.settings["names"], first.retry_hours) == (10, [], 4)


def test_the_built_in_analytics_stay_one_connection_an_environment(world: World) -> None:
    world.create()
    with world.engine.begin() as connection:
        source = list_sources(connection, world.workspace)[0]
        for is_enabled in (False, True):
            connect_analytics(
                connection, world.workspace, source.id, source.environment_id, is_enabled=is_enabled, now=NOW
            )
        built_in = sa.select(sa.func.count()).where(
            connections.c.source_id == source.id, connections.c.destination == "heap"
        )
        assert connection.execute(built_in).scalar_one() == 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "url"),
        ({"url": "  "}, "url"),
        ({"url": 5}, "url"),
        ({"url": "ftp://target.test/"}, "url"),
        ({"url": "https://a:b@target.test/"}, "url"),
        ({"url": "not an address"}, "url"),
        ({"url": "http://target.test:80/x:80/"}, "url"),
        ({**GOOD, "size": "many"}, "size"),
        ({**GOOD, "size": float("inf")}, "size"),
        ({**GOOD, "size": True}, "size"),
        ({**GOOD, "is_fast": "yes"}, "is_fast"),
        ({**GOOD, "mode": "c"}, "mode"),
        ({**GOOD, "names": [1]}, "names"),
        ({**GOOD, "names": ["x"] * 101}, "names"),
        ({**GOOD, "key": "in the clear"}, "key"),
        ({**GOOD, "other": 1}, "other"),
    ],
)
def test_settings_that_are_wrong_are_refused_by_name(
    world: World, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.create(settings)
    assert refused.value.field == f"settings.{field}"


@pytest.mark.parametrize("secrets", [{}, {"key": ""}, {"key": "a\nb"}, {"key": "x" * 5_000}, {"other": "x"}])
def test_secrets_that_are_wrong_are_refused_and_never_repeated(world: World, secrets: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.create(secrets=secrets)
    assert not any(secret and secret in str(refused.value) for secret in secrets.values() if len(secret) > 1)


def test_secrets_are_sealed_and_kept_when_other_settings_change(world: World) -> None:
    known = world.change(world.create(), settings={"size": "20", "names": "one\n\ntwo"})
    with world.engine.begin() as connection:
        row = connection.execute(sa.select(connections).where(connections.c.id == known.id)).one()
        configuration = configuration_of(connection, world.seal, known, TARGET)
    assert b"s3cret" not in row.secret_sealed and "s3cret" not in repr(known)
    assert configuration.secrets == SECRETS
    assert (configuration.settings["size"], configuration.settings["names"]) == (20, ["one", "two"])
    with pytest.raises(InvalidInput):
        world.change(known, secrets={"key": ""})


@pytest.mark.parametrize("hours", [0, -1, 73])
def test_hours_of_retries_have_limits(world: World, hours: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.create(retry_hours=hours)
    assert refused.value.field == "retry_hours"


def test_connections_of_another_workspace_are_not_there(world: World) -> None:
    known = world.create()
    with world.engine.begin() as connection:
        with pytest.raises(ConnectionNotFound):
            delete_connection(connection, world.other, known.id)
        assert list_connections(connection, world.other) == []
    with pytest.raises(SourceNotFound):
        world.create(workspace=world.other)


def test_every_change_is_a_later_one(world: World) -> None:
    first = world.create()
    second = world.change(first, name="Second")
    third = world.change(second, name="Third")
    assert first.updated_at < second.updated_at < third.updated_at


def test_the_log_waits_for_connections_that_deliver_and_for_no_others(world: World, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    ends = [log.append([b"item"]) for _ in range(9)]
    log.commit("loader", ends[-1])
    known = world.create()

    def readers() -> dict[str, int]:
        with world.engine.begin() as connection:
            return log_readers(connection)

    assert passed_by_all(log, readers()) == known.start_position == 7
    log.commit(known.reader, ends[7])
    assert passed_by_all(log, readers()) == ends[7]
    assert forget_log(log, readers(), keep=timedelta(0), now=NOW + timedelta(days=1)) == 8
    world.change(known, is_enabled=False)
    assert passed_by_all(log, readers()) == ends[-1]
    assert (
        world.change(known, is_enabled=True).start_position == 99
    )  # what arrived meanwhile is not delivered
    with world.engine.begin() as connection:
        set_source_enabled(connection, world.workspace, world.source, is_enabled=False)
        assert read_active(connection) == []
        delete_connection(connection, world.workspace, known.id)
    assert passed_by_all(log, readers()) == ends[-1]
    log.close()
