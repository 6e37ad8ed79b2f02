"""Bodies made to break parsers: none raises, each message has one result, and a bomb costs one refusal."""

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.event import Refused
from cairn.wire import capture_pb2
from cairn.wire.parsers import PARSERS
from tests.wire.arrivals import outcome, parse
from tests.wire.captured import CLICK, batch, message, protobuf
from tests.wire.test_capture_bytes import GOOD, check
from tests.wire.test_heap_mobile import ANDROID
from tests.wire.test_parsers import OURS

EVERY = sorted({*OURS, *GOOD})
GROUP, END_GROUP = b"\x0b", b"\x0c"  # field 1, which older protobuf wrote without a length


def nested(levels: int, inner: bytes = b"") -> bytes:
    """Field 1 within field 1, and so on."""
    for _ in range(levels):
        inner = b"\x0a" + _varint(len(inner)) + inner
    return inner


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


BOMBS: dict[str, bytes] = {
    "arrays in arrays": b"[" * 200_000 + b"]" * 200_000,
    "objects in objects": b'{"a":' * 90_000 + b"1" + b"}" * 90_000,
    "an array that never ends": b"[" * 100_000,
    "a string that never ends": b'{"event":"' + b"\\" * 99_999,
    "groups in groups": GROUP * 100_000 + END_GROUP * 100_000,
    "groups that never end": GROUP * 100_000,
    "an end without a group": END_GROUP,
    "messages in messages": nested(10_000),
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "a number that never ends": b"\x08" + b"\xff" * 50_000,
    "a field with number 0": b"\x02\x00",
    "a wire type that there is not": b"\x0f\x00",
    "a number of 100,000 digits": b'{"event":"e","identity":"a","properties":{"n":' + b"9" * 100_000 + b"}}",
    "a huge exponent": b'{"event":"e","identity":"a","user_id":"7","properties":{"n":1e999999}}',
    "no number": b'{"event":"e","identity":"a","user_id":"7","properties":{"n":NaN,"m":-Infinity}}',
    "half characters": b'{"event":"\\ud800","identity":"\\udfff","user_id":"7","userId":"\\ud83d"}',
    "no characters": b'{"event":"\xff\xfe","identity":"\xc0\x80","user_id":"7"}',
    "the same key twice": b'{"user_id":"7","user_id":{},"event":"e","event":[],"identity":"a","identity":null}',
    "zeros": bytes(10_000),
    "a deflate bomb": zlib.compress(bytes(50_000_000), 9),
    "half a deflated body": zlib.compress(b"x" * 10_000)[:20],
    "a byte order mark": b'\xef\xbb\xbf{"event":"e"}',
    "percent signs": b"%" * 10_000,
    "ten thousand ampersands": b"&=" * 10_000,
    "one name ten thousand times": b"&".join(b"sp=a" for _ in range(10_000)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("parser", EVERY)
def test_a_bomb_is_one_result(parser: str, bomb: bytes) -> None:
    for kind in ("batch", "track", "identify"):
        results = parse(parser, bomb, type=kind, app_id="5", content_type="application/json")
        assert len(results) == 1
        check(results)


def test_every_parser_of_the_wire_is_tried() -> None:
    assert {name for name in PARSERS if not name.startswith("wingify.")} == {*EVERY, "removed"}


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(("levels", "expected"), [(30, "draft"), (31, "too_deep"), (5_00, "too_deep")])
def test_a_deep_property_costs_its_message_only(levels: int, expected: str) -> None:
    for deep in (
        {"properties": {"p": _deep(levels)}},
        {"event": {"custom": {"name": "x", "properties": {"p": _deep(levels)}}}},
    ):
        bad, good = parse("heap.capture.track", {"events": [{**CLICK, **deep}, CLICK]})
        assert outcome(good) == "draft"
        assert outcome(bad) == expected or "event" in deep


def unknown_field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def test_unknown_fields_and_groups_are_passed_over() -> None:
    """A newer client says more than we know."""
    closed = bytes(protobuf(CLICK).SerializeToString())
    more = closed + unknown_field(999, b"\xff" * 50) + b"\xa3\x06\x08\x01\xa4\x06"  # a group of field 100
    body = bytes(capture_pb2.ClosedBatch(events=[more]).SerializeToString()) + unknown_field(77, b"later")
    [found] = parse("heap.capture.track", body)
    [expected] = parse("heap.capture.track", batch(CLICK))
    assert found == expected


@pytest.mark.parametrize("levels", [50, 5_000])
def test_views_within_views(levels: int) -> None:
    """The one message that may hold itself: the runtime's own limit refuses it, and only it."""
    view = b""
    for _ in range(levels):
        view = b"\x32" + _varint(len(view)) + view
    click = b"\x0a" + _varint(len(view)) + view
    event = b"\x12" + _varint(len(click)) + click
    closed = bytes(protobuf(ANDROID, capture_pb2.Android.Message).SerializeToString())
    deep = closed + b"\x62" + _varint(len(event)) + event
    good = bytes(protobuf({**ANDROID, "pageview": {}}, capture_pb2.Android.Message).SerializeToString())
    body = bytes(capture_pb2.ClosedBatch(events=[deep, good]).SerializeToString())
    results = parse("heap.android.track", body, app_id="55")
    assert [outcome(result) for result in results] == ["draft" if levels == 50 else "bad_request", "draft"]
    check(results)


def as_json(items: list[Any]) -> bytes:
    return json.dumps({"events": items}).encode()


def as_protobuf(items: list[Any]) -> bytes:
    closed = [item if isinstance(item, bytes) else protobuf(item).SerializeToString() for item in items]
    return bytes(capture_pb2.ClosedBatch(events=closed).SerializeToString())


GOOD_ONES = [CLICK, message(session={}), message(pageview={}), message(event={"custom": {"name": "Paid"}})]
NO_USER = {**CLICK, "user_id": ""}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([*GOOD_ONES, NO_USER, {}, {"user_id": "7"}]), min_size=1, max_size=20), st.data()
)
@pytest.mark.parametrize("encode", [as_json, as_protobuf])
def test_each_message_of_a_batch_has_its_own_result(
    encode: Callable[[list[Any]], bytes], items: list[Any], data: st.DataObject
) -> None:
    odd: Any = b"\xff\xff" if encode is as_protobuf else data.draw(st.sampled_from([7, None, "x", [], [[]]]))
    place = data.draw(st.integers(0, len(items)))
    results = parse("heap.capture.track", encode([*items[:place], odd, *items[place:]]))
    assert len(results) == len(items) + 1
    assert isinstance(results[place], Refused)
    alone = [parse("heap.capture.track", encode([item]))[0] for item in items]
    kept = results[:place] + results[place + 1 :]
    assert [outcome(one) for one in kept] == [outcome(one) for one in alone]
    check(results)
