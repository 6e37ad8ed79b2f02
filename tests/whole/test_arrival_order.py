"""At equal times the later arrival wins, across merged ids as within one, wherever a user is looked at."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.patience import eventually
from tests.served import Served
from tests.whole.conftest import Whole, number

TIMES = 8  # devices per case; by chance alone the raw ids decide for the later one every second time


@pytest.fixture(scope="module", autouse=True)
def pros(cairn: Served) -> None:
    """A segment by the property that is set twice."""
    whole = Whole(cairn)
    condition = {"type": "user_property", "key": "tier", "operator": "is", "value": "pro"}
    body = {"key": "pros", "name": "pros", "condition": condition}
    whole.api("POST", "/segments", status=201, is_here=False, json=body)
    whole.http.close()


def send(whole: Whole, *calls: dict[str, Any]) -> None:
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]
    assert whole.http.post("/v1/batch", json={"batch": calls}, auth=(key, "")).status_code == 200


def now() -> str:
    return datetime.now(UTC).isoformat()


def tier(device: str, at: str, value: str, **named: str) -> dict[str, Any]:
    return {"type": "identify", "anonymousId": device, "timestamp": at, "traits": {"tier": value}, **named}


@pytest.mark.parametrize("is_one_request", [True, False], ids=["one request", "two requests"])
@pytest.mark.parametrize("is_pro_last", [True, False], ids=["pro last", "free last"])
def test_at_equal_times_the_property_that_arrived_later_wins(
    whole: Whole, is_one_request: bool, is_pro_last: bool
) -> None:
    people = []
    for _ in range(TIMES):
        device, identity, at = f"an-{number()}", f"tied-{number()}", now()
        calls = [
            tier(device, at, "free" if is_pro_last else "pro"),
            tier(device, at, "pro" if is_pro_last else "free", userId=identity),
        ]
        for sent in [calls] if is_one_request else [[call] for call in calls]:
            send(whole, *sent)
        people.append(identity)
    last = "pro" if is_pro_last else "free"
    for identity in people:
        eventually(lambda identity=identity: len(whole.events(identity)) == 2)
        user = whole.user(identity)
        assert user["user"]["properties"]["tier"]["value"] == last
        exported = [
            one["value"]
            for one in whole.api("GET", f"/users/{identity}/export")["properties"]
            if one["key"] == "tier"
        ]
        assert exported[-1] == last
        eventually(lambda identity=identity: ("pros" in segments(whole, identity)) == is_pro_last)
    with whole.signed_in() as browser:
        page = browser.get(f"/env/{whole.environment_id}/users/{user['user']['id']}").text
    assert f">{last}<" in page or last in page


def segments(whole: Whole, identity: str) -> set[str]:
    return {segment["key"] for segment in whole.user(identity)["segments"]}


@pytest.mark.parametrize("is_one_request", [True, False], ids=["one request", "many requests"])
def test_a_timeline_of_equal_times_is_in_the_order_of_arrival(whole: Whole, is_one_request: bool) -> None:
    device, identity, at = f"an-{number()}", f"tied-{number()}", now()
    names = [f"Step {place}" for place in range(1, 9)]
    calls: list[dict[str, Any]] = [
        {"type": "track", "event": name, "timestamp": at, "anonymousId": device}
        | ({"userId": identity} if place % 2 else {})
        for place, name in enumerate(names)
    ]
    calls.insert(4, tier(device, at, "pro", userId=identity))
    for sent in [calls] if is_one_request else [[call] for call in calls]:
        send(whole, *sent)
    eventually(lambda: len(whole.events(identity)) == len(calls))

    def steps(events: list[dict[str, Any]]) -> list[str]:
        return [event["name"] for event in events if event["name"] in names]

    assert steps(whole.events(identity)) == names[::-1]
    assert steps(whole.api("GET", f"/users/{identity}/export")["events"]) == names
    assert steps(whole.live(user=identity)) == names[::-1]
    with whole.signed_in() as browser:
        page = browser.get(f"/env/{whole.environment_id}/users/{whole.user(identity)['user']['id']}").text
    places = [page.index(f"{name}") for name in names[::-1]]
    assert places == sorted(places)


def test_a_page_of_equal_times_goes_on_where_it_ended(whole: Whole) -> None:
    """More events than a page of the API holds, all at one time."""
    identity, at = f"tied-{number()}", now()
    names = [f"Step {place}" for place in range(130)]
    send(whole, *({"type": "track", "event": name, "timestamp": at, "userId": identity} for name in names))
    deadline = time.monotonic() + 60
    found: list[str] = []
    while len(found) < len(names) and time.monotonic() < deadline:
        found, cursor = [], ""
        while True:
            params = {"after": cursor} if cursor else {}
            page = (
                whole.api("GET", f"/users/{identity}/events", params=params) if whole.user(identity) else {}
            )
            found += [event["name"] for event in page.get("events", [])]
            cursor = page.get("next") or ""
            if not cursor:
                break
    assert found == names[::-1]
