"""Segment's calls: which are kept, and what they become in Heap. Cases follow contracts/segment.md 1.5, 4 and 5."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cairn import ids
from cairn.event import Draft, Kind, Refused
from cairn.wire.times import epoch_ms, iso_text
from tests.wire.arrivals import APP, NOW_MS, draft, outcome, parse, refused

LIBRARY = {"library": {"name": "analytics-node", "version": "1"}}


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Plan Chosen", "userId": "u-77", **fields}


def draft_of(fields: dict[str, Any], *, kind: str = "batch", **extra: Any) -> Draft:
    """The draft of one call, the same alone and in a batch."""
    alone = draft("segment", fields, type=fields.get("type", "track"), workspace_id=2, **extra)
    batched = draft("segment", {"batch": [fields]}, type="batch", workspace_id=2, **extra)
    assert alone == batched
    return alone


def test_the_contracts_batch() -> None:
    identify, track = parse(
        "segment",
        {
            "writeKey": "wk_shop_prod",
            "sentAt": "2026-03-01T10:05:00.000Z",
            "context": {"app": {"name": "shop"}},
            "integrations": {"All": True, "Heap": True},
            "batch": [
                {
                    "type": "identify",
                    "userId": "u-77",
                    "traits": {"email": "ann@shop.test", "plan": "pro"},
                    "timestamp": "2026-03-01T10:04:59.000Z",
                    "messageId": "m-1",
                },
                {
                    "type": "track",
                    "event": "Plan Chosen",
                    "userId": "u-77",
                    "properties": {"plan": "pro", "seats": 3},
                    "timestamp": "2026-03-01T10:04:59.100Z",
                    "messageId": "m-2",
                },
            ],
        },
        workspace_id=2,
    )
    sent_ms = 1_772_359_500_000
    assert identify == Draft(
        APP,
        Kind.IDENTIFY,
        "Identify",
        sent_ms - 1_000,
        NOW_MS,
        identity="u-77",
        key_space="segment/2",
        key="m-1",
        sent_ms=sent_ms,
        properties={"plan": "pro", "_email": "ann@shop.test"},
        user_properties={"plan": "pro", "_email": "ann@shop.test"},
        source="shop",
    )
    assert track == Draft(
        APP,
        Kind.CUSTOM,
        "Plan Chosen",
        sent_ms - 900,
        NOW_MS,
        identity="u-77",
        key_space="segment/2",
        key="m-2",
        sent_ms=sent_ms,
        properties={"plan": "pro", "seats": 3},
        source="shop",
    )


def test_the_classic_destinations_identify() -> None:
    """contracts/segment.md 5.3; `id` is reserved in Heap and left out."""
    event = draft_of(
        {
            "type": "identify",
            "userId": "u1",
            "context": LIBRARY,
            "traits": {
                "plan": "pro",
                "ID": 9,
                "email": "ann@shop.test",
                "address": {"city": "Oslo"},
                "tags": ["a", "b"],
            },
        }
    )
    assert (
        event.user_properties
        == event.properties
        == {
            "plan": "pro",
            "address.city": "Oslo",
            "tags": '["a","b"]',
            "_email": "ann@shop.test",
            "segment_library": "analytics-node",
        }
    )
    assert (event.identity, event.kind, event.library) == ("u1", Kind.IDENTIFY, "analytics-node")


def test_the_classic_destinations_track() -> None:
    event = draft_of(
        call(
            event="Order Completed",
            userId="u1",
            timestamp="2026-03-01T10:04:59.100Z",
            context={**LIBRARY, "traits": {"email": "ann@shop.test"}},
            properties={"revenue": 9.5, "items": [{"sku": "a"}], "ship": {"city": "Oslo"}, "id": "o-1"},
        )
    )
    assert event.properties == {
        "revenue": 9.5,
        "items": '[{"sku":"a"}]',
        "ship.city": "Oslo",
        "id": "o-1",
        "_email": "ann@shop.test",
        "segment_library": "analytics-node",
    }
    assert event.user_properties == {}


def test_the_recorded_cleaning_of_properties() -> None:
    """contracts/segment.md 5.2, but for the empty object: a property is text, a number or a boolean here."""
    given = {
        "n": 1,
        "b": True,
        "nul": None,
        "date": "2024-01-02T03:04:05.000Z",
        "o": {"x": {"y": 1}, "arr": [1, {"z": 2}], "empty": {}},
        "arr": ["a", 2],
    }
    assert draft_of(call(properties=given)).properties == {
        "n": 1,
        "b": True,
        "date": "2024-01-02T03:04:05.000Z",
        "o.x.y": 1,
        "o.arr": '[1,{"z":2}]',
        "arr": '["a",2]',
    }


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("2024-01-02", "2024-01-02T00:00:00.000Z"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000Z"),
        ("2024-01-02T03:04:05.6789+02:00", "2024-01-02T01:04:05.678Z"),
        ("2024-13-02", "2024-13-02"),
        ("2024-01-02 and later", "2024-01-02 and later"),
        ("1234-56", "1234-56"),
        ("abcd-ef-gh", "abcd-ef-gh"),
    ],
)
def test_dates_are_full(date: str, kept: str) -> None:
    assert draft_of(call(properties={"d": date})).properties == {"d": kept}
    assert draft_of(call(properties={"d": [date]})).properties == {"d": f'["{kept}"]'}


@pytest.mark.parametrize(
    ("fields", "email"),
    [
        ({"properties": {"email": "p@x.test"}, "context": {"traits": {"email": "t@x.test"}}}, "p@x.test"),
        ({"context": {"traits": {"email": "t@x.test"}}, "userId": "u@x.test"}, "t@x.test"),
        ({"userId": "u@x.test"}, "u@x.test"),
        ({"userId": "u@nowhere"}, None),
        ({}, None),
        ({"type": "identify", "traits": {"email": "i@x.test"}}, "i@x.test"),
        ({"type": "identify", "userId": "u@x.test"}, "u@x.test"),
        ({"type": "identify", "context": {"traits": {"email": "t@x.test"}}}, None),
    ],
)
def test_the_e_mail_is_found_as_the_facade_does(fields: dict[str, Any], email: str | None) -> None:
    properties = draft_of(call(**fields)).properties
    assert properties.get("_email") == email
    assert "email" not in properties


def test_who_a_call_is_about() -> None:
    anonymous = ids.anonymous_user_id("an1")
    cases: list[tuple[dict[str, Any], tuple[str, int, str, int]]] = [
        (call(userId="u1"), ("u1", 0, "", 0)),
        (call(userId="u1", anonymousId="an1"), ("u1", 0, "an1", 0)),
        (call(userId=None, anonymousId="an1"), ("", anonymous, "an1", 0)),
        (call(userId="", anonymousId="an1"), ("", anonymous, "an1", 0)),
        ({"type": "identify", "userId": "u1", "anonymousId": "an1"}, ("u1", 0, "an1", anonymous)),
        ({"type": "identify", "userId": "u1", "anonymousId": None}, ("u1", 0, "", 0)),
        ({"type": "identify", "anonymousId": "an1", "traits": {"a": 1}}, ("", anonymous, "an1", 0)),
    ]
    for fields, expected in cases:
        event = draft_of(fields)
        assert (event.identity, event.user_id, event.anonymous_id, event.merge_user_id) == expected


@pytest.mark.parametrize(
    ("fields", "reason", "named"),
    [
        (call(type=None), "type_unknown", "type"),
        (call(type="Track"), "type_unknown", "type"),
        (call(type=5), "type_unknown", "type"),
        (call(userId=None), "no_user", "userId"),
        (call(userId=42), "id_not_string", "userId"),
        (call(userId=None, anonymousId={}), "id_not_string", "anonymousId"),
        (call(userId="u" * 256), "id_too_long", "userId"),
        (call(userId=None, anonymousId="a" * 256), "id_too_long", "anonymousId"),
        (call(userId="undefined"), "junk_identity", "userId"),
        (call(userId="0"), "junk_identity", "userId"),
        (call(event=None), "event_not_defined", "event"),
        (call(event=""), "event_not_defined", "event"),
        (call(event=[]), "event_not_string", "event"),
        (call(event="e" * 1025), "event_name_too_long", "event"),
        (call(properties=[1]), "properties_not_object", "properties"),
        (call(type="identify", traits="x"), "traits_not_object", "traits"),
        (call(messageId="m" * 101), "message_id_too_long", "messageId"),
        (call(messageId=[]), "bad_request", "messageId"),
        (call(timestamp="soon"), "bad_timestamp", "timestamp"),
        (call(timestamp="2026-03-03T11:00:00Z"), "time_in_future", "timestamp"),
        (call(timestamp="1970-01-01T00:00:00Z"), "time_too_old", "timestamp"),
        (call(properties={"x": "y" * 33_000}), "event_too_large", "the event"),
        (call(type="page", name="Home"), "unsupported_event_type", "type"),
        (call(type="screen", name="Main"), "unsupported_event_type", "type"),
        (call(type="group", groupId="g"), "unsupported_event_type", "type"),
        (call(type="alias", previousId="p"), "unsupported_event_type", "type"),
        (call(type="page", userId=None), "no_user", "userId"),
        (call(integrations={"Heap": False}), "blocked_by_integrations", "integrations"),
        (call(integrations={"All": False}), "blocked_by_integrations", "integrations"),
        (call(integrations={"All": False, "heap": True}), "blocked_by_integrations", "integrations"),
        (call(_metadata={"bundled": ["Segment.io", "Heap"]}), "sent_by_browser", "_metadata"),
        (call(type="page", _metadata={"bundled": ["Heap"]}), "sent_by_browser", "_metadata"),
    ],
)
def test_what_is_not_kept_has_its_reason(fields: dict[str, Any], reason: str, named: str) -> None:
    event = refused("segment", {"batch": [fields]}, type="batch")
    assert event.reason.value == reason
    assert event.detail.startswith(named)


@pytest.mark.parametrize(
    "fields",
    [
        {"integrations": {}},
        {"integrations": {"Heap": True}},
        {"integrations": {"All": False, "Heap": True}},
        {"integrations": {"All": False, "Heap": {"option": 1}}},
        {"integrations": {"Segment.io": False, "Mixpanel": False}},
        {"integrations": "all"},
        {"_metadata": {"bundled": ["Segment.io"], "unbundled": ["Heap"]}},
        {"_metadata": {"bundled": "Heap"}},
        {"_metadata": 5},
        {"context": "none", "sentAt": {}},
        {"context": {"library": 5, "traits": [], "ip": 1, "userAgent": {}, "direct": "yes"}},
        {"context": {"library": {"name": 5}}},
        {"messageId": "m" * 100},
        {"messageId": 17},
        {"timestamp": None},
        {"name": 5, "category": []},
    ],
)
def test_what_does_not_stop_a_call(fields: dict[str, Any]) -> None:
    assert draft_of(call(**fields)).name == "Plan Chosen"


def test_the_path_names_the_type() -> None:
    assert draft("segment", {"event": "e", "userId": "u"}, type="track").name == "e"
    assert draft("segment", {"userId": "u", "type": "track"}, type="identify").kind == Kind.IDENTIFY


def test_a_batch_speaks_for_its_calls_where_they_are_silent() -> None:
    around = {
        "context": {
            "library": {"name": "outer"},
            "traits": {"email": "o@x.test"},
            "ip": "1.1.1.1",
            "userAgent": "outer",
        },
        "integrations": {"Heap": False},
    }
    own = {"library": {"name": "own"}, "traits": {"email": "i@x.test"}, "ip": "2.2.2.2", "userAgent": "own"}
    silent, speaking, blocked = parse(
        "segment",
        {
            **around,
            "batch": [
                call(integrations={"Heap": True}),
                call(context=own, integrations={"Heap": True}),
                call(),
            ],
        },
    )
    assert isinstance(silent, Draft) and isinstance(speaking, Draft) and isinstance(blocked, Refused)
    assert (silent.library, silent.properties["_email"], silent.ip, silent.user_agent) == (
        "outer",
        "o@x.test",
        "1.1.1.1",
        "outer",
    )
    assert (speaking.library, speaking.properties["_email"], speaking.ip, speaking.user_agent) == (
        "own",
        "i@x.test",
        "2.2.2.2",
        "own",
    )
    assert blocked.reason.value == "blocked_by_integrations"


def test_an_address_is_the_users_only_when_the_device_sent_it() -> None:
    assert (draft_of(call(), kind="server").ip, draft_of(call(), kind="server").user_agent) == ("", "")
    direct = draft_of(call(context={"direct": True}))
    assert (direct.ip, direct.user_agent) == ("203.0.113.9", "curl/8")
    web = draft("segment", {"batch": [call()]}, type="batch", kind="web")
    assert (web.ip, web.user_agent) == ("203.0.113.9", "curl/8")


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "outcome_"),
    [
        # The sender's clock is a year ahead, or behind: the difference to sentAt is what counts.
        ("2027-03-01T10:59:00Z", "2027-03-01T11:00:00Z", "draft"),
        ("1999-03-01T10:59:00Z", "1999-03-01T11:00:00Z", "draft"),
        ("2027-03-01T10:59:00Z", None, "time_in_future"),
        ("2027-03-01T10:59:00Z", "rubbish", "time_in_future"),
        # Sent before it happened: no evidence of how far the clock is off.
        ("2026-03-01T10:59:00Z", "2024-01-01T00:00:00Z", "draft"),
        ("2027-03-01T10:59:00Z", "2024-01-01T00:00:00Z", "time_in_future"),
    ],
)
def test_the_range_counts_after_the_clock_is_set_right(timestamp: str, sent_at: Any, outcome_: str) -> None:
    [event] = parse("segment", {"sentAt": sent_at, "batch": [call(timestamp=timestamp)]})
    assert outcome(event) == outcome_


def test_what_the_node_client_sends() -> None:
    """Recorded: contracts/segment.md section 2."""
    body = {
        "batch": [
            {
                "timestamp": "2026-03-01T10:32:22.856Z",
                "integrations": {"All": False, "Heap": True},
                "event": "Ev",
                "type": "track",
                "properties": {"price": 1.5, "n": None},
                "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
                "userId": "u1",
                "anonymousId": "an1",
                "messageId": "node-next-1795303942856-dd0d",
                "_metadata": {"nodeVersion": "v20.20.2", "jsRuntime": "node"},
            }
        ],
        "writeKey": "wk_node",
        "sentAt": "2026-03-01T10:32:22.859Z",
    }
    event = draft("segment", body, type="batch", workspace_id=2)
    assert event.properties == {"price": 1.5, "segment_library": "@segment/analytics-node"}
    assert (event.identity, event.key, event.time_ms) == (
        "u1",
        "node-next-1795303942856-dd0d",
        1_772_361_142_856,
    )


def test_what_the_python_client_sends() -> None:
    body = {
        "batch": [
            {
                "integrations": {},
                "anonymousId": None,
                "properties": {},
                "timestamp": "2026-02-19T23:31:32.443+00:00",
                "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
                "userId": "42",
                "type": "track",
                "event": "numeric id",
                "messageId": "mid-1",
            }
        ],
        "sentAt": "2026-02-28T23:31:32.943288+00:00",
        "writeKey": "wk_py",
    }
    event = draft("segment", body, type="batch", workspace_id=2)
    assert (event.identity, event.sent_ms, event.library) == ("42", 1_772_321_492_943, "analytics-python")


def test_a_batch_beyond_its_limit_keeps_the_first() -> None:
    events = [call(event=f"e{number}") for number in range(2_502)]
    outcomes = [outcome(event) for event in parse("segment", {"batch": events})]
    assert outcomes == ["draft"] * 2_500 + ["too_many_events"] * 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed_json"),
        (b'{"batch":[{"type":"track"},]}', "malformed_json"),
        (b'{"batch":{}}', "bad_request"),
        (b'{"batch":"x"}', "bad_request"),
        (b"[]", "bad_request"),
        (b'{"batch":[]}', "empty_batch"),
        (b'{"batch":null}', "empty_batch"),
        (b"{}", "empty_batch"),
        (b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b',"batch":[]}', "too_deep"),
    ],
)
def test_a_batch_that_cannot_be_read_is_one_refusal(body: bytes, reason: str) -> None:
    assert refused("segment", body, type="batch").reason.value == reason


def test_one_bad_event_costs_no_other() -> None:
    good = b'{"type":"track","event":"e","userId":"u"}'
    items = [
        (good, "draft"),
        (
            b'{"type":"track","event":"e","userId":"u","properties":{"a":"' + b"x" * 33_000 + b'"}}',
            "event_too_large",
        ),
        (
            b'{"type":"track","event":"e","userId":"u","properties":' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
            "too_deep",
        ),
        (
            b'{"type":"track","event":"e","userId":"u","properties":{"a":' + b"[" * 31 + b"]" * 31 + b"}}",
            "too_deep",
        ),
        (
            b'{"type":"track","event":"e","userId":"u","properties":{"a":' + b"[" * 30 + b"]" * 30 + b"}}",
            "draft",
        ),
        (b'{"type":"track","event":"\xc3\x28","userId":"u"}', "not_utf8"),
        (b'{"type":"track","event":"e\\ud83d","userId":"\\u0000"}', "draft"),
        (b"[]", "bad_request"),
        (b'{"type":"track","event":"e","userId":7}', "id_not_string"),
        (good, "draft"),
    ]
    body = b'{"batch":[' + b",".join(raw for raw, _ in items) + b'],"sentAt":"2026-03-01T11:00:00Z"}'
    assert [outcome(event) for event in parse("segment", body, type="batch")] == [
        expected for _, expected in items
    ]


@pytest.mark.parametrize("time_ms", [0, 1, 951_782_399_999, NOW_MS, 4_102_444_800_000, 253_402_300_799_999])
def test_times_are_written_as_segment_writes_them(time_ms: int) -> None:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms)
    written = iso_text(time_ms)
    assert written == moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    assert epoch_ms(written, "timestamp") == time_ms
