"""The capture parsers: whatever bytes come in, results that those behind them can store."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.event import FACTS, Draft, Refused
from cairn.wire import capture_pb2
from tests.wire.arrivals import parse
from tests.wire.captured import CLICK, batch, message, protobuf
from tests.wire.test_heap_mobile import ANDROID, IOS, TOUCH, VIEW
from tests.wire.test_heap_web import EVENTS, PAGEVIEW
from tests.wire.test_parsers import CAPTURE, documents
from tests.wire.test_parsers import check as check_results

CUSTOM = message(event={"custom": {"name": "Paid", "properties": {"a": "1"}}}, identity="dana")
USER = {"user_id": "7", "identity": "dana", "env_id": "5"}
GOOD: dict[str, list[bytes]] = {
    "heap.capture.track": [batch(CLICK, CUSTOM), json.dumps({"events": [CLICK, CUSTOM]}).encode()],
    "heap.capture.identify": [
        protobuf(USER, capture_pb2.UserIdentification).SerializeToString(),
        json.dumps(USER).encode(),
    ],
    "heap.capture.add_user_properties": [
        protobuf({"user_id": "7", "properties": {"a": "b"}}, capture_pb2.UserProperties).SerializeToString(),
        json.dumps({"user_id": "7", "properties": {"a": "b"}}).encode(),
    ],
    "heap.web": [urlencode(PAGEVIEW, doseq=True).encode(), urlencode(EVENTS, doseq=True).encode()],
    "heap.web.identify": [urlencode(PAGEVIEW | {"i": "dana"}, doseq=True).encode()],
    "heap.web.add_user_properties": [b"u=7&_a=b"],
    "heap.ios.track": [
        json.dumps({"sentTime": "1770113480000", "messages": [IOS, IOS | {"event": TOUCH}]}).encode()
    ],
    "heap.android.track": [
        batch(ANDROID | {"event": {"click": {"view": VIEW}}}, kind=capture_pb2.Android.Message)
    ],
    "heap.android.identify": [b"\x0a\x0255\x10\x07\x1a\x04dana"],
    "heap.android.add_user_properties": [
        b"\x0a\x0255\x12\x04\x0a\x02\x08\x07\x1a\x08\x0a\x01a\x12\x03\x0a\x01b"
    ],
}


def check(results: list[Draft | Refused]) -> None:
    check_results(results)
    for event in results:
        if not isinstance(event, Draft):
            continue
        assert set(event.facts) <= set(FACTS)
        texts = list(event.facts.values())
        if event.element is not None:
            shape = event.element
            texts += [
                shape.hierarchy,
                shape.tag,
                shape.dom_id,
                shape.classes,
                shape.text,
                shape.href,
                shape.label,
            ]
            texts += [text for pair in shape.attributes.items() for text in pair]
        for text in (*texts, event.user_agent, event.detail):
            assert isinstance(text, str) and "\0" not in text and len(text.encode("utf-16-le")) <= 2048
        assert 0 <= event.pageview_id < 2**53


def test_every_capture_parser_is_here() -> None:
    assert sorted(GOOD) == sorted(CAPTURE)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@pytest.mark.parametrize("parser", CAPTURE)
def test_any_bytes(parser: str, body: bytes) -> None:
    results = parse(parser, body)
    assert results
    check(results)


@settings(max_examples=200, deadline=None)
@given(st.data())
@pytest.mark.parametrize("parser", CAPTURE)
def test_good_bytes_with_some_changed(parser: str, data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(GOOD[parser])))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2)) or b"\0"
    results = parse(parser, bytes(body))
    assert results
    check(results)


def _changed(value: Any, data: st.DataObject) -> Any:
    """The same with one member, somewhere, replaced by anything."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: _changed(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        return [_changed(value[0], data), *value[1:]]
    return data.draw(documents)


@settings(max_examples=300, deadline=None)
@given(st.data())
@pytest.mark.parametrize(
    ("parser", "good"),
    [
        ("heap.capture.track", {"events": [CLICK]}),
        ("heap.capture.track", {"events": [CUSTOM]}),
        ("heap.capture.identify", USER),
        ("heap.ios.track", {"messages": [IOS | {"event": TOUCH}]}),
    ],
    ids=["click", "custom", "identify", "ios"],
)
def test_good_json_with_a_member_replaced(parser: str, good: dict[str, Any], data: st.DataObject) -> None:
    results = parse(parser, json.dumps(_changed(good, data)).encode())
    assert results
    check(results)
