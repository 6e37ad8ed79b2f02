"""What is captured: each behaviour has a page and the payload it must lead to."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.browser.site import Site

pytestmark = pytest.mark.slow

CLICK_TARGET = """<div id="root" class="wide app">
<a class="btn btn-primary" href="/signup" onclick="return false">Start <b>free</b></a></div>"""


def shadowed(inner: str) -> str:
    """A page with an open shadow root."""
    return f"<div id=host></div><script>host.attachShadow({{ mode: 'open' }}).innerHTML = `{inner}`</script>"


def contains(got: Any, expected: Any) -> bool:
    """Whether every expected key is there with its value."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            key in got and contains(got[key], expected[key]) for key in expected
        )
    return bool(got == expected)


INTERACTIONS: list[Any] = [
    pytest.param(
        CLICK_TARGET,
        lambda page: page.click("a", position={"x": 3, "y": 3}),
        "click",
        {
            "hierarchy": "@div;#root;.app;.wide;|@a;.btn;.btn-primary;[href=/signup];|",
            "builtin": 1,
        },
        {
            "node_name": "a",
            "node_html_class": "btn btn-primary",
            "node_text": "Start free",
            "href": "/signup",
            "attributes": {"nth": "1"},
        },
        id="click on a link",
    ),
    pytest.param(
        CLICK_TARGET,
        lambda page: page.click("b"),
        "click",
        {"hierarchy": "@div;#root;.app;.wide;|@a;.btn;.btn-primary;[href=/signup];|@b;|"},
        {"node_name": "b", "node_text": "free"},
        id="click on what is inside a link",
    ),
    pytest.param(
        '<ul><li>1<li>2<li><button role="menuitem" data-testid="pick" aria-label="Pick it" name="n">x</button></ul>',
        lambda page: page.click("button"),
        "click",
        {"hierarchy": "@ul;|@li;|@button;[aria-label=Pick it];[data-testid=pick];[name=n];[role=menuitem];|"},
        {
            "accessibility_label": "Pick it",
            "attributes": {
                "nth": "1",
                "role": "menuitem",
                "data-testid": "pick",
                "name": "n",
                "aria-label": "Pick it",
            },
        },
        id="role, test id, label and position",
    ),
    pytest.param(
        '<svg width=40 height=40 class="icon"><rect id=r width=40 height=40></rect></svg>',
        lambda page: page.click("rect"),
        "click",
        {"hierarchy": "@svg;.icon;|@rect;#r;|"},
        {"node_name": "rect", "node_id": "r"},
        id="click in a drawing",
    ),
    pytest.param(
        '<form id=f><input id=q name=q placeholder="Search"></form>',
        lambda page: (page.fill("input", "hello secret"), page.locator("input").blur()),
        "change",
        {"builtin": 3, "hierarchy": "@form;#f;|@input;#q;[name=q];[placeholder=Search];|"},
        {"node_name": "input", "node_id": "q"},
        id="change of a field",
    ),
    pytest.param(
        "<select name=size><option>S<option>XL</select>",
        lambda page: page.select_option("select", "XL"),
        "change",
        {"builtin": 3, "hierarchy": "@select;[name=size];|"},
        {"node_name": "select"},
        id="change of a choice",
    ),
    pytest.param(
        '<form id=f class="b a" onsubmit="return false"><button>Send</button></form>',
        lambda page: page.click("button"),
        "submit",
        {"builtin": 4, "hierarchy": "@form;#f;.a;.b;|"},
        {"node_name": "form", "node_id": "f", "node_text": "Send"},
        id="submit of a form",
    ),
    pytest.param(
        "<button id=t>Tap</button>",
        lambda page: page.tap("button"),
        "touch",
        {"builtin": 2, "hierarchy": "@button;#t;|"},
        {"node_text": "Tap"},
        id="touch",
    ),
    pytest.param(
        shadowed("<p><button id=in>Deep</button></p>"),
        lambda page: page.click("#in"),
        "click",
        {"hierarchy": "@div;#host;|@p;|@button;#in;|"},
        {"node_text": "Deep"},
        id="click in an open shadow root",
    ),
    pytest.param(
        shadowed("<input id=in name=inner>"),
        lambda page: (page.fill("#in", "x"), page.locator("#in").blur()),
        "change",
        {"hierarchy": "@div;#host;|@input;#in;[name=inner];|"},
        {"node_id": "in"},
        id="change in an open shadow root",
    ),
    pytest.param(
        shadowed("<form id=fs onsubmit='return false'><button>Go</button></form>"),
        lambda page: page.click("button"),
        "submit",
        {"hierarchy": "@div;#host;|@form;#fs;|"},
        {"node_id": "fs"},
        id="submit in an open shadow root",
    ),
    pytest.param(
        '<div id=box><iframe name=inner srcdoc="<main><button id=in>Framed</button></main>"></iframe></div>',
        lambda page: page.frame_locator("iframe").locator("#in").click(),
        "click",
        {"hierarchy": "@div;#box;|@iframe;[name=inner];|@main;|@button;#in;|"},
        {"node_text": "Framed"},
        id="click in a frame of the same origin",
    ),
    pytest.param(
        "<iframe id=f srcdoc=\"<form onsubmit='return false'><input id=in name=inner></form>\"></iframe>",
        lambda page: (frame := page.frame_locator("iframe").locator("#in")).fill("secret") or frame.blur(),
        "change",
        {"hierarchy": "@iframe;#f;|@form;|@input;#in;[name=inner];|"},
        {"node_id": "in"},
        id="change in a frame of the same origin",
    ),
    pytest.param(
        "<iframe id=f srcdoc=\"<form onsubmit='return false'><button>Go</button></form>\"></iframe>",
        lambda page: page.frame_locator("iframe").locator("button").click(),
        "submit",
        {"hierarchy": "@iframe;#f;|@form;|"},
        {"node_text": "Go"},
        id="submit in a frame of the same origin",
    ),
    pytest.param(
        "<div id=box></div>",
        lambda page: (
            page.evaluate("box.innerHTML = '<iframe srcdoc=\"<button id=in>Late</button>\"></iframe>'"),
            page.frame_locator("iframe").locator("#in").click(),
        ),
        "click",
        {"hierarchy": "@div;#box;|@iframe;|@button;#in;|"},
        {"node_text": "Late"},
        id="click in a frame that came later",
    ),
    pytest.param(
        "<form><input name=parentElement><input name=getAttribute><input name=id>"
        "<button id=ok type=button>Go</button></form>",
        lambda page: page.evaluate("document.querySelector('#ok').click()"),
        "click",
        {"hierarchy": "@form;|@button;#ok;[type=button];|"},
        {"node_text": "Go"},
        id="a form whose fields are named like its own members",
    ),
]


