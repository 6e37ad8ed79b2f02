"""Whose an event is that names an identity and a device of somebody else, in every wire format that carries both."""

import time
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from cairn.ids import anonymous_user_id, identified_user_id
from cairn.wire import capture_pb2
from tests.patience import eventually
from tests.served import Served
from tests.whole.conftest import Whole, number
from tests.wire.captured import batch
from tests.wire.test_heap_mobile import ANDROID, IOS, TOUCH, VIEW

Send = Callable[[Whole, str, str], None]  # the device's anonymous id, the identity


def add_user_properties(whole: Whole, device: str, identity: str) -> None:
    whole.send(
        "/api/add_user_properties", identity=identity, properties={"plan": "pro", "anonymous_id": device}
    )


def integrations_track(whole: Whole, device: str, identity: str) -> None:
    named = {"identity": identity, "anonymous_id": device}
    whole.send("/api/integrations/track", event="Order Completed", user_identifier=named)


def integrations_properties(whole: Whole, device: str, identity: str) -> None:
    named = {"identity": identity, "anonymous_id": device}
    whole.send("/api/integrations/add_user_properties", user_identifier=named, properties={"plan": "pro"})


def segment(whole: Whole, device: str, identity: str, **call: Any) -> None:
    body = {"userId": identity, "anonymousId": device, "messageId": str(number()), **call}
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]
    answer = whole.http.post("/v1/batch", json={"batch": [body]}, auth=(key, ""))
    assert answer.status_code == 200, answer.text


def segment_identify(whole: Whole, device: str, identity: str) -> None:
    segment(whole, device, identity, type="identify", traits={"plan": "pro"})


def segment_track(whole: Whole, device: str, identity: str) -> None:
    segment(whole, device, identity, type="track", event="Order Completed")


def capture(whole: Whole, device: str, identity: str) -> None:
    event = {"event": {"custom": {"name": "Order Completed"}}}
    whole.capture(
        {
            "env_id": whole.app_id,
            "user_id": str(anonymous_user_id(device)),
            "id": str(number()),
            "time": now_ms(),
            "identity": identity,
            **event,
        }
    )


def capture_user(whole: Whole, device: str, identity: str) -> None:
    user = {"id": str(anonymous_user_id(device)), "identity": identity, "properties": {"plan": "pro"}}
    whole.capture({"env_id": whole.app_id, "id": str(number()), "time": now_ms(), "user": user})


def pixel(whole: Whole, device: str, identity: str) -> None:
    query = {
        "a": whole.app_id,
        "u": anonymous_user_id(device),
        "v": number(),
        "s": number(),
        "i": identity,
        "id0": number(),
        "t0": "Order Completed",
        "ts0": now_ms(),
    }
    assert whole.http.get(f"/h?{urlencode(query)}").status_code == 200


def pixel_properties(whole: Whole, device: str, identity: str) -> None:
    query = {"a": whole.app_id, "u": anonymous_user_id(device), "i": identity, "_plan": "pro"}
    assert whole.http.get(f"/api/add_user_properties_v3?{urlencode(query)}").status_code == 200


def ios(whole: Whole, device: str, identity: str) -> None:
    user = {"id": str(anonymous_user_id(device)), "identity": identity}
    message = {
        **IOS,
        "envId": whole.app_id,
        "user": user,
        "id": str(number()),
        "event": TOUCH,
        "timestamp": str(now_ms()),
    }
    assert whole.http.post("/api/integrations/ios/track", json={"messages": [message]}).status_code == 200


def android(whole: Whole, device: str, identity: str) -> None:
    user = {"id": anonymous_user_id(device), "identity": identity}
    message = {
        **ANDROID,
        "env_id": whole.app_id,
        "user": user,
        "id": number(),
        "time": now_ms(),
        "event": {"click": {"view": VIEW}},
    }
    body = zlib.compress(batch(message, kind=capture_pb2.Android.Message))
    headers = {"content-type": "application/x-protobuf"}
    assert (
        whole.http.post("/api/integrations/android/track", content=body, headers=headers).status_code == 200
    )


FORMATS: tuple[Send, ...] = (
    add_user_properties,
    integrations_track,
    integrations_properties,
    segment_identify,
    segment_track,
    capture,
    capture_user,
    pixel,
    pixel_properties,
    ios,
    android,
)


