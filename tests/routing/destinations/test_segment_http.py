"""Forwarding to another router: what our own Segment API makes of it is what was sent."""

import base64
import json
from typing import Any

import pytest

from cairn.routing.catalogue import destination
from cairn.routing.message import Message
from cairn.routing.to_message import message_of
from cairn.wire.segment import parse_segment
from cairn.wire.segment_call import CheckedCall
from tests.routing.destinations.sending import (
    HOSTILE,
    KINDS,
    NOW,
    configured,
    message,
    prepared,
    refusal,
    survives,
)
from tests.routing.messages import message as routed
from tests.wire.arrivals import arrival

SEGMENT = destination("segment_http")
SETTINGS = {"host": "https://router.test/prefix/", "write_key": "wk"}


def test_a_batch_goes_to_the_others_v1_batch_with_its_key() -> None:
    [request] = prepared(SEGMENT, [message(event="A", userId="u", position=n) for n in (1, 2)], **SETTINGS)
    call = request.call
    assert call.url == "https://router.test/prefix/v1/batch" and request.positions == (1, 2)
    assert call.secret is not None and call.secret.host == "router.test"
    assert base64.b64decode(call.secret.headers["authorization"].removeprefix("Basic ")) == b"wk:"
    assert b"wk" not in call.body and json.loads(call.body)["sentAt"] == "2026-03-01T11:00:00.000Z"


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_router_gets_what_ours_got(kind: str) -> None:
    call = {
        "type": kind,
        "messageId": "m-77",
        "userId": "u1",
        "anonymousId": "an1",
        "event": "Plan Chosen",
        "name": "Home",
        "properties": {"n": 9.5, "list": [1, {"a": None}]},
        "traits": {"plan": "pro"},
        "groupId": "g1",
        "previousId": "p1",
        "context": {"ip": "203.0.113.4", "library": {"name": "analytics-node"}},
        "integrations": {"All": False, "Heap": {"x": 1}},
        "timestamp": "2026-03-01T10:59:00.000Z",
        "custom": {"kept": True},
    }
    sent = routed(call)
    [request] = prepared(SEGMENT, sent, **SETTINGS)
    [parsed] = parse_segment(arrival("segment", request.call.body, type="batch", workspace_id=9))
    assert isinstance(parsed, CheckedCall), parsed
    there = message_of(parsed, 5)
    assert isinstance(there, Message)
    ours = {key: value for key, value in sent.body.items() if key != "sentAt"}
    assert {key: value for key, value in there.body.items() if key != "sentAt"} == ours
    assert (there.message_id, there.time_ms) == ("m-77", sent.time_ms)


def test_a_batch_never_has_more_than_the_other_router_takes() -> None:
    large = [message(event="E", userId="u", position=n, properties={"x": "y" * 30_000}) for n in range(40)]
    requests = prepared(SEGMENT, large, **SETTINGS)
    assert len(requests) == 3 and all(len(request.call.body) < 500_000 for request in requests)
    assert sum((request.positions for request in requests), ()) == tuple(range(40))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"userId": "u", "properties": {"x": "y" * 33_000}}, "the message: has 33", id="over 32 KB"
        ),
        pytest.param({}, "userId: is missing", id="nobody"),
    ],
)
def test_a_message_that_the_other_router_refuses_says_why(body: dict[str, Any], expected: str) -> None:
    assert refusal(SEGMENT, message(event="E", **body), **SETTINGS).startswith(
        f"message_rejected: {expected}"
    )


def test_what_is_about_our_own_request_is_not_forwarded() -> None:
    body = {"writeKey": "secret", "receivedAt": "x", "sentAt": "x", "channel": "server", "version": 2}
    [request] = prepared(SEGMENT, message(event="E", userId="u", **body), **SETTINGS)
    [event] = json.loads(request.call.body)["batch"]
    assert event.keys() == {"event", "userId", "type", "messageId", "timestamp"}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"host": "https://a.test/?x"}, "host"),
        ({"host": "https://a.test/#x"}, "host"),
        ({"write_key": "a\n"}, "write_key"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, str], key: str) -> None:
    assert SEGMENT.check is not None
    assert SEGMENT.check(configured(SEGMENT, **SETTINGS)) == {}
    assert SEGMENT.check(configured(SEGMENT, **{**SETTINGS, **settings})).keys() == {key}


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(SEGMENT, value, **SETTINGS)


def test_the_connection_test_is_one_call() -> None:
    assert SEGMENT.trial is not None
    [event] = json.loads(SEGMENT.trial(configured(SEGMENT, **SETTINGS), NOW).call.body)["batch"]
    assert event["event"] == "Connection tested" and event["anonymousId"] == "cairn-connection-test"
