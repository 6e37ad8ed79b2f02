"""Segment's tracking API over HTTP. Scenarios follow contracts/segment.md sections 0, 1 and 7."""

import base64
import gzip
import http.client
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from cairn.eventlog.log import EventLog
from cairn.wire.pixel import GIF
from tests.collect.conftest import Served, serving

TYPES = ("track", "identify", "page", "screen", "group", "alias")
OK = b'{"success": true}'


def basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(key.encode()).decode()}


def post(served: Served, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.http.post(path, content=content, headers=headers)


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Paid", "userId": "u1", **fields}


def batch(*calls: Any, **around: Any) -> dict[str, Any]:
    return {"writeKey": "wk_node", "batch": list(calls), **around}


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/import", "/v1/batch/"])
def test_batches_are_accepted_with_exactly_200(served: Served, path: str) -> None:
    answer = post(served, path, batch(call(), call(event="Other")))
    assert (answer.status_code, answer.content) == (200, OK)
    assert answer.headers["content-type"] == "application/json"
    [arrival] = served.arrivals()
    assert (arrival.parser, arrival.environment_id, arrival.source_id, arrival.source) == (
        "segment",
        1,
        21,
        "back end",
    )
    assert [draft.name for draft in served.drafts()] == ["Paid", "Other"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("is_short", [False, True])
def test_single_calls_take_their_type_from_the_path(served: Served, kind: str, is_short: bool) -> None:
    body = {"writeKey": "wk_web", "userId": "u1", "event": "Paid", "traits": {}}
    answer = post(served, f"/v1/{kind[0] if is_short else kind}", body, **{"content-type": "text/plain"})
    assert (answer.status_code, answer.content) == (200, OK)
    assert served.refusals() == ([] if kind in ("track", "identify") else [("unsupported_event_type", 1)])


@pytest.mark.parametrize(
    ("headers", "body_key", "status"),
    [
        (basic("wk_node:"), None, 200),
        (basic("wk_node"), None, 200),
        (basic("wk_node:"), "wk_unknown", 200),
        (basic("wk_unknown:"), "wk_node", 401),
        ({"authorization": "Basic ***"}, "wk_node", 200),
        ({"authorization": "Basic " + base64.b64encode(b"\xff").decode()}, "wk_node", 200),
        ({"authorization": "Basic " + base64.b64encode(b"wk_node:").decode().rstrip("=")}, None, 200),
        ({"authorization": "bearer token"}, "wk_node", 200),
        ({"authorization": "Bearer token"}, None, 401),
        ({}, "wk_node", 200),
        ({}, "wk_unknown", 401),
        ({}, None, 401),
        ({}, 42, 401),
        ({}, "", 401),
    ],
)
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/t"])
def test_credentials(served: Served, headers: dict[str, str], body_key: Any, status: int, path: str) -> None:
    body = {"batch": [call()]} if path == "/v1/batch" else call()
    answer = post(served, path, {**body, "writeKey": body_key} if body_key is not None else body, **headers)
    assert answer.status_code == status
    if status == 401:
        said = answer.json()
        assert (said["success"], said["code"], bool(said["message"])) == (False, "invalid_write_key", True)
        post(served, path, body, **basic("wk_node:"))
        assert served.refusals() == [("unknown_key", 0)]
        assert "wk_unknown" not in said["message"]
    assert len(served.drafts()) == 1


def test_an_unknown_key_can_be_answered_as_segment_does(log: EventLog) -> None:
    with serving(log, unknown_key_status=200) as served:
        answer = post(served, "/v1/batch", {"writeKey": "wk_unknown", "batch": [call()]})
        assert (answer.status_code, answer.content) == (200, OK)
        post(served, "/v1/batch", batch(call()))
        assert served.refusals() == [("unknown_key", 0)]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/batch", b"{", "malformed_json"),
        ("/v1/batch", b"", "malformed_json"),
        ("/v1/batch", b'{"writeKey":"wk_node","batch":[{]}', "malformed_json"),
        ("/v1/batch", b'{"writeKey":"wk_node","batch":[{}', "malformed_json"),
        ("/v1/batch", b'{"writeKey":"wk_node","batch":7}', "bad_request"),
        ("/v1/batch", b"[]", "bad_request"),
        ("/v1/batch", b'{"x":' + b"[" * 9999 + b"]" * 9999 + b"}", "too_deep"),
        ("/v1/batch", b'{"writeKey":"wk_node","batch":[' + b" " * 512_000 + b"]}", "body_too_large"),
        ("/v1/t", b"{", "malformed_json"),
        ("/v1/t", b'{"a":' * 5000 + b"1" + b"}" * 5000, "too_deep"),
        ("/v1/t", b"7", "bad_request"),
        ("/v1/t", json.dumps(call(properties={"x": "y" * 33_000})).encode(), "body_too_large"),
    ],
)
def test_only_bad_json_and_size_are_400(served: Served, path: str, body: bytes, code: str) -> None:
    for headers, environment in ((basic("wk_node:"), 1), ({"origin": "https://shop.test"}, 0)):
        answer = post(served, path, body, **headers)
        assert answer.status_code == 400
        assert answer.json()["code"] == code
        assert answer.json()["success"] is False and answer.json()["message"]
        assert ("origin" in headers) == ("access-control-allow-origin" in answer.headers)
        post(served, "/v1/batch", batch(call()))
        assert served.refusals()[-1] == (code, environment)


def test_bad_events_are_200_and_cost_no_other(served: Served) -> None:
    deep = {"a": 1}
    for _ in range(40):
        deep = {"a": deep}  # type: ignore[dict-item]
    cases = [
        (call(), None),
        (call(userId=None, anonymousId=None), "no_user"),
        (call(userId=42), "id_not_string"),
        (call(event=7), "event_not_string"),
        (call(properties="x"), "properties_not_object"),
        (call(properties={"x": "y" * 33_000}), "event_too_large"),
        (call(properties=deep), "too_deep"),
        (call(timestamp="2999-01-01T00:00:00Z"), "time_in_future"),
        (call(timestamp="1970-01-01T00:00:00Z"), "time_too_old"),
        (call(timestamp="soon"), "bad_timestamp"),
        (call(messageId="m" * 101), "message_id_too_long"),
        ("text", "bad_request"),
        (call(), None),
    ]
    answer = post(served, "/v1/batch", batch(*(fields for fields, _ in cases)))
    assert (answer.status_code, answer.content) == (200, OK)
    assert served.refusals() == [(reason, 1) for _, reason in cases if reason]
    assert len(served.drafts()) == 2
    broken = b'{"writeKey":"wk_node","batch":[' + json.dumps(call()).encode() + b',{"event":"\xff"}]}'
    assert post(served, "/v1/batch", broken).status_code == 200
    assert (served.refusals()[-1], len(served.drafts())) == (("not_utf8", 1), 3)


def test_too_many_events_keep_the_first_2500(served: Served) -> None:
    answer = post(served, "/v1/batch", batch(*[call()] * 2501))
    assert (answer.status_code, answer.content) == (200, OK)
    assert (len(served.drafts()), served.refusals()) == (2500, [("too_many_events", 1)])


def test_an_empty_batch_is_visible(served: Served) -> None:
    assert post(served, "/v1/batch", batch()).content == OK
    assert served.refusals() == [("empty_batch", 1)]


@pytest.mark.parametrize(
    ("key", "source_id", "environments"),
    [("wk_off", 24, [1]), ("wk_loose", 25, []), ("wk_two", 23, [1, 5])],
    ids=["switched off", "not connected", "two environments"],
)
def test_a_request_is_one_arrival_whatever_its_source_feeds(
    served: Served, key: str, source_id: int, environments: list[int]
) -> None:
    assert post(served, "/v1/batch", batch(call(), call(), writeKey=key)).content == OK
    [arrival] = served.arrivals()
    assert (arrival.environment_id, arrival.source_id) == (1, source_id)
    assert arrival.extra["environments"] == environments


GOOD = json.dumps(batch(call())).encode()


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(GOOD), "gzip", 200),
        (gzip.compress(GOOD), "GZIP", 200),
        (GOOD, "identity", 200),
        (gzip.compress(b" " * 511_000 + GOOD[:0] + GOOD), "gzip", 200),
        (gzip.compress(b" " * 512_001), "gzip", 400),
        (gzip.compress(b"\0" * 200_000_000, 1), "gzip", 400),
        (gzip.compress(GOOD)[:-9], "gzip", 400),
        (GOOD, "gzip", 400),
        (deflated(GOOD), "deflate", 400),
    ],
    ids=[
        "gzip",
        "casing",
        "identity",
        "at the limit",
        "over it",
        "bomb",
        "cut off",
        "not gzip",
        "other encoding",
    ],
)
def test_compressed_bodies(served: Served, body: bytes, encoding: str, status: int) -> None:
    answer = post(served, "/v1/batch", body, **{"content-encoding": encoding})
    assert answer.status_code == status
    assert len(served.drafts()) == (status == 200)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_chunked_bodies_without_length(served: Served, is_compressed: bool) -> None:
    body = gzip.compress(GOOD) if is_compressed else GOOD

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 10):
            yield body[start : start + 10]

    headers = {"content-type": "text/plain", **({"content-encoding": "gzip"} if is_compressed else {})}
    answer = served.http.post("/v1/b", content=chunks(), headers=headers)
    assert answer.content == OK
    assert len(served.drafts()) == 1


