"""Every parser: whatever comes in, exactly one draft or refusal per event, and nothing that breaks what follows."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.event import Arrival, Draft, Refused
from cairn.outcomes import Reason
from cairn.wire import pixel
from cairn.wire.parsers import PARSERS
from tests.wire.arrivals import NOW_MS, arrival, outcome, parse, refused

BULK_KEYS = {"heap.track": "events", "heap.add_user_properties": "users", "segment": "batch"} | {
    "heap.integrations.track": "events",
    "heap.integrations.add_user_properties": "users",
}
# Of those left out, capture parsers are held to the same in test_heap_capture_bytes; "removed" has nothing to read.
CAPTURE = [
    name for name in PARSERS if name.startswith(("heap.capture", "heap.web", "heap.ios", "heap.android"))
]
OURS = [name for name in PARSERS if not name.startswith("wingify.") and name not in ("removed", *CAPTURE)]
NAMES = [
    "app_id",
    "event",
    "identity",
    "user_id",
    "properties",
    "custom_properties",
    "timestamp",
    "idempotency_key",
    "user_identifier",
    "anonymous_id",
    "email",
    "session_id",
    "library",
    "events",
    "users",
    "batch",
    "type",
    "userId",
    "anonymousId",
    "messageId",
    "traits",
    "context",
    "integrations",
    "sentAt",
    "_metadata",
    "bundled",
    "id",
    "ip",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=9)
    | st.sampled_from(
        ["track", "identify", "null", "2026-03-01T10:00:00Z", "\0", "\ud800", "5", "x" * 1030, 10**30]
    )
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=8)
    ),
    max_leaves=25,
)
# Something every parser would take, with some of it overwritten.
GOOD: dict[str, Any] = {
    "type": "track",
    "event": "Paid",
    "identity": "dana",
    "userId": "dana",
    "properties": {"a": 1},
}
events = st.dictionaries(st.sampled_from(NAMES), documents, max_size=4).map(lambda odd: {**GOOD, **odd})


def check(results: list[Draft | Refused]) -> None:
    """What parsers promise to those who store and show their results."""
    for event in results:
        if isinstance(event, Refused):
            assert isinstance(event.reason, Reason)
            msgspec.json.encode(event)  # no half characters
            assert "\0" not in event.payload + event.name + event.user
            continue
        texts = [event.name, event.identity, event.anonymous_id, event.key, event.library, *event.properties]
        for value in [*event.properties.values(), *event.user_properties.values()]:
            assert isinstance(value, str | int | float) and value == value and abs(hash(value)) >= 0
            if isinstance(value, str):
                texts.append(value)
                assert len(value.encode("utf-16-le")) <= 2048
            elif isinstance(value, int):
                assert -(2**63) <= value < 2**63
            else:
                assert value not in (float("inf"), float("-inf"))
        for text in texts:
            assert "\0" not in text
            text.encode()
        assert event.identity or event.user_id or event.account_id
        assert (
            0 <= event.user_id < 2**53 and 0 <= event.merge_user_id < 2**53 and 0 <= event.session_id < 2**53
        )
        assert 0 <= event.sent_ms < 2**63 and abs(event.time_ms) < 2**53


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["batch", "track", "identify", "page"]))
@pytest.mark.parametrize("parser", OURS)
def test_any_bytes(parser: str, body: bytes, kind: str) -> None:
    results = parse(parser, body, type=kind)
    assert len(results) == 1
    check(results)


@settings(max_examples=100, deadline=None)
@given(documents | events, st.sampled_from(["batch", "track", "identify"]))
@pytest.mark.parametrize("parser", OURS)
def test_any_json(parser: str, document: Any, kind: str) -> None:
    results = parse(parser, json.dumps(document).encode(), type=kind)
    assert results
    check(results)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(events | documents, min_size=1, max_size=5), st.dictionaries(st.sampled_from(NAMES), documents)
)
@pytest.mark.parametrize(("parser", "key"), BULK_KEYS.items())
def test_one_result_for_each_event_of_a_batch(
    parser: str, key: str, items: list[Any], around: dict[str, Any]
) -> None:
    envelope = {name: value for name, value in around.items() if name not in ("events", "users", "batch")}
    results = parse(parser, json.dumps({**envelope, key: items}).encode(), type="batch")
    assert len(results) == len(items) or outcome(results[0]) in ("too_deep", "malformed_json")
    check(results)


@settings(max_examples=100, deadline=None)
@given(events, st.data())
@pytest.mark.parametrize("parser", OURS)
def test_json_with_a_changed_byte(parser: str, document: dict[str, Any], data: st.DataObject) -> None:
    key = BULK_KEYS.get(parser)
    body = bytearray(
        json.dumps({key: [document]} if key else document, ensure_ascii=data.draw(st.booleans())).encode(
            "utf-8", "surrogatepass"
        )
    )
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    results = parse(parser, bytes(body), type="batch")
    assert results
    check(results)


def test_a_refused_request_comes_back_as_it_was() -> None:
    record = Refused(0, NOW_MS, Reason.UNKNOWN_KEY, "writeKey: ...", payload="{")
    assert parse("refused", msgspec.msgpack.encode(record)) == [record]
    assert refused("refused", b"rubbish").reason is Reason.NOT_STORED


def test_every_parser_answers_an_arrival_from_the_log() -> None:
    for name, parser in PARSERS.items():
        stored = msgspec.msgpack.encode(arrival(name, b"{}", type="batch"))
        assert isinstance(parser(msgspec.msgpack.decode(stored, type=Arrival)), list)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"data=eyJhIjoxfQ==", b'{"a":1}'),
        (b"data=eyJhIjoxfQ", b'{"a":1}'),
        (b"data=eyJhIjoiPz8_In0", b'{"a":"???"}'),
        (b"data=eyJhIjoiPj4%2BIn0%3D", b'{"a":">>>"}'),
        (b"data=eyJhIjoiPj4+In0=", b'{"a":">>>"}'),
        (
            b"userId=u&event=Opened&properties.subject=Hi%20there&properties.a.b=1",
            b'{"userId":"u","event":"Opened","properties":{"subject":"Hi there","a":{"b":"1"}}}',
        ),
        (b"a=1&a.b=2", b'{"a":{"b":"2"}}'),
        (b"x=%ff%00", '{"x":"\ufffd\ufffd"}'.encode()),
        (b"data=***", None),
        (b"", None),
        (b"\xff", None),
        (b"&".join(b"a=1" for _ in range(501)), None),
    ],
)
def test_pixel_queries(query: bytes, body: bytes | None) -> None:
    assert pixel.body_of(query) == body
