"""Heap's current capture clients: what each message becomes, the same from protobuf and from JSON."""

import json
from typing import Any

import pytest

from cairn.event import Draft, Element, Refused
from cairn.wire import capture_pb2
from tests.wire.arrivals import APP, NOW_MS, draft, parse, refused
from tests.wire.captured import APP_ID, CLICK, batch, message, protobuf
from tests.wire.generate import GENERATED, generated

TRACK = "heap.capture.track"
USER, SESSION, PAGEVIEW = 2203344556677889, 7711223344556677, 8001002003004005
FACTS = {
    "domain": "app.example.com",
    "path": "/pricing",
    "title": "Pricing",
    "previous_path": "/",
    "referrer": "https://search.example/",
    "utm_source": "news",
    "utm_medium": "email",
    "utm_campaign": "feb",
    "landing_domain": "app.example.com",
    "landing_path": "/",
    "landing_query": "?utm_source=news",
    "platform": "web",
    "browser_version": "131.0.0.1",
    "os_version": "15.2.0",
}


def test_the_generated_code_is_that_of_the_proto_file() -> None:
    assert GENERATED.read_text() == generated(), "run: python -m tests.wire.generate"


def both(value: dict[str, Any], **extra: Any) -> Draft:
    """The message's draft, read from both forms."""
    from_json = draft(TRACK, {"events": [value]}, **extra)
    from_protobuf = draft(TRACK, batch(value), **extra)
    assert from_json == from_protobuf
    return from_json


def test_a_click() -> None:
    assert both(CLICK, app_id=APP_ID, sent_ms=5) == Draft(
        APP,
        "click",
        "click",
        1770113472000,
        NOW_MS,
        user_id=USER,
        key_space=f"heap.capture/{APP}",
        key="4400112233445566",
        sent_ms=5,
        session_id=SESSION,
        pageview_id=PAGEVIEW,
        properties={"theme": "dark"},
        facts=FACTS,
        element=Element(
            hierarchy="@div;#root;|@a;.btn;.btn-primary;[href=/signup];|",
            tag="a",
            classes="btn btn-primary",
            text="Start free",
            href="/signup",
        ),
        source="shop",
        library="web",
        ip="203.0.113.9",
        user_agent="Mozilla/5.0 ...",
    )


NODE = {
    "node_name": "RCTView",
    "node_id": "card",
    "node_html_class": "b a",
    "attributes": {"z": "1", "a": "2"},
}
NODE_ELEMENT = Element(
    hierarchy="@Screen;|@RCTView;#card;.a;.b;[a=2];[z=1];|",
    tag="RCTView",
    dom_id="card",
    classes="a b",
    attributes={"z": "1", "a": "2"},
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param({"session": {}}, ("session", "session", {}, None), id="session"),
        pytest.param({"pageview": {}}, ("pageview", "pageview", {}, None), id="pageview"),
        pytest.param(
            {
                "event": {
                    "custom": {
                        "name": " Paid ",
                        "properties": {"a": "1"},
                        "source_properties": {"a": "2", "b": "3"},
                    }
                }
            },
            ("custom", "Paid", {"a": "1", "b": "3"}, None),
            id="custom event: its own properties win",
        ),
        *(
            pytest.param(
                {"event": {"interaction": {"builtin": number}}},
                (name, name, {}, None),
                id=f"builtin {number}",
            )
            for number, name in (
                (1, "click"),
                (2, "touch"),
                (3, "change"),
                (4, "submit"),
                (0, "click"),
                (9, "click"),
            )
        ),
        pytest.param(
            {
                "event": {
                    "interaction": {
                        "custom": "long_press",
                        "callback_name": "onHold",
                        "source_properties": {"x": "1"},
                        "nodes": [NODE, {"node_name": "Screen"}],
                    }
                },
                "base_library": {"name": "swift_core", "platform": "iOS"},
            },
            ("touch", "long_press", {"x": "1", "callback": "onHold"}, NODE_ELEMENT),
            id="an interaction of an app: the hierarchy made of its nodes",
        ),
        pytest.param(
            {"event": {"version_change": {"previous_version": "1.0", "current_version": "1.1"}}},
            ("version", "version", {"previous_version": "1.0", "current_version": "1.1"}, None),
            id="version",
        ),
        pytest.param(
            {
                "event": {
                    "component_transition": {"visible_to_invisible": [{"node_name": "Cart"}]},
                    "app_visibility_state": 1,
                }
            },
            (
                "view",
                "view",
                {"transition": "disappeared", "app_visibility": "backgrounded"},
                Element(hierarchy="@Cart;|", tag="Cart"),
            ),
            id="a screen went",
        ),
        pytest.param(
            {
                "event": {
                    "notification_interaction": {
                        "source": 1,
                        "title_text": "Hi ann@shop.test",
                        "action": "open",
                    }
                }
            },
            (
                "notification",
                "notification",
                {"notification_source": "push", "title_text": "Hi {email}", "action": "open"},
                None,
            ),
            id="notification",
        ),
    ],
)
def test_kinds(kind: dict[str, Any], expected: tuple[str, str, dict[str, Any], Element | None]) -> None:
    found = both({**message(**kind), "properties": {}})
    assert (found.kind, found.name, found.properties, found.element) == expected
    assert (found.user_id, found.session_id, found.pageview_id) == (USER, SESSION, PAGEVIEW)


