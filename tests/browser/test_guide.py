"""What docs/guide/capture.md tells people to paste does what it says, in Chromium."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from cairn.web import browser_snippet
from cairn.web.snippets import Client
from tests.browser.conftest import Visit, ready
from tests.browser.site import Site
from tests.browser.snippets import ENVIRONMENT

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guide/capture.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


SNIPPETS = [block for block in blocks("html") if "cairn.example" in block]
[MARKED] = [block for block in blocks("html") if "cairn.example" not in block]
[POLICY] = blocks("csp")


def test_the_pages_of_cairn_offer_the_snippets_of_the_guide() -> None:
    client = Client("https://cairn.example", ENVIRONMENT)
    assert browser_snippet.current(client).code + "\n" == SNIPPETS[0]
    assert browser_snippet.neutral(client).code.splitlines()[-1] == SNIPPETS[1].splitlines()[-1]


@pytest.mark.parametrize("number", range(3), ids=["current", "neutral", "classic"])
def test_a_snippet_under_the_policy_of_the_guide(site: Site, context: BrowserContext, number: int) -> None:
    cairn = site.url("", "cairn.test")
    html = site.fill(SNIPPETS[number]).replace("https://cairn.example", cairn)
    policy = POLICY.strip().replace("https://cairn.example", cairn)
    problems: list[str] = []
    context.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    site.pages["/"] = (
        "<!doctype html><head>"
        + html.replace("<script>", "<script nonce=r4nd0m>")
        + "</head><button>x</button>",
        {"content-security-policy": policy},
    )
    page = context.new_page()
    page.goto(site.url())
    ready(page)
    page.click("button")
    (message,) = site.wait_for("click")
    assert message["properties"] == ({"theme": "dark"} if number == 1 else {})
    assert not [text for text in problems if "Policy" in text]


def test_the_calls_of_the_guide(visit: Visit, site: Site) -> None:
    page = visit(path="/shop")
    page.evaluate("heap.stopTracking()")
    for block in reversed(blocks("js")):  # consent comes last in the guide and first in the page
        page.evaluate(f"{{ {block} }}")
    (order,) = site.wait_for("Order Completed")
    assert order["identity"] == "ann@shop.example"
    assert order["properties"] == {"theme": "dark"}
    assert order["event"]["custom"]["properties"] == {"total": 12.5, "currency": "EUR"}
    assert order["pageview_info"]["properties"] == {"Experiment: hero": "B", "section": "news"}
    (user,) = site.wait(lambda: site.calls("add_user_properties"))
    assert user["properties"] == {"plan": "pro", "seats": 3}
    page.evaluate("history.pushState({}, '', '/draft/1'); heap.track('hidden')")
    page.evaluate("history.pushState({}, '', '/open'); heap.track('end')")
    site.wait_for("end")
    assert "hidden" not in site.kinds


def test_the_marks_of_the_guide(visit: Visit, site: Site) -> None:
    page = visit(MARKED)
    page.evaluate("addEventListener('click', (event) => event.preventDefault())")
    for selector in ("b", "a", "section >> nth=0 >> button", ".heap-ignore button"):
        page.click(selector)
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    balance, order = site.of_kind("click")
    assert "1,234" not in str(balance) and "node_text" not in balance["event"]["interaction"]["nodes"][0]
    assert order["event"]["interaction"]["nodes"][0]["node_text"] == "Order"
    assert "1234" not in str(order["event"]) and "Ann" not in str(order["event"])


def test_every_option_is_in_the_guide() -> None:
    types = (ROOT / "browser/capture/types.ts").read_text()
    options = re.findall(
        r"^  (\w+)\??:", types[types.index("interface Config {") :].partition("\n}")[0], re.M
    )
    of_the_environment = {"paths", "capture", "snapshots"}
    assert len(options) > 20
    assert not [name for name in options if f"`{name}" not in GUIDE and name not in of_the_environment]
