"""Heap's server API: what each payload becomes. Cases follow contracts/heap.md sections 2, 3 and 7."""

import json
from typing import Any

import pytest

from cairn import ids
from cairn.event import Draft, Kind
from tests.wire.arrivals import APP, NOW_MS, draft, outcome, parse, refused

TRACK, ADD, IDENTIFY = "heap.track", "heap.add_user_properties", "heap.identify"
ITRACK, IADD = "heap.integrations.track", "heap.integrations.add_user_properties"
LARGEST = 2**53 - 1


def test_the_contracts_single_event() -> None:
    event = draft(
        TRACK,
        {
            "app_id": "1234567890",
            "identity": "dana@acme.test",
            "event": "Invoice Paid",
            "timestamp": "2026-02-03T10:11:12Z",
            "idempotency_key": "inv-88127",
            "session_id": "77",
            "properties": {"amount": 129.5, "currency": "EUR", "tags": ["annual", "promo"]},
        },
    )
    assert event == Draft(
        APP,
        Kind.CUSTOM,
        "Invoice Paid",
        1_770_113_472_000,
        NOW_MS,
        identity="dana@acme.test",
        key_space=f"heap/{APP}",
        key="inv-88127",
        session_id=77,
        properties={"amount": 129.5, "currency": "EUR", "tags": "annual||promo"},
        source="shop",
        library="server",
    )