def test_a_session_message_has_no_page_and_names_its_session_itself() -> None:
    found = both({"id": "55", "user_id": "7", "session": {}})
    assert (found.session_id, found.pageview_id, found.facts) == (55, 0, {})


def test_a_pageview_keeps_its_own_properties_and_the_screens_size() -> None:
    page = {
        "id": "9",
        "properties": {"a": "page", "b": "page"},
        "source_properties": {"screen_width": "1262"},
    }
    found = both(message(pageview={}, pageview_info=page, properties={"a": "event"}))
    assert found.properties == {"a": "event", "b": "page", "screen_width": "1262"}
    assert (
        "screen_width"
        not in both(
            message(
                **CLICK,
            )
            | {"pageview_info": page}
        ).properties
    )


def test_an_apps_page_device_and_version_are_facts() -> None:
    found = both(
        {
            "id": "1",
            "user_id": "7",
            "pageview": {},
            "pageview_info": {"component_or_class_name": "CartViewController"},
            "device": {"model": "iPhone16,1", "platform": "iOS 19.1", "type": 1, "carrier": "T"},
            "application": {"name": "Shop", "identifier": "test.shop", "version_string": "4.2"},
            "base_library": {"name": "swift_core", "platform": "iOS"},
            "source_library": {"name": "react_native"},
        }
    )
    assert found.facts == {
        "view": "CartViewController",
        "platform": "iOS 19.1",
        "device_type": "Mobile",
        "device": "iPhone16,1",
        "carrier": "T",
        "app_name": "Shop",
        "app_version": "4.2",
    }
    assert (found.library, found.user_agent) == ("react_native", "curl/8")


def test_the_first_that_is_heard_of_a_user_sets_initial_properties() -> None:
    user = {
        "id": "7",
        "initial_referrer": "https://a.test/?token=x",
        "initial_utm": {"source": "news", "term": "ann@shop.test"},
        "initial_pageview_info": {"url": {"domain": "a.test", "path": "/start"}},
        "identity": "dana",
        "properties": {"plan": "pro", "id": "8", "User_ID": "8"},
    }
    found = both({"id": "1", "user_id": "7", "user": user})
    assert (found.kind, found.name) == ("identify", "First seen")
    assert (found.identity, found.merge_user_id) == ("dana", 7)
    assert found.user_properties == {
        "plan": "pro",
        "initial_referrer": "https://a.test/?token={token}",
        "initial_utm_source": "news",
        "initial_utm_term": "{email}",
        "initial_landing_domain": "a.test",
        "initial_landing_path": "/start",
    }


def test_an_identity_keeps_the_raw_user_id_and_asks_for_the_merge() -> None:
    found = both({**CLICK, "identity": "dana"})
    assert (found.user_id, found.identity, found.merge_user_id) == (USER, "dana", USER)


def test_a_junk_identity_costs_the_event_nothing() -> None:
    found = both({**CLICK, "identity": "undefined"})
    assert (found.user_id, found.identity, found.merge_user_id) == (USER, "", 0)
    assert found.detail.startswith("identity left out: ")


@pytest.mark.parametrize(
    ("agent", "platform_version", "version"),
    [
        ("Windows NT 10.0", "15.0.0", "11"),
        ("Windows NT 10.0", "10.0.0", "10"),
        ("Windows NT 10.0", "0.1.0", ""),
        ("Macintosh", "15.2.0", "15.2.0"),
        ("Windows", "x", ""),
    ],
)
def test_the_platform_version_as_people_write_it(agent: str, platform_version: str, version: str) -> None:
    found = both({**CLICK, "device": {"user_agent": agent, "uach": {"platform_version": platform_version}}})
    assert found.facts.get("os_version", "") == version


