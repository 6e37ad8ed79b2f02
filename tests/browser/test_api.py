"""Heap's JavaScript API, call by call."""

from typing import Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.site import Site
from tests.browser.snippets import CLASSIC_METHODS, V5_METHODS

TRACKS: list[Any] = [
    pytest.param(
        "'Order', { total: 12.5, ok: true, sku: 'A' }", {"total": 12.5, "ok": True, "sku": "A"}, id="scalars"
    ),
    pytest.param("'Order'", {}, id="no properties"),
    pytest.param("'Order', { a: { b: [1, 2] }, n: null, u: undefined }", {"a.b": "1||2"}, id="nested"),
    pytest.param("'Order', 'text'", {}, id="properties that are none"),
    pytest.param("'  Order '", {}, id="spaces around the name"),
]


@pytest.mark.parametrize(("given", "properties"), TRACKS)
def test_track(visit: Visit, site: Site, given: str, properties: Any) -> None:
    visit().evaluate(f"heap.track({given})")
    (message,) = site.wait_for("Order")
    assert message["event"] == {"custom": {"name": "Order", "properties": properties}}
    assert "source_library" not in message


def test_track_names_its_library(visit: Visit, site: Site) -> None:
    visit().evaluate("heap.track('Order', {}, 'shop')")
    assert site.wait_for("Order")[0]["source_library"] == {"name": "shop"}


@pytest.mark.parametrize("name", ["''", "null", "{}", "42", "'x'.repeat(1025)"])
def test_an_event_without_a_proper_name_is_none(visit: Visit, site: Site, name: str) -> None:
    visit().evaluate(f"heap.track({name}); heap.track('end')")
    site.wait_for("end")
    assert site.kinds == ["user", "session", "pageview", "end"]


