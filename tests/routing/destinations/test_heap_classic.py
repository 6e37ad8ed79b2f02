"""Heap's classic cloud mode, byte for byte. Source: contracts/segment.md 5.3 and Segment's open integration."""

from typing import Any

import msgspec
import pytest

from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import (
    HOSTILE,
    NOW,
    configured,
    message,
    nested,
    prepared,
    refusal,
    survives,
)

HEAP = destination("heap_classic")
NODE = {"library": {"name": "analytics-node"}}


def listed(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def sent(kind: str, **body: Any) -> tuple[str, bytes]:
    [request] = prepared(HEAP, message(kind, **body), app_id="123")
    assert request.call.method == "POST" and request.call.headers == {"content-type": "application/json"}
    return request.call.url, request.call.body


def properties(kind: str, **body: Any) -> dict[str, Any]:
    properties = msgspec.json.decode(sent(kind, userId="u1", event="Ev", **body)[1])["properties"]
    assert isinstance(properties, dict)
    return properties


def test_identify_is_the_golden_vector_byte_for_byte() -> None:
    traits = {
        "plan": "pro",
        "email": "ann@shop.test",
        "address": {"city": "Oslo"},
        "tags": ["a", "b"],
        "none": None,
    }
    assert sent("identify", userId="u1", traits=traits, context=NODE) == (
        "https://heapanalytics.com/api/add_user_properties",
        rb'{"app_id":"123","identity":"u1","properties":{"plan":"pro","id":"u1","_email":"ann@shop.test",'
        rb'"address.city":"Oslo","tags":"[\"a\",\"b\"]","segment_library":"analytics-node"}}',
    )


@pytest.mark.parametrize(
    ("own", "traits", "user_id"),
    [
        pytest.param({"email": "ann@shop.test"}, {"email": "other@shop.test"}, "u1", id="its own"),
        pytest.param({}, {"email": "ann@shop.test"}, "u1", id="context.traits"),
        pytest.param({}, {}, "ann@shop.test", id="a user id that is one"),
    ],
)
def test_track_is_the_golden_vector_wherever_the_address_is_from(
    own: dict[str, Any], traits: dict[str, Any], user_id: str
) -> None:
    properties = {**own, "revenue": 9.5, "items": [{"sku": "a"}], "ship": {"city": "Oslo"}}
    url, body = sent(
        "track",
        userId=user_id,
        event="Order Completed",
        properties=properties,
        context={**NODE, "traits": traits},
    )
    assert url == "https://heapanalytics.com/api/track"
    assert body == (
        b'{"app_id":"123","identity":"%s","event":"Order Completed","timestamp":"2026-03-01T10:04:59.100Z",'
        rb'"properties":{"revenue":9.5,"items":"[{\"sku\":\"a\"}]","ship.city":"Oslo",'
        b'"_email":"ann@shop.test","segment_library":"analytics-node"}}'
    ) % user_id.encode().replace(b"%", b"%%")


def test_values_are_cleaned_as_the_vendors_fixture_says() -> None:
    foo = {"bar": {"hello": "teemo"}, "cheese": ["1", 2, "cheers"], "products": [{"A": "Jello"}]}
    value = {"skip": None, "pass": 1, "email": "jd@example.com", "products": [{"foo": "bar"}], "foo": foo}
    assert properties("track", properties=value, context=NODE) == {
        "pass": 1,
        "products": '[{"foo":"bar"}]',
        "foo.bar.hello": "teemo",
        "foo.cheese": '["1",2,"cheers"]',
        "foo.products": '[{"A":"Jello"}]',
        "_email": "jd@example.com",
        "segment_library": "analytics-node",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(3, b"3", id="whole number"),
        pytest.param(9.5, b"9.5", id="broken number"),
        pytest.param(True, b"true", id="boolean"),
        pytest.param("", b'""', id="empty text"),
        pytest.param("2024-01-02", b'"2024-01-02T00:00:00.000Z"', id="date"),
        pytest.param("2024-01-02T03:04:05+01:00", b'"2024-01-02T02:04:05.000Z"', id="time with an offset"),
        pytest.param("2024-01-02x", b'"2024-01-02x"', id="no date"),
        pytest.param(["2024-01-02", 1.0], rb'"[\"2024-01-02T00:00:00.000Z\",1]"', id="date in an array"),
        pytest.param([], b'"[]"', id="empty array"),
        pytest.param("ü" * 2_000, b'"' + "ü".encode() * 2_000 + b'"', id="long text is not cut"),
    ],
)
def test_a_value_is_sent_as(value: Any, expected: bytes) -> None:
    _, body = sent("track", userId="u1", event="Ev", properties={"x": value})
    assert b'"properties":{"x":%s,"segment_library":""}' % expected.replace(b"%", b"%%") in body


def test_traits_cannot_say_another_id_and_an_address_that_is_no_text_keeps_its_name() -> None:
    assert properties("identify", traits={"id": "other", "email": 5}) == {
        "id": "u1",
        "email": 5,
        "segment_library": "",
    }


def test_another_host_is_a_setting() -> None:
    [request] = prepared(HEAP, message(userId="u1", event="Ev"), app_id="9", host="https://cairn.test/")
    assert request.call.url == "https://cairn.test/api/track"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"anonymousId": "an1", "event": "Ev"}, "userId: is missing", id="anonymous"),
        pytest.param({"userId": "u" * 256, "event": "Ev"}, "userId: has 256 characters", id="long id"),
        pytest.param({"userId": "u1"}, "event: is missing", id="no name"),
        pytest.param({"userId": "u1", "event": "e" * 1_025}, "event: has 1025 characters", id="long name"),
        pytest.param(
            {"userId": "u1", "event": "Ev", "properties": nested(5_000)},
            "the properties: too many long names",
            id="deep",
        ),
        pytest.param(
            {"userId": "u1", "event": "Ev", "properties": {"a": listed(5_000)}},
            "the properties: are nested too deep",
            id="deep lists",
        ),
    ],
)
def test_a_message_that_heap_cannot_take_says_why(body: dict[str, Any], expected: str) -> None:
    assert f"message_rejected: {expected}" in refusal(HEAP, message("track", **body), app_id="1")


def test_names_within_names_cost_no_more_than_a_limit() -> None:
    long = "n" * 1_000
    properties = {long: {long: {long: {f"k{index}": 1 for index in range(400)}}}}
    assert "send flatter properties" in refusal(
        HEAP, message(userId="u1", event="Ev", properties=properties), app_id="1"
    )


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(HEAP, value, app_id="1")


def test_the_connection_test_is_one_event() -> None:
    assert HEAP.trial is not None
    request = HEAP.trial(configured(HEAP, app_id="11"), NOW)
    assert request.call.url == "https://heapanalytics.com/api/track"
    assert b'"event":"Connection tested","timestamp":"2026-03-01T11:00:00.000Z"' in request.call.body


@pytest.mark.parametrize("app_id", ["1 2", "a/b", "1\n", "9" * 65, "%s"])
def test_an_app_id_that_cannot_be_one_is_named(app_id: str) -> None:
    assert HEAP.check is not None
    assert HEAP.check(configured(HEAP, app_id=app_id)).keys() == {"app_id"}
    assert HEAP.check(configured(HEAP, app_id="1535634150")) == {}