def test_captured_text_is_masked_again_but_properties_are_the_senders_own() -> None:
    value = message(
        properties={"mail": "ann@shop.test"},
        pageview_info={
            "id": "1",
            "title": "ann@shop.test",
            "url": {"path": "/u/ann@shop.test", "query": "?token=x"},
        },
        event={
            "interaction": {
                "builtin": 1,
                "hierarchy": "@a;[href=/u/ann@shop.test];|",
                "nodes": [
                    {
                        "node_name": "a",
                        "node_text": "4111 1111 1111 1111",
                        "href": "/u/ann@shop.test",
                        "attributes": {"title": "sk_live_abcDEF123456", "value": "typed"},
                    }
                ],
            }
        },
    )
    found = both(value)
    assert found.properties == {"mail": "ann@shop.test"}
    assert [found.facts[key] for key in ("title", "path", "query")] == [
        "{email}",
        "/u/{email}",
        "?token={token}",
    ]
    assert found.element == Element(
        hierarchy="@a;[href=/u/{email}];|",
        tag="a",
        text="{card}",
        href="/u/{email}",
        attributes={"title": "{token}"},
    )


def test_campaign_words_are_masked_and_long_ids_stay() -> None:
    utm = {
        "source": "ann@shop.test",
        "content": "ann%40shop.test",
        "term": "a1" * 20,
        "campaign": "sk_live_abcDEF123456",
        "medium": "4242 4242 4242 4242",
    }
    found = both(message(session_info={"id": "1", "utm": utm}, session={}))
    assert [found.facts[f"utm_{key}"] for key in utm] == [
        "{email}",
        "{email}",
        "a1" * 20,
        "{token}",
        "{card}",
    ]


def test_what_a_client_saw_by_itself_is_masked() -> None:
    custom = {
        "name": "Paid",
        "properties": {"to": "ann@shop.test"},
        "source_properties": {"seen": "ann@shop.test"},
    }
    assert both(message(properties={}, event={"custom": custom})).properties == {
        "to": "ann@shop.test",
        "seen": "{email}",
    }
    touch = {"builtin": 2, "source_properties": {"seen": "ann@shop.test"}}
    assert both(message(properties={}, event={"interaction": touch})).properties == {"seen": "{email}"}


@pytest.mark.parametrize(
    "tag", ["div", "my-field", "UITextField", "androidx.appcompat.widget.AppCompatEditText"]
)
def test_the_text_of_what_was_changed_is_never_kept(tag: str) -> None:
    nodes = [{"node_name": tag, "node_text": "typed"}]
    hierarchy = f"@{tag};[name=q];[value=typed];|"
    found = both(message(event={"interaction": {"builtin": 3, "nodes": nodes, "hierarchy": hierarchy}}))
    assert found.element == Element(hierarchy=f"@{tag};[name=q];|", tag=tag)


@pytest.mark.parametrize(
    ("tag", "text"), [("UITextField", ""), ("RCTTextInput", ""), ("UILabel", "Pay"), ("a", "Pay")]
)
def test_a_touched_field_keeps_no_text(tag: str, text: str) -> None:
    nodes = [{"node_name": tag, "node_text": "Pay"}]
    found = both(message(event={"interaction": {"builtin": 2, "nodes": nodes}}))
    assert found.element is not None and found.element.text == text


def test_what_was_typed_is_never_kept() -> None:
    nodes = [{"node_name": "input", "node_text": "typed", "attributes": {"value": "typed", "name": "q"}}]
    found = both(message(event={"interaction": {"builtin": 3, "nodes": nodes}}))
    assert found.element is not None
    assert (found.element.text, found.element.attributes) == ("", {"name": "q"})


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("@a;.z;.b;#id;[x=1];[a=2];|", "@a;#id;.b;.z;[a=2];[x=1];|"),
        ("@div;|@a", "@div;|@a;|"),
        ("@a;junk;;[open;|||", "@a;|"),
        ("@a;[href=/?a=b;|", "@a;[href=/?a=b];|"),
        ("", ""),
        ("@" + "x" * 60 + ";|" + "@div;.b;|" * 200, "@div;.b;|" * 113),
        ("@a;" + "." + "c" * 600 + ";." + "d" * 600 + ";|", "@a;." + "c" * 600 + ";|"),
    ],
)
def test_hierarchies_are_made_regular_and_cut(given: str, normal: str) -> None:
    found = both(
        message(event={"interaction": {"builtin": 1, "hierarchy": given, "nodes": [{"node_name": "a"}]}})
    )
    assert found.element is not None and len(found.element.hierarchy) <= 1024
    assert found.element.hierarchy == (normal or "@a;|")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"user_id": ""}, ("no_user", "user_id")),
        ({"user_id": "abc"}, ("bad_request", "user_id")),
        ({"user_id": "9007199254740993"}, ("bad_request", "user_id")),
        ({"env_id": "55"}, ("bad_request", "env_id")),
        ({"event": {}}, ("bad_request", "event")),
        ({"event": {"custom": {"name": " "}}}, ("event_not_defined", "name")),
        ({"event": {"custom": {"name": "x" * 1025}}}, ("event_name_too_long", "name")),
    ],
)
def test_refusals_name_the_field(change: dict[str, Any], refusal: tuple[str, str]) -> None:
    for body in ({"events": [{**CLICK, **change}]}, batch({**CLICK, **change})):
        found = refused(TRACK, body, app_id=APP_ID)
        assert found.reason == refusal[0] and found.detail.startswith(refusal[1] + ":")


