"""JavaScript snapshots in a page that forbids eval: what they return is kept, and what goes wrong stays theirs."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser import snippets
from tests.browser.conftest import ready
from tests.browser.site import Site

BODY = """<form class=plan data-plan=pro><select><option>S<option>XL</select>
<button type=button><b>Choose</b></button><input type=submit></form>"""
POLICY = "default-src 'none'; script-src 'nonce-n1' 'self'; connect-src 'self'"
TRUSTED = (
    "script-src 'nonce-n1' 'strict-dynamic'; require-trusted-types-for 'script'; trusted-types cairn page"
)
OWN = "trustedTypes.createPolicy('page', { createScriptURL: (url) => url }).createScriptURL"
V5 = snippets.v5().replace("script.src = source;", "script.src = source; script.nonce = 'n1';")
V5_TRUSTED = V5.replace("script.src = source;", f"script.src = {OWN}(source);")
SCRIPT = f"<script nonce=n1>{V5}</script>"
NEUTRAL = f"<script nonce=n1 async src=/k/{snippets.ENVIRONMENT}.js></script>"


def open_page(
    site: Site, context: BrowserContext, head: str = SCRIPT, policy: str = POLICY
) -> tuple[Any, list[str]]:
    """The page, and the errors that it sees."""
    errors: list[str] = []
    site.pages["/shop"] = (
        site.fill(f"<!doctype html><head>{head}</head><body>{BODY}"),
        {"content-security-policy": policy},
    )
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(error.message))
    page.goto(site.url("/shop"))
    ready(page)
    return page, errors


def click_snapshots(**functions: str) -> dict[str, Any]:
    return {"click": {"button": {"j": functions}}}


@pytest.mark.parametrize(
    ("head", "policy"),
    [
        pytest.param(SCRIPT, POLICY, id="own host"),
        pytest.param(f"<script nonce=n1>{V5_TRUSTED}</script>", TRUSTED, id="trusted types"),
        pytest.param(NEUTRAL, POLICY, id="neutral"),
    ],
)
def test_every_kind_of_event(site: Site, context: BrowserContext, head: str, policy: str) -> None:
    site.configuration["snapshots"] = {
        "pageview": {"/shop": {"j": {"Forms": "return element === document.body && document.forms.length"}}},
        "click": {
            "button": {"j": {"Plan": "return this.form.dataset.plan + (element === this) // the button"}}
        },
        "change": {"select": {"j": {"Size": "return element.selectedIndex"}}},
        "submit": {"form": {"j": {"Fields": "return this.elements.length"}}},
    }
    page, errors = open_page(site, context, head, policy)
    page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
    page.select_option("select", "XL")
    page.click("b")
    page.evaluate("document.forms[0].requestSubmit()")
    for kind, expected in {
        "pageview": {"Forms": 1},
        "change": {"Size": 1},
        "click": {"Plan": "protrue"},
        "submit": {"Fields": 3},
    }.items():
        assert site.wait_for(kind)[0]["properties"] == expected
    assert not errors


VALUES: list[Any] = [
    pytest.param("return 'x'.repeat(2000)", "x" * 1024, id="long text"),
    pytest.param("return '</script><!-- \u2028 é'", "</script><!-- \u2028 é", id="text of markup"),
    pytest.param("return 'ann@shop.test'", "{email}", id="masked"),
    pytest.param("return 0", 0, id="zero"),
    pytest.param("return false", False, id="false"),
    pytest.param("return 1.5", 1.5, id="number"),
    pytest.param("return ''", None, id="empty"),
    pytest.param("return 0 / 0", None, id="not a number"),
    pytest.param("return 1n", None, id="big integer"),
    pytest.param("return { a: 1 }", None, id="object"),
    pytest.param("return () => 1", None, id="function"),
    pytest.param("return Promise.resolve(1)", None, id="promise"),
    pytest.param("if (element) return", None, id="nothing"),
    pytest.param("throw new Error('mine'); return 1", None, id="thrown"),
    pytest.param("return nowhere.at.all", None, id="no such name"),
    pytest.param("return eval('1')", None, id="eval"),
]


@pytest.mark.parametrize(("code", "expected"), VALUES)
def test_what_a_function_returns(site: Site, context: BrowserContext, code: str, expected: object) -> None:
    site.configuration["snapshots"] = click_snapshots(Before="return 1", Value=code, Last="return 2")
    page, errors = open_page(site, context)
    page.click("b")
    value = {} if expected is None else {"Value": expected}
    assert site.wait_for("click")[0]["properties"] == {"Before": 1, **value, "Last": 2}
    assert not errors


@pytest.mark.parametrize(
    "code", ["return }{", "return 'open", "return 1 /* open", "}); return (function () {"]
)
def test_a_function_that_does_not_parse_leaves_the_others(
    site: Site, context: BrowserContext, code: str
) -> None:
    site.configuration["snapshots"] = click_snapshots(Broken=code, Works="return 1")
    site.configuration["snapshots"]["click"]["button"]["t"] = {"Text": "b"}
    page, errors = open_page(site, context)
    page.click("b")
    assert site.wait_for("click")[0]["properties"] == {"Works": 1, "Text": "Choose"}
    assert len(site.of_kind("pageview")) == 1
    assert len(errors) == 1, "the browser says what does not parse, once"


def test_a_function_that_never_comes_leaves_the_others(site: Site, context: BrowserContext) -> None:
    site.configuration["snapshots"] = click_snapshots(Lost="return 'lost'", Works="return 1")
    page, errors = open_page(site, context)
    files = [path for _, path in site.asked if path.startswith("/v5/functions/")]
    assert len(files) == 2
    other = context.new_page()
    other.route(f"**{files[0]}", lambda route: route.abort())
    other.goto(site.url("/shop"))
    ready(other)
    other.click("b")
    page.close()
    assert site.wait_for("click")[0]["properties"] == {"Works": 1}
    assert not errors


def test_pages_without_functions_wait_for_none(site: Site, context: BrowserContext) -> None:
    site.configuration["snapshots"] = {"click": {"button": {"t": {"Text": "b"}}}}
    page, _ = open_page(site, context)
    page.click("b")
    assert site.wait_for("click")[0]["properties"] == {"Text": "Choose"}
    assert not [path for _, path in site.asked if "functions" in path]
