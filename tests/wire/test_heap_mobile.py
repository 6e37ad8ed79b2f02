"""Heap's classic mobile clients, and account properties: what they send and what it becomes."""

import zlib
from typing import Any

import pytest

from cairn.event import Draft, Element
from cairn.wire import capture_pb2
from tests.wire.arrivals import APP, NOW_MS, draft, parse, refused
from tests.wire.captured import batch, protobuf

IOS: dict[str, Any] = {
    "envId": "55",
    "id": "100",
    "timestamp": "1770113472000",
    "user": {"id": "7"},
    "applicationInfo": {"appName": "Shop", "appVersion": "4.2", "libraryVersion": "8.0"},
    "deviceInfo": {"iosVendorId": "V", "carrier": "T", "phoneModel": "iPhone16,1", "platform": "iOS 19"},
    "sessionInfo": {"id": "9", "timestamp": "1770113400000"},
    "pageviewInfo": {
        "id": "8",
        "title": "Cart",
        "viewController": "CartViewController",
        "screenA11yLabel": "Cart of ann@shop.test",
    },
}
TOUCH = {
    "touchEvent": {
        "type": "tap",
        "targetView": "UIButton",
        "targetIvar": "_buy",
        "targetText": "Buy",
        "viewAncestry": {"ancestry": [{"class": "UIButton"}, {"class": "UIView"}, {"class": "UIWindow"}]},
    }
}


def ios(event: dict[str, Any] | None = None, **change: Any) -> Draft:
    message = {**IOS, **({"event": event} if event else {}), **change}
    return draft("heap.ios.track", {"sentTime": "1770113480000", "messages": [message]}, app_id="55")


def test_a_touch() -> None:
    assert ios(TOUCH) == Draft(
        APP,
        "touch",
        "touch",
        1770113472000,
        NOW_MS,
        user_id=7,
        key_space=f"heap.ios/{APP}",
        key="100",
        sent_ms=1770113480000,
        session_id=9,
        pageview_id=8,
        properties={"touch_type": "tap", "screen_a11y_label": "Cart of {email}"},
        facts={
            "title": "Cart",
            "view": "CartViewController",
            "platform": "iOS 19",
            "device": "iPhone16,1",
            "device_id": "V",
            "carrier": "T",
            "app_name": "Shop",
            "app_version": "4.2",
        },
        element=Element(
            hierarchy="@UIWindow;|@UIView;|@UIButton;|",
            tag="UIButton",
            text="Buy",
            attributes={"ivar": "_buy"},
        ),
        source="shop",
        library="ios",
        ip="203.0.113.9",
        user_agent="curl/8",
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {
                "sourceCustomEvent": {
                    "name": "Paid",
                    "source": "react_native",
                    "sourceProperties": {"s": {"string": "1"}},
                    "customProperties": {"amount": {"string": "5"}, "ok": {"bool": True}},
                }
            },
            ("custom", "Paid", {"s": "1", "amount": "5", "ok": True}),
        ),
        (
            {
                "sourceEvent": {"type": "touch", "sourceProperties": {"component": {"string": "B"}}},
                "appVisibilityState": "BACKGROUNDED",
            },
            ("touch", "touch", {"component": "B", "app_visibility": "backgrounded"}),
        ),
        ({"sourceEvent": {"name": "text_edit"}}, ("change", "text_edit", {})),
        ({"sourceEvent": {"name": "reactNavigationScreenview"}}, ("view", "reactNavigationScreenview", {})),
        (None, ("pageview", "pageview", {})),
    ],
)
def test_kinds_of_ios(event: dict[str, Any] | None, expected: tuple[str, str, dict[str, Any]]) -> None:
    found = ios(event)
    assert found.properties.pop("screen_a11y_label") == "Cart of {email}"
    assert (found.kind, found.name, found.properties) == expected


def test_what_a_framework_saw_is_masked_and_what_was_typed_is_left_out() -> None:
    seen = {
        "touchableHierarchy": {"string": "@App;|@Text;|"},
        "targetText": {"string": "Write ann@shop.test"},
    }
    touch = ios({"sourceEvent": {"name": "touch", "sourceProperties": seen}})
    assert touch.properties["targetText"] == "Write {email}"
    assert touch.element is not None and touch.element.text == "Write {email}"
    typed = ios({"sourceEvent": {"name": "text_edit", "sourceProperties": seen}})
    assert "targetText" not in typed.properties
    assert typed.element is not None and typed.element.text == ""
    field = {"touchEvent": {**TOUCH["touchEvent"], "targetView": "UITextField", "targetText": "secret"}}
    found = ios(field).element
    assert found is not None and (found.tag, found.text) == ("UITextField", "")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({**IOS, "user": {}}, "no_user"),
        ({**IOS, "envId": "6"}, "bad_request"),
        ({**IOS, "timestamp": "x"}, "bad_timestamp"),
        ({**IOS, "event": {"newKind": {}}}, "bad_request"),
        ({"user": {"id": "7"}}, "bad_request"),
        ([], "bad_request"),
    ],
)
def test_refusals_of_ios_cost_no_other(message: Any, reason: str) -> None:
    body = {"sentTime": "soon", "messages": [message, IOS]}
    broken, good = parse("heap.ios.track", body, app_id="55")
    assert broken.reason == reason and isinstance(good, Draft)


