"""Who a user is, whatever order things arrive in: every rule of contracts/heap.md section 7 over the wire."""

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cairn.ids import identified_user_id
from tests.patience import eventually
from tests.served import Served
from tests.whole.conftest import CAPTURE, Whole, number, token_in

HOUR_MS = 3_600_000


def session(whole: Whole, user_id: int, at: int, **more: Any) -> dict[str, Any]:
    """The beginning of a session of a browser."""
    message_id = str(number())
    return {
        "env_id": whole.app_id,
        "user_id": str(user_id),
        "id": message_id,
        "time": at,
        "session": {},
        "session_info": {"id": message_id, **more},
    }


def bought(whole: Whole, user_id: int, at: int, **more: Any) -> dict[str, Any]:
    return {
        "env_id": whole.app_id,
        "user_id": str(user_id),
        "id": str(number()),
        "time": at,
        "event": {"custom": {"name": "Order Completed"}},
        **more,
    }


def own_id(whole: Whole, identity: str) -> int:
    return identified_user_id(whole.environment_id, identity)


def value_of(whole: Whole, name: str | int, key: str) -> str | None:
    found = whole.user(name)["user"]["properties"].get(key)
    return None if found is None else str(found["value"])


def segments(whole: Whole, name: str | int) -> set[str]:
    return {segment["key"] for segment in (whole.user(name) or {"segments": []})["segments"]}


class Story:
    """Two devices of one person. Every order of these five must end alike."""

    def __init__(self, whole: Whole) -> None:
        self.whole, self.identity = whole, f"dana-{number()}@shop.test"
        self.phone, self.laptop = number(), number()
        now = int(time.time() * 1000)
        campaign = {"source": "news", "medium": "email"}
        later = [
            session(whole, self.phone, now - HOUR_MS, utm=campaign),
            bought(whole, self.phone, now - HOUR_MS),
        ]
        first = [
            session(whole, self.laptop, now - 9 * HOUR_MS, referrer="https://www.google.com/"),
            bought(whole, self.laptop, now - 8 * HOUR_MS),
        ]
        carried = bought(whole, self.laptop, now - 2 * HOUR_MS, identity=self.identity)
        self.steps = [
            lambda: whole.capture(*later),
            lambda: whole.capture(*first),
            lambda: whole.identify(self.phone, self.identity),
            lambda: whole.identify(self.laptop, self.identity),
            lambda: whole.capture(carried),
        ]

    def ends_well(self) -> bool:
        found = self.whole.user(self.identity)
        if found is None or set(found["user_ids"]) != {
            self.phone,
            self.laptop,
            own_id(self.whole, self.identity),
        }:
            return False
        events = [event["name"] for event in self.whole.events(self.identity)]
        return events.count("Order Completed") == 3 and events.count("session") == 2

    def check(self) -> None:
        eventually(self.ends_well)
        eventually(lambda: segments(self.whole, self.identity) == {"active_buyers", "searchers"})
        # First-seen data come from the earliest session alone, on whichever device it was and whenever it arrived.
        assert value_of(self.whole, self.identity, "initial_channel") == "Organic Search"
        assert value_of(self.whole, self.identity, "initial_referrer") == "https://www.google.com/"
        assert value_of(self.whole, self.identity, "initial_utm_source") is None
        ids = {one["user_id"]: one["events"] for one in self.whole.user(self.identity)["ids"]}
        assert ids == {own_id(self.whole, self.identity): 0, self.phone: 2, self.laptop: 3}
        assert self.whole.user(self.phone)["user"]["id"] == own_id(self.whole, self.identity)


@pytest.fixture(scope="module", autouse=True)
def came_by(cairn: Served) -> None:
    """Segments by first-seen data: of the search engine, and of a campaign that is never the first."""
    whole = Whole(cairn)
    for key, name, value in (("searchers", "channel", "Organic Search"), ("readers", "utm_source", "news")):
        condition = {"type": "user_property", "key": f"initial_{name}", "operator": "is", "value": value}
        whole.api(
            "POST",
            "/segments",
            status=201,
            is_here=False,
            json={"key": key, "name": key, "condition": condition},
        )
    whole.http.close()


