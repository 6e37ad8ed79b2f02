"""What a call becomes on its way to destinations. Cases follow contracts/segment.md 1.5."""

import json
from typing import Any

import pytest

from cairn.event import Refused
from cairn.outcomes import Reason
from cairn.routing.message import Message
from tests.routing.messages import POSITION, message, messages
from tests.wire.arrivals import NOW_MS, arrival

RECEIVED = "2026-03-01T11:00:00.000Z"
CALL = {"type": "track", "event": "Plan Chosen", "userId": "u-77"}


def sent(body: Any, **extra: Any) -> Message:
    [made] = messages(body, **extra)
    assert isinstance(made, Message), made
    return made


def test_a_body_is_the_senders_json_with_what_the_server_adds() -> None:
    made = message(properties={"seats": 3, "tags": ["a", None], "deep": {"x": None}}, own={"is": "kept"})
    assert made == Message(
        position=POSITION,
        source_id=3,
        kind="track",
        event="Plan Chosen",
        user_id="u-77",
        anonymous_id="",
        message_id=f"cairn-{POSITION:x}",
        received_ms=NOW_MS,
        time_ms=NOW_MS,
        body={
            **CALL,
            "properties": {"seats": 3, "tags": ["a", None], "deep": {"x": None}},
            "own": {"is": "kept"},
            "messageId": f"cairn-{POSITION:x}",
            "timestamp": RECEIVED,
            "originalTimestamp": RECEIVED,
            "receivedAt": RECEIVED,
            "channel": "server",
            "version": 2,
        },
    )