@pytest.fixture(scope="module", autouse=True)
def buyers(cairn: Served) -> None:
    """A segment of everybody who bought."""
    whole = Whole(cairn)
    condition = {"type": "did", "event": {"name": "Order Completed"}}
    body = {"key": "buyers", "name": "buyers", "condition": condition}
    whole.api("POST", "/segments", status=201, is_here=False, json=body)
    whole.http.close()


def is_buyer(whole: Whole, identity: str) -> bool:
    return "buyers" in {one["key"] for one in (whole.user(identity) or {"segments": []})["segments"]}


def now_ms() -> int:
    return int(time.time() * 1000)


def signed_in(whole: Whole) -> tuple[str, str]:
    """A device, by its anonymous id, and whose it is."""
    device, identity = f"device-{number()}", f"x-{number()}"
    whole.send("/api/v1/identify", user_id=str(anonymous_user_id(device)), identity=identity)
    integrations_track(whole, device, identity)
    eventually(lambda: len(whole.events(identity)) == 2)
    return device, identity


@pytest.mark.parametrize("send", FORMATS)
def test_what_names_an_identity_is_its_also_from_somebody_elses_device(whole: Whole, send: Send) -> None:
    device, x = signed_in(whole)
    before, y = whole.events(x), f"y-{number()}"
    send(whole, device, y)
    [event] = eventually(lambda: whole.events(y))
    user = whole.user(y)["user"]
    assert user["identity"] == y
    if event["kind"] == "identify":
        assert user["properties"]["plan"]["value"] == "pro"
    found = whole.api("GET", "/users", params={"search": y})["users"]
    assert [one["id"] for one in found] == [user["id"]]
    if event["name"] == "Order Completed":
        eventually(lambda: is_buyer(whole, y))
    # The device stays with whom it was first seen, and so does its history.
    assert whole.events(x) == before
    assert whole.user(anonymous_user_id(device))["user"]["identity"] == x
    assert "plan" not in whole.user(x)["user"]["properties"]


def server_identify(whole: Whole, user_id: int, identity: str) -> None:
    whole.send("/api/v1/identify", user_id=str(user_id), identity=identity)


def capture_identify(whole: Whole, user_id: int, identity: str) -> None:
    whole.identify(user_id, identity)


def pixel_identify(whole: Whole, user_id: int, identity: str) -> None:
    query = urlencode({"a": whole.app_id, "u": user_id, "i": identity})
    assert whole.http.get(f"/api/identify_v3?{query}").status_code == 200


def android_identify(whole: Whole, user_id: int, identity: str) -> None:
    message = {"env_id": whole.app_id, "from_user_id": user_id, "to_identity": identity}
    body = capture_pb2.Android.UserMigration(**message).SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    path = "/api/integrations/android/identify"
    assert whole.http.post(path, content=body, headers=headers).status_code == 200


IDENTIFIES = (server_identify, capture_identify, pixel_identify, android_identify)


@pytest.mark.parametrize("identify", IDENTIFIES)
@pytest.mark.parametrize("is_known_before", [True, False], ids=["known before", "in one batch"])
def test_an_identitys_own_number_takes_no_other_identity(
    whole: Whole, identify: Callable[[Whole, int, str], None], is_known_before: bool
) -> None:
    x, y = f"x-{number()}", f"y-{number()}"
    own = identified_user_id(whole.environment_id, x)
    whole.send("/api/track", event="Order Completed", identity=x)
    if is_known_before:
        eventually(lambda: is_buyer(whole, x))
    identify(whole, own, y)
    [refusal] = eventually(
        lambda: [one for one in whole.live(outcome="invalid") if str(own) in one["detail"]]
    )
    assert refusal["reason"] == "identity_taken"
    eventually(lambda: is_buyer(whole, x))
    assert (whole.user(x)["user"]["id"], whole.user(y)) == (own, None)
    # What carries another identity beside that number is the identity's it names.
    whole.capture(
        {
            "env_id": whole.app_id,
            "user_id": str(own),
            "id": str(number()),
            "time": now_ms(),
            "identity": y,
            "event": {"custom": {"name": "Order Completed"}},
        }
    )
    eventually(lambda: len(whole.events(y)) == 1)
    assert (whole.user(y)["user"]["identity"], len(whole.events(x))) == (y, 1)
