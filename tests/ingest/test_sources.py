"""Where the calls of a source go: the loader's source step, with Segment's own payloads in the log."""

from typing import Any

import msgspec
import pytest

from cairn.event import Arrival
from cairn.published.directory import Source
from cairn.wire.parsers import PARSERS
from tests.ingest import rig as rigs
from tests.ingest.rig import NOW_MS, Rig, outcomes, source, sources


@pytest.fixture(autouse=True)
def all_formats(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> None:
    monkeypatch.setitem(rigs.PARSERS, "segment", PARSERS["segment"])
    rig.restart()


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Paid", "userId": "ann", **fields}


def send(rig: Rig, environment_id: int, *calls: dict[str, Any], **extra: Any) -> None:
    body = msgspec.json.encode({"batch": calls})
    arrival = Arrival(
        "segment", environment_id, 5, "site", NOW_MS, "203.0.113.9", "", body, {"type": "batch", **extra}
    )
    rig.log.append([msgspec.msgpack.encode(arrival)])
    rig.load()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (source(5, (), is_enabled=True), "not_connected"),
        (source(5, (1,), is_enabled=False), "source_disabled"),
        (source(6, (1,)), "source_disabled"),
    ],
    ids=["not connected", "switched off", "deleted"],
)
def test_calls_of_a_source_that_feeds_nothing_are_refused_where_it_belongs(
    rig: Rig, environment_id: int, found: Source, reason: str
) -> None:
    rig.directory = sources(found)
    send(rig, environment_id, call(), call(event=5), environments=(1,))
    assert outcomes(rig, environment_id) == [reason, "event_not_string"]
    [name, user] = rig.refusals(environment_id, "name, user")[0]
    assert (name, user) == ("Paid", "ann")


def test_every_call_and_every_refusal_is_in_each_environment_once(rig: Rig, environment_id: int) -> None:
    environments = (environment_id, environment_id + 1)
    rig.directory = sources(source(5, environments))
    send(rig, environment_id, call(), call(event=5), call(type="page"), environments=environments)
    for environment in environments:
        assert outcomes(rig, environment) == ["stored", "event_not_string", "unsupported_event_type"]


def test_a_log_of_an_earlier_collector_is_not_sent_twice(rig: Rig, environment_id: int) -> None:
    """It wrote one arrival for each environment, and the reason when there was none."""
    environments = (environment_id, environment_id + 1)
    rig.directory = sources(source(5, environments))
    for environment in environments:
        send(rig, environment, call())
    send(rig, environment_id, call(), refuse="source_disabled")
    assert outcomes(rig, environment_id) == ["stored", "source_disabled"]
    assert outcomes(rig, environment_id + 1) == ["stored"]