@pytest.mark.parametrize(("body", "act", "kind", "interaction", "node"), INTERACTIONS)
def test_interaction(
    visit: Visit, site: Site, body: str, act: Callable[[Page], Any], kind: str, interaction: Any, node: Any
) -> None:
    act(visit(body))
    message = site.wait_for(kind)[0]
    got = message["event"]["interaction"]
    assert contains(got, interaction)
    assert contains(got["nodes"][0], node)
    assert "secret" not in str(site.posted)
    assert len(site.of_kind(kind)) == 1


def test_a_message_is_complete_in_itself(visit: Visit, site: Site) -> None:
    page = visit(
        "<button>Buy</button>",
        path="/shop?utm_source=news&utm_medium=email&utm_campaign=feb&q=1#top",
        title="Shop",
    )
    page.click("button")
    (message,) = site.wait_for("click")
    session, shown = message["session_info"], message["pageview_info"]
    assert contains(
        message,
        {
            "env_id": site.environment,
            "base_library": {"name": "web", "version": "0.1.0", "platform": "web"},
            "properties": {},
            "pageview_info": {
                "title": "Shop",
                "url": {
                    "domain": "localhost",
                    "path": "/shop",
                    "query": "?utm_source=news&utm_medium=email&utm_campaign=feb&q=1",
                    "hash": "#top",
                },
                "source_properties": {"screen_height": 720, "screen_width": 1280},
            },
            "session_info": {
                "referrer": "",
                "search_keyword": "",
                "utm": {"source": "news", "medium": "email", "term": "", "content": "", "campaign": "feb"},
            },
        },
    )
    assert session["initial_pageview_info"]["id"] == shown["id"]
    assert "HeadlessChrome" in message["device"]["user_agent"]
    assert message["device"]["uach"]["platform_version"] is not None
    for number in (message["id"], message["user_id"], session["id"], shown["id"]):
        assert number.isdigit() and 0 <= int(number) < 2**53
    assert abs(message["time"] - session["time"]) < 60_000


