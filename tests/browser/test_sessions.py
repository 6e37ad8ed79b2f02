"""Users, sessions and identities over page loads, and those a site had before it switched to us."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import Visit, ready
from tests.browser.site import Site

HALF_HOUR_MS = 30 * 60_000


def cookie(page: Page, site: Site, name: str) -> Any:
    text = raw_cookie(page, site, name)
    return json.loads(unquote(text)) if text else None


def raw_cookie(page: Page, site: Site, name: str) -> str:
    named = f"{name}.{site.environment}"
    return next((str(cookie["value"]) for cookie in page.context.cookies() if cookie["name"] == named), "")


def keep(context: BrowserContext, site: Site, **values: Any) -> None:
    """Cookies from before."""
    context.add_cookies(
        [
            {
                "name": f"{name}.{site.environment}",
                "value": quote(value if isinstance(value, str) else json.dumps(value)),
                "url": site.url(),
            }
            for name, value in values.items()
        ]
    )


def test_user_and_session_go_on_over_page_loads(visit: Visit, site: Site) -> None:
    page = visit(path="/one")
    site.wait_for("pageview")
    page.reload()
    first, second = site.wait_for("pageview", 2)
    assert first["user_id"] == second["user_id"]
    assert first["session_info"] == second["session_info"]
    assert first["pageview_info"]["id"] != second["pageview_info"]["id"]
    assert [site.kinds.count(kind) for kind in ("user", "session")] == [1, 1]


def test_half_an_hour_without_a_page_view_ends_the_session(visit: Visit, site: Site) -> None:
    page = visit()
    first = site.wait_for("pageview")[0]
    page.evaluate(
        f"const now = Date.now; Date.now = () => now() + {HALF_HOUR_MS}; heap.track('still the old session')"
    )
    page.evaluate("history.pushState({}, '', '/later')")
    second = site.wait_for("pageview", 2)[1]
    assert second["user_id"] == first["user_id"]
    assert second["session_info"]["id"] != first["session_info"]["id"]
    (kept,) = site.wait_for("still the old session")
    assert kept["session_info"]["id"] == first["session_info"]["id"]
    assert second["session_info"]["initial_pageview_info"]["url"]["path"] == "/later"


def test_sub_domains_share_the_user(visit: Visit, site: Site) -> None:
    visit(host="www.shop.test")
    visit(host="app.shop.test", path="/app")
    first, second = site.wait_for("pageview", 2)
    assert first["user_id"] == second["user_id"]
    visit(host="other.test", path="/other")
    assert site.wait_for("pageview", 3)[2]["user_id"] != first["user_id"]


def test_the_cookies_are_those_of_the_contract(visit: Visit, site: Site) -> None:
    page = visit(host="www.shop.test")
    page.evaluate("heap.addEventProperties({ theme: 'dark' })")
    (message,) = site.wait_for("pageview")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert set(cookies) == {
        f"{name}.{site.environment}" for name in ("_hp5_meta", "_hp5_let", "_hp5_event_props")
    }
    for one in cookies.values():
        assert one["domain"] == ".shop.test" and one["sameSite"] == "Lax"
        assert 390 < (one["expires"] - time.time()) / 86_400 < 396
    meta = cookie(page, site, "_hp5_meta")
    assert (meta["userId"], meta["sessionId"]) == (message["user_id"], message["session_info"]["id"])
    assert meta["sessionProperties"]["initial_pageview_info"]["title"] == "Home"
    assert cookie(page, site, "_hp5_event_props") == {"theme": "dark"}


HOSTS = [("www.shop.co.uk", ".shop.co.uk"), ("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")]


@pytest.mark.parametrize(("host", "domain"), HOSTS)
def test_cookies_are_set_on_the_registrable_domain(visit: Visit, site: Site, host: str, domain: str) -> None:
    page = visit(host=host)
    site.wait_for("pageview")
    cookies = page.context.cookies()
    assert {cookie["domain"] for cookie in cookies} == {domain}
    assert not [cookie for cookie in cookies if cookie["name"].startswith("_hp2_hld")]
    page.reload()
    first, second = site.wait_for("pageview", 2)
    assert first["user_id"] == second["user_id"]


@pytest.mark.parametrize("side", ["environment", "page"])
def test_secure_cookies(visit: Visit, site: Site, side: str) -> None:
    if side == "environment":
        site.configuration["privacy"] = {"enableSecureCookies": True}
    page = visit(**({"secureCookie": True} if side == "page" else {}))  # localhost counts as secure
    assert {(cookie["secure"], cookie["sameSite"]) for cookie in page.context.cookies()} == {(True, "None")}


def test_metadata_in_local_storage(visit: Visit, site: Site) -> None:
    page = visit(metadataStorage="localstorage", eventPropertiesStorage="localstorage")
    site.wait_for("pageview")
    page.evaluate("heap.addEventProperties({ a: 1 })")
    assert not page.context.cookies()
    page.reload()
    first, second = site.wait_for("pageview", 2)
    assert first["user_id"] == second["user_id"]
    assert first["session_info"] == second["session_info"]
    assert second["properties"] == {"a": 1}


# What the browser does with cookies of file: pages, applications with a scheme of their own, and some frames.
NO_COOKIE = "Object.defineProperty(document, 'cookie', { get: () => '', set: () => true })"
REFUSED = "Object.defineProperty(document, 'cookie', { get() { throw 1 }, set() { throw 1 } })"


@pytest.mark.parametrize("before", [NO_COOKIE, REFUSED], ids=["not kept", "refused"])
@pytest.mark.parametrize("host", ["localhost", "www.app.test"])
def test_a_page_that_holds_no_cookie_keeps_its_user_in_storage(
    visit: Visit, site: Site, before: str, host: str
) -> None:
    visit(path="/one", before=before, host=host)
    page = visit(path="/two", before=before, host=host)
    page.evaluate("heap.identify('ann'); heap.addEventProperties({ a: 1 })")
    visit(path="/three", before=before, host=host)
    messages = site.wait_for("pageview", 3)
    assert len({message["user_id"] for message in messages}) == 1
    assert len({message["session_info"]["id"] for message in messages}) == 1
    assert (messages[-1]["identity"], messages[-1]["properties"]) == ("ann", {"a": 1})


def test_a_page_of_a_file_keeps_its_user(site: Site, context: BrowserContext, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(
        f"<!doctype html><script src='{site.url('/js/heap-' + site.environment + '.js')}'></script>"
    )
    for _ in range(2):
        page = context.new_page()
        page.goto(file.as_uri())
        ready(page)
        page.evaluate("heap.track('seen')")
    first, second = site.wait_for("seen", 2)
    assert first["user_id"] == second["user_id"]


def test_a_site_may_change_where_it_keeps_them(visit: Visit, site: Site) -> None:
    """Into local storage and back: the user stays, and no old copy comes back."""
    local = {"metadataStorage": "localstorage", "eventPropertiesStorage": "localstorage"}
    page = visit(path="/1")
    page.evaluate("heap.identify('ann'); heap.addEventProperties({ step: 1 })")
    visit(path="/2", **local).evaluate("heap.addEventProperties({ step: 2 })")
    assert not page.context.cookies()
    visit(path="/3")
    page = visit(path="/4", **local)
    page.evaluate("heap.identify('bob'); heap.addEventProperties({ step: 4 })")
    page.reload()
    first, second, third, fourth, fifth = site.wait_for("pageview", 5)
    assert len({one["user_id"] for one in (first, second, third, fourth)}) == 1
    assert len({one["session_info"]["id"] for one in (first, second, third, fourth)}) == 1
    assert [one["properties"].get("step") for one in (second, third, fourth, fifth)] == [1, 2, 2, 4]
    assert (fourth["identity"], fifth["identity"]) == ("ann", "bob")


def test_compressed_cookies(visit: Visit, site: Site) -> None:
    plain = len(raw_cookie(visit(path="/plain?utm_source=news"), site, "_hp5_meta"))
    page = visit(path="/small?utm_source=news", compressCookies=True)
    assert len(raw_cookie(page, site, "_hp5_meta")) < 0.95 * plain
    page.evaluate("""heap.addEventProperties({ name: 'Zoë 100%; "x"' })""")
    page.reload()
    first, _, third = site.wait_for("pageview", 3)
    assert first["user_id"] == third["user_id"] and first["session_info"] == third["session_info"]
    assert third["properties"] == {"name": 'Zoë 100%; "x"'}


def test_event_properties_that_no_cookie_holds(visit: Visit, site: Site) -> None:
    page = visit()
    site.wait_for("pageview")
    page.evaluate("heap.addEventProperties({ small: 1 })")
    page.evaluate("for (const key of 'abcdef') heap.addEventProperties({ [key]: 'é'.repeat(400) })")
    page.reload()
    assert set(site.wait_for("pageview", 2)[1]["properties"]) == {"small", *"abcdef"}
    page.evaluate("for (const key of 'abcdef') heap.removeEventProperty(key)")
    page.reload()
    assert site.wait_for("pageview", 3)[2]["properties"] == {"small": 1}


def test_an_endless_landing_page_does_not_cost_the_user(visit: Visit, site: Site) -> None:
    page = visit(path="/?q=" + "%20x" * 1500, title="t" * 3000)
    site.wait_for("pageview")
    page.reload()
    first, second = site.wait_for("pageview", 2)
    assert first["user_id"] == second["user_id"]
    assert first["session_info"]["id"] == second["session_info"]["id"]


BEFORE: list[Any] = [
    pytest.param(
        {"_hp5_meta": {"userId": "77", "sessionId": "88", "identity": "ann"}, "_hp5_let": "1"},
        {"user_id": "77", "identity": "ann", "same_session": False},
        id="current, session over",
    ),
    pytest.param(
        {
            "_hp5_meta": {
                "userId": "77",
                "sessionId": "88",
                "sessionProperties": {"id": "88", "time": 5, "referrer": "", "search_keyword": "", "utm": {}},
            },
            "_hp5_let": str(2**45),
        },
        {"user_id": "77", "identity": None, "same_session": True},
        id="current, in a session",
    ),
    pytest.param(
        {
            "_hp2_id": {
                "userId": "77",
                "pageviewId": "1",
                "sessionId": "88",
                "identity": "ann",
                "trackerVersion": "4.0",
            }
        },
        {"user_id": "77", "identity": "ann", "same_session": False},
        id="classic",
    ),
    pytest.param(
        {
            "_hp5_meta": {
                "userId": "77",
                "sessionId": "88",
                "lastEventTime": 2**45,
                "sessionProperties": {"id": "88", "time": 5, "referrer": "", "search_keyword": "", "utm": {}},
            }
        },
        {"user_id": "77", "identity": None, "same_session": True},
        id="current before 5.2.7, in a session",
    ),
    pytest.param(
        {
            "_hp5_meta": {"userId": "77", "sessionId": "88", "sessionProperties": "broken"},
            "_hp5_let": str(2**45),
        },
        {"user_id": "77", "identity": None, "same_session": False},
        id="current, session broken",
    ),
    pytest.param(
        {
            "_hp2_id": {"userId": "77", "pageviewId": "1", "sessionId": "88", "identity": "ann"},
            "_hp2_ses_props": {"ts": 5, "d": "shop.test", "h": "/"},
        },
        {"user_id": "77", "identity": "ann", "same_session": True},
        id="classic, in a session",
    ),
    pytest.param(
        {"_hp2_id": "77.1.88"}, {"user_id": "77", "identity": None, "same_session": False}, id="oldest"
    ),
    pytest.param(
        {"_hp2_id": "77.1.88", "_hp2_ses_props": {"ts": 5}},
        {"user_id": "77", "identity": None, "same_session": True},
        id="oldest, in a session",
    ),
    pytest.param(
        {
            "_hp2_wv_id": {"userId": "99", "sessionId": "88", "identity": "app"},
            "_hp2_id": {"userId": "77", "sessionId": "66"},
        },
        {"user_id": "99", "identity": "app", "same_session": True},
        id="a native app's web view",
    ),
]


@pytest.mark.parametrize(("cookies", "expected"), BEFORE)
def test_users_from_before_are_kept(
    visit: Visit, site: Site, context: BrowserContext, cookies: Any, expected: dict[str, Any]
) -> None:
    keep(context, site, **cookies)
    visit()
    (message,) = site.wait_for("pageview")
    assert message["user_id"] == expected["user_id"]
    assert message.get("identity") == expected["identity"]
    assert (message["session_info"]["id"] == "88") is expected["same_session"]
    assert "user" not in site.kinds
    assert ("session" in site.kinds) is not expected["same_session"]


def test_a_classic_session_goes_on_as_it_began(visit: Visit, site: Site, context: BrowserContext) -> None:
    began = {
        "r": "https://search.test/",
        "e": "shoes",
        "us": "news",
        "um": "email",
        "ut": "t",
        "uc": "c",
        "ua": "feb",
        "ts": 1770113400000,
        "d": "shop.test",
        "h": "/sale",
        "q": "?utm_source=news",
        "g": "#top",
    }
    keep(context, site, _hp2_id={"userId": "77", "sessionId": "88", "identity": None}, _hp2_ses_props=began)
    page = visit(path="/now")
    context.clear_cookies(
        name=f"_hp2_ses_props.{site.environment}"
    )  # it ends after half an hour; ours goes on
    page.reload()
    for message in site.wait_for("pageview", 2):
        assert message["session_info"] == {
            "id": "88",
            "time": 1770113400000,
            "referrer": "https://search.test/",
            "search_keyword": "shoes",
            "utm": {"source": "news", "medium": "email", "term": "t", "content": "c", "campaign": "feb"},
            "initial_pageview_info": {
                "time": 1770113400000,
                "url": {"domain": "shop.test", "path": "/sale", "query": "?utm_source=news", "hash": "#top"},
            },
        }


BRIDGE = """window.heard = [];
  window.webkit = { messageHandlers: { HeapSwiftBridge: { postMessage: (one) => heard.push(one) } } };"""


def test_a_web_view_tells_its_app_that_the_session_goes_on(
    visit: Visit, site: Site, context: BrowserContext
) -> None:
    keep(context, site, _hp2_wv_id={"userId": "99", "sessionId": "88", "identity": None})
    page = visit(path="/one?utm_source=app", before=BRIDGE)
    page.evaluate("history.pushState({}, '', '/two')")
    first, second = page.evaluate("heard")
    assert (first["type"], first["sessionId"]) == ("heapjs-extend-session", "88")
    in_half_an_hour = time.time() * 1000 + HALF_HOUR_MS
    assert abs(first["expirationDate"] - in_half_an_hour) < 60_000 and second["sessionId"] == "88"
    visit(path="/three")
    sessions = [one["session_info"] for one in site.wait_for("pageview", 3)]
    assert sessions[0] == sessions[1] == sessions[2] and sessions[0]["utm"]["source"] == "app"


def test_only_a_web_view_speaks_to_an_app(visit: Visit, site: Site) -> None:
    page = visit(before=BRIDGE)
    page.evaluate("history.pushState({}, '', '/two')")
    assert page.evaluate("heard") == []


def test_event_properties_from_before_are_kept(visit: Visit, site: Site, context: BrowserContext) -> None:
    keep(context, site, _hp2_props={"plan": "pro", "nested": {"a": 1}})
    visit()
    assert site.wait_for("pageview")[0]["properties"] == {"plan": "pro", "nested.a": 1}


@pytest.mark.parametrize(
    "junk", ["%", "{", "[1]", '"x"', '{"userId":{"a":1}}', '{"userId":"1 or 1"}', "null"]
)
def test_a_broken_cookie_makes_a_new_user(
    visit: Visit, site: Site, context: BrowserContext, junk: str
) -> None:
    keep(context, site, _hp5_meta=junk, _hp2_id=junk, _hp5_event_props=junk)
    visit()
    (message,) = site.wait_for("pageview")
    assert message["user_id"].isdigit() and len(message["user_id"]) > 4


def test_identify_keeps_the_anonymous_user(visit: Visit, site: Site) -> None:
    page = visit()
    anonymous = site.wait_for("pageview")[0]["user_id"]
    page.evaluate("heap.identify('ann'); heap.identify('ann'); heap.track('signed in')")
    (message,) = site.wait_for("signed in")
    assert (message["user_id"], message["identity"]) == (anonymous, "ann")
    (call,) = site.calls("identify")
    assert call["time"] > 0
    assert {key: call[key] for key in ("env_id", "user_id", "identity", "library")} == {
        "env_id": site.environment,
        "user_id": anonymous,
        "identity": "ann",
        "library": {"name": "web", "version": "0.1.0", "platform": "web"},
    }
    assert page.evaluate("[heap.getIdentity(), heap.identity, heap.getUserId(), heap.userId]") == [
        "ann",
        "ann",
        anonymous,
        anonymous,
    ]


def test_somebody_else_is_a_new_user_in_a_new_session(visit: Visit, site: Site) -> None:
    page = visit(clearEventPropertiesOnNewUser=True)
    page.evaluate("heap.addEventProperties({ theme: 'dark' }); heap.identify('ann'); heap.track('a')")
    page.evaluate("heap.identify('bob'); heap.track('b')")
    (ann,), (bob,) = site.wait_for("a"), site.wait_for("b")
    assert ann["user_id"] != bob["user_id"] and bob["identity"] == "bob"
    assert ann["session_info"]["id"] != bob["session_info"]["id"]
    assert ann["pageview_info"]["id"] != bob["pageview_info"]["id"]
    assert (ann["properties"], bob["properties"]) == ({"theme": "dark"}, {})
    assert [call["user_id"] for call in site.calls("identify")] == [ann["user_id"], bob["user_id"]]
    assert site.kinds.count("user") == 2 and site.kinds.count("session") == 2


def test_event_properties_stay_with_the_device_unless_asked(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.addEventProperties({ theme: 'dark' }); heap.identify('ann'); heap.identify('bob')")
    page.evaluate("heap.track('b')")
    assert site.wait_for("b")[0]["properties"] == {"theme": "dark"}


def test_reset_only_where_identified(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.resetIdentity(); heap.track('a')")
    page.evaluate("heap.identify(42); heap.track('b'); heap.resetIdentity(); heap.track('c')")
    (a,), (b,), (c,) = site.wait_for("a"), site.wait_for("b"), site.wait_for("c")
    assert a["user_id"] == b["user_id"] != c["user_id"]
    assert (b["identity"], c.get("identity")) == ("42", None)


@pytest.mark.parametrize("identity", ["null", "undefined", "''", "{}", "'undefined'", "'x'.repeat(256)"])
def test_no_identity_is_none(visit: Visit, site: Site, identity: str) -> None:
    page = visit()
    page.evaluate(f"heap.identify({identity}); heap.track('end')")
    assert "identity" not in site.wait_for("end")[0]
    assert not site.calls("identify")


def test_another_tab_signs_in(visit: Visit, site: Site) -> None:
    one = visit(path="/one")
    two = visit(path="/two")
    two.evaluate("heap.identify('ann')")
    one.evaluate("history.pushState({}, '', '/after')")
    site.wait(lambda: "/after" in str(site.of_kind("pageview")))
    assert site.of_kind("pageview")[-1]["identity"] == "ann"
