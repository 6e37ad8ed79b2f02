"""Webhooks: signed, in batches, with headers that nothing can break out of."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from cairn.http_client import Call
from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import HOSTILE, NOW, configured, message, prepared, survives

WEBHOOK = destination("webhook")
KEY = b"k" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SETTINGS: dict[str, Any] = {"url": "https://hooks.test/in?x=1", "secret": SECRET, "headers": []}


def calls(*sent: Any, **settings: Any) -> list[Call]:
    return [request.call for request in prepared(WEBHOOK, sent, **{**SETTINGS, **settings})]


def check_signed(call: Call) -> None:
    """As a receiver does, with nothing but the specification."""
    said = call.headers
    content = f"{said['webhook-id']}.{said['webhook-timestamp']}.".encode() + call.body
    digest = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    assert said["webhook-signature"] == f"v1,{digest}"
    assert said["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_a_message_is_posted_as_it_is_and_signed() -> None:
    sent = message(userId="u1", event="Plan Chosen", properties={"n": 9.5}, integrations={"All": True})
    [call] = calls(sent)
    assert (call.method, call.url, json.loads(call.body)) == ("POST", "https://hooks.test/in?x=1", sent.body)
    assert call.headers["webhook-id"] == sent.message_id
    assert call.headers["content-type"] == "application/json"
    check_signed(call)


def test_batches_have_the_settings_size_and_keep_order_and_ids() -> None:
    sent = [message(userId="u", event="E", position=position) for position in range(1, 8)]
    requests = prepared(WEBHOOK, sent, **SETTINGS, batch=3)
    assert [request.positions for request in requests] == [(1, 2, 3), (4, 5, 6), (7,)]
    assert [len(json.loads(request.call.body)) for request in requests] == [3, 3, 1]
    again = prepared(WEBHOOK, sent, **SETTINGS, batch=3)
    ids = [request.call.headers["webhook-id"] for request in requests]
    assert ids == [request.call.headers["webhook-id"] for request in again]
    assert len(set(ids)) == 3
    for request in requests:
        check_signed(request.call)


def test_headers_are_filled_and_neighbours_with_other_headers_are_posted_apart() -> None:
    headers = ["X-Event: {{event}}", "X-Plan: plan {{ properties.plan }} of {{userId}}", "x-fixed:1"]
    sent = [
        message(userId="u1", event="A", properties={"plan": "pro"}, position=1),
        message(userId="u1", event="A", properties={"plan": "pro"}, position=2),
        message(userId="u1", event="B", position=3),
    ]
    made = calls(*sent, headers=headers, batch=100)
    assert [call.headers["x-event"] for call in made] == ["A", "B"]
    assert [call.headers["x-plan"] for call in made] == ["plan pro of u1", "plan  of u1"]
    assert made[0].headers["x-fixed"] == "1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a\r\nEvil: 1", "a%0D%0AEvil: 1", id="line break"),
        pytest.param("a\nb\0c", "a%0Ab%00c", id="nul"),
        pytest.param("Größe 100%", "Gr%C3%B6%C3%9Fe 100%25", id="no ASCII"),
        pytest.param("\ud800", "?", id="half a character"),
        pytest.param("{{userId}}", "{{userId}}", id="a placeholder in a value"),
        pytest.param(True, "true", id="boolean"),
        pytest.param(9.5, "9.5", id="number"),
        pytest.param({"a": 1}, "", id="object"),
        pytest.param(None, "", id="null"),
        pytest.param(10**4_000, "", id="4,001 digits"),
        pytest.param("x" * 50_000, "x" * 1_000, id="long"),
    ],
)
def test_whatever_a_message_holds_a_header_stays_one_line(value: Any, expected: str) -> None:
    sent = message(userId="u1", event="E", properties={"x": value})
    [call] = calls(sent, headers=["X-Value: {{properties.x}}"])
    assert call.headers["x-value"] == expected


def test_a_message_id_that_is_no_header_is_replaced_by_one_that_stays_the_same() -> None:
    first, second = (calls(message(messageId="a\r\nb: c", event="E"))[0] for _ in range(2))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-id"].startswith("batch-")
    check_signed(first)


def test_the_authorization_goes_to_its_host_alone() -> None:
    [call] = calls(message(event="E"), authorization="Bearer t")
    assert call.secret is not None and call.secret.host == "hooks.test"
    assert call.secret.headers == {"authorization": "Bearer t"} and "authorization" not in call.headers


@pytest.mark.parametrize(
    ("settings", "key", "problem"),
    [
        pytest.param({"batch": 0}, "batch", "1 to 100", id="batch of none"),
        pytest.param({"batch": 101}, "batch", "1 to 100", id="too large a batch"),
        pytest.param({"batch": 1.5}, "batch", "1 to 100", id="half a message"),
        pytest.param({"secret": "whsec_a"}, "secret", "base64", id="no base64"),
        pytest.param({"secret": "whsec_" + "QUFB"}, "secret", "fewer than 24 bytes", id="short secret"),
        pytest.param({"headers": ["no colon"]}, "headers", "line 1", id="no colon"),
        pytest.param({"headers": ["X: 1", "X Y: 1"]}, "headers", "line 2", id="no name"),
        pytest.param({"headers": ["Host: evil"]}, "headers", "Host is set by Cairn", id="host"),
        pytest.param({"headers": ["WEBHOOK-SIGNATURE: v1,"]}, "headers", "is set by Cairn", id="signature"),
        pytest.param({"headers": ["Transfer-Encoding: x"]}, "headers", "is set by Cairn", id="framing"),
        pytest.param({"headers": ["X: a\rb"]}, "headers", "cannot be shown", id="line break"),
        pytest.param({"headers": ["X: 1"] * 21}, "headers", "up to 20", id="many"),
        pytest.param({"authorization": "a\nb"}, "authorization", "one line", id="line break in a secret"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, Any], key: str, problem: str) -> None:
    assert WEBHOOK.check is not None
    assert WEBHOOK.check(configured(WEBHOOK, **SETTINGS)) == {}
    problems = WEBHOOK.check(configured(WEBHOOK, **{**SETTINGS, **settings}))
    assert problems.keys() == {key} and problem in problems[key]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    headers = ["X-A: {{properties.x}}", "X-B: {{context.traits.x}}", "X-C: {{.}} {{[}} {{$}} {{__proto__}}"]
    survives(WEBHOOK, value, **{**SETTINGS, "headers": headers})


def test_the_connection_test_is_signed_too() -> None:
    assert WEBHOOK.trial is not None
    request = WEBHOOK.trial(configured(WEBHOOK, **SETTINGS), NOW)
    assert json.loads(request.call.body)["event"] == "Connection tested"
    check_signed(request.call)
