"""When something happened by clocks that are wrong, in every wire format that carries a time."""

import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from cairn.ids import anonymous_user_id
from cairn.wire import capture_pb2
from tests.patience import eventually
from tests.whole.conftest import CAPTURE, Whole, number
from tests.wire.captured import batch
from tests.wire.test_heap_mobile import ANDROID, IOS, TOUCH, VIEW

HOUR_MS = 3_600_000
Send = Callable[
    [Whole, int, int, int], str | int
]  # device, time, sentAt (0: none); returns whose events to read


def now_ms() -> int:
    return int(time.time() * 1000)


def iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def heap(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    whole.send("/api/track", event="Order Completed", user_id=str(device), timestamp=time_ms)
    return device


def heap_properties(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    whole.send("/api/add_user_properties", user_id=str(device), timestamp=time_ms, properties={"plan": "pro"})
    return device


def segment(whole: Whole, device: int, time_ms: int, sent_ms: int) -> str:
    call = {
        "type": "track",
        "event": "Order Completed",
        "userId": f"user-{device}",
        "timestamp": iso(time_ms),
    }
    body: dict[str, Any] = {"batch": [call], **({"sentAt": iso(sent_ms)} if sent_ms else {})}
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]
    assert whole.http.post("/v1/batch", json=body, auth=(key, "")).status_code == 200
    return f"user-{device}"


def segment_single(whole: Whole, device: int, time_ms: int, sent_ms: int) -> str:
    body = {"event": "Order Completed", "userId": f"user-{device}", "timestamp": iso(time_ms)}
    body |= {"sentAt": iso(sent_ms)} if sent_ms else {}
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]
    assert whole.http.post("/v1/track", json=body, auth=(key, "")).status_code == 200
    return f"user-{device}"


def capture(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    message = {
        "env_id": whole.app_id,
        "user_id": str(device),
        "id": str(number()),
        "time": time_ms,
        "event": {"custom": {"name": "Order Completed"}},
    }
    path = f"{CAPTURE}/track?a={whole.app_id}" + (f"&st={sent_ms}" if sent_ms else "")
    assert whole.http.post(path, json={"events": [message]}).status_code == 200
    return device


def pixel(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    query = {
        "a": whole.app_id,
        "u": device,
        "v": number(),
        "s": number(),
        "id0": number(),
        "t0": "Order Completed",
        "ts0": time_ms,
        **({"st": sent_ms} if sent_ms else {}),
    }
    assert whole.http.get(f"/h?{urlencode(query)}").status_code == 200
    return device


def ios(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    message = {
        **IOS,
        "envId": whole.app_id,
        "user": {"id": str(device)},
        "id": str(number()),
        "event": TOUCH,
        "timestamp": str(time_ms),
    }
    body = {"messages": [message], **({"sentTime": str(sent_ms)} if sent_ms else {})}
    assert whole.http.post("/api/integrations/ios/track", json=body).status_code == 200
    return device


def android(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:
    message = {
        **ANDROID,
        "env_id": whole.app_id,
        "user": {"id": device},
        "id": number(),
        "time": time_ms,
        "event": {"click": {"view": VIEW}},
    }
    body = zlib.compress(batch(message, kind=capture_pb2.Android.Message))
    headers = {"content-type": "application/x-protobuf"}
    assert (
        whole.http.post("/api/integrations/android/track", content=body, headers=headers).status_code == 200
    )
    return device


def flag_sdk(whole: Whole, device: int, time_ms: int, sent_ms: int) -> int:

    key = whole.cairn.demo["environments"][whole.environment]["sdk_key"]
    props = {"vwo_sdkName": "vwo-fme-node-sdk", "vwo_sdkVersion": "1.0"}
    event = {
        "d": {
            "msgId": str(number()),
            "visId": f"v{device}",
            "sessionId": time_ms // 1000,
            "event": {"props": props, "name": "Order Completed", "time": time_ms},
        }
    }
    path = f"/events/t?en={quote('Order Completed')}&a={whole.cairn.demo['account_id']}&env={key}"
    answer = whole.http.post(path, json=event)
    assert answer.status_code == 200, answer.text
    return anonymous_user_id(f"v{device}")


WITHOUT_SENDING_TIME: tuple[Send, ...] = (heap, heap_properties, android, flag_sdk)
WITH_SENDING_TIME: tuple[Send, ...] = (segment, segment_single, capture, pixel, ios)


def stored(whole: Whole, send: Send, ahead_ms: int, sent_ms: int | None) -> tuple[int, int, int]:
    """When it was sent here, when it happened and when it was received, of one event."""
    before = now_ms()
    name = send(whole, number(), before + ahead_ms, 0 if sent_ms is None else before + sent_ms)
    [event] = eventually(lambda: whole.events(name))
    at, received = (
        int(datetime.fromisoformat(event[key]).timestamp() * 1000) for key in ("time", "received_at")
    )
    return before, at, received


@pytest.mark.parametrize("send", WITHOUT_SENDING_TIME + WITH_SENDING_TIME)
@pytest.mark.parametrize("ahead_ms", [20_000, 5 * HOUR_MS, 23 * HOUR_MS], ids=["20 s", "5 h", "23 h"])
def test_nothing_happens_after_it_was_received(whole: Whole, send: Send, ahead_ms: int) -> None:
    _, at, received = stored(whole, send, ahead_ms, None)
    assert at == received


@pytest.mark.parametrize("send", WITH_SENDING_TIME)
@pytest.mark.parametrize("sent_ms", [-1, -5 * HOUR_MS, -14 * 24 * HOUR_MS], ids=["1 ms", "5 h", "14 days"])
@pytest.mark.parametrize("ahead_ms", [0, -HOUR_MS, HOUR_MS], ids=["now", "an hour ago", "in an hour"])
def test_a_sending_before_the_event_says_nothing_of_the_clock(
    whole: Whole, send: Send, sent_ms: int, ahead_ms: int
) -> None:
    before, at, received = stored(whole, send, ahead_ms, ahead_ms + sent_ms)
    assert at == (received if ahead_ms > 0 else before + ahead_ms)


def test_a_clock_ahead_joins_its_segment_at_once(whole: Whole) -> None:
    device = number()
    for _ in range(2):
        heap(whole, device, now_ms() + 20 * HOUR_MS, 0)
    eventually(
        lambda: (
            "active_buyers"
            in {segment["key"] for segment in (whole.user(device) or {"segments": []})["segments"]}
        )
    )
