"""How a page loads the script: each snippet, before and after, once whatever comes twice, under strict policies."""

import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import snippets
from tests.browser.conftest import Visit, ready
from tests.browser.site import Site, serve

SNIPPETS = {
    "current": (snippets.v5(), "heap"),
    "classic": (snippets.classic(), "heap"),
    "neutral": (snippets.neutral(), "cairn"),
    "segment classic": (snippets.segment_classic(), "heap"),
    "segment web": (snippets.segment_web(), "heap"),
}
QUEUED = {
    "heap": "heap.track('before', { a: 1 }); heap.identify('ann'); heap.addEventProperties({ b: 2 });",
    "cairn": "cairn.push(['track', 'before', { a: 1 }], ['identify', 'ann'], ['addEventProperties', { b: 2 }]);",
}


@pytest.mark.parametrize(("snippet", "name"), SNIPPETS.values(), ids=SNIPPETS.keys())
def test_calls_before_and_after_it_loads(visit: Visit, site: Site, snippet: str, name: str) -> None:
    if name == "heap":
        snippet += "\nwindow.wasArray = Array.isArray(window.heap); window.early = heap;"
    page = visit("<button>x</button>", snippet=f"{snippet}\n{QUEUED[name]}")
    page.evaluate(f"{name}.track('after')")
    page.click("button")
    (before,), (after,), _ = site.wait_for("before"), site.wait_for("after"), site.wait_for("click")
    assert before["event"]["custom"]["properties"] == {"a": 1}
    assert (after["identity"], after["properties"]) == ("ann", {"b": 2})
    assert site.kinds[:4] == ["user", "session", "pageview", "before"]
    assert page.evaluate(f"[{name}.loaded, Array.isArray({name})]") == [True, False]
    assert len(site.of_kind("pageview")) == len(site.of_kind("before")) == 1


def test_the_old_array_still_works_for_whoever_kept_it(visit: Visit, site: Site) -> None:
    page = visit(snippet=snippets.classic() + "window.early = heap;")
    page.evaluate("early.track('by method'); early.push(['track', 'by queue'])")
    site.wait_for("by method")
    site.wait_for("by queue")