ANDROID: dict[str, Any] = {
    "id": 100,
    "env_id": "55",
    "user": {"id": 7, "identity": "dana"},
    "time": 1770113472000,
    "session_info": {"id": 9, "time": 1770113400000},
    "pageview_info": {"id": 8, "activity": {"class_name": "CartActivity"}},
    "properties": {"theme": "dark"},
    "application": {"application_id": "test.shop", "version_name": "4.2"},
    "device": {"brand": "google", "model": "Pixel 12", "release": "19", "carrier": "T"},
}
VIEW = {
    "class_name": "Button",
    "id": "buy",
    "text": "Buy",
    "accessibility_info": {"content_description": "Buy now"},
    "ancestors": [{"class_name": "Layout"}, {"class_name": "Decor", "id": "root"}],
}


def android(event: dict[str, Any]) -> bytes:
    return batch({**ANDROID, "event": event}, kind=capture_pb2.Android.Message)


def test_a_click_of_android() -> None:
    body = android({"click": {"view": VIEW, "on_click_attribute_target": "onBuy"}})
    expected = Draft(
        APP,
        "touch",
        "touch",
        1770113472000,
        NOW_MS,
        user_id=7,
        identity="dana",
        merge_user_id=7,
        key_space=f"heap.android/{APP}",
        key="100",
        session_id=9,
        pageview_id=8,
        properties={"theme": "dark", "callback": "onBuy"},
        facts={
            "view": "CartActivity",
            "platform": "Android 19",
            "device": "google Pixel 12",
            "carrier": "T",
            "os": "Android",
            "os_version": "19",
            "app_name": "test.shop",
            "app_version": "4.2",
        },
        element=Element(
            hierarchy="@Decor;#root;|@Layout;|@Button;#buy;|",
            tag="Button",
            dom_id="buy",
            text="Buy",
            label="Buy now",
        ),
        source="shop",
        library="android",
        ip="203.0.113.9",
        user_agent="curl/8",
    )
    assert draft("heap.android.track", body, app_id="55") == expected
    assert draft("heap.android.track", zlib.compress(body), app_id="55") == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"custom": {"name": "Paid", "properties": {"a": "1"}}},
            ("custom", "Paid", {"a": "1"}, "CartActivity"),
        ),
        ({"swipe": {"view": VIEW}}, ("touch", "touch", {"touch_type": "swipe"}, "CartActivity")),
        (
            {"text_change": {"view": VIEW}, "app_visibility_state": 1},
            ("change", "change", {"app_visibility": "backgrounded"}, "CartActivity"),
        ),
        (
            {"fragment_transition": {"added": [{"class_name": "PayFragment"}]}},
            ("view", "view", {"transition": "appeared"}, "PayFragment"),
        ),
        ({"fragment_transition": {}}, ("view", "view", {"transition": "disappeared"}, "CartActivity")),
        (
            {"page_transition": {"to": {"fragment": {"class_name": "Second"}, "title": "Two"}}},
            ("view", "view", {"transition": "appeared", "page_title": "Two"}, "Second"),
        ),
        (
            {"app_package_change": {"current_app_package_info": {"version_name": "4.2"}}},
            ("version", "version", {"current_version": "4.2"}, "CartActivity"),
        ),
        (
            {
                "source_event": {
                    "source_name": "rn",
                    "name": "touch",
                    "source_properties": {"touchableHierarchy": "@App;|@Buy;|", "targetText": "Buy"},
                }
            },
            ("touch", "touch", {"touchableHierarchy": "@App;|@Buy;|", "targetText": "Buy"}, "CartActivity"),
        ),
        (
            {"source_custom_event": {"name": "Paid", "custom_properties": {"a": "1"}}},
            ("custom", "Paid", {"a": "1"}, "CartActivity"),
        ),
    ],
)
def test_kinds_of_android(event: dict[str, Any], expected: tuple[str, str, dict[str, Any], str]) -> None:
    found = draft("heap.android.track", android(event))
    found.properties.pop("theme")
    assert (found.kind, found.name, found.properties, found.facts["view"]) == expected
    if expected[0] == "change":
        assert found.element is not None and found.element.text == ""


def test_pages_and_sessions_of_android() -> None:
    body = batch({**ANDROID, "pageview": {}}, {**ANDROID, "session": {}}, kind=capture_pb2.Android.Message)
    assert [event.kind for event in parse("heap.android.track", body) if isinstance(event, Draft)] == [
        "pageview",
        "session",
    ]


def test_android_identify() -> None:
    value = {"env_id": "55", "from_user_id": 7, "to_identity": "dana", "time": 1770113472000}
    body = protobuf(value, capture_pb2.Android.UserMigration).SerializeToString()
    found = draft("heap.android.identify", body, app_id="55")
    assert (found.user_id, found.identity, found.merge_user_id, found.time_ms) == (
        7,
        "dana",
        7,
        1770113472000,
    )
    assert refused("heap.android.identify", body, app_id="6").reason == "bad_request"


def test_android_user_properties() -> None:
    value = {
        "env_id": "55",
        "user": {"id": 7},
        "properties": {"plan": "pro"},
        "initial_device": {"brand": "Pixel", "model": "Pixel 12"},
        "initial_application": {"version_name": "4.2"},
    }
    body = protobuf(value, capture_pb2.Android.UserProperties).SerializeToString()
    expected = {"plan": "pro", "initial_device": "Pixel 12", "initial_app_version": "4.2"}
    for one in (body, zlib.compress(body)):
        assert draft("heap.android.add_user_properties", one).user_properties == expected


@pytest.mark.parametrize(
    "body", [b"", b"\x0a\xff", b"x\x9c broken", zlib.compress(b"\0" * 6_000_000), zlib.compress(b"abc")[:-2]]
)
@pytest.mark.parametrize(
    "parser", ["heap.android.track", "heap.android.identify", "heap.android.add_user_properties"]
)
def test_android_bodies_that_hold_nothing(parser: str, body: bytes) -> None:
    refused(parser, body)
