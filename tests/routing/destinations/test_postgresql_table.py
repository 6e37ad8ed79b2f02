"""A table in a real PostgreSQL over TCP, with a password and TLS."""

import asyncio
import datetime as dt
import json
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cairn.client_address import TrustedProxies
from cairn.http_client import CallRefused, HttpClient, resolve
from cairn.http_client.address import checked_address
from cairn.routing.destination import NotForDestination, Verdict
from cairn.routing.trying import try_out
from tests.routing.destinations.customer_postgres import PASSWORD, TABLE, Postgres, run, serving_postgres
from tests.routing.destinations.sending import HOSTILE, NOW, configured, hostile_messages, message


@pytest.fixture(scope="module")
def running() -> Iterator[Postgres]:
    with serving_postgres() as postgres:
        yield postgres


@pytest.fixture
def postgres(running: Postgres) -> Postgres:
    running.empty()
    return running


def test_the_table_is_made_and_each_message_is_a_row_once(postgres: Postgres) -> None:
    first = message(userId="u1", event="Plan Chosen", properties={"n": 9.5, "x": None}, position=1)
    second = message("identify", anonymousId="an1", traits={"plan": "pro"}, position=2)
    assert postgres.send([first]) == Verdict(is_delivered=True)
    assert postgres.send([first, second, second]) == Verdict(is_delivered=True)
    moment = dt.datetime(2026, 3, 1, 10, 4, 59, 100_000, dt.UTC)
    received = moment + dt.timedelta(seconds=1)
    assert postgres.rows() == [
        ("msg-00000001", "track", "Plan Chosen", "u1", None, moment, received, first.body),
        ("msg-00000002", "identify", None, None, "an1", moment, received, second.body),
    ]


def test_names_are_quoted(postgres: Postgres) -> None:
    table = 'ev"ents; DROP TABLE x; --'
    assert postgres.send([message(event="E")], table=table).is_delivered
    with postgres.admin() as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert found == [(table,)]


def test_batches_that_make_the_table_at_the_same_time_are_all_delivered(postgres: Postgres) -> None:
    assert TABLE.send is not None
    configuration = configured(TABLE, **postgres.settings())
    batches = [[message(event="E", position=10 * n + m) for m in range(10)] for n in range(6)]
    send = TABLE.send

    async def all_at_once() -> list[Verdict]:
        return await asyncio.gather(*(send(batch, configuration, postgres.locate) for batch in batches))

    assert [verdict.is_delivered for verdict in asyncio.run(all_at_once())] == [True] * 6
    assert len(postgres.rows()) == 60


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_become_rows_or_are_refused(postgres: Postgres, value: Any) -> None:
    expected = 0
    for number, sent in enumerate(hostile_messages(value)):
        named = msgspec.structs.replace(sent, message_id=f"m\0{number}")
        try:
            verdict = postgres.send([named])
        except NotForDestination as refused:
            assert "nested" in refused.detail or "JSON" in refused.detail
            continue
        assert verdict == Verdict(is_delivered=True)
        expected += 1
    if expected:
        assert len(postgres.rows()) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"password": "wrong"}, "password authentication failed", id="wrong password"),
        pytest.param({"password": ""}, "password", id="no password"),
        pytest.param({"database": "none"}, 'database "none" does not exist', id="no database"),
        pytest.param({"schema": "none"}, 'schema "none" does not exist', id="no schema"),
        pytest.param(
            {"table": "pg_class", "schema": "pg_catalog"}, "of relation", id="a table of other columns"
        ),
        pytest.param({"encryption": "verify-full"}, "certificate", id="a certificate of its own"),
        pytest.param({"port": 1}, "refused", id="nobody there"),
    ],
)
def test_what_settings_get_wrong_is_said_and_tried_again(
    postgres: Postgres, given: dict[str, Any], said: str
) -> None:
    verdict = postgres.send([message(event="E")], **given)
    assert not verdict.is_delivered and not verdict.is_final
    assert said in verdict.detail and PASSWORD not in verdict.detail


def test_a_table_with_rules_of_its_own_refuses_a_message_for_good(postgres: Postgres) -> None:
    assert postgres.send([message(event="E", position=1)]).is_delivered
    with postgres.admin() as connection:
        connection.execute("ALTER TABLE public.events ADD CHECK (event <> 'Bad')")
    verdict = postgres.send([message(event="Bad", position=2), message(event="E", position=3)])
    assert verdict.is_final and "check constraint" in verdict.detail
    assert len(postgres.rows()) == 1