@pytest.mark.parametrize(
    ("fields", "envelope", "expected"),
    [
        pytest.param(
            {"timestamp": "2026-03-01T09:55:00.000Z"},
            {"sentAt": "2026-03-01T10:00:00.000Z"},
            {"timestamp": "2026-03-01T10:55:00.000Z", "originalTimestamp": "2026-03-01T09:55:00.000Z"},
            id="clock an hour behind",
        ),
        pytest.param(
            {"timestamp": "2026-03-01T11:55:00+01:00", "sentAt": "2026-03-01T10:59:00Z"},
            {},
            {"timestamp": "2026-03-01T10:56:00.000Z", "originalTimestamp": "2026-03-01T11:55:00+01:00"},
            id="of the call itself, with an offset",
        ),
        pytest.param(
            {"timestamp": "2026-03-01T10:30:00Z"},
            {},
            {"timestamp": "2026-03-01T10:30:00.000Z", "originalTimestamp": "2026-03-01T10:30:00Z"},
            id="nothing says when it was sent",
        ),
        pytest.param(
            {},
            {"sentAt": "2026-03-01T10:00:00.000Z"},
            {"timestamp": RECEIVED, "originalTimestamp": RECEIVED, "sentAt": "2026-03-01T10:00:00.000Z"},
            id="no time of its own",
        ),
        pytest.param(
            {"timestamp": "2026-03-01T10:30:00Z"},
            {"sentAt": "2026-03-01T10:00:00Z"},
            {"timestamp": "2026-03-01T10:30:00.000Z"},
            id="after its own sending",
        ),
        pytest.param(
            {"timestamp": 1_772_362_700_000},
            {"sentAt": "soon"},
            {"timestamp": "2026-03-01T10:58:20.000Z", "originalTimestamp": 1_772_362_700_000},
            id="numbers, and a sentAt that is none",
        ),
    ],
)
def test_the_time_is_set_right_by_the_senders_clock(
    fields: dict[str, Any], envelope: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = sent({"batch": [{**CALL, **fields}], **envelope}).body
    assert {name: body.get(name) for name in expected} == expected


def test_what_a_batch_says_is_under_what_its_calls_say() -> None:
    first, second = messages(
        {
            "writeKey": "wk_secret",
            "context": {"app": {"name": "shop"}, "locale": "de"},
            "integrations": {"All": False, "Heap": True},
            "batch": [
                {
                    **CALL,
                    "context": {"locale": "fr"},
                    "integrations": {"Heap": False},
                    "writeKey": "wk_secret",
                },
                CALL,
            ],
        }
    )
    assert isinstance(first, Message) and isinstance(second, Message)
    assert first.body["context"] == {"app": {"name": "shop"}, "locale": "fr"}
    assert first.body["integrations"] == {"All": False, "Heap": False}
    assert second.body["context"] == {"app": {"name": "shop"}, "locale": "de"}
    assert "wk_secret" not in json.dumps([first.body, second.body])


@pytest.mark.parametrize(
    ("call", "extra", "ip"),
    [
        pytest.param({}, {"kind": "web"}, "203.0.113.9", id="a web source"),
        pytest.param({}, {"kind": "server"}, None, id="a server"),
        pytest.param({"context": {"direct": True}}, {"kind": "server"}, "203.0.113.9", id="direct"),
        pytest.param({"context": {"direct": "yes"}}, {"kind": "server"}, None, id="direct, but not true"),
        pytest.param({"context": {"ip": "192.0.2.1"}}, {"kind": "web"}, "192.0.2.1", id="its own"),
        pytest.param({"context": {"ip": None}}, {"kind": "web"}, None, id="wanted to be unknown"),
    ],
)
def test_the_address_is_that_of_a_device(call: dict[str, Any], extra: dict[str, Any], ip: str | None) -> None:
    body = sent({"batch": [{**CALL, **call}]}, **extra).body
    assert body.get("context", {}).get("ip") == ip


@pytest.mark.parametrize(
    ("kind", "own", "channel"),
    [
        ("web", None, "browser"),
        ("server", None, "server"),
        ("web", "mobile", "mobile"),
        ("web", "tv", "browser"),
    ],
)
def test_the_channel_is_the_sources_or_a_known_one(kind: str, own: str | None, channel: str) -> None:
    assert sent({"batch": [{**CALL, "channel": own}]}, kind=kind).body["channel"] == channel


@pytest.mark.parametrize(
    ("call", "kind", "event"),
    [
        ({"event": "Plan Chosen"}, "track", "Plan Chosen"),
        ({"name": "Home", "userId": "u"}, "page", "Home"),
        ({"name": 7, "userId": "u"}, "screen", ""),
        ({"name": "x", "userId": "u", "traits": None}, "identify", ""),
    ],
)
def test_a_call_without_a_type_gets_that_of_its_path(call: dict[str, Any], kind: str, event: str) -> None:
    made = sent({"anonymousId": "a", **call}, type=kind)
    assert (made.kind, made.body["type"], made.event, made.anonymous_id) == (kind, kind, event, "a")


def test_message_ids_are_text_and_the_same_after_a_crash() -> None:
    numbered, unnamed, empty = messages(
        {"batch": [{**CALL, "messageId": 7}, CALL, {**CALL, "messageId": ""}]}
    )
    assert isinstance(numbered, Message) and isinstance(unnamed, Message) and isinstance(empty, Message)
    assert (numbered.message_id, numbered.body["messageId"]) == ("7", "7")
    assert unnamed.message_id == f"cairn-{POSITION + 1:x}" != empty.message_id == f"cairn-{POSITION + 2:x}"


def test_parts_of_another_type_count_as_absent() -> None:
    body = message(context="x", integrations=[1], _metadata="no").body
    assert not {"context", "integrations", "_metadata"} & set(body)


def test_texts_are_those_that_stores_take() -> None:
    call = rb'{"type":"track","event":"E\ud800","userId":"u","properties":{"k\u0000":"\ud800"}}'
    raw = rb'{"context":{"a":"\u0000"},"batch":[' + call + b"]}"
    made = sent(raw)
    assert made.event == "E\ufffd"
    assert made.body["properties"] == {"k\ufffd": "\ufffd"}
    assert made.body["context"] == {"a": "\ufffd"}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param({"batch": [{**CALL, "properties": nested(40)}]}, Reason.TOO_DEEP, id="depth"),
        pytest.param({"batch": [{**CALL, "timestamp": "soon"}]}, Reason.BAD_TIMESTAMP, id="no time"),
        pytest.param({"batch": [{**CALL, "timestamp": "1970-01-01"}]}, Reason.TIME_TOO_OLD, id="old"),
        pytest.param({"batch": [{**CALL, "timestamp": 2**52}]}, Reason.TIME_IN_FUTURE, id="future"),
        pytest.param({"batch": [CALL], "context": nested(40)}, Reason.EVENT_TOO_LARGE, id="shared depth"),
        pytest.param(
            {"batch": [CALL], "context": {"x": "y" * 40_000}}, Reason.EVENT_TOO_LARGE, id="shared size"
        ),
        pytest.param(
            {"batch": [CALL], "integrations": {str(number): True for number in range(501)}},
            Reason.EVENT_TOO_LARGE,
            id="shared names",
        ),
    ],
)
def test_a_call_that_goes_nowhere_says_why(body: Any, reason: Reason) -> None:
    [made] = messages(body)
    assert isinstance(made, Refused)
    assert made.reason is reason


def test_a_time_of_sending_beyond_the_calendar_is_left_as_it_was() -> None:
    assert message(sentAt=2**53).body["sentAt"] == 2**53


def test_what_a_batch_shares_is_kept_once_for_all_its_calls() -> None:
    made = messages({"context": {"app": {"name": "shop"}}, "batch": [CALL] * 100})
    assert len({id(each.body["context"]) for each in made if isinstance(each, Message)}) == 1


def test_an_arrival_is_not_changed() -> None:
    body = {"batch": [{**CALL, "context": {"a": 1}}], "context": {"b": 1}}
    before = arrival("segment", body)
    assert messages(body) == messages(body)
    assert arrival("segment", body) == before
