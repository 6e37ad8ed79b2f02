"""Where the calls of a source go: the loader's source step, with Segment's own payloads in the log."""

import hashlib
import json
from typing import Any

import msgspec
import pytest

from cairn.event import Arrival
from cairn.ids import identified_user_id
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


def ruled(environment_id: int, rules: dict[str, Any], *others: int) -> Source:
    found = source(5, (environment_id, *others))
    return msgspec.structs.replace(found, heap_rules={str(environment_id): json.dumps(rules)})


RULED = [
    pytest.param(
        {"consent": ["Analytics"]}, {"context": {"consent": {}}}, "filtered_by_consent", id="consent"
    ),
    pytest.param({"consent": ["Analytics"]}, {}, "stored", id="nobody is asked for consent"),
    pytest.param({"events": {"Paid": False}}, {}, "filtered_by_event_switch", id="event switch"),
    pytest.param(
        {"events": {"Paid": False}}, {"integrations": {"Heap": True}}, "stored", id="named by the call"
    ),
    pytest.param({"filters": [{"condition": "userId = 'ann'"}]}, {}, "filtered_by_rules", id="filter"),
    pytest.param(
        {"filters": [{"condition": "userId = 'bob'"}]}, {}, "stored", id="filter that does not hold"
    ),
    pytest.param(
        {"transformations": [{"kind": "sample", "percent": 0}]}, {}, "dropped_by_transformation", id="sample"
    ),
    pytest.param({"mappings": [{"trigger": "event = 'x'"}]}, {}, "no_matching_mapping", id="mapping"),
    pytest.param(
        {"filters": [{"condition": "x ="}]}, {}, "filtered_by_rules", id="rules that cannot be read"
    ),
    pytest.param(
        {"consent": ["Analytics"]}, {"integrations": {"All": False}}, "blocked_by_integrations", id="first"
    ),
    pytest.param(
        {"filters": [{"condition": "true"}]}, {"type": "page"}, "unsupported_event_type", id="type first"
    ),
    pytest.param(
        {"transformations": [{"kind": "set", "path": "properties", "value": 5}]},
        {},
        "properties_not_object",
        id="spoilt by a transformation",
    ),
    pytest.param(
        {"transformations": [{"kind": "drop", "path": "userId"}]}, {}, "no_user", id="made nobody's"
    ),
    pytest.param(
        {"transformations": [{"kind": "set", "path": "event", "value": ""}]},
        {},
        "event_not_defined",
        id="unnamed",
    ),
]


@pytest.mark.parametrize(("rules", "fields", "expected"), RULED)
def test_rules_of_a_connection_to_the_analytics_decide(
    rig: Rig, environment_id: int, rules: dict[str, Any], fields: dict[str, Any], expected: str
) -> None:
    """Each of two environments by its own connection; a call that is refused costs no other."""
    other = environment_id + 1
    rig.directory = sources(ruled(environment_id, rules, other))
    send(rig, environment_id, call(**fields), environments=(environment_id, other))
    assert outcomes(rig, environment_id) == [expected]
    by_itself = expected if expected in ("unsupported_event_type", "blocked_by_integrations") else "stored"
    assert outcomes(rig, other) == [by_itself]


def test_rules_change_what_the_analytics_store_and_nothing_else(rig: Rig, environment_id: int) -> None:
    rules = {
        "filters": [
            {"condition": "true", "action": "drop_properties", "properties": ["context.traits.email"]}
        ],
        "transformations": [
            {"kind": "hash", "path": "userId"},
            {"kind": "rename", "from": "properties.cost", "to": "properties.price"},
            {"kind": "set", "path": "event", "value": "Bought"},
        ],
    }
    rig.directory = sources(ruled(environment_id, rules))
    before, sent = "2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z"
    paid = call(
        properties={"cost": 5, "seats": 3},
        context={"traits": {"email": "ann@x.test"}},
        timestamp=before,
        sentAt=sent,
        messageId="m-1",
    )
    send(rig, environment_id, paid, paid, environments=(environment_id,))
    assert outcomes(rig, environment_id) == ["stored", "repeated_id"]
    [row] = rig.events(environment_id, "name, toUnixTimestamp64Milli(time), properties")
    assert row[0] == "Bought" and row[1] == NOW_MS - 60_000
    assert dict(row[2]) == {"price": "5", "seats": "3"}
    hashed = hashlib.sha256(b"ann").hexdigest()
    assert rig.events(environment_id, "user_id") == [identified_user_id(environment_id, hashed)]