def test_late_callbacks_run_at_once(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate("heapReadyCb.push({ name: 'track', fn: () => heap.track('late') })")
    site.wait_for("late")


def test_fields_that_pages_read(visit: Visit, site: Site) -> None:
    page = visit(snippet=snippets.classic({"secureCookie": False}))
    assert page.evaluate(
        "[heap.appid, heap.envId, heap.loaded, heap.config.secureCookie, heap.identity]"
    ) == [
        site.environment,
        site.environment,
        True,
        False,
        None,
    ]
    (message,) = site.wait_for("pageview")
    assert page.evaluate("heap.userId") == message["user_id"]


TWICE = "Heap loaded twice"
COPIES = ["current", "classic", "neutral", "segment web"]  # Segment's classic mode is the classic snippet


@pytest.mark.parametrize("first", COPIES)
@pytest.mark.parametrize("second", COPIES)
@pytest.mark.parametrize("moment", ["together", "after"])
def test_a_second_copy_does_nothing_but_warn_once(
    visit: Visit, site: Site, context: BrowserContext, first: str, second: str, moment: str
) -> None:
    warnings: list[str] = []
    context.on(
        "console", lambda message: warnings.append(message.text) if message.type == "warning" else None
    )
    context.on("weberror", lambda error: warnings.append(f"THROWN {error.error}"))
    (one, name), (two, _) = SNIPPETS[first], SNIPPETS[second]
    if moment == "together":
        page = visit("<button>x</button>", snippet=f"{one}\n;(function () {{ {two} }})()")
    else:
        page = visit("<button>x</button>", snippet=one)
        site.wait_for("pageview")
        page.evaluate(site.fill(f"(function () {{ {two} }})(); {name}.track('between')"))
    page.click("button")
    page.evaluate(f"{name}.track('end')")
    site.wait_for("end")
    counts = [site.kinds.count(kind) for kind in ("user", "session", "pageview", "click", "end")]
    assert counts == [1, 1, 1, 1, 1]
    if moment == "after":
        assert site.kinds.count("between") == 1
    assert not [text for text in warnings if "THROWN" in text]
    # Segment's own plugin loads nothing where window.heap is there already, so there is no second copy to warn of.
    if second == "segment web" and (name == "heap" or moment == "after"):
        return

    def said() -> list[str]:
        page.evaluate("0")  # what the browser has told meanwhile is heard
        return [text for text in warnings if "only once" in text]

    site.wait(said, "the warning")
    page.wait_for_load_state("networkidle")
    assert len(said()) == 1, warnings
    # And Cairn hears of it, once a tab.
    site.wait_for(TWICE)
    page.reload()
    ready(page)
    page.evaluate(f"{name}.track('after')")
    site.wait_for("after")
    assert site.kinds.count(TWICE) == 1


def test_a_second_copy_that_replaced_the_global_gets_it_taken_back(visit: Visit, site: Site) -> None:
    page = visit()
    page.evaluate(
        site.fill(f"(function () {{ {snippets.classic(start='[]')} heap.track('into the void') }})()")
    )
    site.wait_for("into the void")
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert site.kinds.count("pageview") == 1
    assert page.evaluate("heap === cairn")


def test_a_tag_manager_may_bring_the_first_or_the_second_copy(
    visit: Visit, site: Site, context: BrowserContext
) -> None:
    """A tag manager puts the snippet in as an inline script of its own, long after the page's."""
    warnings: list[str] = []
    context.on("console", lambda message: warnings.append(message.text))
    site.pages["/gtm.js"] = (
        site.fill(
            "function tag(text) { const script = document.createElement('script'); script.text = text;"
            " document.head.appendChild(script); script.remove(); }"
            f"setTimeout(() => tag({json.dumps(snippets.v5())}), 20);"
            f"setTimeout(() => {{ tag({json.dumps(snippets.classic())}); window.isTaggedTwice = true }}, 400);"
        ),
        {},
    )
    page = visit("<button>x</button>", snippet="", before="</script><script async src=/gtm.js>")
    page.wait_for_function("window.isTaggedTwice")
    page.click("button")
    site.wait_for("click")
    assert [site.kinds.count(kind) for kind in ("user", "session", "pageview", "click")] == [1, 1, 1, 1]
    assert len([text for text in warnings if "only once" in text]) == 1, warnings


def test_the_self_hosting_variant_of_the_classic_snippet(visit: Visit, site: Site) -> None:
    """heap.load(id, path of the script, options)."""
    snippet = snippets.classic({"disableTextCapture": True})
    snippet = snippet.replace("function (id, config)", "function (id, path, config)")
    snippet = snippet.replace(
        f"heap.load('{snippets.ENVIRONMENT}', ", f"heap.load('{snippets.ENVIRONMENT}', '/mine.js', "
    )
    visit("<button>x</button>", snippet=snippet).click("button")
    assert "node_text" not in site.wait_for("click")[0]["event"]["interaction"]["nodes"][0]


def test_another_products_heap_is_left_alone(visit: Visit, site: Site) -> None:
    """The real Heap, say while a site tries us: by the neutral path we run beside it, else not at all."""
    before = "window.heap = { loaded: true, track() { window.theirs = true } };"
    page = visit(before=before, snippet=snippets.neutral())
    page.evaluate("heap.track('theirs'); cairn.track('ours')")
    site.wait_for("ours")
    assert page.evaluate("theirs") and "theirs" not in site.kinds
    site.posted.clear()
    page = visit(before=before, path="/b", snippet=snippets.classic(start="window.heap"), is_ready=False)
    page.wait_for_load_state("networkidle")
    assert not site.posted and page.evaluate("heap.loaded")


def test_the_neutral_path_carries_no_word_block_lists_know(visit: Visit, site: Site) -> None:
    page = visit("<button>x</button>", snippet=snippets.neutral())
    page.evaluate("cairn.identify('ann'); cairn.addUserProperties({ a: 1 })")
    page.click("button")
    site.wait_for("click")
    paths = [path for _, path in site.asked if path != "/"] + [one.path for one in site.posted]
    assert len(paths) > 5
    assert all(path.startswith("/k/") for path in paths)
    assert not [word for word in ("heap", "track", "capture", "identify", "analytics") if word in str(paths)]
    assert page.evaluate("window.heap") is None


POLICIES: list[Any] = [
    pytest.param("default-src 'none'; script-src 'self' 'nonce-n1'; connect-src 'self'", id="own host"),
    pytest.param(
        "default-src 'none'; script-src 'nonce-n1' 'strict-dynamic'; connect-src 'self'", id="strict-dynamic"
    ),
    pytest.param(
        "script-src 'self' 'nonce-n1'; require-trusted-types-for 'script'; trusted-types cairn page",
        id="trusted types",
    ),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_strict_content_security_policies(
    visit: Visit, site: Site, context: BrowserContext, policy: str
) -> None:
    problems: list[str] = []
    context.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    own = "trustedTypes.createPolicy('page', { createScriptURL: (url) => url }).createScriptURL"
    snippet = snippets.v5().replace(
        "script.src = source;", f"script.src = {own}(source); script.nonce = 'n1';"
    )
    site.pages["/strict"] = (
        site.fill(f"<!doctype html><script nonce=n1>{snippet}</script><body><button>x</button>"),
        {"content-security-policy": policy},
    )
    page = context.new_page()
    page.goto(site.url("/strict"))
    ready(page)
    page.click("button")
    site.wait_for("click")
    assert not [text for text in problems if "favicon" not in text]


def test_scripts_admitted_by_nonce_only(site: Site, context: BrowserContext) -> None:
    """No host and no strict-dynamic: what the loader inserts must carry the page's nonce."""
    snippet = snippets.v5().replace("script.src = source;", "script.src = source; script.nonce = 'n1';")
    policy = "default-src 'none'; script-src 'nonce-n1'; connect-src 'self'"
    site.pages["/nonce"] = (
        site.fill(f"<!doctype html><script nonce=n1>{snippet}</script>"),
        {"content-security-policy": policy},
    )
    page = context.new_page()
    page.goto(site.url("/nonce"))
    ready(page)
    site.wait_for("pageview")


def test_a_page_may_pin_a_version_and_a_domain(visit: Visit, site: Site) -> None:
    domain = site.url("", "cdn.shop.test")
    visit(sdk={"version": "5.3.10", "domain": domain})
    site.wait_for("pageview")
    assert ("GET", "/v5/heapjs-static/5.3.10/core/heap.js") in site.asked


def test_quiet_where_asked(visit: Visit, context: BrowserContext) -> None:
    warnings: list[str] = []
    context.on("console", lambda message: warnings.append(message.text))
    page: Page = visit(logLevel="none")
    page.evaluate("heap.identify('')")
    assert not warnings


# How the loader gets into a page other than by an address of its own.
INDIRECT = {
    "a module": "const s = document.createElement('script'); s.type = 'module'; s.src = address;"
    " document.head.append(s)",
    "a dynamic import": "import(address)",
    "fetched and evaluated": "fetch(address).then((got) => got.text()).then((code) => (0, eval)(code))",
    "inline": "fetch(address).then((answer) => answer.text()).then((code) => {"
    " const s = document.createElement('script'); s.textContent = code; document.head.append(s) })",
    "a blob": "fetch(address).then((answer) => answer.blob()).then((code) => {"
    " const s = document.createElement('script'); s.src = URL.createObjectURL(code); document.head.append(s) })",
    "a copy among the site's own files": "const s = document.createElement('script'); s.src = '/copy.js';"
    " document.head.append(s)",
}


@pytest.mark.parametrize("how", INDIRECT.values(), ids=INDIRECT.keys())
def test_the_loader_finds_cairn_however_it_got_into_the_page(
    site: Site, context: BrowserContext, how: str
) -> None:
    address = site.url(f"/js/heap-{site.environment}.js", "cairn.test")
    with httpx.Client() as client:
        served = client.get(
            site.url(f"/js/heap-{site.environment}.js"), headers={"host": f"cairn.test:{site.port}"}
        )
    other = Site()
    stop = serve(
        other, Path("nothing is built here")
    )  # the site: another origin, which has none of our files
    try:
        other.pages["/copy.js"] = (served.text, {})
        other.pages["/"] = (f"<!doctype html><p>Shop<script>const address = {address!r};{how}</script>", {})
        page = context.new_page()
        page.goto(other.url())
        ready(page)
        page.evaluate("heap.track('seen')")
        site.wait_for("seen")
        assert not other.messages
    finally:
        stop()


def test_one_clear_warning_where_the_rest_cannot_be_loaded(site: Site, context: BrowserContext) -> None:
    address = site.url(f"/js/heap-{site.environment}.js")
    site.pages["/"] = (site.fill(f"<!doctype html><script src={address}></script>"), {})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "warning" else None)
    page.route("**/v5/heapjs-static/**", lambda route: route.abort())
    page.goto(site.url())
    site.wait(lambda: said, "the warning")
    assert [text for text in said if text.startswith("[cairn] could not load http")] == said
    assert len(said) == 1