def test_first_visit_announces_user_session_and_page_once(visit: Visit, site: Site) -> None:
    visit(path="/a?utm_source=ads")
    site.wait_for("pageview")
    assert site.kinds[:3] == ["user", "session", "pageview"]
    user, session, page = site.messages[:3]
    assert contains(
        user["user"], {"id": user["user_id"], "initial_utm": {"source": "ads"}, "initial_referrer": ""}
    )
    assert session["id"] == session["session_info"]["id"]
    assert "pageview_info" not in session
    assert page["id"] == page["pageview_info"]["id"]


def test_no_request_needs_permission_first(visit: Visit, site: Site) -> None:
    """Another origin takes the events without a preflight."""
    elsewhere = site.url("", "in.cairn.test")
    visit("<button>x</button>", ingestServer=elsewhere).click("button")
    site.wait_for("click")
    assert all(one.headers["host"].startswith("in.cairn.test") for one in site.posted)
    assert all(one.headers["content-type"].startswith("text/plain") for one in site.posted)
    assert all("cookie" not in one.headers for one in site.posted)
    assert not [path for method, path in site.asked if method == "OPTIONS"]
    assert {one.query["a"] for one in site.posted} == {site.environment}


SPA = {
    "pushState": "history.pushState({}, '', '/two')",
    "replaceState": "history.replaceState({}, '', '/two')",
    "hashchange": "location.hash = 'two'",
    "a navigation that the page intercepts": "navigation.navigate('/two')",
}
INTERCEPT = "navigation.addEventListener('navigate', (event) => event.canIntercept && event.intercept())"


@pytest.mark.parametrize("change", SPA.values(), ids=SPA.keys())
def test_single_page_navigation_is_a_page_view(visit: Visit, site: Site, change: str) -> None:
    page = visit(path="/one", before=INTERCEPT if "navigate" in change else "")
    page.evaluate(f"{{ {change}; document.title = 'Second' }}")
    first, second = site.wait_for("pageview", 2)
    assert second["pageview_info"]["previous_page"] == "/one"
    assert second["pageview_info"]["title"] == "Second"
    assert second["session_info"]["id"] == first["session_info"]["id"]
    page.evaluate("history.replaceState({ scroll: 1 }, '')")  # the address stays: no view
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert len(site.of_kind("pageview")) == 2


def test_going_back_is_a_page_view(visit: Visit, site: Site) -> None:
    page = visit(path="/one")
    page.evaluate("history.pushState({}, '', '/two')")
    page.go_back()
    paths = [one["pageview_info"]["url"]["path"] for one in site.wait_for("pageview", 3)]
    assert paths == ["/one", "/two", "/one"]


def test_a_click_after_an_intercepted_navigation_is_on_the_new_page(visit: Visit, site: Site) -> None:
    back = "<button id=back onclick='navigation.back()'>Back</button>"
    body = f"<a id=go href=/two>Two</a><button id=on>On</button>{back}"
    page = visit(body, path="/one", before=INTERCEPT)
    page.click("#go")
    site.wait_for("pageview", 2)
    page.click("#on")
    page.click("#back")
    paths = [message["pageview_info"]["url"]["path"] for message in site.wait_for("pageview", 3)]
    assert paths == ["/one", "/two", "/one"]
    clicks = site.wait_for("click", 3)
    assert [message["pageview_info"]["url"]["path"] for message in clicks] == ["/one", "/two", "/two"]


