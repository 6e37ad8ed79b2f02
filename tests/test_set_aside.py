"""Requests set aside: named on Home, listed and loaded again by the command line, forgotten in time."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from cairn.cli.main import cli
from cairn.clock import to_ms, utc_now
from cairn.event import Arrival, Draft, Kind, Refused
from cairn.ingest.attempts import MOST_LOADS, Attempts
from cairn.ingest.batch import Item
from cairn.ingest.loader import Loader
from cairn.ingest.set_aside import SetAside, list_set_aside, set_aside
from cairn.paths import Paths
from cairn.published.directory import Directory
from cairn.store.question import ad_hoc
from cairn.workspace.member import create_member
from cairn.workspace.permission import Role
from tests.patience import eventually
from tests.privacy.conftest import Running, Tenant, running
from tests.web.conftest import Browser
from tests.world import PASSWORD

__all__ = ["running"]
REASON = "the core ended each time it was loaded (SIGSEGV)"


def request(tenant: Tenant, event: str) -> bytes:
    body = msgspec.json.encode({"app_id": tenant.app_id, "identity": "ann", "event": event})
    arrival = Arrival("heap.track", tenant.environment_id, 0, "heap", to_ms(utc_now()), "", "test", body)
    return msgspec.msgpack.encode(arrival)


def home(running: Running, tenant: Tenant) -> str:
    with running.core.engine.begin() as connection:
        create_member(
            connection,
            tenant.workspace_id,
            email="ann@a.test",
            name="Ann",
            password=PASSWORD,
            role=Role.OWNER,
            now=utc_now(),
        )
    browser = Browser(TestClient(running.core.app)).sign_in("ann@a.test")
    return re.sub(r"\s+", " ", browser.get("/env/production").text)


def command(running: Running, *words: str) -> Any:
    return CliRunner().invoke(cli, ["set-aside", "--data-dir", str(running.folder), *words])


def test_home_names_position_and_reason(running: Running) -> None:
    tenant = running.tenant("aside")
    set_aside(Paths(running.folder).set_aside, SetAside(0, 12, 3, REASON), request(tenant, "Bought"))
    page = home(running, tenant)
    assert "A request was set aside" in page
    assert f"request 12.3: {REASON}" in page


def test_after_a_repair_a_request_is_listed_and_loaded_again(running: Running) -> None:
    tenant = running.tenant("aside")
    folder = Paths(running.folder).set_aside
    set_aside(folder, SetAside(0, 12, 3, REASON), request(tenant, "Bought"))
    set_aside(folder, SetAside(0, 12, 30, REASON), request(tenant, "Sold"))
    assert command(running).output.splitlines() == [f"12.3: {REASON}", f"12.30: {REASON}"]
    assert command(running, "--load", "12.3").exit_code == 0
    names = "SELECT name FROM cairn.events WHERE environment_id = {environment:UInt32} AND source = 'heap'"
    eventually(lambda: running.core.store.query(ad_hoc(tenant.environment_id, names)) == [("Bought",)])
    assert [kept.position for kept in list_set_aside(folder)] == ["12.30"]
    for unknown in ("12.3", "../collect", "12.3/../12.30"):
        assert "is set aside" in str(command(running, "--load", unknown).exception)


def test_requests_set_aside_are_forgotten_with_the_log(tmp_path: Path) -> None:
    folder = Paths(tmp_path / "data").set_aside
    for place, days in enumerate((6, 8)):
        set_aside(folder, SetAside(0, 1, place, REASON), b"a request")
        at = (utc_now() - timedelta(days=days)).timestamp()
        os.utime(folder / f"1-{place}.request", (at, at))
    running = Running(tmp_path / "data").start()  # the job runs at the start, then every hour
    eventually(lambda: [kept.position for kept in list_set_aside(folder)] == ["1.0"])
    running.close()


@pytest.mark.parametrize(
    ("died", "deaths"),
    [("-11", 2), ("-6", 2), ("3", 2), ("hang", 2), ("memory", 2), ("-9", 3), ("-15", 3), ("0", 3), ("", 3)],
)
def test_a_record_is_set_aside_after_two_deaths_and_three_of_unknown_cause(
    tmp_path: Path, died: str, deaths: int
) -> None:
    count_deaths(tmp_path, died, requests=MOST_LOADS, expected=deaths)


def test_of_more_requests_than_loads_only_the_guilty_one_is_set_aside(tmp_path: Path) -> None:
    """Here it is not its parser that stops the core, so the second death names a group."""
    count_deaths(tmp_path, "-11", requests=3 * MOST_LOADS, expected=3)


def count_deaths(tmp_path: Path, died: str, *, requests: int, expected: int) -> None:
    """Each start meets the same requests and dies over the second; no other is set aside."""
    items = [Item(1, place, b"") for place in range(requests)]
    starts = 0
    while True:
        attempts = Attempts(tmp_path / "note", tmp_path / "aside", died)
        for load in attempts.loads(items):
            if attempts.is_guilty(load):
                assert load.items == [items[1]]
                assert starts == expected
                return
            attempts.begin(load)
            if items[1] in load.items:
                starts += 1
                break
            attempts.end()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def read_or_die(arrival: Arrival) -> list[Draft | Refused]:
    if arrival.body == b"bad":
        raise Killed
    at, name = arrival.received_ms, arrival.body.decode()
    return [Draft(arrival.environment_id, Kind.CUSTOM, name, at, at, identity=name, source=arrival.source)]


def test_a_parser_that_stops_the_core_names_its_request_among_any_number(tmp_path: Path) -> None:
    core, paths = Running(tmp_path / "data").core, Paths(tmp_path / "data")
    now = to_ms(utc_now())
    bodies = (b"a", b"bad", b"b", b"c")
    core.log.append(
        [msgspec.msgpack.encode(Arrival("deadly", 1, 0, "heap", now, "", "", body)) for body in bodies]
    )

    def load(died: str) -> None:
        attempts = Attempts(paths.loading, paths.set_aside, died, most_loads=1)
        Loader(
            core.log,
            core.store,
            core.engine,
            Directory,
            core.feed,
            utc_now,
            lambda _: None,
            parsers={"deadly": read_or_die},
            attempts=attempts,
        ).load_once()

    for died in ("", "-11"):
        with pytest.raises(Killed):
            load(died)
        assert list_set_aside(paths.set_aside) == []
    load("-11")
    assert [kept.position for kept in list_set_aside(paths.set_aside)] == ["1.1"]
    names = "SELECT name FROM cairn.events WHERE environment_id = {environment:UInt32} AND source = 'heap' ORDER BY 1"
    assert core.store.query(ad_hoc(1, names)) == [("a",), ("b",), ("c",)]
    for part in (core.store, core.log, core.members):
        part.close()
    core.engine.dispose()