def test_every_order_ends_alike(whole: Whole) -> None:
    """Sixteen of the orders, each with devices of its own and with everything sent twice."""
    draw = random.Random(3)
    orders = draw.sample(list(itertools.permutations(range(5))), 16)
    stories = [Story(whole) for _ in orders]
    for story, order in zip(stories, orders, strict=True):
        for step in order:
            story.steps[step]()
        for step in draw.sample(order, 5):
            story.steps[step]()
    for story in stories:
        story.check()


def test_devices_at_the_same_time_end_alike(whole: Whole) -> None:
    story = Story(whole)
    with ThreadPoolExecutor(5) as threads:
        for done in [threads.submit(step) for step in story.steps * 2]:
            done.result()
    story.check()


def test_the_first_identify_is_retroactive_and_the_same_again_is_nothing(whole: Whole) -> None:
    device, identity, now = number(), f"eve-{number()}", int(time.time() * 1000)
    whole.capture(bought(whole, device, now - HOUR_MS), bought(whole, device, now - 2 * HOUR_MS))
    eventually(lambda: "active_buyers" in segments(whole, device))
    assert whole.user(identity) is None
    for _ in range(2):
        whole.identify(device, identity)
    eventually(lambda: len(whole.events(identity)) == 4)
    assert [merge["kind"] for merge in whole.user(identity)["merges"]] == ["merge"]
    eventually(lambda: "active_buyers" in segments(whole, identity))


def test_another_identity_is_another_user_and_history_stays(whole: Whole) -> None:
    """What heap.identify(Y) does while X is known, and resetIdentity: the client goes on with a new user id."""
    device, next_device, after_reset = number(), number(), number()
    x, y, now = f"x-{number()}", f"y-{number()}", int(time.time() * 1000)
    whole.capture(bought(whole, device, now - HOUR_MS))
    whole.identify(device, x)
    whole.identify(device, y)  # a client that keeps the id all the same: it keeps its first identity
    whole.capture(bought(whole, next_device, now))
    whole.identify(next_device, y)
    whole.capture(bought(whole, after_reset, now))
    eventually(lambda: whole.events(y) and whole.events(after_reset))
    taken = eventually(
        lambda: [event for event in whole.live(outcome="invalid") if str(device) in event["detail"]]
    )
    assert [(one["reason"], one["user"]) for one in taken] == [("identity_taken", y)]
    bought_by = {
        name: [e["user_id"] for e in whole.events(name) if e["name"] == "Order Completed"] for name in (x, y)
    }
    assert bought_by == {x: [device], y: [next_device]}
    assert whole.user(after_reset)["user"]["identity"] is None


def test_the_guards_of_the_servers_identify(whole: Whole) -> None:
    identity, devices = f"many-{number()}", [number() for _ in range(11)]
    for device in devices:
        whole.send("/api/v1/identify", user_id=str(device), identity=identity)
    whole.send("/api/v1/identify", user_id=str(devices[0]), identity=f"other-{identity}")
    whole.send("/api/v1/identify", user_id=str(devices[1]), identity=identity)  # known already
    eventually(lambda: len((whole.user(identity) or {"user_ids": []})["user_ids"]) == 11)
    refused = eventually(
        lambda: (
            (found := [event for event in whole.live(outcome="invalid") if identity in event["user"]])[1:]
            and found
        )
    )
    assert sorted((one["reason"], one["name"]) for one in refused) == [
        ("identity_taken", "Identify"),
        ("too_many_users_for_identity", "Identify"),
    ]
    assert set(whole.user(identity)["user_ids"]) == {own_id(whole, identity), *devices[:10]}
    assert all(
        str(number_) in " ".join(one["detail"] for one in refused) for number_ in (devices[0], devices[10])
    )