def test_the_limit_holds_while_receiving(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(60):
            yield b" " * 100_000

    assert served.http.post("/v1/batch", content=endless()).status_code == 400


def test_a_client_that_goes_away_leaves_nothing(served: Served) -> None:
    connection = http.client.HTTPConnection(served.host)
    connection.putrequest("POST", "/v1/batch")
    connection.putheader("content-length", "1000")
    connection.endheaders(GOOD)
    connection.close()
    assert post(served, "/v1/batch", GOOD).status_code == 200
    assert len(served.arrivals()) == 1


ROUTES = ["/v1/batch", "/v1/b", "/v1/import", "/v1/m", "/v1/pixel/track"] + [
    f"/v1/{name}" for kind in TYPES for name in (kind, kind[0])
]


@pytest.mark.parametrize("path", ROUTES)
def test_preflight(served: Served, path: str) -> None:
    answer = served.http.options(
        path,
        headers={
            "origin": "https://shop.test",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-retry-count,X-Own",
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert (
        answer.headers["access-control-allow-headers"] == "authorization, content-type, x-retry-count, x-own"
    )
    assert int(answer.headers["access-control-max-age"]) >= 600
    assert answer.headers["vary"] == "Origin"


def test_every_answer_to_a_browser_can_be_read_by_it(served: Served) -> None:
    origin = {"origin": "https://shop.test"}
    for answer in (
        post(served, "/v1/t", call(writeKey="wk_web"), **origin),
        post(served, "/v1/t", call(writeKey="nope"), **origin),
        post(served, "/v1/t", b"{", **origin),
        served.http.get("/v1/t", headers=origin),
        served.http.get("/v1/pixel/track", headers=origin),
    ):
        assert answer.headers["access-control-allow-origin"] == "https://shop.test"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
        assert answer.headers["vary"] == "Origin"


def test_client_telemetry_is_answered_and_left(served: Served) -> None:
    series = {"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]}
    assert post(served, "/v1/m", series, **{"content-type": "text/plain"}).content == OK
    assert served.arrivals() == []


@pytest.mark.parametrize(
    ("query", "names", "refusals"),
    [
        ("data=" + base64.b64encode(json.dumps(call(writeKey="wk_node")).encode()).decode(), ["Paid"], []),
        (
            "data="
            + base64.urlsafe_b64encode(json.dumps(call(writeKey="wk_node", event="É>?")).encode()).decode(),
            ["É>?"],
            [],
        ),
        ("writeKey=wk_node&userId=u1&event=Opened&properties.subject=Hi", ["Opened"], []),
        ("writeKey=nope&userId=u1&event=Opened", [], [("unknown_key", 0)]),
        ("data=***", [], [("bad_request", 0)]),
        ("data=" + base64.b64encode(b"{").decode(), [], [("malformed_json", 0)]),
        ("writeKey=wk_node&event=Opened", [], [("no_user", 1)]),
        ("", [], [("bad_request", 0)]),
    ],
)
def test_pixels_are_always_an_image(
    served: Served, query: str, names: list[str], refusals: list[tuple[str, int]]
) -> None:
    answer = served.http.get("/v1/pixel/track", params=httpx.QueryParams(query))
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/gif", GIF)
    post(served, "/v1/batch", batch(call(event="last")))
    assert [draft.name for draft in served.drafts()] == [*names, "last"]
    assert served.refusals() == refusals


def test_other_methods_and_paths(served: Served) -> None:
    answer = served.http.get("/v1/batch")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    handles = served.collector.handles
    for path in (*ROUTES, "/api/track", "/api/v1/identify", "/v1/t/"):
        assert handles("POST", path, path.encode())
    for path in ("/", "", "/v1", "/v1/", "/v1/x", "/v1/pixel/x", "/api/tracks", "/v1/batch/x", "/V1/batch"):
        assert not handles("POST", path, path.encode())
