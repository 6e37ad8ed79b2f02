"""Messages to a channel: texts of a team's own, in which values stay text."""

import json
from typing import Any

import pytest

from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import HOSTILE, NOW, configured, message, prepared, refusal, survives

SLACK = destination("slack")
HOOK = "https://hooks.slack.test/services/T1/B1/abc"
SETTINGS: dict[str, Any] = {
    "webhook_url": HOOK,
    "templates": [
        "Order Completed = *{{userId}}* ordered for {{properties.total}}\\n<https://shop.test|See it>",
        "A = B {{properties.x}}",
        "identify = {{traits.email}} signed up",
        "page = {{name}} was seen",
    ],
}


def text(kind: str = "track", /, settings: dict[str, Any] | None = None, **body: Any) -> str:
    [request] = prepared(SLACK, message(kind, **body), **{**SETTINGS, **(settings or {})})
    document = json.loads(request.call.body)
    assert document.keys() == {"text", "unfurl_links", "unfurl_media"} and request.positions == (1,)
    said = document["text"]
    assert isinstance(said, str)
    return said


def test_an_event_has_the_text_that_is_set_for_it() -> None:
    assert text(userId="u1", event="Order Completed", properties={"total": 9.5}) == (
        "*u1* ordered for 9.5\n<https://shop.test|See it>"
    )


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("identify", {"traits": {"email": "a@b.c"}}, "a@b.c signed up"),
        ("page", {"name": "Home"}, "Home was seen"),
    ],
)
def test_other_calls_go_by_their_type(kind: str, body: dict[str, Any], expected: str) -> None:
    assert text(kind, **body) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            "<!channel> & <https://evil.test|you>",
            "&lt;!channel&gt; &amp; &lt;https://evil.test|you&gt;",
            id="markup",
        ),
        pytest.param("&lt;", "&amp;lt;", id="what looks escaped"),
        pytest.param("{{userId}}", "{{userId}}", id="a placeholder in a value"),
        pytest.param("x" * 9_000, "x" * 2_998, id="long"),
        pytest.param({"a": 1}, "", id="object"),
    ],
)
def test_a_value_stays_text(value: Any, expected: str) -> None:
    assert text(userId="u1", event="A", properties={"x": value}) == f"B {expected}".strip()


def test_all_other_events_can_have_a_text() -> None:
    assert text(settings={"other": "{{event}} happened"}, userId="u1", event="Else") == "Else happened"


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        pytest.param(
            "track", {"event": "Else"}, "no_matching_mapping: messages: none is set for 'Else'", id="none"
        ),
        pytest.param(
            "group", {}, "no_matching_mapping: messages: none is set for 'group'", id="type without one"
        ),
        pytest.param("track", {"event": "identify"}, "message_rejected: messages: the one", id="empty"),
    ],
)
def test_a_message_without_a_text_says_why(kind: str, body: dict[str, Any], expected: str) -> None:
    settings = {**SETTINGS, "templates": ["identify = {{properties.none}}"]}
    assert refusal(SLACK, message(kind, **body), **settings).startswith(expected)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        pytest.param({"webhook_url": "hooks.slack.com"}, "webhook_url", id="no address"),
        pytest.param({"webhook_url": "https://u:p@slack.test/"}, "webhook_url", id="password"),
        pytest.param({"templates": ["no text ="]}, "templates", id="no text"),
        pytest.param({"templates": ["no sign"]}, "templates", id="no sign"),
        pytest.param({"templates": []}, "templates", id="no message at all"),
    ],
)
def test_wrong_settings_are_named_at_their_field(settings: dict[str, Any], key: str) -> None:
    assert SLACK.check is not None
    assert SLACK.check(configured(SLACK, **SETTINGS)) == {}
    assert SLACK.check(configured(SLACK, **{**SETTINGS, **settings})).keys() == {key}


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_sent_or_refused(value: Any) -> None:
    survives(SLACK, value, **{**SETTINGS, "other": "{{event}} {{properties.x}} {{context.traits.x}}"})


def test_the_connection_test_posts_one_message_and_the_address_counts_as_secret() -> None:
    assert SLACK.trial is not None
    request = SLACK.trial(configured(SLACK, **SETTINGS), NOW)
    assert request.call.url == HOOK and request.call.secret is not None
