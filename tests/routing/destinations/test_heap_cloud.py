"""Heap Cloud, byte for byte. Source: contracts/segment.md 5.6, measured with the vendor's own code."""

from typing import Any

import msgspec
import pytest

from cairn.routing.catalogue import destination
from cairn.routing.destination import NotForDestination
from tests.routing.destinations.sending import HOSTILE, NOW, configured, message, prepared, refusal, survives

HEAP = destination("heap_cloud")
TRACK = "https://heapanalytics.com/api/integrations/track"
USERS = "https://heapanalytics.com/api/integrations/add_user_properties"
MAY_5_MS = 1_714_885_505_123  # 2024-05-05T05:05:05.123Z


def sent(kind: str, /, settings: dict[str, Any] | None = None, **body: Any) -> list[tuple[str, bytes]]:
    made = prepared(HEAP, message(kind, time_ms=MAY_5_MS, **body), app_id="11", **(settings or {}))
    return [(request.call.url, request.call.body) for request in made]


def event(kind: str, /, settings: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    [made] = msgspec.json.decode(sent(kind, settings, **body)[-1][1])["events"]
    assert isinstance(made, dict)
    return made


def test_track_is_the_golden_vectors_byte_for_byte() -> None:
    assert sent(
        "track",
        userId="u1",
        anonymousId="an1",
        event="Order Completed",
        properties={"revenue": 9.5},
        context={"traits": {"plan": "pro", "n": 1}},
    ) == [
        (
            USERS,
            b'{"app_id":"11","library":"server","users":[{"user_identifier":{"identity":"u1"},'
            b'"custom_properties":{"plan":"pro","n":1}}]}',
        ),
        (
            TRACK,
            b'{"app_id":"11","library":"server","events":[{"event":"Order Completed",'
            b'"user_identifier":{"identity":"u1","anonymous_id":"an1"},"custom_properties":{'
            b'"segment_library":"cloud-mode-destination","revenue":"9.5"},'
            b'"idempotency_key":"msg-00000001","timestamp":"2024-05-05T05:05:05.123Z"}]}',
        ),
    ]


def test_identify_updates_the_user_alone_and_keeps_types() -> None:
    traits = {
        "plan": "pro",
        "n": 1,
        "vip": True,
        "nul": None,
        "addr": {"city": "P"},
        "tags": ["a"],
        "none": [],
    }
    assert sent("identify", userId=" u1 ", anonymousId="an1", traits=traits) == [
        (
            USERS,
            b'{"app_id":"11","library":"server","users":[{"user_identifier":{"identity":"u1"},'
            b'"custom_properties":{"plan":"pro","n":1,"vip":true,"nul":null,"addr.city":"P","tags.0":"a"}}]}',
        )
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param("flatten", {"order.total": "42", "order.at.0": "1", "foods.0": "cheese"}, id="flatten"),
        pytest.param("stringify", {"order": '{"total":42,"at":[1]}', "foods": '["cheese"]'}, id="stringify"),
        pytest.param("drop", {}, id="drop"),
    ],
)
def test_objects_and_arrays_become_what_the_setting_says(mode: str, expected: dict[str, str]) -> None:
    properties = {"order": {"total": 42, "at": [1]}, "foods": ["cheese"], "count": 3}
    made = event("track", {"nested_properties": mode}, anonymousId="an1", event="E", properties=properties)
    assert made["custom_properties"] == {
        "segment_library": "cloud-mode-destination",
        **expected,
        "count": "3",
    }
    users = sent("identify", {"nested_properties": mode}, userId="u1", traits=properties)
    properties_there = msgspec.json.decode(users[0][1])["users"][0]["custom_properties"]
    assert properties_there.pop("count") == 3
    assert {key: str(value) for key, value in properties_there.items()} == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"userId": "0"}, {"identity": "0"}, id="0 is an identity"),
        pytest.param(
            {"userId": " u1 ", "anonymousId": " a "}, {"identity": "u1", "anonymous_id": "a"}, id="trimmed"
        ),
        pytest.param(
            {"anonymousId": "a", "email": "a@b.c"}, {"anonymous_id": "a", "email": "a@b.c"}, id="email"
        ),
        pytest.param(
            {"userId": "u1", "context": {"traits": {"email": "t@b.c"}}},
            {"identity": "u1", "email": "t@b.c"},
            id="email of the traits",
        ),
        pytest.param({"email": "a@b.c"}, {"email": "a@b.c"}, id="email alone"),
        pytest.param({"userId": "u1", "email": "no address"}, {"identity": "u1"}, id="not an address"),
        pytest.param({"userId": "u1", "email": {"a": 1}}, {"identity": "u1"}, id="not text"),
    ],
)
def test_every_identifier_is_sent(body: dict[str, Any], expected: dict[str, str]) -> None:
    assert event("track", event="E", **body)["user_identifier"] == expected


