"""Heap's classic browser script: its image addresses and what they become."""

from typing import Any
from urllib.parse import urlencode

import pytest

from cairn.event import Draft, Element
from tests.wire.arrivals import APP, NOW_MS, draft, parse, refused

BASE = {"a": "1234567890", "u": "7", "v": "8", "s": "9", "b": "web", "tv": "4.0"}
SP = [
    "r",
    "https://s.test/",
    "us",
    "news",
    "ua",
    "feb",
    "ts",
    "1770113400000",
    "d",
    "a.test",
    "h",
    "/",
    "e",
    "shoes",
    "g",
    "#top",
    "uc",
    "ann@shop.test",
]
LANDING = {
    "referrer": "https://s.test/",
    "search_keyword": "shoes",
    "utm_source": "news",
    "utm_campaign": "feb",
    "landing_domain": "a.test",
    "landing_path": "/",
    "landing_hash": "#top",
    "utm_content": "{email}",
    "platform": "web",
}


def query(parameters: dict[str, Any]) -> bytes:
    return urlencode(parameters, doseq=True).encode()


PAGEVIEW = {
    **BASE,
    "z": "1",
    "h": "/pricing",
    "d": "a.test",
    "q": "?x=1",
    "g": "#top",
    "t": "Pricing",
    "pr": "/",
    "ts": "1770113472000",
    "st": "1770113472500",
    "sp": SP,
    "k": ["theme", "dark"],
}


def test_a_pageview() -> None:
    assert draft("heap.web", query(PAGEVIEW), app_id="1234567890") == Draft(
        APP,
        "pageview",
        "pageview",
        1770113472000,
        NOW_MS,
        user_id=7,
        key_space=f"heap.web/{APP}",
        key="8",
        sent_ms=1770113472500,
        session_id=9,
        pageview_id=8,
        properties={"theme": "dark"},
        facts={
            **LANDING,
            "domain": "a.test",
            "path": "/pricing",
            "query": "?x=1",
            "hash": "#top",
            "title": "Pricing",
            "previous_path": "/",
        },
        source="shop",
        library="web",
        ip="203.0.113.9",
        user_agent="curl/8",
    )


EVENTS = {
    **BASE,
    "i": "dana",
    "sp": SP,
    "pp": ["d", "a.test", "h", "/pricing", "t", "Pricing"],
    "k": ["theme", "dark"],
    "id0": "100",
    "t0": "click",
    "n0": "a",
    "c0": "btn-primary btn",
    "i0": "go",
    "h0": "/signup",
    "y0": "@div;#root;|@a;#go;.btn-primary;.btn;|",
    "x0": "Start free",
    "ts0": "1770113473000",
    "id1": "101",
    "t1": "Paid",
    "k1": ["amount", "5"],
    "ts1": "1770113474000",
    "id10": "102",
    "t10": "submit",
    "n10": "form",
    "ts10": "1770113475000",
    "st": "1770113476000",
}


def test_events_with_a_running_number() -> None:
    click, paid, submit = (event for event in parse("heap.web", query(EVENTS)) if isinstance(event, Draft))
    assert (click.kind, click.name, click.key, click.time_ms) == ("click", "click", "100", 1770113473000)
    assert click.element == Element(
        hierarchy="@div;#root;|@a;#go;.btn;.btn-primary;|",
        tag="a",
        dom_id="go",
        classes="btn btn-primary",
        text="Start free",
        href="/signup",
    )
    assert (paid.kind, paid.name, paid.element) == ("custom", "Paid", None)
    assert paid.properties == {"theme": "dark", "amount": "5"}
    assert (submit.kind, submit.time_ms) == ("submit", 1770113475000)
    for event in (click, paid, submit):
        assert (event.user_id, event.identity, event.merge_user_id, event.sent_ms) == (
            7,
            "dana",
            7,
            1770113476000,
        )
        assert (event.session_id, event.pageview_id) == (9, 8)
        assert event.facts == {**LANDING, "domain": "a.test", "path": "/pricing", "title": "Pricing"}


def test_a_pageview_of_an_app() -> None:
    parameters = {
        **BASE,
        "b": "ios",
        "tv": "3.0",
        "lv": "8",
        "m": "iPhone16,1",
        "p": "iOS 19",
        "g": "x",
        "t": "Cart",
        "vid": "V-1",
    }
    found = draft("heap.web", query(parameters))
    assert (found.kind, found.library) == ("pageview", "ios")
    assert found.facts == {"device": "iPhone16,1", "platform": "iOS 19", "device_id": "V-1", "title": "Cart"}


def test_masking() -> None:
    found = draft(
        "heap.web", query({**PAGEVIEW, "h": "/u/ann@shop.test", "t": "ann@shop.test", "q": "?token=x"})
    )
    assert [found.facts[key] for key in ("path", "title", "query")] == [
        "/u/{email}",
        "{email}",
        "?token={token}",
    ]


def test_identify() -> None:
    found = draft("heap.web.identify", query({**BASE, "i": "dana", "z": "0", "st": "1770113472500"}))
    assert (found.kind, found.user_id, found.identity, found.merge_user_id) == ("identify", 7, "dana", 7)


def test_user_properties() -> None:
    parameters = {**BASE, "_plan": "pro", "_email": "a@b.io", "_id": "x", "_": "x"}
    found = draft("heap.web.add_user_properties", query(parameters))
    assert found.user_properties == {"plan": "pro", "email": "a@b.io"}


@pytest.mark.parametrize(
    ("parser", "change", "reason"),
    [
        ("heap.web", {"u": ""}, "no_user"),
        ("heap.web", {"u": "x"}, "bad_request"),
        ("heap.web", {"a": "5"}, "bad_request"),
        ("heap.web", {"ts": "soon"}, "bad_timestamp"),
        ("heap.web", {"t0": ""}, "event_not_defined"),
        ("heap.web.identify", {"i": ""}, "no_user"),
        ("heap.web.identify", {"i": "guest"}, "junk_identity"),
        ("heap.web.add_user_properties", {"u": ""}, "no_user"),
    ],
)
def test_refusals(parser: str, change: dict[str, str], reason: str) -> None:
    assert refused(parser, query({**PAGEVIEW, **change}), app_id="1234567890").reason == reason


@pytest.mark.parametrize("body", [b"", b"a=1&u=7", b"\xff\xfe", b"u=7&" + b"x=1&" * 20_001])
def test_calls_that_say_nothing(body: bytes) -> None:
    refused("heap.web", body)