def test_a_message_without_a_kind_is_refused() -> None:
    for body in ({"events": [message()]}, batch(message())):
        assert refused(TRACK, body).reason == "bad_request"


def test_one_broken_message_costs_no_other() -> None:
    good = protobuf(CLICK).SerializeToString()
    not_utf8 = good.replace(b"Pricing", b"Pric\xffng")
    body = capture_pb2.ClosedBatch(events=[good, b"\x0f\xff", not_utf8, good]).SerializeToString()
    assert [type(event) for event in parse(TRACK, body)] == [Draft, Refused, Refused, Draft]
    texts = [json.dumps(CLICK), "5", '"x"', json.dumps(CLICK)]
    body = b'{"events":[' + ",".join(texts).encode() + b"]}"
    assert [type(event) for event in parse(TRACK, body)] == [Draft, Refused, Refused, Draft]


@pytest.mark.parametrize(
    "change",
    [
        {"time": "2026-02-03T10:11:12Z"},
        {"time": "1770113472000"},
        {"time": {"seconds": 1770113472, "nanos": 0}},
        {"time": {"seconds": "1770113472"}},
        {"id": 4400112233445566, "user_id": USER},
        {"event": {"interaction": {**CLICK["event"]["interaction"], "builtin": "CLICK"}}},
        {"event": {"interaction": {**CLICK["event"]["interaction"], "builtin": "BUILTIN_CLICK"}}},
        {"event": {"interaction": {**CLICK["event"]["interaction"], "builtin": "1"}}},
        {"properties": {"theme": {"string": "dark"}}},
        {"session_replay": 7, "application": None, "unknown": [1]},
        {"application": [], "identity": {}, "source_library": "x"},
    ],
)
def test_forms_of_the_same_in_json(change: dict[str, Any]) -> None:
    expected = draft(TRACK, {"events": [CLICK]})
    value = {**CLICK, **change}
    assert draft(TRACK, {"events": [value]}) == expected
    assert draft(TRACK, value) == expected
    assert draft(TRACK, [value]) == expected
    assert draft(TRACK, b"\n " + json.dumps([value]).encode(), content_type="application/json") == expected


def test_values_keep_their_type_in_json() -> None:
    given = {
        "n": 1.5,
        "b": True,
        "l": ["a", 1],
        "v": {"bool": False},
        "deep": {"x": 1},
        "": "x",
        "blank": " ",
    }
    assert draft(TRACK, {**CLICK, "properties": given}).properties == {
        "n": 1.5,
        "b": True,
        "l": "a||1",
        "v": False,
        "deep.x": 1,
    }


@pytest.mark.parametrize(
    "time", [-1, 10**15, "yesterday", {"seconds": -5}, {"seconds": 10**14}, {"seconds": "x"}]
)
def test_times_that_are_none(time: Any) -> None:
    event = parse(TRACK, {**CLICK, "time": time})[0]
    assert isinstance(event, Draft) is (
        time in (-1, 10**15)
    )  # numbers out of range are the loader's to refuse
    if isinstance(event, Refused):
        assert event.reason == "bad_timestamp"


def test_without_a_time_it_is_the_receipts() -> None:
    timeless = {key: value for key, value in CLICK.items() if key != "time"}
    assert both(timeless).time_ms == NOW_MS


@pytest.mark.parametrize(
    "body", [b"", b"{}x", b"hello", b'{"events":[]}', b"[]", b"\x0a\xff", b"\xff\xfe", b'{"events":5}']
)
def test_bodies_that_hold_nothing(body: bytes) -> None:
    refused(TRACK, body)


def test_more_messages_than_a_request_carries() -> None:
    small = {"id": "1", "user_id": "7", "session": {}}
    events = parse(TRACK, batch(*[small] * 5_002))
    assert [isinstance(event, Refused) for event in events] == [False] * 5_000 + [True] * 2


