"""Mixpanel: events, users and groups as its ingestion API documents them."""

import base64
import json
from typing import Any

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

MIXPANEL = destination("mixpanel")
TOKEN = "0123456789abcdef0123456789abcdef"
SETTINGS = {"project_token": TOKEN}
UUID = "5d958f87-542d-4c10-9422-0ed75893dc81"


def sent(kind: str = "track", /, **body: Any) -> list[tuple[str, Any]]:
    requests = prepared(MIXPANEL, message(kind, **body), **SETTINGS)
    assert all(request.positions == (1,) for request in requests)
    return [(request.call.url, json.loads(request.call.body)) for request in requests]


def properties(kind: str = "track", /, **body: Any) -> dict[str, Any]:
    [(_, [event])] = sent(kind, **{"event": "E", **body})
    made = event["properties"]
    assert isinstance(made, dict)
    return made


def test_an_event_is_imported_with_both_ids_and_an_insert_id() -> None:
    context = {"ip": "203.0.113.4", "page": {"url": "https://a.test/"}, "os": {"name": "iOS"}}
    [(url, [event])] = sent(
        userId="u1",
        anonymousId="an1",
        event="Order Completed",
        messageId=UUID,
        properties={"total": 9.5, "items": [{"sku": "a"}], "distinct_id": "other", "time": 1},
        context=context,
    )
    assert url == "https://api.mixpanel.com/import?strict=1"
    assert event == {
        "event": "Order Completed",
        "properties": {
            "$current_url": "https://a.test/",
            "$os": "iOS",
            "ip": "203.0.113.4",
            "total": 9.5,
            "items": [{"sku": "a"}],
            "distinct_id": "u1",
            "time": TIME_MS,
            "$device_id": "an1",
            "$user_id": "u1",
            "$insert_id": UUID,
        },
    }


def test_the_token_is_the_user_of_basic_authentication() -> None:
    [request] = prepared(MIXPANEL, message(event="E", userId="u"), **SETTINGS, region="eu")
    assert request.call.secret is not None and request.call.secret.host == "api-eu.mixpanel.com"
    key = request.call.secret.headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(key).decode() == f"{TOKEN}:"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"userId": "u"}, {"distinct_id": "u", "$user_id": "u"}, id="known"),
        pytest.param({"anonymousId": "a"}, {"distinct_id": "$device:a", "$device_id": "a"}, id="anonymous"),
        pytest.param({}, {"distinct_id": ""}, id="nobody"),
        pytest.param({"anonymousId": "null"}, {"distinct_id": ""}, id="a placeholder for a device"),
        pytest.param(
            {"userId": "u", "anonymousId": "undefined"},
            {"distinct_id": "u", "$user_id": "u"},
            id="a placeholder beside a user",
        ),
    ],
)
def test_users_are_named_as_mixpanel_merges_them(body: dict[str, Any], expected: dict[str, str]) -> None:
    ids = ("distinct_id", "$user_id", "$device_id")
    assert {key: value for key, value in properties(**body).items() if key in ids} == expected


@pytest.mark.parametrize("message_id", ["node-next-1772359499100-" + UUID, "a b", "ü", "", "null", "x" * 100])
def test_an_id_that_mixpanel_does_not_take_becomes_one_that_stays_the_same(message_id: str) -> None:
    first, second = (properties(messageId=message_id)["$insert_id"] for _ in range(2))
    assert first == second and len(first) <= 36 and first.replace("-", "").isalnum()
    assert properties(messageId=message_id + "x")["$insert_id"] != first


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("page", "Home", "Viewed Home Page"),
        ("page", "", "Loaded a Page"),
        ("screen", "Main", "Viewed Main Screen"),
    ],
)
def test_pages_and_screens_have_names(kind: str, name: str, expected: str) -> None:
    [(_, [event])] = sent(kind, userId="u", name=name)
    assert event["event"] == expected


def test_identify_sets_a_profile_under_mixpanels_own_names() -> None:
    assert sent("identify", userId="u1", traits={"email": "a@b.c", "firstName": "Ann", "plan": "pro"}) == [
        (
            "https://api.mixpanel.com/engage?strict=1&verbose=1",
            [
                {
                    "$token": TOKEN,
                    "$distinct_id": "u1",
                    "$ip": "0",
                    "$set": {"$email": "a@b.c", "$first_name": "Ann", "plan": "pro"},
                }
            ],
        )
    ]


def test_group_sets_the_group_and_that_the_user_belongs_to_it() -> None:
    assert sent("group", userId="u1", groupId="g1", traits={"plan": "pro"}) == [
        (
            "https://api.mixpanel.com/groups?strict=1&verbose=1",
            [{"$token": TOKEN, "$group_key": "$group_id", "$group_id": "g1", "$set": {"plan": "pro"}}],
        ),
        (
            "https://api.mixpanel.com/engage?strict=1&verbose=1",
            [{"$token": TOKEN, "$distinct_id": "u1", "$ip": "0", "$union": {"$group_id": ["g1"]}}],
        ),
    ]
    assert properties(userId="u", context={"groupId": "g1"})["$group_id"] == "g1"


