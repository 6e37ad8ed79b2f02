"""Several event logs fill one store: what comes from one is never taken for what came from another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn.eventlog.log import EventLog
from cairn.ingest.batch import Item
from cairn.ingest.set_aside import SetAside, list_set_aside, set_aside
from cairn.log_position import entry_of, item_of, log_of
from cairn.query.user_rows import log_positions
from tests.ingest.rig import NOW_MS, Rig
from tests.seams import open_log

# Of the event that test_ids_of_the_one_log_are_what_they_were sends, as the first release stored it.
FIRST_ID, FIRST_POSITION = 14250974009774636171, 536870912
NO_USER = {"refuse": "no_user", "name": "nobody"}


class Logs:
    """Two of them with entries of the same numbers, each with a loader of its own, and the store that both fill."""

    def __init__(self, rig: Rig, other: EventLog) -> None:
        self.rig, self.own, self.other = rig, rig.log, other

    def send(self, *events: dict[str, Any], **fields: Any) -> None:
        """The same request to both."""
        for log in (self.own, self.other):
            self.rig.log = log
            self.rig.send(*events, **fields)

    def load(self) -> None:
        for log in (self.own, self.other):
            self.rig.restart(log=log)
            self.rig.load()


@pytest.fixture
def logs(rig: Rig, tmp_path: Path) -> Iterator[Logs]:
    other = open_log(tmp_path / "other.db", log_id=7)
    yield Logs(rig, other)
    other.close()


@pytest.mark.parametrize(
    ("event", "outcomes"),
    [
        pytest.param({"name": "Paid", "user_id": 5}, ["Paid", "Paid"], id="without a key both are stored"),
        pytest.param(
            {"name": "Paid", "user_id": 5, "key": "1"},
            ["Paid", "repeated_id"],
            id="with one the second repeats",
        ),
        pytest.param(NO_USER, ["no_user", "no_user"], id="both are refused"),
    ],
)
def test_what_arrives_in_both_logs_is_two_requests_however_often_it_is_loaded(
    logs: Logs, environment_id: int, tmp_path: Path, event: dict[str, Any], outcomes: list[str]
) -> None:
    logs.send(event, environment_id=environment_id)
    logs.load()
    told = [*logs.rig.events(environment_id), *logs.rig.refusals(environment_id)]
    stored = logs.rig.events(environment_id, "event_id, log_id, log_position")
    assert told == outcomes
    assert len({event_id for event_id, *_ in stored}) == len(stored)
    for file in tmp_path.glob("*.cursors*"):  # everything is read again
        file.unlink()
    logs.load()
    assert [*logs.rig.events(environment_id), *logs.rig.refusals(environment_id)] == outcomes
    assert logs.rig.events(environment_id, "event_id, log_id, log_position") == stored


def test_an_event_says_from_where_in_which_log_it_came(logs: Logs, environment_id: int) -> None:
    logs.send({"name": "Paid", "user_id": 5}, {"name": "Paid", "user_id": 5}, environment_id=environment_id)
    logs.load()
    positions = log_positions(logs.rig.store, environment_id, [5])
    assert (
        sorted((log_of(at), entry_of(at), item_of(at)) for at in positions)
        == [(0, 1, 0)] * 2 + [(7, 1, 0)] * 2
    )


def test_ids_of_the_one_log_are_what_they_were(rig: Rig) -> None:
    """Stored data has them: an event that is read again must be the same one."""
    rig.send({"name": "Paid", "user_id": 5}, environment_id=990_001, received_ms=1_780_000_000_000)
    rig.load()
    assert rig.events(990_001, "event_id, log_position") == [(FIRST_ID, FIRST_POSITION)]


def test_a_request_set_aside_is_named_with_its_log(tmp_path: Path) -> None:
    for log_id in (0, 7):
        set_aside(tmp_path, SetAside(log_id, 12, 3, "it stopped the core"), b"a request")
    assert [request.position for request in list_set_aside(tmp_path)] == ["12.3", "7.12.3"]
    assert Item(12, 3, b"", 7).log_position != Item(12, 3, b"").log_position


def test_versions_of_properties_rise_with_time_whatever_the_log(logs: Logs, environment_id: int) -> None:
    for log, plan, time_ms in ((logs.other, "old", NOW_MS - 5), (logs.own, "new", NOW_MS)):
        logs.rig.log = log
        logs.rig.send(
            {"kind": "identify", "user_id": 5, "user_properties": {"plan": plan}, "time_ms": time_ms},
            environment_id=environment_id,
        )
    logs.load()
    assert logs.rig.properties(environment_id)[5, "plan"] == "new"
