"""Heap's server API over HTTP: status, body, and what reaches the log."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest

from cairn.eventlog.log import EventLog
from tests.collect.conftest import Served, StoppedClock, serving


def post(served: Served, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.http.post(path, content=content, headers={"content-type": "application/json", **headers})


def event(**fields: Any) -> dict[str, Any]:
    return {"app_id": "1234567890", "identity": "dana", "event": "Paid", **fields}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/track", event()),
        ("/api/track", event(app_id=1234567890)),
        ("/api/track/", event()),
        (
            "/api/track",
            {"app_id": "11", "events": [{"identity": "a", "event": "e"}, {"user_id": "7", "event": "e"}]},
        ),
        ("/api/add_user_properties", {"app_id": "11", "identity": "a", "properties": {"x": 1}}),
        ("/api/add_user_properties", {"app_id": "11", "users": [{"identity": "a", "properties": {}}]}),
        ("/api/v1/identify", {"app_id": "11", "identity": "a", "user_id": "7"}),
        (
            "/api/integrations/track",
            {"app_id": "11", "events": [{"event": "e", "user_identifier": {"identity": "0"}}]},
        ),
        (
            "/api/integrations/add_user_properties",
            {
                "app_id": "11",
                "users": [{"user_identifier": {"identity": "a"}, "custom_properties": {"x": 1}}],
            },
        ),
    ],
)
def test_accepted_is_in_the_log(served: Served, path: str, body: dict[str, Any]) -> None:
    answer = post(served, path, body)
    assert (answer.status_code, answer.content) == (200, b"{}")
    [arrival] = served.arrivals()
    assert (arrival.environment_id, arrival.source, arrival.ip) == (
        5 if body["app_id"] == "11" else 1,
        "heap",
        "127.0.0.1",
    )
    assert json.loads(arrival.body) == body
    assert len(served.drafts()) == len(body.get("events", [1]))


DEEP = b'{"app_id":"11","identity":"a","event":"e","properties":{"a":' + b"[" * 40 + b"]" * 40 + b"}}"
BOMB = b'{"app_id":"11","identity":"a","event":"e","properties":' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001


@pytest.mark.parametrize(
    ("body", "refusal", "says"),
    [
        (b"{", ("malformed_json", 0), "not valid JSON"),
        (b"", ("malformed_json", 0), "not valid JSON"),
        (b"\xff", ("not_utf8", 0), "UTF-8"),
        (b'{"app_id":"11","identity":"\xff","event":"e"}', ("not_utf8", 5), "UTF-8"),
        (DEEP, ("too_deep", 5), "nested"),
        (BOMB, ("too_deep", 0), "nested"),
        (b"[]", ("bad_request", 0), "object"),
        (event(app_id=None), ("unknown_key", 0), "app_id"),
        (event(app_id="12"), ("unknown_key", 0), "app_id"),
        (event(app_id={}), ("unknown_key", 0), "app_id"),
        (event(identity=None), ("no_user", 1), "identity"),
        (event(identity=7), ("id_not_string", 1), "identity"),
        (event(identity="null"), ("junk_identity", 1), "identity"),
        (event(event=7), ("event_not_string", 1), "event"),
        (event(properties=[]), ("properties_not_object", 1), "properties"),
        (event(timestamp="soon"), ("bad_timestamp", 1), "timestamp"),
        (event(timestamp="2999-01-01"), ("time_in_future", 1), "timestamp"),
        (event(timestamp=5), ("time_too_old", 1), "timestamp"),
        ({"app_id": "11", "events": 7}, ("bad_request", 0), "events"),
        ({"app_id": "11", "events": []}, ("empty_batch", 5), "events"),
        ({"app_id": "11", "events": [event()] * 1001}, ("too_many_events", 5), "events"),
        (b" " * (5 * 2**20 + 1), ("body_too_large", 0), "bytes"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_bad_request_is_400_names_the_fault_and_is_visible(
    served: Served, body: Any, refusal: tuple[str, int], says: str
) -> None:
    answer = post(served, "/api/track", body)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("Bad request: ") and says in answer.text
    assert post(served, "/api/track", event()).status_code == 200
    assert served.refusals() == [refusal]
    assert len(served.drafts()) == 1


def test_one_bad_event_of_a_bulk_request_costs_no_other(served: Served) -> None:
    good = {"identity": "a", "event": "e"}
    body = {"app_id": "11", "events": [good, {"identity": "a"}, good, {"event": "e"}, 7]}
    assert post(served, "/api/track", body).status_code == 200
    assert len(served.drafts()) == 2
    assert served.refusals() == [("event_not_defined", 5), ("no_user", 5), ("bad_request", 5)]


def test_other_methods_are_refused(served: Served) -> None:
    answer = served.http.get("/api/track")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.fixture
def clock() -> StoppedClock:
    clock = StoppedClock()
    clock.moment = datetime(2026, 3, 1, 11, 0, 10, tzinfo=UTC)
    return clock


@pytest.fixture
def limited(log: EventLog, clock: StoppedClock) -> Iterator[Served]:
    with serving(log, clock=clock) as served:
        yield served


def test_the_single_event_rate_limit(limited: Served, clock: StoppedClock) -> None:
    assert [post(limited, "/api/track", event()).status_code for _ in range(30)] == [200] * 30
    answer = post(limited, "/api/track", event())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "20")
    assert post(limited, "/api/track", event(identity="other")).status_code == 200
    assert post(limited, "/api/track", event(app_id="11")).status_code == 200
    clock.moment = datetime(2026, 3, 1, 11, 0, 30, tzinfo=UTC)
    assert post(limited, "/api/track", event()).status_code == 200
    assert limited.refusals() == [("too_many_requests", 1)]
    assert len(limited.drafts()) == 33


def test_the_bulk_rate_limits(limited: Served, clock: StoppedClock) -> None:
    def bulk(count: int, name: str) -> int:
        events = [{"identity": name or f"u{number}", "event": "e"} for number in range(count)]
        return post(limited, "/api/track", {"app_id": "11", "events": events}).status_code

    assert [bulk(600, "dana"), bulk(401, "dana"), bulk(400, "dana"), bulk(1, "dana")] == [200, 429, 200, 429]
    assert [bulk(1000, "") for _ in range(15)] == [200] * 14 + [429]
    clock.moment = datetime(2026, 3, 1, 11, 1, 0, tzinfo=UTC)
    assert bulk(1000, "dana") == 200


def test_each_path_has_limits_of_its_own_and_some_have_none(limited: Served) -> None:
    who = {"app_id": "11", "identity": "dana"}

    def answers(path: str, body: dict[str, Any], times: int = 31) -> list[int]:
        return [post(limited, path, body).status_code for _ in range(times)]

    assert answers("/api/track", {**who, "event": "e"}) == [200] * 30 + [429]
    assert answers("/api/add_user_properties", {**who, "properties": {}}) == [200] * 30 + [429]
    assert set(answers("/api/v1/identify", {**who, "user_id": "7"})) == {200}
    assert set(answers("/api/add_account_properties", {"app_id": "11", "account_id": "a"})) == {200}
    users = [{"identity": "dana", "properties": {}}] * 1000
    assert set(answers("/api/add_user_properties", {"app_id": "11", "users": users}, 16)) == {200}
    events = [{"event": "e", "user_identifier": {"identity": "dana"}}] * 1000
    assert set(answers("/api/integrations/track", {"app_id": "11", "events": events}, 16)) == {200}


def test_rate_limits_can_be_switched_off(log: EventLog) -> None:
    with serving(log, rate_limits="off") as served:
        assert {post(served, "/api/track", event()).status_code for _ in range(35)} == {200}