@pytest.mark.parametrize(
    "identity", ["null", "undefined", "guest", "NaN", "[object Object]", " ", "(not set)"]
)
def test_junk_identities_are_refused_with_their_reason(whole: Whole, identity: str) -> None:
    device = number()
    whole.send("/api/v1/identify", status=400, user_id=str(device), identity=identity)
    body = {"env_id": whole.app_id, "user_id": str(device), "identity": identity}
    assert whole.http.post(f"{CAPTURE}/identify", json=body).status_code == 200  # read, so never sent again
    # Beside an event it costs the event nothing.
    whole.capture(bought(whole, device, int(time.time() * 1000), identity=identity))
    eventually(lambda: whole.events(device))
    assert whole.user(device)["user_ids"] == [device]
    refused = eventually(
        lambda: [o for o in whole.live(outcome="invalid") if str(device) in o["payload"]][1:]
    )
    assert {one["reason"] for one in refused} == {"junk_identity"}


def test_reserved_and_built_in_user_properties(whole: Whole) -> None:
    identity = f"fay-{number()}"
    given = {"email": "fay@shop.test", "Email": "other", "Id": "1", "identity": "boss", "plan": "pro"}
    whole.send("/api/add_user_properties", identity=identity, properties=given)
    whole.send("/api/track", identity=identity, event="Paid")
    eventually(lambda: whole.events(identity)[1:])
    known = {key: each["value"] for key, each in whole.user(identity)["user"]["properties"].items()}
    assert known == {"email": "fay@shop.test", "Email": "other", "plan": "pro", "identity": identity}
    assert whole.user("boss") is None
    found = whole.api("GET", "/users", params={"search": "fay@shop.test"})["users"]
    assert identity in [one["identity"] for one in found]


def test_a_merge_says_what_it_changed_and_can_be_taken_back_on_the_page(whole: Whole) -> None:
    device, identity, now = number(), f"gil-{number()}", int(time.time() * 1000)
    whole.send("/api/track", identity=identity, event="Order Completed")
    whole.send("/api/add_user_properties", identity=identity, properties={"plan": "free", "seats": 1})
    eventually(lambda: value_of(whole, identity, "seats") if whole.user(identity) else None)
    whole.capture(bought(whole, device, now))
    body = {"env_id": whole.app_id, "user_id": str(device), "properties": {"plan": "premium", "city": "Graz"}}
    assert whole.http.post(f"{CAPTURE}/add_user_properties", json=body).status_code == 200
    whole.identify(device, identity)
    eventually(lambda: segments(whole, identity) == {"active_buyers", "heap_premium_users"})

    own, brought = whole.user(identity)["ids"]
    assert (own["user_id"], own["events"]) == (own_id(whole, identity), 1)
    assert (brought["user_id"], brought["events"]) == (device, 1)
    assert brought["properties"] == [
        {"key": "city", "value": "Graz", "without": None},
        {"key": "plan", "value": "premium", "without": "free"},
    ]
    path = f"/env/{whole.environment}/users/{own_id(whole, identity)}"
    with whole.signed_in() as browser:
        page = browser.get(path).text
        assert "instead of free" in page and "Take this merge back?" in page
        form = {"csrf": token_in(page), "raw": str(device)}
        answer = browser.post(f"{path}/unmerge", data=form)
        assert "is a user of its own again" in answer.text

    eventually(lambda: segments(whole, identity) == set())
    assert (value_of(whole, identity, "plan"), value_of(whole, device, "plan")) == ("free", "premium")
    assert segments(whole, device) == {"heap_premium_users"}
    assert [merge["kind"] for merge in whole.user(identity)["merges"]] == ["merge", "unmerge"]
    # The browser still carries the identity along, and that is no reason to merge again.
    whole.capture(bought(whole, device, now + 1, identity=identity))
    eventually(lambda: "active_buyers" in segments(whole, device))
    assert whole.user(identity)["user_ids"] == [own_id(whole, identity)]
    whole.identify(device, identity)
    eventually(lambda: device in whole.user(identity)["user_ids"])
    eventually(lambda: segments(whole, identity) == {"active_buyers", "heap_premium_users"})
