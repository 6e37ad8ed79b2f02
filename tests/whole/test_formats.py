"""Every wire format of contracts/heap.md section 5, from its bytes to the user's exported history."""

import time
import zlib
from typing import Any
from urllib.parse import urlencode

import pytest

from cairn.wire import capture_pb2
from tests.ingest.test_device import CHROME, GOOGLEBOT
from tests.patience import eventually
from tests.whole.conftest import CAPTURE, Whole, number
from tests.wire.captured import CLICK, batch, message
from tests.wire.test_heap_mobile import ANDROID, IOS, TOUCH, VIEW

KINDS: dict[str, dict[str, Any]] = {
    "session": {"session": {}},
    "pageview": {"pageview": {}},
    "custom": {"event": {"custom": {"name": "Paid", "properties": {"amount": "5"}}}},
    "click": {"event": CLICK["event"]},
    "version": {"event": {"version_change": {"previous_version": "1", "current_version": "2"}}},
    "view": {"event": {"component_transition": {"invisible_to_visible": [{"node_name": "CartScreen"}]}}},
    "notification": {"event": {"notification_interaction": {"source": 1, "title_text": "Sale"}}},
    "identify": {"user": {"properties": {"plan": "pro"}}},
}


def sent(whole: Whole, device: int, kind: dict[str, Any], *, agent: str = CHROME) -> dict[str, Any]:
    now = int(time.time() * 1000)
    named = {"env_id": whole.app_id, "user_id": str(device), "id": str(number()), "time": now}
    return {**message(**kind), **named, "device": {"user_agent": agent}}


def history(whole: Whole, device: int, count: int) -> list[dict[str, Any]]:
    eventually(lambda: len(whole.events(device)) == count)
    return list(whole.api("GET", f"/users/{device}/export")["events"])


@pytest.mark.parametrize("is_protobuf", [True, False], ids=["protobuf", "json"])
def test_every_kind_of_message(whole: Whole, is_protobuf: bool) -> None:
    device = number()
    messages = [sent(whole, device, kind) for kind in KINDS.values()]
    if is_protobuf:
        headers = {"content-type": "application/octet-stream", "x-heap-env-id": whole.app_id}
        answer = whole.http.post(f"{CAPTURE}/track", content=batch(*messages), headers=headers)
        assert answer.status_code == 200
    else:
        whole.capture(*messages)
    told = {one["kind"]: one for one in history(whole, device, len(KINDS))}
    assert told.keys() == KINDS.keys()
    click = told["click"]
    facts = {
        "path": "/pricing",
        "previous_path": "/",
        "landing_path": "/",
        "utm_source": "news",
        "channel": "Email",
        "browser": "Chrome",
    }
    assert {key: click[key] for key in facts} == facts
    assert (click["element"]["text"], click["properties"]) == ("Start free", {"theme": "dark"})
    assert told["custom"]["name"] == "Paid" and told["custom"]["properties"]["amount"] == "5"
    first = {key: each["value"] for key, each in whole.user(device)["user"]["properties"].items()}
    assert (first["plan"], first["initial_channel"], first["initial_referrer"]) == (
        "pro",
        "Email",
        "https://search.example/",
    )


def test_the_classic_browser_script(whole: Whole) -> None:
    device, now = number(), int(time.time() * 1000)
    base = {"a": whole.app_id, "u": device, "v": number(), "s": number(), "b": "web", "tv": "4.0", "st": now}
    page = {**base, "h": "/cart", "d": "shop.test", "t": "Cart", "ts": now}
    events = {
        **base,
        "id0": number(),
        "t0": "click",
        "n0": "a",
        "x0": "Buy",
        "ts0": now,
        "id1": number(),
        "t1": "Paid",
        "k1": ["amount", "5"],
        "ts1": now,
    }
    for path, query in (
        ("/h", page),
        ("/h", events),
        ("/api/add_user_properties_v3", {**base, "_plan": "pro"}),
        ("/api/identify_v3", {**base, "i": f"ida-{device}"}),
    ):
        answer = whole.http.get(f"{path}?{urlencode(query, doseq=True)}", headers={"user-agent": CHROME})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    told = history(whole, device, 5)
    assert sorted(one["kind"] for one in told) == ["click", "custom", "identify", "identify", "pageview"]
    assert whole.user(f"ida-{device}")["user"]["properties"]["plan"]["value"] == "pro"


def test_the_classic_apps(whole: Whole) -> None:
    phone, tablet = number(), number()
    ios = {
        **IOS,
        "envId": whole.app_id,
        "user": {"id": str(phone)},
        "id": str(number()),
        "event": TOUCH,
        "timestamp": str(int(time.time() * 1000)),
    }
    assert whole.http.post("/api/integrations/ios/track", json={"messages": [ios]}).content == b"{}"
    android = {
        **ANDROID,
        "env_id": whole.app_id,
        "user": {"id": tablet},
        "id": number(),
        "time": int(time.time() * 1000),
        "event": {"click": {"view": VIEW}},
    }
    body = zlib.compress(batch(android, kind=capture_pb2.Android.Message))
    sent_as = {"content-type": "application/x-protobuf"}
    assert whole.http.post("/api/integrations/android/track", content=body, headers=sent_as).content == b"{}"
    for device in (phone, tablet):
        [touch] = history(whole, device, 1)
        assert (touch["kind"], touch["element"]["text"]) == ("touch", "Buy")


def test_bots_are_left_out_with_their_reason(whole: Whole) -> None:
    device = number()
    whole.capture(sent(whole, device, {"pageview": {}}, agent=GOOGLEBOT))
    [told] = eventually(
        lambda: [event for event in whole.live(outcome="filtered") if event["user"] == str(device)]
    )
    assert (told["reason"], "Googlebot" in told["detail"]) == ("bot", True)
    assert whole.user(device) is None
