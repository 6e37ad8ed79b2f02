"""Pages that break everything around the script: the page keeps working, and where it can be, so does capture."""

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import Visit
from tests.browser.site import Site

WORKS = "<button onclick=\"document.title = 'works'\">x</button>"

MANY_LISTENERS = """
for (let i = 0; i < 1000; i++) {
  const element = document.body.appendChild(document.createElement('i'));
  for (let j = 0; j < 100; j++) element.addEventListener('click', () => j);
}
"""

STILL_CAPTURED = {
    "toJSON on every object": "Array.prototype.toJSON = Object.prototype.toJSON = () => 'gone'",
    "an enumerable extra on every object": "Object.prototype.extra = { cyclic: Object.prototype }",
    "a fetch that throws": "window.fetch = () => { throw new Error('no') }",
    "a fetch that answers nothing": "window.fetch = () => undefined",
    "no JSON.parse": "JSON.parse = () => { throw new Error('no') }",
    "no storage": "Object.defineProperty(window, 'localStorage', { get() { throw 1 } })",
    "no cookies": "Object.defineProperty(document, 'cookie', { get() { throw 1 }, set() { throw 1 } })",
    "a frozen history": "Object.freeze(history)",
    "no console": "window.console = undefined",
    "an old AbortSignal": "window.AbortSignal = {}",
}

STILL_CAPTURED_AFTERWARDS = {
    "no getAttribute": "Element.prototype.closest = Element.prototype.getAttribute = null",
    "100,000 listeners": MANY_LISTENERS,
    "a swallower of clicks": "addEventListener('click', (event) => event.stopImmediatePropagation(), true)",
    "a fetch that throws": "window.fetch = () => { throw new Error('no') }",
    "no promises": "Promise.prototype.then = Promise.prototype.catch = () => { throw new Error('no') }",
    "another Promise": "window.Promise = function () { throw new Error('no') }",
    "no JSON": "JSON.parse = JSON.stringify = () => { throw new Error('no') }; window.JSON = null",
    "a fetch that always fails, of another make": "window.fetch = () => ({ then() { throw new Error('no') } })",
    "no timers": "window.setTimeout = () => { throw new Error('no') }",
}

STILL_A_PAGE = {
    "no map": "Array.prototype.map = () => { throw new Error('no') }",
    "no push": "Array.prototype.push = () => { throw new Error('no') }",
    "no replace": "String.prototype.replace = () => { throw new Error('no') }",
    "no keys": "Object.keys = () => { throw new Error('no') }",
    "no clock": "Date.now = () => { throw new Error('no') }",
    "no random numbers": "crypto.getRandomValues = () => { throw new Error('no') }",
    "no listeners": "EventTarget.prototype.addEventListener = () => { throw new Error('no') }",
    "our name taken by a number": "window.cairn = 1",
    "our name frozen": "window.cairn = Object.freeze([])",
    "Heap's name taken by a text": "window.heap = 'heap'",
}


def thrown(context: BrowserContext) -> list[str]:
    """What pages throw from now on, the page's own faults included."""
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    return errors


@pytest.mark.parametrize("poison", STILL_CAPTURED.values(), ids=STILL_CAPTURED.keys())
def test_capture_survives(visit: Visit, site: Site, context: BrowserContext, poison: str) -> None:
    errors = thrown(context)
    page = visit(WORKS, before=poison)
    page.evaluate("document.querySelector('button').click()")
    message = site.wait_for("click")[0]
    assert message["event"]["interaction"]["hierarchy"] == "@button;|"
    assert page.title() == "works"
    assert not errors


@pytest.mark.parametrize("poison", STILL_CAPTURED_AFTERWARDS.values(), ids=STILL_CAPTURED_AFTERWARDS.keys())
def test_capture_survives_what_comes_later(
    visit: Visit, site: Site, context: BrowserContext, poison: str
) -> None:
    errors = thrown(context)
    page = visit(WORKS)
    page.evaluate(f"{poison}; 0")
    page.evaluate("document.querySelector('button').click()")
    assert site.wait_for("click")[0]["event"]["interaction"]["hierarchy"] == "@button;|"
    page.evaluate("heap.track('more', { n: 1 })")
    assert site.wait_for("more")[0]["event"]["custom"]["properties"] == {"n": 1}
    assert not errors