def test_rage_clicks_are_one_event_per_burst(visit: Visit, site: Site) -> None:
    page = visit('<button id=slow onclick="document.title+=1">Slow</button>')
    page.click("button", click_count=5)
    (message,) = site.wait_for("Rage click")
    assert message["event"]["custom"]["properties"] == {"hierarchy": "@button;#slow;|", "target_text": "Slow"}
    assert message["source_library"] == {"name": "cairn"}
    site.wait_for("click", 5)
    assert len(site.of_kind("Rage click")) == 1


def test_a_slow_burst_is_one_rage_too(visit: Visit, site: Site) -> None:
    page = visit('<button id=slow onclick="document.title+=1">Slow</button>')
    page.evaluate(
        """new Promise((done) => {
             let left = 7;
             const timer = setInterval(() => {
               slow.dispatchEvent(new MouseEvent('click', { bubbles: true, composed: true, detail: 1 }));
               if (--left === 0) done(clearInterval(timer));
             }, 350);
           })"""
    )
    site.wait_for("click", 7)
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert len(site.of_kind("Rage click")) == 1


def test_a_frame_with_its_own_copy_is_left_to_it(visit: Visit, site: Site) -> None:
    from tests.browser import snippets

    site.pages["/framed"] = (site.fill(f"<script>{snippets.v5()}</script><button id=in>Own</button>"), {})
    page = visit("<iframe src=/framed></iframe>")
    frame = page.frames[1]
    frame.wait_for_function("window.cairn && cairn.loaded")
    page.frame_locator("iframe").locator("#in").click()
    (message,) = site.wait_for("click")
    assert message["pageview_info"]["url"]["path"] == "/framed"
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert len(site.of_kind("click")) == 1


def test_a_change_in_another_shadow_root_is_an_effect(visit: Visit, site: Site) -> None:
    page = visit(
        "<button id=open>Open</button>" + shadowed("<i>closed</i>"),
        before="document.addEventListener('click', () => host.shadowRoot.querySelector('i').textContent = 'open')",
    )
    page.click("#open")
    page.wait_for_timeout(2700)
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert not site.of_kind("Dead click")


def test_a_click_without_any_effect_is_dead(visit: Visit, site: Site) -> None:
    page = visit(
        "<button id=dead>Nothing</button><p>text</p><button id=alive onclick='this.id=1'>Alive</button>"
    )
    page.click("p")
    page.click("#alive")
    page.wait_for_timeout(2600)
    assert not site.of_kind("Dead click")
    page.click("#dead")
    (message,) = site.wait_for("Dead click")
    assert message["event"]["custom"]["properties"]["hierarchy"] == "@button;#dead;|"


def test_every_click_has_its_own_time_to_take_effect(visit: Visit, site: Site) -> None:
    slowly = "setTimeout(() => parent.document.title = `done`, 1800)"
    frame = f"<iframe srcdoc='<button onclick=\"{slowly}\">Slow</button>'></iframe>"
    page = visit("<button id=dead>Nothing</button><div id=box></div>")
    page.wait_for_timeout(1500)  # by so much the frame's clock is behind the page's
    page.evaluate("(frame) => { box.innerHTML = frame }", frame)
    page.wait_for_function("frames[0]?.document.querySelector('button')")
    page.click("#dead")
    page.wait_for_timeout(1200)
    page.frame_locator("iframe").locator("button").click()
    page.wait_for_timeout(2600)
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert not site.of_kind("Dead click")


