"""Google Analytics 4: names, values and limits of its Measurement Protocol."""

import json
from typing import Any

import msgspec
import pytest

from cairn.http_client import Answer
from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import (
    HOSTILE,
    NOW,
    TIME_MS,
    configured,
    message,
    prepared,
    refusal,
    survives,
)

GA4 = destination("google_analytics_4")
SETTINGS: dict[str, Any] = {"measurement_id": "G-ABC123", "api_secret": "s3cr3t", "user_properties": []}
HOUR_MS = 3_600_000


def document(kind: str = "track", /, settings: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    [request] = prepared(GA4, message(kind, **body), **{**SETTINGS, **(settings or {})})
    made = json.loads(request.call.body)
    assert isinstance(made, dict)
    return made


def event(kind: str = "track", /, **body: Any) -> dict[str, Any]:
    [made] = document(kind, **{"anonymousId": "an1", **body})["events"]
    assert isinstance(made, dict)
    return made


def params(properties: dict[str, Any], name: str = "Plan Chosen") -> dict[str, Any]:
    made: dict[str, Any] = event(event=name, properties=properties)["params"]
    assert made.pop("engagement_time_msec") == 1
    return made


def test_an_event_is_sent_as_the_protocol_says() -> None:
    sent = message(
        userId="u1", anonymousId="an1", event="Plan Chosen", properties={"plan": "pro", "seats": 3}
    )
    [request] = prepared(GA4, sent, **SETTINGS)
    assert request.call.url == (
        "https://www.google-analytics.com/mp/collect?measurement_id=G-ABC123&api_secret=s3cr3t"
    )
    assert request.call.body == (
        b'{"client_id":"an1","user_id":"u1","timestamp_micros":1772359499100000,"events":[{"name":"plan_chosen",'
        b'"params":{"plan":"pro","seats":3,"engagement_time_msec":1},"timestamp_micros":1772359499100000}]}'
    )
    assert request.call.secret is not None


def test_neighbours_of_one_user_share_a_request_and_others_do_not() -> None:
    users = ["a", "a", "b", "a"]
    sent = [message(event="E", anonymousId=user, position=n) for n, user in enumerate(users)]
    requests = prepared(GA4, sent, **SETTINGS)
    assert [request.positions for request in requests] == [(0, 1), (2,), (3,)]
    assert GA4.batch is not None and GA4.batch.most_messages == 25


def test_ids_may_come_from_the_integrations_object_and_else_from_the_user() -> None:
    options = {"Google Analytics 4": {"client_id": "123.456", "session_id": 77}}
    made = document(event="E", userId="u1", anonymousId="an1", integrations=options)
    assert made["client_id"] == "123.456" and made["events"][0]["params"]["session_id"] == "77"
    derived = [document(event="E", userId="ann@shop.test")["client_id"] for _ in range(2)]
    assert derived[0] == derived[1] and len(derived[0]) == 32 and "ann" not in derived[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Plan Chosen", "plan_chosen"),
        ("Order Completed", "purchase"),
        ("order completed", "purchase"),
        ("  2nd Step: done!", "nd_step_done"),
        ("Größe gewählt", "größe_gewählt"),
        ("注文 完了", "注文_完了"),
        ("x" * 60, "x" * 40),
    ],
)
def test_names_of_events_become_what_google_takes(name: str, expected: str) -> None:
    assert event(event=name)["name"] == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({"a b": 1, "ok": True, "x": 1.5}, {"a_b": 1, "ok": "true", "x": 1.5}, id="plain"),
        pytest.param({"a": {"b": 1, "c": {"d": 2}}}, {"a_b": 1}, id="objects"),
        pytest.param({"a": [1], "n": None}, {}, id="arrays and null"),
        pytest.param({"_a": 1, "ga_b": 2, "google_c": 3, "firebase_d": 4, "1": 5}, {"a": 1}, id="kept names"),
        pytest.param({"t": "y" * 200}, {"t": "y" * 100}, id="long text"),
        pytest.param({"page_location": "y" * 2_000}, {"page_location": "y" * 1_000}, id="long location"),
        pytest.param({"n" * 60: 1}, {"n" * 40: 1}, id="long name"),
        pytest.param({"x": 10**30, "y": float("nan")}, {}, id="numbers that are none"),
        pytest.param(
            {"order_id": "o1", "total": 9.5, "revenue": 7, "currency": "EUR"},
            {"transaction_id": "o1", "value": 9.5, "currency": "EUR"},
            id="an order",
        ),
        pytest.param(
            {"products": [{"product_id": "p", "name": "N", "price": 2, "quantity": 3, "x": {}}, 5]},
            {"items": [{"item_id": "p", "item_name": "N", "price": 2, "quantity": 3}]},
            id="products",
        ),
    ],
)
def test_properties_become_parameters_within_the_limits(
    properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert params(properties) == expected


def test_no_more_than_25_parameters_and_200_items_are_sent() -> None:
    assert len(params({f"k{n}": n for n in range(60)})) == 25
    assert len(params({"products": [{"sku": "a"}] * 300})["items"]) == 200


def test_pages_screens_and_groups_are_events_of_their_own() -> None:
    page = event(
        "page", name="Home", context={"page": {"url": "https://a.test/", "title": "A", "referrer": ""}}
    )
    assert page["name"] == "page_view"
    assert page["params"] == {
        "page_location": "https://a.test/",
        "page_title": "A",
        "engagement_time_msec": 1,
    }
    screen = event("screen", name="Main")
    assert (screen["name"], screen["params"]["screen_name"]) == ("screen_view", "Main")
    group = event("group", groupId="g1", traits={"plan": "pro"})
    assert (group["name"], group["params"]["group_id"]) == ("join_group", "g1")


def test_only_listed_traits_are_sent() -> None:
    traits = {"plan": "p" * 50, "email": "ann@shop.test", "user_id": "x", "ok": False}
    names = ["plan", "ok", "user_id", "none"]
    made = document(settings={"user_properties": names}, event="E", userId="u", context={"traits": traits})
    assert made["user_properties"] == {"plan": {"value": "p" * 36}, "ok": {"value": "false"}}
    assert "user_properties" not in document(event="E", userId="u", context={"traits": traits})


def test_a_time_ahead_is_now() -> None:
    [request] = prepared(GA4, message(event="E", userId="u", time_ms=TIME_MS + 24 * HOUR_MS), **SETTINGS)
    assert json.loads(request.call.body)["timestamp_micros"] == int(NOW.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(message(event="E"), "anonymousId: is missing", id="nobody"),
        pytest.param(
            message(event="E", userId="u", time_ms=TIME_MS - 72 * HOUR_MS), "timestamp: over 72", id="old"
        ),
        pytest.param(
            message(event="Session Start", userId="u"), "event: Google Analytics keeps", id="reserved"
        ),
        pytest.param(
            message(event="ga_thing", userId="u"), "event: Google Analytics keeps", id="reserved prefix"
        ),
        pytest.param(message(event="1234", userId="u"), "event: '1234' has no letter", id="digits"),
        pytest.param(message(event="", userId="u"), "event: '' has no letter", id="no name"),
    ],
)
def test_a_message_that_google_cannot_take_says_why(sent: Any, expected: str) -> None:
    assert refusal(GA4, sent, **SETTINGS).startswith(f"message_rejected: {expected}")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({"measurement_id": "UA-1"}, "measurement_id", id="of the old Analytics"),
        pytest.param({"api_secret": "a b"}, "api_secret", id="blank"),
        pytest.param({"api_secret": "a\n"}, "api_secret", id="line break"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, str], key: str) -> None:
    assert GA4.check is not None
    assert GA4.check(configured(GA4, **SETTINGS)) == {}
    assert GA4.check(configured(GA4, **{**SETTINGS, **settings})).keys() == {key}


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(GA4, value, **{**SETTINGS, "user_properties": ["x", "a", ""]})


def test_the_connection_test_asks_the_validation_server_and_hears_what_is_wrong() -> None:
    assert GA4.trial is not None and GA4.judge is not None
    request = GA4.trial(configured(GA4, **SETTINGS, region="eu"), NOW)
    assert request.call.url.startswith("https://region1.google-analytics.com/debug/mp/collect?")
    answers = [b'{"validationMessages":[]}', b"", b"[]", b'{"validationMessages":[{"description":"bad id"}]}']
    verdicts = [GA4.judge(Answer(200, {}, body, ""), NOW) for body in answers]
    assert [verdict.is_delivered for verdict in verdicts] == [True, True, True, False]
    assert verdicts[3].is_final and "bad id" in verdicts[3].detail
    assert msgspec.structs.asdict(GA4.judge(Answer(503, {}, b"", ""), NOW))["is_final"] is False