@pytest.mark.parametrize("poison", STILL_A_PAGE.values(), ids=STILL_A_PAGE.keys())
def test_the_page_survives(visit: Visit, context: BrowserContext, poison: str) -> None:
    errors = thrown(context)
    page = visit(WORKS, snippet=f"{poison}; {SAFE_SNIPPET}", is_ready=False)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelector('button').click()")
    page.evaluate("history.pushState({}, '', '/two')")
    assert page.title() == "works"
    assert page.evaluate("location.pathname") == "/two"
    assert not errors


SAFE_SNIPPET = """
  var script = document.createElement('script'); script.async = true; script.src = '/js/heap-1234567890.js';
  document.head.appendChild(script);
"""

PROPERTIES = {
    "a cycle": "const a = { n: 1 }; a.self = a; heap.track('p', a)",
    "a getter that throws": "heap.track('p', { get bad() { throw 1 } }); heap.track('p', { n: 1 })",
    "the window": "heap.track('p', { n: 1, w: window, d: document.body.constructor })",
    "a proxy": "heap.track('p', new Proxy({}, { ownKeys() { throw 1 } })); heap.track('p', { n: 1 })",
    "no values": "heap.track('p', { n: 1, s: Symbol('x'), f() {}, nan: NaN, when: new Date('x') })",
    "an endless key": "heap.track('p', { n: 1, ['k'.repeat(1e6)]: 1 })",
}


@pytest.mark.parametrize("call", PROPERTIES.values(), ids=PROPERTIES.keys())
def test_hostile_properties(visit: Visit, site: Site, context: BrowserContext, call: str) -> None:
    errors = thrown(context)
    visit().evaluate(f"{{ {call} }}")
    properties = site.wait_for("p")[0]["event"]["custom"]["properties"]
    assert properties["n"] == 1
    assert len(str(properties)) < 50_000
    assert not errors


def test_ten_megabytes_of_text(visit: Visit, site: Site) -> None:
    page = visit("<button id=big></button><p id=para></p>")
    page.evaluate(
        "big.textContent = 'word '.repeat(2e6); para.textContent = 'x'.repeat(1e7); para.title = 'y'.repeat(1e7)"
    )
    page.evaluate("big.click(); para.click()")
    first, second = site.wait_for("click", 2)
    text = first["event"]["interaction"]["nodes"][0]["node_text"]
    assert text.startswith("word word") and len(text) <= 1024
    assert len(str(second)) < 6000


def test_a_deep_and_wide_page(visit: Visit, site: Site) -> None:
    page = visit("<div id=top></div>")
    page.evaluate(
        """let at = top_ = document.getElementById('top');
        for (let i = 0; i < 2000; i++) { const next = document.createElement('div'); at.append(next); at = next }
        at.innerHTML = '<i></i>'.repeat(20000) + '<button id=last>x</button>';
        document.getElementById('last').click()"""
    )
    interaction = site.wait_for("click")[0]["event"]["interaction"]
    assert len(interaction["hierarchy"]) <= 1024 and len(interaction["nodes"]) == 30
    assert "nth" not in interaction["nodes"][0]["attributes"]


def test_a_listener_that_throws_is_not_our_fault(visit: Visit, site: Site, context: BrowserContext) -> None:
    errors = thrown(context)
    page = visit("<button onclick='throw new Error(1)'>x</button>")
    page.click("button")
    site.wait_for("click")
    assert len(errors) == 1


def test_ten_thousand_events_in_one_go_end_in_a_bounded_queue(
    visit: Visit, site: Site, context: BrowserContext
) -> None:
    page = visit()
    site.wait_for("pageview")
    context.set_offline(True)
    page.evaluate("for (let i = 0; i < 10000; i++) heap.track('e')")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    stored = page.evaluate(f"localStorage['_cairn_queue.{site.environment}'].length")
    assert 100_000 < stored < 400_000
    assert page.evaluate("heap.loaded")
