"""Heap's capture clients over HTTP: whose environment, status, body, and what reaches the log."""

import gzip
import json
import zlib
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
import pytest

from cairn.collect.capture import MOST_BODY_BYTES
from cairn.event import Draft
from cairn.wire import capture_pb2
from cairn.wire.pixel import GIF
from tests.collect.conftest import Served
from tests.wire.captured import CLICK, batch, protobuf
from tests.wire.test_heap_mobile import ANDROID, IOS
from tests.wire.test_heap_web import PAGEVIEW

TRACK = "/api/capture/v2/track"
OTHER = "11"  # the app id of environment 5
NAMELESS = {key: value for key, value in CLICK.items() if key != "env_id"}
IDENTIFY = {"env_id": "1234567890", "user_id": "7", "identity": "dana", "time": "2026-02-03T10:11:12Z"}
USER_PROPERTIES = {"env_id": "1234567890", "user_id": "7", "properties": {"plan": {"string": "pro"}}}
MIGRATION = {"env_id": OTHER, "from_user_id": 7, "to_identity": "dana"}


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def post(served: Served, path: str, body: Any, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.http.post(path, content=encoded(body), headers={"content-type": "text/plain", **sent})


@pytest.mark.parametrize(
    ("path", "body", "headers", "environment"),
    [
        pytest.param(TRACK, {"events": [CLICK]}, {}, 1, id="JSON: the message names it"),
        pytest.param(TRACK, CLICK, {}, 1, id="one message"),
        pytest.param(TRACK, [CLICK], {"content_type": "application/json"}, 1, id="an array"),
        pytest.param(TRACK, batch(CLICK), {"content_type": "application/octet-stream"}, 1, id="protobuf"),
        pytest.param(TRACK, batch(CLICK), {}, 1, id="protobuf that does not say so"),
        pytest.param(TRACK, batch(NAMELESS), {"x_heap_env_id": OTHER}, 5, id="the header names it"),
        pytest.param(TRACK + "?a=11&b=web&st=1770113480000", [NAMELESS], {}, 5, id="the address names it"),
        pytest.param(
            TRACK + "?a=5", [NAMELESS], {"x_heap_env_id": OTHER}, 5, id="the header before the address"
        ),
        pytest.param(TRACK, gzip.compress(batch(CLICK)), {"content_encoding": "gzip"}, 1, id="gzip"),
        pytest.param(TRACK, zlib.compress(batch(CLICK)), {"content_encoding": "deflate"}, 1, id="deflate"),
        pytest.param("/k/e?a=11", [NAMELESS], {}, 5, id="the neutral path"),
        pytest.param("/api/capture/v2/identify", IDENTIFY, {}, 1, id="identify"),
        pytest.param("/k/i", IDENTIFY, {}, 1, id="identify on the neutral path"),
        pytest.param("/api/capture/v2/add_user_properties", USER_PROPERTIES, {}, 1, id="user properties"),
        pytest.param("/k/u", USER_PROPERTIES, {}, 1, id="user properties on the neutral path"),
        pytest.param("/api/integrations/ios/track", {"messages": [{**IOS, "envId": OTHER}]}, {}, 5, id="iOS"),
        pytest.param(
            "/api/integrations/android/track",
            zlib.compress(
                batch({**ANDROID, "env_id": OTHER, "pageview": {}}, kind=capture_pb2.Android.Message)
            ),
            {"content_type": "application/x-protobuf"},
            5,
            id="Android, deflated without a word",
        ),
        pytest.param(
            "/api/integrations/android/identify",
            protobuf(MIGRATION, capture_pb2.Android.UserMigration).SerializeToString(),
            {},
            5,
            id="Android identify",
        ),
        pytest.param(
            "/api/integrations/android/add_user_properties",
            protobuf(
                {"env_id": OTHER, "user": {"id": 7}}, capture_pb2.Android.UserProperties
            ).SerializeToString(),
            {},
            5,
            id="Android user properties",
        ),
    ],
)
def test_accepted_is_in_the_log(
    served: Served, path: str, body: Any, headers: dict[str, str], environment: int
) -> None:
    answer = post(served, path, body, origin="https://shop.test", **headers)
    is_protobuf = path.startswith("/api/capture/v2") and served.arrivals()[0].body[:1] not in b"{["
    assert (answer.status_code, answer.content) == (200, b"\x0a\x02OK" if is_protobuf else b"{}")
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"
    [event] = served.events()
    assert isinstance(event, Draft), event
    assert (event.environment_id, event.source, event.ip) == (environment, "capture", "127.0.0.1")
    assert event.user_agent


def test_the_clients_clock_comes_with_the_events(served: Served) -> None:
    post(served, TRACK + "?st=1770113480000", [CLICK])
    assert [draft.sent_ms for draft in served.drafts()] == [1770113480000]


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        (TRACK + "?a=11", b"", ("empty_batch", 5)),
        (TRACK + "?a=11", b"hello", ("bad_request", 5)),
        (TRACK + "?a=11", b"\xff\xff", ("bad_request", 5)),
        (TRACK + "?a=11", b'{"events":[', ("malformed_json", 5)),
        (TRACK + "?a=11", b"[]", ("empty_batch", 5)),
        (TRACK + "?a=11", b"[5]", ("bad_request", 5)),
        (TRACK + "?a=11", b" " * (MOST_BODY_BYTES + 1), ("body_too_large", 5)),
        ("/api/capture/v2/identify?a=11", b"\xff", ("bad_request", 5)),
        ("/api/integrations/ios/track?a=11", b"{}", ("empty_batch", 5)),
        ("/api/integrations/android/track?a=11", b"x\x9cbroken", ("bad_request", 5)),
    ],
)
def test_what_can_never_be_read_is_400_so_that_clients_throw_it_away(
    served: Served, path: str, body: bytes, refusal: tuple[str, int]
) -> None:
    answer = post(served, path, body)
    assert answer.status_code == 400 and answer.text.startswith("Bad request: ")
    assert post(served, TRACK, [CLICK]).status_code == 200
    assert served.refusals() == [refusal]