def test_scroll_depth_is_told_when_the_page_is_left(visit: Visit, site: Site) -> None:
    page = visit("<div style='height:3000px'></div>", path="/long")
    page.evaluate("scrollTo(0, 800)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("history.pushState({}, '', '/next')")
    (message,) = site.wait_for("Scroll depth")
    assert message["pageview_info"]["url"]["path"] == "/long"
    assert 45 <= message["event"]["custom"]["properties"]["percent"] <= 55


def test_depth_of_an_element_that_fills_the_window(visit: Visit, site: Site) -> None:
    page = visit(
        "<style>body{margin:0}</style><div id=list style='height:100px;overflow:auto'><p style='height:900px'></div>"
        "<main id=app style='height:600px;overflow:auto'><p style='height:2380px'></main>",
        path="/app",
    )
    two_frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(f"list.scrollTo(0, 900); {two_frames}")
    page.evaluate(f"app.scrollTo(0, 600); {two_frames}")
    page.evaluate("history.pushState({}, '', '/next')")
    (message,) = site.wait_for("Scroll depth")
    assert 45 <= message["event"]["custom"]["properties"]["percent"] <= 55


def test_web_vitals_come_once_when_the_page_is_left(visit: Visit, site: Site) -> None:
    page = visit("<h1>Big</h1><button>x</button>")
    page.click("button")
    site.pages["/other"] = ("<p>bye", {})
    page.goto(site.url("/other"))
    (message,) = site.wait_for("Web vitals")
    vitals = message["event"]["custom"]["properties"]
    assert vitals["fcp_ms"] > 0 and vitals["lcp_ms"] > 0 and vitals["ttfb_ms"] > 0
    assert vitals["cls"] == 0


THROWS = """
  const waiting = setInterval(() => { if (window.cairn && cairn.loaded) { clearInterval(waiting); lose() } }, 1);
  function lose() { throw new Error('lost ann@shop.test') }"""


def test_errors_are_captured_where_switched_on(visit: Visit, site: Site) -> None:
    """The first comes at once, when the part that reports errors has hardly loaded."""
    site.pages["/app.js"] = (THROWS, {})
    page = visit("<script src=/app.js></script>", captureErrors=True)
    (message,) = site.wait_for("JavaScript error")
    custom = message["event"]["custom"]["properties"]
    assert custom["message"] == "Uncaught Error: lost {email}"
    assert custom["place"].endswith("/app.js:3:27")
    page.evaluate("Promise.reject(new Error('promised')); 0")
    assert site.wait_for("JavaScript error", 2)[1]["event"]["custom"]["properties"]["message"] == "promised"


def test_errors_are_not_captured_by_default(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("setTimeout(() => { throw new Error('x') }); 0")
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert not site.of_kind("JavaScript error")


SWITCHES = [
    pytest.param({"disableInteractionEvents": ["click"]}, {"click"}, id="clicks off"),
    pytest.param({"disableInteractionEvents": ["submit", "change"]}, {"submit", "change"}, id="forms off"),
    pytest.param({"disableInteractionEvents": ["touch"]}, {"touch"}, id="touches off"),
    pytest.param({"disablePageviewAutocapture": True}, {"pageview"}, id="page views off"),
    pytest.param({"captureRageClicks": False}, {"Rage click"}, id="rage clicks off"),
    pytest.param({"captureDeadClicks": False}, {"Dead click"}, id="dead clicks off"),
    pytest.param({"captureScrollDepth": False}, {"Scroll depth"}, id="scroll depth off"),
    pytest.param({"captureWebVitals": False}, {"Web vitals"}, id="web vitals off"),
]
KINDS = {
    "click",
    "touch",
    "change",
    "submit",
    "pageview",
    "Rage click",
    "Dead click",
    "Scroll depth",
    "Web vitals",
}


@pytest.mark.parametrize(("options", "missing"), SWITCHES)
def test_kinds_can_be_switched_off(visit: Visit, site: Site, options: Any, missing: set[str]) -> None:
    page = visit(
        "<form onsubmit='return false'><button>x</button><input></form>"
        "<button id=dead>y</button><p style='height:3000px'>",
        **options,
    )
    page.click("#dead")
    page.wait_for_timeout(2700)
    page.tap("#dead")
    page.click("form button", click_count=3)
    page.fill("input", "x")
    page.locator("input").blur()
    page.evaluate(
        "scrollTo(0, 800); new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    # As if it were left; and it is there still, so what could not be sent at once is sent after all.
    page.evaluate(
        "heap.track('end'); dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('online'))"
    )
    site.wait_for("end")
    assert KINDS - set(site.kinds) == missing


def test_page_views_by_hand(visit: Visit, site: Site) -> None:
    page = visit(disablePageviewAutocapture=True, path="/hand")
    page.evaluate("heap.trackPageview({ section: 'news' })")
    (message,) = site.wait_for("pageview")
    assert message["pageview_info"]["properties"] == {"section": "news"}