def test_the_contracts_bulk_request() -> None:
    first, second = parse(
        TRACK,
        {
            "app_id": "1234567890",
            "events": [
                {
                    "identity": "dana@acme.test",
                    "event": "Call Held",
                    "timestamp": "2026-02-03T10:00:00Z",
                    "properties": {"minutes": 14},
                },
                {"user_id": "5120993847261120", "event": "Export Done", "idempotency_key": "x-1"},
            ],
        },
    )
    assert isinstance(first, Draft) and isinstance(second, Draft)
    assert (first.identity, first.user_id, first.properties) == ("dana@acme.test", 0, {"minutes": 14})
    assert (second.identity, second.user_id, second.time_ms) == ("", 5120993847261120, NOW_MS)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"app_id": "1", "event": "order-shipped", "identity": "a@x.test"}, {}),
        (
            {
                "app_id": "1",
                "event": "Purchase",
                "identity": "a",
                "properties": {"plan": "pro", "amount": 19.5, "n": 3},
            },
            {"plan": "pro", "amount": 19.5, "n": 3},
        ),
        ({"app_id": "1", "event": "login", "identity": "42"}, {}),
    ],
    ids=["plain", "with properties", "number identity as text"],
)
def test_what_the_node_client_sends(payload: dict[str, Any], expected: dict[str, Any]) -> None:
    event = draft(TRACK, payload)
    assert (event.properties, event.key, event.time_ms) == (expected, "", NOW_MS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"a": None}, {}, id="null is dropped"),
        pytest.param({"a": True, "b": False}, {"a": True, "b": False}, id="booleans are kept"),
        pytest.param({"a": 1, "b": -0.5}, {"a": 1, "b": -0.5}, id="numbers are kept"),
        pytest.param({"": "x", "  ": "x", "a": "", "b": " \t"}, {}, id="empty keys and values are dropped"),
        pytest.param({"a": [], "b": [None]}, {}, id="empty arrays are dropped"),
        pytest.param(
            {"a": [1, 2.5, 3.0, True, "x", None]}, {"a": "1||2.5||3||true||x"}, id="arrays are joined"
        ),
        pytest.param({"a": [[1, "b"], {"c": 1}]}, {"a": '[1,"b"]||{"c":1}'}, id="inner arrays are JSON"),
        pytest.param(
            {"a": ["x" * 600, "y" * 600]}, {"a": "x" * 600 + "||" + "y" * 422}, id="joined, then cut"
        ),
        pytest.param({"a": "x" * 2000}, {"a": "x" * 1024}, id="long text is cut"),
        pytest.param({"a": "x" + "😀" * 600}, {"a": "x" + "😀" * 511}, id="cut on a character"),
        pytest.param({"a": "é" * 1024}, {"a": "é" * 1024}, id="two bytes are one unit"),
        pytest.param({"k" * 1024: 1, "k" * 1025: 2}, {"k" * 1024: 1}, id="long keys are dropped"),
        pytest.param(
            {"a": {"b": {"c": 1}, "d": [1, 2]}}, {"a.b.c": 1, "a.d": "1||2"}, id="objects are dotted"
        ),
        pytest.param(
            {"a": 2**63, "b": -(2**63), "c": 10**400}, {"a": 2.0**63, "b": -(2**63)}, id="huge numbers"
        ),
        pytest.param(
            {"email": "A@x.test", "Email": "B"}, {"email": "A@x.test", "Email": "B"}, id="casing is kept"
        ),
    ],
)
def test_properties(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert draft(TRACK, {"identity": "u", "event": "e", "properties": given}).properties == kept
    assert draft(ADD, {"identity": "u", "properties": given}).user_properties == kept


def test_no_more_than_ten_thousand_properties_are_kept() -> None:
    given = {f"k{number}": number for number in range(10_050)}
    assert draft(TRACK, {"identity": "u", "event": "e", "properties": given}).properties == dict(
        list(given.items())[:10_000]
    )


@pytest.mark.parametrize(
    ("timestamp", "expected_ms"),
    [
        ("2017-03-10T22:21:56+00:00", 1_489_184_516_000),
        ("2017-03-10T22:21:56Z", 1_489_184_516_000),
        ("2017-03-11T03:51:56.5+05:30", 1_489_184_516_500),
        ("2017-03-10 22:21:56.123456", 1_489_184_516_123),
        ("20170310T222156-0000", 1_489_184_516_000),
        ("2017-03-10", 1_489_104_000_000),
        (" 2017-03-10 ", 1_489_104_000_000),
        (1_489_184_516_000, 1_489_184_516_000),
        ("1489184516000", 1_489_184_516_000),
        (1_489_184_516_000.6, 1_489_184_516_001),
        ("2026-03-02T11:00:00Z", NOW_MS + 86_400_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        (None, NOW_MS),
        ("", NOW_MS),
    ],
)
def test_timestamps(timestamp: Any, expected_ms: int) -> None:
    assert draft(TRACK, {"identity": "u", "event": "e", "timestamp": timestamp}).time_ms == expected_ms


@pytest.mark.parametrize(
    ("change", "reason", "named"),
    [
        ({"timestamp": "yesterday"}, "bad_timestamp", "timestamp"),
        ({"timestamp": [1]}, "bad_timestamp", "timestamp"),
        ({"timestamp": True}, "bad_timestamp", "timestamp"),
        ({"timestamp": 1e300}, "bad_timestamp", "timestamp"),
        ({"timestamp": "9" * 400}, "bad_timestamp", "timestamp"),
        ({"timestamp": 1_489_184_516}, "time_too_old", "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+23:59"}, "time_too_old", "timestamp"),
        ({"timestamp": "1999-12-31T23:59:59Z"}, "time_too_old", "timestamp"),
        ({"timestamp": "2026-03-02T11:00:00.001Z"}, "time_in_future", "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-23:59"}, "time_in_future", "timestamp"),
        ({"event": None}, "event_not_defined", "event"),
        ({"event": ""}, "event_not_defined", "event"),
        ({"event": "  "}, "event_not_defined", "event"),
        ({"event": 5}, "event_not_string", "event"),
        ({"event": {"a": 1}}, "event_not_string", "event"),
        ({"event": "e" * 1025}, "event_name_too_long", "event"),
        ({"identity": None}, "no_user", "identity"),
        ({"identity": "u", "user_id": "5"}, "two_users", "identity and user_id"),
        ({"identity": 42}, "id_not_string", "identity"),
        ({"identity": ["a"]}, "id_not_string", "identity"),
        ({"identity": "i" * 256}, "id_too_long", "identity"),
        ({"properties": []}, "properties_not_object", "properties"),
        ({"properties": "x"}, "properties_not_object", "properties"),
        ({"idempotency_key": {}}, "bad_request", "idempotency_key"),
        ({"session_id": "abc"}, "bad_request", "session_id"),
        ({"session_id": 1.5}, "bad_request", "session_id"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(change: dict[str, Any], reason: str, named: str) -> None:
    event = refused(TRACK, {"identity": "dana", "event": "Paid", **change})
    assert (event.reason.value, event.environment_id, event.source) == (reason, APP, "shop")
    assert event.detail.startswith(named)
    assert event.payload.startswith("{")


@pytest.mark.parametrize("user_id", ["1", 1, str(LARGEST), LARGEST, " 17 "])
def test_user_ids_are_decimal_text_or_numbers(user_id: Any) -> None:
    assert draft(TRACK, {"user_id": user_id, "event": "e"}).user_id == int(user_id)


@pytest.mark.parametrize(
    "user_id", ["0", 0, -1, "-1", LARGEST + 1, str(LARGEST + 1), "1e3", "0x10", "１２", "u-7", "9" * 5000]
)
def test_other_user_ids_are_refused(user_id: Any) -> None:
    assert refused(TRACK, {"user_id": user_id, "event": "e"}).reason.value == "bad_request"


JUNK = [
    "null",
    "NULL",
    "undefined",
    "None",
    "nil",
    "guest",
    " Anonymous ",
    "",
    "   ",
    "NaN",
    "[object Object]",
    "true",
    "FALSE",
    "unknown",
    "0",
]


@pytest.mark.parametrize("identity", JUNK)
@pytest.mark.parametrize("parser", [TRACK, ADD, IDENTIFY])
def test_an_identity_that_names_no_one_is_refused(parser: str, identity: str) -> None:
    body = {"identity": identity, "event": "e", **({"user_id": "5"} if parser == IDENTIFY else {})}
    assert refused(parser, body).reason.value == "junk_identity"


@pytest.mark.parametrize("identity", ["nullable", "0001", "Guest House", "no one", "x" * 255, "u\u0300"])
def test_an_identity_is_kept_as_written(identity: str) -> None:
    assert draft(TRACK, {"identity": identity, "event": "e"}).identity == identity


def test_user_properties() -> None:
    event = draft(
        ADD,
        {"app_id": "1", "identity": "dana", "properties": {"email": "d@x.test", "ID": 5, "iD": 6, "id": 7}},
    )
    assert (event.kind, event.name, event.identity) == (Kind.IDENTIFY, "Set properties", "dana")
    assert event.user_properties == event.properties == {"email": "d@x.test"}
    assert (event.merge_user_id, event.key) == (0, "")


def test_user_properties_may_be_empty_and_in_bulk() -> None:
    assert draft(ADD, {"app_id": "1", "identity": "dana", "properties": {}}).user_properties == {}
    users = [
        {"identity": "a", "properties": {"x": 1}},
        {"user_id": "9", "properties": {"y": 2}},
        {"properties": {}},
    ]
    assert [outcome(event) for event in parse(ADD, {"users": users})] == ["draft", "draft", "no_user"]


def test_an_anonymous_id_property_links_it_to_the_identity() -> None:
    linked = draft(ADD, {"identity": "u1", "properties": {"anonymous_id": "an1", "age": "3"}})
    assert (linked.identity, linked.merge_user_id) == ("u1", ids.anonymous_user_id("an1"))
    assert linked.user_properties == {"anonymous_id": "an1", "age": "3"}
    assert draft(ADD, {"user_id": "5", "properties": {"anonymous_id": "an1"}}).merge_user_id == 0


def test_identify() -> None:
    event = draft(
        IDENTIFY,
        {"app_id": "1", "user_id": "5120993847261120", "identity": "dana", "timestamp": "2026-02-03"},
    )
    assert (event.kind, event.name, event.identity, event.user_id) == (Kind.IDENTIFY, "Identify", "dana", 0)
    assert (event.merge_user_id, event.time_ms) == (5120993847261120, 1_770_076_800_000)
    assert refused(IDENTIFY, {"user_id": "5"}).reason.value == "no_user"
    assert refused(IDENTIFY, {"identity": "dana"}).reason.value == "bad_request"
    assert refused(IDENTIFY, {"identity": "dana", "user_id": ""}).reason.value == "bad_request"


@pytest.mark.parametrize(
    ("user_identifier", "identity", "user_id", "linked"),
    [
        ({"identity": "dana"}, "dana", 0, 0),
        ({"identity": " dana "}, "dana", 0, 0),
        ({"identity": "0"}, "0", 0, 0),
        ({"anonymous_id": "an1"}, "", ids.anonymous_user_id("an1"), 0),
        ({"anonymous_id": 17}, "", ids.anonymous_user_id("17"), 0),
        ({"identity": "u1", "anonymous_id": "an1"}, "u1", 0, ids.anonymous_user_id("an1")),
        ({"user_id": "99"}, "", 99, 0),
        ({"identity": "u1", "user_id": 99}, "u1", 0, 0),
        ({"email": "d@x.test"}, "d@x.test", 0, 0),
        ({"email": "d@x.test", "anonymous_id": "an1"}, "", ids.anonymous_user_id("an1"), 0),
        ({"identity": "u1", "email": "d@x.test"}, "u1", 0, 0),
        ({"identity": "", "anonymous_id": "an1"}, "", ids.anonymous_user_id("an1"), 0),
    ],
)
@pytest.mark.parametrize("parser", [ITRACK, IADD])
def test_integrations_name_users_in_several_ways(
    parser: str, user_identifier: dict[str, Any], identity: str, user_id: int, linked: int
) -> None:
    key = "events" if parser == ITRACK else "users"
    event = draft(parser, {"app_id": "1", key: [{"event": "e", "user_identifier": user_identifier}]})
    assert (event.identity, event.user_id, event.merge_user_id) == (identity, user_id, linked)


@pytest.mark.parametrize(
    ("user_identifier", "reason"),
    [
        ({}, "no_user"),
        ({"identity": ""}, "no_user"),
        ({"identity": 5}, "id_not_string"),
        ({"anonymous_id": []}, "id_not_string"),
        ({"anonymous_id": "a" * 256}, "id_too_long"),
        ({"user_id": "x"}, "bad_request"),
        ("u1", "bad_request"),
        ({"identity": "null"}, "junk_identity"),
    ],
)
def test_integrations_refuse_users_by_name(user_identifier: Any, reason: str) -> None:
    assert (
        refused(ITRACK, {"events": [{"event": "e", "user_identifier": user_identifier}]}).reason.value
        == reason
    )


def test_what_segments_heap_cloud_sends() -> None:
    """Golden vectors of contracts/segment.md 5.5 and 5.6."""
    properties = {
        "segment_library": "cloud-mode-destination",
        "revenue": "9.5",
        "ok": "true",
        "nul": "null",
        "nested.a.b": "1",
        "arr.0": "x",
        "arr.1.y": "2",
        "date": "2024-01-02",
    }
    event = draft(
        ITRACK,
        {
            "app_id": "11",
            "library": "server",
            "events": [
                {
                    "event": "Order Completed",
                    "idempotency_key": "msg-00000001",
                    "timestamp": "2024-05-05T05:05:05.123Z",
                    "user_identifier": {"anonymous_id": "an1"},
                    "custom_properties": properties,
                }
            ],
        },
    )
    assert (event.properties, event.key, event.time_ms) == (properties, "msg-00000001", 1_714_885_505_123)
    assert (event.user_id, event.anonymous_id, event.library) == (
        ids.anonymous_user_id("an1"),
        "an1",
        "server",
    )
    written = draft(
        IADD,
        {
            "app_id": "11",
            "library": "server",
            "users": [{"user_identifier": {"identity": "u1"}, "custom_properties": {"plan": "pro", "n": 1}}],
        },
    )
    assert (written.identity, written.user_properties) == ("u1", {"plan": "pro", "n": 1})


def test_older_integrations_send_properties_and_library() -> None:
    body = {
        "library": "Segment",
        "events": [
            {
                "event": "e",
                "identity": "u",
                "properties": {"a": "1", "b": "2"},
                "custom_properties": {"b": "3"},
            }
        ],
    }
    event = draft(ITRACK, body)
    assert (event.properties, event.library) == ({"a": "1", "b": "3"}, "Segment")


def test_one_bad_event_costs_no_other() -> None:
    good = b'{"identity":"u","event":"Paid"}'
    deep = b'{"identity":"u","event":"x","properties":{"a":' + b"[" * 40 + b"]" * 40 + b"}}"
    bomb = b'{"identity":"u","event":"x","properties":{"a":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}}"
    items = [
        (good, "draft"),
        (b'{"identity":"u\\u0000v","event":"a\\ud800b"}', "draft"),
        (deep, "too_deep"),
        (bomb, "too_deep"),
        (b'{"identity":"\xff","event":"x"}', "not_utf8"),
        (b"5", "bad_request"),
        (b"null", "bad_request"),
        (b'"text, with [brackets] \\" {"', "bad_request"),
        (b'{"identity":"u"}', "event_not_defined"),
        (b'{"identity":"u","event":"x","timestamp":"soon"}', "bad_timestamp"),
        (good, "draft"),
    ]
    for start in range(len(items)):
        chosen = items[start:] + items[:start]
        body = b'{"app_id":"1","note":"]}", "events" : [' + b" , ".join(raw for raw, _ in chosen) + b"]}"
        assert [outcome(event) for event in parse(TRACK, body)] == [expected for _, expected in chosen]


def test_odd_characters_are_replaced() -> None:
    event = draft(
        TRACK,
        b'{"identity":"u\\u0000v","event":"a\\ud800b","properties":{"k\\u0000":"\\udfff","o":{"\\u0000":["\\u0000"]}}}',
    )
    assert (event.identity, event.name) == ("u\ufffdv", "a\ufffdb")
    assert event.properties == {"k\ufffd": "\ufffd", "o.\ufffd": "\ufffd"}
    assert draft(TRACK, b'{"identity":"u","event":"\\ud83d\\ude00 caf\\u00e9"}').name == "😀 café"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"events":[{"identity":"u","event":"x"},{]}', "malformed_json"),
        (b'{"events":[{"identity":"u","event":"x"}] trailing', "malformed_json"),
        (b'{"identity":"u","event":"x","properties":{"a":NaN}}', "malformed_json"),
        (b'{"identity":"u","event":"\x00"}', "malformed_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"[" * 100_000, "bad_request"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[]", "bad_request"),
        (b"7", "bad_request"),
        (b'{"events":5}', "bad_request"),
        (b'{"events":{}}', "bad_request"),
        (b'{"events":[]}', "empty_batch"),
    ],
)
def test_a_body_that_cannot_be_read_is_one_refusal(body: bytes, reason: str) -> None:
    assert refused(TRACK, body).reason.value == reason


def test_a_bulk_request_beyond_its_limit() -> None:
    events = [{"identity": "u", "event": f"e{number}"} for number in range(1_003)]
    outcomes = [outcome(event) for event in parse(TRACK, {"events": events})]
    assert outcomes == ["draft"] * 1_000 + ["too_many_events"] * 3


def test_a_refusal_shows_the_event() -> None:
    event = refused(
        TRACK, {"identity": "dana", "event": "Paid", "timestamp": "soon", "properties": {"x": "y" * 5000}}
    )
    assert (event.name, event.user) == ("Paid", "dana")
    assert len(event.payload) == 2_000 and json.dumps({"identity": "dana"})[:-1] in event.payload
