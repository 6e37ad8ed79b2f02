"""Nothing is lost on the way: unload, offline, failing servers, the back/forward cache."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Visit
from tests.browser.site import Site, kind_of


def times_delivered(site: Site, kind: str) -> int:
    return sum(kind_of(message) == kind for message in site.deliveries)


def test_an_event_just_before_leaving_arrives(visit: Visit, site: Site) -> None:
    page = visit("<a href=/next onclick=\"heap.track('leaving')\">Go</a>")
    site.pages["/next"] = ("<p>next", {})
    page.click("a")
    site.wait_for("leaving")
    site.wait_for("click")


def test_closing_the_tab_sends_what_is_there(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.track('last'); heap.addUserProperties({ a: 1 })")
    page.close(run_before_unload=True)
    site.wait_for("last")
    site.wait(lambda: site.calls("add_user_properties"))


MOMENTS = {
    "visibilitychange": "document.addEventListener('visibilitychange', () => document.hidden && heap.track('last'))",
    "pagehide": "addEventListener('pagehide', () => heap.track('last'))",
    "unload": "addEventListener('unload', () => heap.track('last'))",
    "beforeunload": "addEventListener('beforeunload', () => heap.track('last'))",
}


@pytest.mark.parametrize("by", ["following a link", "closing the tab"])
@pytest.mark.parametrize("listening", MOMENTS.values(), ids=MOMENTS.keys())
def test_what_a_page_says_while_it_is_left_arrives(visit: Visit, site: Site, listening: str, by: str) -> None:
    site.pages["/next"] = ("<p>next", {})
    page = visit("<a href=/next>Go</a>")
    page.evaluate(listening + "; heap.track('before')")
    site.wait_for("before")
    if by == "closing the tab":
        page.close(run_before_unload=True)
    else:
        page.click("a")
    (message,) = site.wait_for("last")
    assert message["event"]["custom"]["name"] == "last"


def test_what_a_hidden_page_says_is_sent_at_once_and_once(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.track('before')")
    site.wait_for("before")
    page.evaluate(
        """Object.defineProperty(document, 'hidden', { value: true });
           document.dispatchEvent(new Event('visibilitychange'));
           for (let i = 0; i < 5; i++) heap.track('hidden ' + i)"""
    )
    site.wait_for("hidden 4")
    assert [times_delivered(site, f"hidden {i}") for i in range(5)] == [1] * 5
    assert (
        len([post for post in site.posted if "hidden 0" in str(post.body) or "hidden 4" in str(post.body)])
        == 1
    )


def test_much_at_once_arrives_on_leaving(visit: Visit, site: Site) -> None:
    """More than browsers carry for a page that is gone: what does not fit waits for the next page."""
    page = visit()
    site.wait_for("pageview")
    site.pages["/next"] = site.pages["/"]
    page.evaluate("for (let i = 0; i < 90; i++) heap.track('e' + i, { long: 'x'.repeat(900) })")
    page.goto(site.url("/next"))
    site.wait(lambda: {f"e{i}" for i in range(90)} <= set(site.kinds), "all 90 events")


def test_offline_and_back(visit: Visit, site: Site, context: BrowserContext) -> None:
    page = visit()
    site.wait_for("pageview")
    context.set_offline(True)
    page.evaluate("heap.track('offline'); heap.identify('ann')")
    page.wait_for_timeout(500)
    assert "offline" not in site.kinds
    context.set_offline(False)
    site.wait_for("offline")
    site.wait(lambda: site.calls("identify"))
    assert times_delivered(site, "offline") == 1


def test_offline_until_another_day(visit: Visit, site: Site, context: BrowserContext) -> None:
    page = visit()
    site.wait_for("pageview")
    context.set_offline(True)
    page.evaluate("heap.track('kept'); heap.addUserProperties({ a: 1 })")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert "kept" in page.evaluate(f"localStorage['_cairn_queue.{site.environment}']")
    page.close()
    context.set_offline(False)
    visit(path="/another-day")
    site.wait_for("kept")
    site.wait(lambda: site.calls("add_user_properties"))
    assert times_delivered(site, "kept") == 1


def test_leaving_while_the_server_is_down(visit: Visit, site: Site) -> None:
    """A page that goes would not hear that its last request fails too, so the next page sends it."""
    page = visit()
    site.wait_for("pageview")
    site.status = 503
    page.evaluate("heap.track('first')")
    site.wait(lambda: ("REFUSED", "track") in site.asked)
    page.evaluate("heap.track('last')")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")  # its answer is there
    page.goto(site.url("/gone"))
    site.status = 200
    visit(path="/next")
    assert {"first", "last"} <= {*site.kinds, *(site.wait_for("last") and site.kinds)}
    assert [times_delivered(site, name) for name in ("first", "last")] == [1, 1]


WORDS = "商品をカートに入れる"


def test_other_alphabets_fit_into_what_a_browser_carries(visit: Visit, site: Site) -> None:
    """Browsers count bytes: what has 50,000 characters may have 150,000."""
    page = visit()
    site.wait_for("pageview")
    page.evaluate(f"for (let i = 0; i < 60; i++) heap.track('e' + i, {{ long: '{WORDS}'.repeat(70) }})")
    site.wait(lambda: {f"e{i}" for i in range(60)} <= set(site.kinds), "all 60 events")
    page.evaluate(f"for (let i = 60; i < 120; i++) heap.track('e' + i, {{ long: '{WORDS}'.repeat(70) }})")
    page.goto(site.url("/gone"))
    visit(path="/next")
    site.wait(lambda: {f"e{i}" for i in range(120)} <= set(site.kinds), "all 120 events")


def test_an_address_that_changes_all_the_time_does_not_hold_up_the_sending(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate(
        "window.n = 0; window.drag = setInterval(() => history.replaceState({}, '', '/map?at=' + n++), 10)"
    )
    site.wait_for("pageview", 100)
    page.evaluate("clearInterval(drag)")


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_failing_server_is_asked_again(visit: Visit, site: Site, status: int) -> None:
    site.status = status
    visit()
    site.wait(lambda: ("REFUSED", "track") in site.asked)
    site.status = 200
    (message,) = site.wait_for("pageview")
    assert times_delivered(site, "pageview") == 1 and message["id"]


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refused_batch_is_not_sent_again(visit: Visit, site: Site, status: int) -> None:
    site.status = status
    page = visit()
    site.wait(lambda: ("REFUSED", "track") in site.asked)
    site.status = 200
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert "pageview" not in site.kinds


def test_a_repeat_has_the_same_ids(visit: Visit, site: Site) -> None:
    """The answer is lost, not the request: the server sees the events twice and can tell."""
    page = visit()
    site.wait_for("pageview")
    site.loses_answers = True
    page.evaluate("heap.track('twice')")
    site.wait_for("twice")
    site.loses_answers = False

    def repeats() -> list[dict[str, Any]]:
        return [message for message in site.deliveries if kind_of(message) == "twice"]

    first, second = site.wait(lambda: len(repeats()) >= 2 and repeats(), "the repeat")
    assert first == second


def test_events_travel_together(visit: Visit, site: Site) -> None:
    page = visit()
    site.wait_for("pageview")
    site.posted.clear()
    page.evaluate("for (let i = 0; i < 30; i++) heap.track('e' + i)")
    site.wait_for("e29")
    assert [len(one.body["events"]) for one in site.posted] == [30]
    assert site.kinds == [f"e{i}" for i in range(30)]


def test_back_from_the_back_forward_cache(visit: Visit, site: Site) -> None:
    page = visit(path="/one")
    site.wait_for("pageview")
    page.evaluate(
        "window.mark = 1; addEventListener('pageshow', (event) => window.persisted = event.persisted)"
    )
    site.pages["/two"] = ("<p>two", {})
    page.goto(site.url("/two"))
    page.go_back(wait_until="commit")
    first, second = site.wait_for("pageview", 2)
    assert first["pageview_info"]["id"] != second["pageview_info"]["id"]
    assert page.evaluate("[window.mark, window.persisted]") == [1, True]
    page.evaluate("heap.track('end')")
    (end,) = site.wait_for("end")
    assert end["pageview_info"]["id"] == second["pageview_info"]["id"]
    assert len(site.of_kind("pageview")) == 2


def test_a_slow_server_does_not_hold_up_the_page(visit: Visit, site: Site) -> None:
    site.delay = 1.0
    page = visit()
    page.evaluate("for (let i = 0; i < 5; i++) setTimeout(() => heap.track('e' + i), i * 100)")
    site.wait_for("e4")
    # One at a time: what came up meanwhile goes in the next request.
    assert len(site.posted) <= 3


SPECULATION = """<script type=speculationrules>{"prerender": [{"urls": ["/next"]}]}</script>"""


def test_a_page_that_is_only_prerendered_was_not_seen(
    visit: Visit, site: Site, context: BrowserContext
) -> None:
    page = visit(SPECULATION + "<a href=/next>Go</a>")
    site.wait_for("pageview")
    site.pages["/next"] = (site.pages["/"][0].replace(SPECULATION, ""), {})
    site.wait(lambda: site.asked.count(("GET", "/next")) == 1)
    assert len(site.of_kind("pageview")) == 1
    page.click("a")
    page.wait_for_url("**/next")
    views = site.wait_for("pageview", 2)
    assert [view["pageview_info"]["url"]["path"] for view in views] == ["/", "/next"]
