"""Heap Cloud (Actions), byte for byte. Source: contracts/segment.md 5.5, measured with the vendor's own code."""

from typing import Any

import msgspec
import pytest

from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import HOSTILE, NOW, configured, message, prepared, refusal, survives

HEAP = destination("heap_cloud_actions")
TRACK = "https://heapanalytics.com/api/integrations/track"
USERS = "https://heapanalytics.com/api/add_user_properties"
MAY_5_MS = 1_714_885_505_123  # 2024-05-05T05:05:05.123Z


def sent(kind: str, /, mapping: dict[str, Any] | None = None, **body: Any) -> list[tuple[str, bytes]]:
    told = msgspec.structs.replace(message(kind, time_ms=MAY_5_MS, **body), mapping=mapping or {})
    made = HEAP.prepare([told], configured(HEAP, app_id="11"), NOW)
    assert all(request.positions == (1,) for request in made)
    return [(request.call.url, request.call.body) for request in made]


def test_track_is_the_golden_vector_byte_for_byte() -> None:
    properties = {
        "revenue": 9.5,
        "ok": True,
        "nul": None,
        "nested": {"a": {"b": 1}},
        "arr": ["x", {"y": 2}],
        "date": "2024-01-02",
        "empty": {},
        "none": [],
    }
    assert sent(
        "track",
        userId="u1",
        anonymousId="an1",
        event="Order Completed",
        properties=properties,
        context={"traits": {"plan": "pro", "n": 1}},
    ) == [
        (
            TRACK,
            b'{"app_id":"11","library":"server","events":[{"event":"Order Completed",'
            b'"idempotency_key":"msg-00000001","timestamp":"2024-05-05T05:05:05.123Z",'
            b'"user_identifier":{"anonymous_id":"an1"},"custom_properties":{'
            b'"segment_library":"cloud-mode-destination","revenue":"9.5","ok":"true","nul":"null",'
            b'"nested.a.b":"1","arr.0":"x","arr.1.y":"2","date":"2024-01-02"}}]}',
        )
    ]


def test_identify_is_the_golden_vector_byte_for_byte() -> None:
    traits = {"email": "a@b.c", "age": 3, "vip": True, "nul": None, "addr": {"city": "P"}, "tags": ["a", "b"]}
    assert sent("identify", userId="u1", anonymousId="an1", traits=traits) == [
        (
            USERS,
            b'{"app_id":"11","identity":"u1","properties":{"anonymous_id":"an1","email":"a@b.c","age":"3",'
            b'"vip":"true","nul":"null","addr.city":"P","tags.0":"a","tags.1":"b"}}',
        )
    ]


@pytest.mark.parametrize(
    ("kind", "body", "event", "name"),
    [
        pytest.param("page", {"name": "Home"}, "Page viewed", "Home", id="page"),
        pytest.param("screen", {"name": "Main"}, "Screen viewed", "Main", id="screen"),
        pytest.param("page", {}, "Page viewed", None, id="page without a name"),
        pytest.param("track", {}, "track", None, id="track without a name"),
    ],
)
def test_events_are_named_by_their_type(
    kind: str, body: dict[str, Any], event: str, name: str | None
) -> None:
    [(url, raw)] = sent(kind, anonymousId="an1", **body)
    [made] = msgspec.json.decode(raw)["events"]
    assert url == TRACK and made["event"] == event and made["custom_properties"].get("name") == name


def test_a_mapped_identity_wins_and_updates_the_user_first() -> None:
    mapping = {"identity": {"@path": "$.userId"}}
    first, second = sent(
        "track",
        mapping,
        userId="u1",
        anonymousId="an1",
        event="Ev",
        context={"traits": {"plan": "pro", "n": 1}},
    )
    assert first == (
        USERS,
        b'{"app_id":"11","identity":"u1","properties":{"anonymous_id":"an1","plan":"pro","n":"1"}}',
    )
    assert second[0] == TRACK and b'"user_identifier":{"identity":"u1"}' in second[1]
    [alone] = sent("track", mapping, userId="u1", event="Ev")
    assert alone[0] == TRACK


def test_the_region_and_another_host_are_settings() -> None:
    sent_to = [
        prepared(HEAP, message(anonymousId="a", event="Ev"), app_id="11", **settings)[0].call.url
        for settings in ({"region": "EU"}, {"region": "EU", "host": "https://cairn.test/"})
    ]
    assert sent_to == [
        "https://c.eu.heap-api.com/api/integrations/track",
        "https://cairn.test/api/integrations/track",
    ]


@pytest.mark.parametrize("timestamp", ["no time", None, True, {"a": 1}, "9" * 400, 10**400])
def test_a_mapped_time_that_is_none_is_left_to_heap(timestamp: Any) -> None:
    [(_, raw)] = sent(
        "track",
        {"timestamp": {"@path": "$.properties.at"}},
        anonymousId="a",
        event="E",
        properties={"at": timestamp},
    )
    assert b'"timestamp"' not in raw


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        pytest.param("identify", {"anonymousId": "an1"}, "userId: is missing", id="identify without one"),
        pytest.param("identify", {"userId": "0"}, "userId: is missing", id="identify as 0"),
        pytest.param(
            "track", {"userId": "u1", "event": "E"}, "anonymousId: is missing", id="no anonymous id"
        ),
        pytest.param("page", {"anonymousId": "0"}, "anonymousId: is missing", id="anonymous id 0"),
    ],
)
def test_a_message_that_heap_cannot_take_says_why(kind: str, body: dict[str, Any], expected: str) -> None:
    assert refusal(HEAP, message(kind, **body), app_id="11").startswith(f"message_rejected: {expected}")


def test_group_and_alias_are_not_taken() -> None:
    assert HEAP.kinds == {"track", "page", "screen", "identify"}


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(HEAP, value, app_id="11")


def test_the_connection_test_is_one_event() -> None:
    assert HEAP.trial is not None
    assert b'"Connection tested"' in HEAP.trial(configured(HEAP, app_id="11"), NOW).call.body