@pytest.mark.parametrize(
    ("kind", "name"), [("page", "Page viewed"), ("screen", "Screen viewed"), ("track", "track")]
)
def test_events_are_named_by_their_type(kind: str, name: str) -> None:
    made = event(kind, anonymousId="an1", name="Home")
    assert made["event"] == name and made["custom_properties"]["name"] == "Home"


def test_a_short_message_id_becomes_a_key_that_heap_takes() -> None:
    keys = [
        event("track", anonymousId="a", event="E", messageId=sent)["idempotency_key"]
        for sent in ("m-1", "m" * 8)
    ]
    assert keys == ["segment-m-1", "mmmmmmmm"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("42", {"identity": "u1", "user_id": "42"}), (42, {"identity": "u1", "user_id": "42"})],
)
def test_heaps_own_number_can_be_mapped(value: Any, expected: dict[str, str]) -> None:
    assert mapped({"user_id": {"@path": "$.properties.id"}}, value)["user_identifier"] == expected


def mapped(mapping: dict[str, Any], value: Any) -> dict[str, Any]:
    sent = message("track", userId="u1", event="E", properties={"id": value})
    sent = msgspec.structs.replace(sent, mapping=mapping)
    [request] = HEAP.prepare([sent], configured(HEAP, app_id="11"), NOW)
    [made] = msgspec.json.decode(request.call.body)["events"]
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        pytest.param("user_id", "u-77", "user_id: must be Heap's own", id="a Segment id as Heap's"),
        pytest.param("user_id", "9" * 30, "user_id: must be Heap's own", id="too large a number"),
        pytest.param("identity", {"a": 1}, "identity: must be text", id="an object as identity"),
        pytest.param("timestamp", "soon", "timestamp: is not a time", id="no time"),
        pytest.param("timestamp", [1], "timestamp: is not a time", id="an array as time"),
    ],
)
def test_what_is_mapped_to_a_field_must_fit_it(field: str, value: Any, expected: str) -> None:
    with pytest.raises(NotForDestination, match=expected):
        mapped({field: {"@path": "$.properties.id"}}, value)


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        pytest.param(
            "identify", {"traits": {"a": 1}}, "userId: is missing; an identify", id="identify as nobody"
        ),
        pytest.param(
            "identify", {"userId": " ", "traits": {"a": 1}}, "userId: is missing; an identify", id="blank"
        ),
        pytest.param("identify", {"userId": "u1"}, "traits: are empty", id="no traits"),
        pytest.param(
            "identify", {"userId": "u1", "traits": {"a": {}}}, "traits: are empty", id="empty traits"
        ),
        pytest.param(
            "track",
            {"anonymousId": "a", "event": "E", "context": {"traits": {"a": 1}}},
            "userId: is missing; Heap adds user properties",
            id="traits of nobody",
        ),
        pytest.param("track", {"event": "E"}, "userId: is missing, and anonymousId", id="nobody"),
        pytest.param(
            "track", {"event": "E", "userId": "u" * 256}, "userId: has 256 characters", id="long id"
        ),
    ],
)
def test_a_message_that_heap_cannot_take_says_why(kind: str, body: dict[str, Any], expected: str) -> None:
    assert refusal(HEAP, message(kind, **body), app_id="11").startswith(f"message_rejected: {expected}")


@pytest.mark.parametrize("mode", ["flatten", "stringify", "drop"])
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any, mode: str) -> None:
    survives(HEAP, value, app_id="11", nested_properties=mode)