def test_the_scripts_own_events_carry_an_element() -> None:
    custom = {"name": "Rage click", "properties": {"hierarchy": "@b;|", "target_text": "Buy", "clicks": "4"}}
    found = both(message(event={"custom": custom}, source_library={"name": "cairn"}))
    assert (found.element, found.library) == (Element(hierarchy="@b;|", tag="b", text="Buy"), "cairn")
    assert found.properties == {"theme": "dark", "clicks": "4"}


def test_a_version_can_be_a_whole_application() -> None:
    application = capture_pb2.ApplicationInfo(name="Shop", version_string="4.2").SerializeToString()
    made = protobuf(message(event={"version_change": {}}))
    made.event.version_change.current_version = application
    body = capture_pb2.MessageBatch(events=[made]).SerializeToString()
    assert draft(TRACK, body).properties["current_version"] == "4.2"
    value = message(event={"version_change": {"current_version": {"version_string": "4.2"}}})
    assert draft(TRACK, value).properties["current_version"] == "4.2"


IDENTIFY: dict[str, Any] = {"env_id": APP_ID, "user_id": "7", "identity": "dana", "time": 1770113472000}
PROPERTIES: dict[str, Any] = {
    "env_id": APP_ID,
    "user_id": "7",
    "properties": {"plan": "pro", "ID": "x", "user_id": "y"},
    "library": {"name": "web"},
}


def test_identify() -> None:
    body = protobuf(IDENTIFY, capture_pb2.UserIdentification).SerializeToString()
    for one in (IDENTIFY, body):
        found = draft("heap.capture.identify", one, app_id=APP_ID)
        assert (found.kind, found.user_id, found.identity, found.merge_user_id) == ("identify", 7, "dana", 7)
        assert found.time_ms == 1770113472000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identity": ""}, "no_user"),
        ({"identity": "null"}, "junk_identity"),
        ({"user_id": ""}, "no_user"),
        ({"env_id": "5"}, "bad_request"),
        ({"identity": "x" * 256}, "id_too_long"),
    ],
)
def test_identify_refusals(change: dict[str, Any], reason: str) -> None:
    value = {**IDENTIFY, **change}
    body = protobuf(value, capture_pb2.UserIdentification).SerializeToString()
    for one in (value, body):
        assert refused("heap.capture.identify", one, app_id=APP_ID).reason == reason


def test_user_properties() -> None:
    body = protobuf(PROPERTIES, capture_pb2.UserProperties).SerializeToString()
    for one in (PROPERTIES, body):
        found = draft("heap.capture.add_user_properties", one, app_id=APP_ID)
        assert (found.user_id, found.identity, found.library) == (7, "", "web")
        assert found.user_properties == found.properties == {"plan": "pro"}


def test_the_first_session_of_an_app_sets_initial_properties() -> None:
    first = {
        "initial_session_info": {"referrer": "https://a.test/", "utm": {"source": "news"}},
        "initial_device": {"platform": "iOS 19", "model": "iPhone16,1", "type": 1},
        "initial_application": {"name": "Shop", "version_string": "4.2"},
    }
    body = protobuf({**PROPERTIES, **first}, capture_pb2.UserProperties).SerializeToString()
    for one in ({**PROPERTIES, **first}, body):
        assert draft("heap.capture.add_user_properties", one).user_properties == {
            "plan": "pro",
            "initial_referrer": "https://a.test/",
            "initial_utm_source": "news",
            "initial_platform": "iOS 19",
            "initial_device": "iPhone16,1",
            "initial_device_type": "Mobile",
            "initial_app_name": "Shop",
            "initial_app_version": "4.2",
        }


def test_nul_is_replaced_in_either_form() -> None:
    value = message(properties={"a\0": "b\0"}, event={"custom": {"name": "x\0y"}})
    found = both(value)
    assert (found.name, found.properties) == ("x\ufffdy", {"a\ufffd": "b\ufffd"})


def test_a_page_with_two_copies_is_a_notice_to_the_members_and_no_event() -> None:
    custom = {"custom": {"name": "Heap loaded twice"}}
    ours = message(event=custom, source_library={"name": "cairn"})
    for body in ({"events": [ours]}, batch(ours)):
        [notice] = parse(TRACK, body)
        assert isinstance(notice, Refused) and notice.reason.value == "loaded_twice"
        assert notice.detail == "page: app.example.com/pricing"
    # A site that names an event so means it.
    assert draft(TRACK, {"events": [message(event=custom)]}).name == "Heap loaded twice"