@pytest.mark.parametrize("path", [TRACK, TRACK + "?a=5", "/api/capture/v2/identify?a=x"])
def test_an_unknown_environment_is_404_so_that_apps_keep_their_events(served: Served, path: str) -> None:
    assert post(served, path, NAMELESS).status_code == 404
    assert post(served, TRACK, [CLICK]).status_code == 200
    assert served.refusals() == [("unknown_key", 0)]


def test_messages_of_another_environment_are_refused(served: Served) -> None:
    assert post(served, TRACK + "?a=11", [CLICK, NAMELESS]).status_code == 200
    assert served.refusals() == [("bad_request", 5)]
    assert [draft.environment_id for draft in served.drafts()] == [5]


def test_one_broken_message_costs_no_other(served: Served) -> None:
    closed = [b"\x0f\xff", protobuf(CLICK).SerializeToString()]
    body = capture_pb2.ClosedBatch(events=closed).SerializeToString()
    assert post(served, TRACK + "?a=1234567890", body).status_code == 200
    assert (len(served.drafts()), served.refusals()) == (1, [("bad_request", 1)])


def test_preflight_and_methods(served: Served) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-headers": "x-heap-env-id"}
    answer = served.http.options(TRACK, headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "https://shop.test")
    assert "x-heap-env-id" in answer.headers["access-control-allow-headers"]
    answer = served.http.get(TRACK)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/h", "pageview"), ("/api/identify_v3", "identify"), ("/api/add_user_properties_v3", "identify")],
)
def test_the_classic_script_gets_an_image(served: Served, path: str, kind: str) -> None:
    answer = served.http.get(f"{path}?{urlencode({**PAGEVIEW, 'i': 'dana', '_plan': 'pro'}, doseq=True)}")
    assert (answer.status_code, answer.content) == (200, GIF)
    assert answer.headers["content-type"] == "image/gif" and answer.headers["cache-control"] == "no-store"
    [draft] = served.drafts()
    assert (draft.kind, draft.environment_id, draft.user_id, draft.identity) == (kind, 1, 7, "dana")


@pytest.mark.parametrize("query", ["", "a=5&u=7&h=/", "%ff=%ff"])
def test_the_classic_script_gets_an_image_whatever_it_asks(served: Served, query: str) -> None:
    assert served.http.get(f"/h?{query}").content == GIF
    assert post(served, TRACK, [CLICK]).status_code == 200
    assert served.refusals() == [("unknown_key", 0)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/add_account_properties",
            {"app_id": "11", "account_id": "acme", "properties": {"plan": "pro"}},
        ),
        (
            "/api/add_account_properties",
            {"app_id": "11", "accounts": [{"account_id": "acme", "properties": {}}]},
        ),
        (
            "/api/capture/v2/add_account_properties",
            {"env_id": "11", "user_id": "7", "properties": {"plan": "pro"}},
        ),
        ("/k/a", {"env_id": "11", "user_id": "7", "properties": {"plan": "pro"}}),
    ],
)
def test_account_properties_reach_the_log(served: Served, path: str, body: Any) -> None:
    assert post(served, path, body).status_code == 200
    [draft] = served.drafts()
    named = (draft.account_id, draft.user_id)
    assert (draft.kind, draft.environment_id, named) == (
        "account",
        5,
        ("", 7) if "env_id" in body else ("acme", 0),
    )