def test_user_properties(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.addUserProperties({ id: 1, Id: 2, email: 'ann@shop.test', plan: 'pro', seats: 3 })")
    page.evaluate("heap.addUserProperties({ id: 'only reserved' }); heap.addAccountProperties({ tier: 1 })")
    (account,) = site.wait(lambda: site.calls("add_account_properties"))
    (user,) = site.calls("add_user_properties")
    assert user["properties"] == {"email": "ann@shop.test", "plan": "pro", "seats": 3}
    assert (user["env_id"], user["user_id"]) == (site.environment, page.evaluate("heap.getUserId()"))
    assert account["properties"] == {"tier": 1}


def test_calls_arrive_in_their_order(visit: Visit, site: Site) -> None:
    page = visit()
    site.wait_for("pageview")
    page.evaluate("heap.track('a'); heap.identify('ann'); heap.addUserProperties({ a: 1 }); heap.track('b')")
    site.wait_for("b")
    order = [one.name for one in site.posted]
    assert order[-4:] == ["track", "identify", "add_user_properties", "track"]


def test_event_properties(visit: Visit, site: Site) -> None:
    page = visit("<button>x</button>")
    page.evaluate("heap.addEventProperties({ theme: 'dark', tier: 1 }); heap.removeEventProperty('tier')")
    page.click("button")
    assert site.wait_for("click")[0]["properties"] == {"theme": "dark"}
    page.reload()
    assert site.wait_for("pageview", 2)[1]["properties"] == {"theme": "dark"}
    page.evaluate("heap.setEventProperties({ a: 1, b: 2 }); heap.unsetEventProperty('a'); heap.track('one')")
    page.evaluate("heap.clearEventProperties(); heap.setEventProperties({ theme: 'dark' })")
    page.reload()
    assert site.wait_for("pageview", 3)[2]["properties"] == {"theme": "dark"}
    page.evaluate("heap.clearEventProperties(); heap.track('two')")
    assert site.wait_for("two")[0]["properties"] == {}
    assert site.of_kind("one")[0]["properties"] == {"theme": "dark", "b": 2}


def test_pageview_properties_live_as_long_as_the_page(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heap.addPageviewProperties({ test: 'A', gone: 1 }); heap.removePageviewProperty('gone')")
    page.evaluate("heap.track('here')")
    assert site.wait_for("here")[0]["pageview_info"]["properties"] == {"test": "A"}
    page.evaluate("history.pushState({}, '', '/next'); heap.track('there')")
    assert "properties" not in site.wait_for("there")[0]["pageview_info"]
    page.evaluate("heap.addPageviewProperties({ a: 1 }); heap.clearPageviewProperties(); heap.track('end')")
    assert site.wait_for("end")[0]["pageview_info"]["properties"] == {}


def test_an_adapter_holds_events_until_it_is_done(visit: Visit, site: Site) -> None:
    adapter = """window.heapReadyCb = [{ name: 'addAdapter', fn: () => heap.addAdapter({ name: 'test', fn: (given) => {
             window.resolve = () => {
               given.addPageviewProperties({ 'VWO: hero': 'B' });
               heap.markAdapterAsResolved('test');
             }
           } }, { isBlocking: true, blockDurationInMs: 60000 }) }]"""
    page = visit(is_ready=False, before=adapter)
    page.wait_for_function("window.resolve && cairn.loaded")
    page.wait_for_timeout(600)
    assert not site.posted
    page.evaluate("resolve()")
    assert site.wait_for("pageview")[0]["pageview_info"]["properties"] == {"VWO: hero": "B"}


def test_an_adapter_holds_events_no_longer_than_it_asked_for(visit: Visit, site: Site) -> None:
    adapter = "heap.addAdapter({ name: 'never', fn() {} }, { isBlocking: true, blockDurationInMs: 300 })"
    visit(is_ready=False, before=f"window.heapReadyCb = [{{ name: 'addAdapter', fn: () => {adapter} }}]")
    site.wait_for("pageview")


TRANSFORM = """
heap.addTransformerFn('redact', (messages) => messages.map((one) => {
  window.types = (window.types || []).concat(one.type);
  if (one.type === 'core_track') one.data.properties.seen = one.id === one.data.id;
  return one;
}), 'general');
heap.addTransformerFn('meta', (messages) => messages.map((one) => {
  one.data.properties.meta = one.type; return one;
}), 'metadata');
const nameOf = (message) => message.data.event?.custom?.name;
heap.addTransformer({ name: 'drop', fn: (messages) => messages.filter((one) => nameOf(one) !== 'secret') });
heap.addTransformer({ name: 'fails', fn(messages) { if (nameOf(messages[0]) === 'bad') throw 1; return messages } });
"""


def test_transformers_edit_and_drop(visit: Visit, site: Site) -> None:
    page = visit(is_ready=False)
    page.evaluate(TRANSFORM + "heap.track('secret'); heap.track('bad'); heap.track('shown')")
    assert site.wait_for("shown")[0]["properties"] == {"seen": True}
    assert not {"secret", "bad"} & set(site.kinds)
    assert [message["properties"].get("meta") for message in site.messages] == [
        "meta_user",
        "meta_session",
        "meta_pageview",
        None,
    ]
    assert set(page.evaluate("types")) == {"core_track"}


HOSTILE = ["", "null", "undefined, undefined", "{}", "'a', 'b', 'c'", "Symbol.iterator", "() => { throw 1 }"]


def test_every_method_of_the_snippets_is_there_and_never_throws(visit: Visit) -> None:
    page = visit()
    for name in sorted({*V5_METHODS, *CLASSIC_METHODS}):
        page.evaluate("; ".join(f"heap.{name}({given})" for given in HOSTILE) + "; 0")
    assert page.evaluate("heap.loaded && heap === cairn")


def test_on_ready(visit: Visit) -> None:
    page = visit()
    assert page.evaluate("new Promise((done) => heap.onReady(() => done(heap.getSessionId())))").isdigit()
