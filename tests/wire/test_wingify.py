"""Flag SDKs' events become drafts, or are refused with the field and the fix."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.event import Arrival, Draft, Kind, Refused
from cairn.ids import anonymous_user_id
from cairn.outcomes import Reason
from cairn.wire.wingify import MOST_EVENTS, parse_batch, parse_event

RECEIVED_MS = 1_795_304_870_000
TIME_MS = 1_795_304_865_757
VISITOR = "E012891C2EB85923932F7D318E2D678D"


def event(name: Any, props: Any = None, *, visitor_props: Any = None, **changes: Any) -> dict[str, Any]:
    sdk = {"vwo_sdkName": "vwo-fme-node-sdk", "vwo_sdkVersion": "1.60.0", "vwo_envKey": "k" * 32}
    return {
        "d": {
            "msgId": f"{VISITOR}-{TIME_MS}",
            "visId": VISITOR,
            "sessionId": 1_795_304_852,
            "visitor_ua": "Mozilla/5.0",
            "visitor_ip": "203.0.113.7",
            "event": {"name": name, "time": TIME_MS, "props": {**sdk, **(props or {})}},
            "visitor": {"props": {"vwo_fs_environment": "k" * 32, **(visitor_props or {})}},
            **changes,
        }
    }


def timed(time_ms: int) -> dict[str, Any]:
    body = event("e")
    body["d"]["event"]["time"] = time_ms
    return body


def arrival(body: Any, *, environment_id: int = 7, extra: dict[str, Any] | None = None) -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Arrival(
        parser="wingify.event",
        environment_id=environment_id,
        source_id=0,
        source="flags",
        received_ms=RECEIVED_MS,
        ip="",
        user_agent="",
        body=raw,
        extra=extra or {},
    )


def only_draft(body: Any) -> Draft:
    (parsed,) = parse_event(arrival(body))
    assert isinstance(parsed, Draft), parsed
    return parsed


@pytest.mark.parametrize("variation", [2, "2", 2.0], ids=["node number", "python text", "float"])
def test_an_exposure_names_campaign_and_variation(variation: Any) -> None:
    shown = only_draft(event("vwo_variationShown", {"id": 102, "variation": variation, "isFirst": 1}))
    assert (shown.kind, shown.name, shown.environment_id) == (Kind.EXPOSURE, "vwo_variationShown", 7)
    assert shown.properties == {
        "campaign": 102,
        "variation": 2,
        "is_first": True,
        "sdk": "vwo-fme-node-sdk",
        "sdk_version": "1.60.0",
    }
    assert (shown.user_id, shown.anonymous_id) == (anonymous_user_id(VISITOR), VISITOR)
    assert (shown.time_ms, shown.received_ms, shown.session_id) == (TIME_MS, RECEIVED_MS, 1_795_304_852)
    assert (shown.source, shown.library) == ("flags", "vwo-fme-node-sdk 1.60.0")
    assert (shown.ip, shown.user_agent) == ("203.0.113.7", "Mozilla/5.0")
    assert shown.key_space == "wingify/7" and shown.key


def test_a_holdout_exposure_keeps_its_feature_and_post_segmentation_variables() -> None:
    shown = only_draft(
        event("vwo_variationShown", {"id": 5001, "variation": 1, "fId": 11}, visitor_props={"plan": "pro"})
    )
    assert (shown.properties["feature"], shown.properties["plan"]) == (11, "pro")
    assert shown.properties["is_first"] is False


def test_a_tracked_event_keeps_its_own_properties_only() -> None:
    tracked = only_draft(
        event(
            "purchase",
            {
                "isCustomEvent": True,
                "variation": 1,
                "id": 1,
                "amount": 12.5,
                "gift": None,
                "tags": ["a", "é"],
            },
        )
    )
    assert (tracked.kind, tracked.name) == (Kind.CUSTOM, "purchase")
    assert tracked.properties == {"amount": 12.5, "tags": "a||é"}


def test_a_tracked_event_keeps_properties_that_only_look_like_the_constants() -> None:
    tracked = only_draft(event("purchase", {"isCustomEvent": True, "variation": "blue", "id": 99}))
    assert tracked.properties == {"variation": "blue", "id": 99}


def test_attributes_become_user_properties() -> None:
    synced = only_draft(
        event(
            "vwo_syncVisitorProp",
            {"isCustomEvent": True},
            visitor_props={"plan": "pro", "seats": 3, "beta": True, "ip": "203.0.113.7", "none": None},
        )
    )
    assert (synced.kind, synced.properties) == (Kind.IDENTIFY, {})
    assert synced.user_properties == {"plan": "pro", "seats": 3, "beta": True}


@pytest.mark.parametrize("name", ["vwo_fmeSdkInit", "vwo_sdkDebug", "vwo_sdkUsageStats", "vwo_log"])
def test_what_an_sdk_says_of_itself_is_filtered_with_its_payload(name: str) -> None:
    body = event(name, {"vwoMeta": {"msg_t": "EVENT_NOT_FOUND", "msg": "no such metric"}})
    (refused,) = parse_event(arrival(body))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.name, refused.user) == (Reason.SDK_HEALTH, name, VISITOR)
    assert refused.detail == "EVENT_NOT_FOUND no such metric"
    assert "EVENT_NOT_FOUND" in refused.payload


def test_a_retried_post_has_the_same_key_and_two_exposures_of_one_decision_have_not() -> None:
    rollout, again, test = (
        only_draft(event("vwo_variationShown", {"id": campaign, "variation": 1}))
        for campaign in (101, 101, 102)
    )
    assert rollout.key == again.key
    assert rollout.key != test.key, "both carry the message id of the same millisecond"


def test_literals_for_unknown_count_as_absent() -> None:
    tracked = only_draft(event("e", visitor_ua="undefined", visitor_ip="None"))
    assert (tracked.ip, tracked.user_agent) == ("", "")


@pytest.mark.parametrize("time", [None, "soon", [1], {}], ids=repr)
def test_a_time_that_is_none_becomes_the_arrival(time: Any) -> None:
    body = event("e")
    body["d"]["event"]["time"] = time
    assert only_draft(body).time_ms == RECEIVED_MS


def test_nul_is_replaced_everywhere() -> None:
    tracked = only_draft(event("a\0b", {"c": "d\0e"}))
    assert (tracked.name, tracked.properties["c"]) == ("a\ufffdb", "d\ufffde")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", Reason.MALFORMED_JSON, id="nothing"),
        pytest.param(b"{", Reason.MALFORMED_JSON, id="cut"),
        pytest.param(b'{"d":"\xff"}', Reason.NOT_UTF8, id="latin-1"),
        pytest.param(b"[" * 50_000, Reason.EVENT_TOO_LARGE, id="large"),
        pytest.param(b"[" * 20_000, Reason.TOO_DEEP, id="bottomless"),
        pytest.param(b'{"d":' + b'{"a":' * 40 + b"1" + b"}" * 41, Reason.TOO_DEEP, id="deep"),
        pytest.param([], Reason.BAD_REQUEST, id="a list"),
        pytest.param({}, Reason.BAD_REQUEST, id="no d"),
        pytest.param({"d": {"visId": "v"}}, Reason.BAD_REQUEST, id="no event"),
        pytest.param(event(None), Reason.EVENT_NOT_DEFINED, id="no name"),
        pytest.param(event(5), Reason.EVENT_NOT_STRING, id="number as name"),
        pytest.param(event("x" * 1025), Reason.EVENT_NAME_TOO_LONG, id="long name"),
        pytest.param(timed(10**18), Reason.TIME_IN_FUTURE, id="nanoseconds"),
        pytest.param(timed(TIME_MS // 1000), Reason.TIME_TOO_OLD, id="seconds"),
        pytest.param(event("e", visId=None), Reason.NO_USER, id="no visitor"),
        pytest.param(event("e", visId=7), Reason.ID_NOT_STRING, id="number as visitor"),
        pytest.param(event("e", visId="v" * 256), Reason.ID_TOO_LONG, id="long visitor"),
        pytest.param(event("e", visitor=[]), Reason.BAD_REQUEST, id="visitor is a list"),
        pytest.param(event("vwo_variationShown", {"id": 1}), Reason.BAD_REQUEST, id="no variation"),
        pytest.param(
            event("vwo_variationShown", {"id": "x", "variation": 1}), Reason.BAD_REQUEST, id="no campaign"
        ),
    ],
)
def test_an_unfit_event_is_refused_with_its_reason(body: Any, reason: Reason) -> None:
    (refused,) = parse_event(arrival(body))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.source) == (reason, "flags")
    assert refused.detail


def test_unknown_keys_and_oversize_are_refused_whole() -> None:
    (unknown,) = parse_event(arrival(event("e"), environment_id=0, extra={"en": "e"}))
    (large,) = parse_event(arrival(b"", extra={"too_large": True}))
    assert isinstance(unknown, Refused) and isinstance(large, Refused)
    assert (unknown.reason, unknown.name, unknown.environment_id) == (Reason.UNKNOWN_KEY, "e", 0)
    assert large.reason is Reason.BODY_TOO_LARGE


def test_a_batch_has_one_result_per_event_in_order() -> None:
    batch = {"ev": [event("a"), {"d": 1}, event("vwo_fmeSdkInit"), event("b")]}
    results = parse_batch(arrival(batch))
    assert [r.name if isinstance(r, Draft) else r.reason for r in results] == [
        "a",
        Reason.BAD_REQUEST,
        Reason.SDK_HEALTH,
        "b",
    ]


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        pytest.param({"ev": []}, [], id="empty, as Python sends it"),
        pytest.param({"ev": None}, [Reason.BAD_REQUEST], id="null"),
        pytest.param({}, [Reason.BAD_REQUEST], id="no list"),
        pytest.param(b"not json", [Reason.MALFORMED_JSON], id="not json"),
    ],
)
def test_a_batch_without_events(body: Any, reasons: list[Reason]) -> None:
    assert [r.reason for r in parse_batch(arrival(body))] == reasons


def test_a_batch_keeps_the_most_events_and_refuses_the_rest() -> None:
    results = parse_batch(arrival({"ev": [event("a")] * (MOST_EVENTS + 2)}))
    assert [type(r) for r in results].count(Draft) == MOST_EVENTS
    assert [r.reason for r in results[-2:]] == [Reason.TOO_MANY_EVENTS] * 2


scalar = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalar, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)
names = anything | st.sampled_from(["vwo_variationShown", "vwo_syncVisitorProp", "vwo_sdkDebug", "purchase"])


@st.composite
def almost_events(draw: st.DrawFn) -> Any:
    """Right in shape, with anything in one of its places."""
    props = {
        "id": draw(anything),
        "variation": draw(anything),
        "extra": draw(anything),
        "vwoMeta": draw(anything),
    }
    body = event(draw(names), props, visitor_props={"trait": draw(anything)})
    place = draw(st.sampled_from(["none", *body["d"]]))
    if place != "none":
        body["d"][place] = draw(anything)
    return body


@given(st.binary() | anything.map(lambda found: json.dumps(found).encode()))
def test_any_bytes_have_exactly_one_result(body: bytes) -> None:
    assert len(parse_event(arrival(body))) == 1
    parse_batch(arrival(body))


@given(st.lists(almost_events() | anything, max_size=4))
def test_any_events_have_exactly_one_result_each(events: list[Any]) -> None:
    results = parse_batch(arrival({"ev": events}))
    assert len(results) == len(events)
    for result in results:
        assert isinstance(result, Draft | Refused)
        assert isinstance(result, Refused) or result.name