def test_the_connection_test_writes_nothing(postgres: Postgres) -> None:
    assert postgres.send([]) == Verdict(is_delivered=True)
    with postgres.admin() as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_the_address_is_the_one_that_was_checked(postgres: Postgres) -> None:
    assert postgres.send([], host="no-such-host.test", encryption="disable").is_delivered
    assert postgres.send([], host="no-such-host.test").is_delivered
    assert postgres.asked == [
        ("no-such-host.test", postgres.port, False),
        ("no-such-host.test", postgres.port, True),
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0x7f.1", "169.254.169.254", "::1", "10.0.0.1"])
def test_addresses_of_this_machine_and_its_network_are_refused(host: str) -> None:
    def locate(host: str, port: int, is_encrypted: bool) -> str:
        return checked_address(host, resolve(host, port), TrustedProxies(""), is_secret=not is_encrypted)

    assert TABLE.send is not None
    settings = {"host": host, "database": "d", "user": "u"}
    verdict = run(TABLE.send([], configured(TABLE, **settings), locate))
    assert not verdict.is_delivered and "is not a public address" in verdict.detail


def test_a_server_that_says_nothing_or_garbage_is_given_up() -> None:
    """A listener that closes at once, and one that answers HTTP: both are answers that no PostgreSQL gives."""
    for answer in (b"", b"HTTP/1.1 200 OK\r\n\r\n", b"S" + b"\0" * 5_000):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            postgres = Postgres(None, listener.getsockname()[1])  # type: ignore[arg-type]  # no server of ours

            async def answered(
                answer: bytes = answer, listener: socket.socket = listener, postgres: Postgres = postgres
            ) -> Verdict:
                async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    await reader.read(8)
                    writer.write(answer)
                    writer.close()

                server = await asyncio.start_server(reply, sock=listener)
                async with server:
                    assert TABLE.send is not None
                    return await TABLE.send([], configured(TABLE, **postgres.settings()), postgres.locate)

            verdict = asyncio.run(answered())
            assert not verdict.is_delivered and not verdict.is_final and verdict.detail


def test_a_refused_address_is_said() -> None:
    def locate(host: str, port: int, is_encrypted: bool) -> str:
        raise CallRefused(f"{host!r} is 10.0.0.1: it is not a public address")

    assert TABLE.send is not None
    assert (
        "10.0.0.1"
        in run(TABLE.send([], configured(TABLE, host="db.test", database="d", user="u"), locate)).detail
    )


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({"host": "/var/run/postgresql"}, "host", id="a socket's path"),
        pytest.param({"host": "@abstract"}, "host", id="an abstract socket"),
        pytest.param({"host": "a.test,b.test"}, "host", id="a list of hosts"),
        pytest.param({"port": 0}, "port", id="no port"),
        pytest.param({"port": 70_000}, "port", id="too large a port"),
        pytest.param({"table": "t" * 64}, "table", id="long table"),
        pytest.param({"schema": "a\0b"}, "schema", id="nul in a schema"),
        pytest.param({"database": ""}, "database", id="no database"),
        pytest.param({"user": "\ud800"}, "user", id="half a character"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, Any], key: str) -> None:
    right = {"host": "db.test", "database": "shop", "user": "writer"}
    assert TABLE.check is not None
    assert TABLE.check(configured(TABLE, **right)) == {}
    assert TABLE.check(configured(TABLE, **{**right, **settings})).keys() == {key}


def test_a_row_holds_the_whole_message_as_json(postgres: Postgres) -> None:
    sent = message(event="E", properties={"list": [1, "ü", {"a": None}], "big": 10**300, "nul": "a\0b"})
    assert postgres.send([sent]).is_delivered
    [(plan, big, nul)] = postgres.rows(
        columns="body #>> '{properties,list,2}', body #>> '{properties,big}', body #>> '{properties,nul}'"
    )
    assert json.loads(plan) == {"a": None} and int(big) == 10**300 and nul == "a\ufffdb"


def test_the_connection_test_goes_through_the_client_that_checks_addresses(postgres: Postgres) -> None:
    configuration = configured(TABLE, **postgres.settings(host="127.0.0.1"))
    assert try_out(TABLE, configuration, HttpClient(TrustedProxies("127.0.0.1")), NOW).is_right
    refused = try_out(TABLE, configuration, HttpClient(TrustedProxies("")), NOW)
    assert not refused.is_right and "not a public address" in refused.detail