def test_order_is_kept_between_events_and_profiles() -> None:
    kinds = ["track", "track", "identify", "track"]
    batch = [
        message(kind, userId="u", event="E", traits={"a": 1}, position=n) for n, kind in enumerate(kinds)
    ]
    requests = prepared(MIXPANEL, batch, **SETTINGS)
    assert [request.positions for request in requests] == [(0, 1), (2,), (3,)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(
            message(event="E", userId="anonymous"), "userId: 'anonymous' names no one", id="placeholder"
        ),
        pytest.param(message(event="E", userId="u" * 256), "userId: has 256 characters", id="long id"),
        pytest.param(message(event="", userId="u"), "event: has 0 characters", id="no name"),
        pytest.param(
            message(event="E", time_ms=TIME_MS + 2 * 86_400_000), "timestamp: over an hour", id="future"
        ),
        pytest.param(
            message(event="E", properties={f"k{n}": n for n in range(255)}), "properties: 258", id="many"
        ),
        pytest.param(
            message("identify", anonymousId="a", traits={"x": 1}), "userId: is missing", id="no user"
        ),
        pytest.param(message("identify", userId="u"), "traits: are empty", id="no traits"),
        pytest.param(message("group", userId="u"), "groupId: is missing", id="no group"),
        pytest.param(message("group", groupId="g"), "userId: is missing", id="group of nothing"),
    ],
)
def test_a_message_that_mixpanel_cannot_take_says_why(sent: Any, expected: str) -> None:
    assert refusal(MIXPANEL, sent, **SETTINGS).startswith(f"message_rejected: {expected}")


@pytest.mark.parametrize(
    ("status", "body", "is_delivered", "is_final"),
    [
        pytest.param(200, b'{"code":200,"num_records_imported":1,"status":"OK"}', True, False, id="imported"),
        pytest.param(200, b'{"status":1,"error":null}', True, False, id="profile set"),
        pytest.param(200, b'{"status":0,"error":"bad $token"}', False, True, id="profile refused"),
        pytest.param(200, b"1", True, False, id="terse"),
        pytest.param(400, b'{"failed_records":[{"index":0}]}', False, True, id="refused in part"),
        pytest.param(429, b"", False, False, id="too many"),
        pytest.param(502, b"<html>", False, False, id="away"),
    ],
)
def test_an_answer_means(status: int, body: bytes, is_delivered: bool, is_final: bool) -> None:
    assert MIXPANEL.judge is not None
    verdict = MIXPANEL.judge(Answer(status, {}, body, ""), NOW)
    assert (verdict.is_delivered, verdict.is_final) == (is_delivered, is_final)


def test_users_are_deleted_there_where_a_token_permits_it() -> None:
    assert MIXPANEL.forget is not None
    assert MIXPANEL.forget(["u1"], configured(MIXPANEL, **SETTINGS), NOW) == []
    configuration = configured(MIXPANEL, **SETTINGS, region="in", gdpr_token="t")
    [request] = MIXPANEL.forget(["u1", "u2"], configuration, NOW)
    assert request.call.secret is not None
    assert request.call.url == f"https://in.mixpanel.com/api/app/data-deletions/v3.0/?token={TOKEN}"
    assert json.loads(request.call.body) == {"distinct_ids": ["u1", "u2"], "compliance_type": "GDPR"}
    assert request.call.secret.headers == {"authorization": "Bearer t"}
    many = MIXPANEL.forget([str(number) for number in range(4_001)], configuration, NOW)
    assert [len(json.loads(request.call.body)["distinct_ids"]) for request in many] == [2_000, 2_000, 1]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({"project_token": "?"}, "project_token", id="no token"),
        pytest.param({"group_key": "k" * 256}, "group_key", id="long key"),
        pytest.param({"gdpr_token": "a\nb"}, "gdpr_token", id="line break"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, str], key: str) -> None:
    assert MIXPANEL.check is not None
    assert MIXPANEL.check(configured(MIXPANEL, **SETTINGS)) == {}
    assert MIXPANEL.check(configured(MIXPANEL, **{**SETTINGS, **settings})).keys() == {key}


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(MIXPANEL, value, **SETTINGS)


def test_the_connection_test_is_an_event_of_nobody() -> None:
    assert MIXPANEL.trial is not None
    [event] = json.loads(MIXPANEL.trial(configured(MIXPANEL, **SETTINGS), NOW).call.body)
    assert event["event"] == "Connection tested" and event["properties"]["distinct_id"] == ""
