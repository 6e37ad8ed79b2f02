"""Clicks as people make them: on pages that change under the pointer, with keys held, to select text, to download."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.browser.site import Site

# As the modal menus of common component libraries do: the press disables the page below the pointer.
MENU = """<p>All that stands on the page</p><button id=menu>Open <b>menu</b></button>
<script>menu.addEventListener('pointerdown', () => { document.body.style.pointerEvents = 'none' })</script>"""
COVER = """<main><button id=menu>Open</button></main><script>
menu.addEventListener('pointerdown', () => {
  const cover = document.createElement('div')
  cover.style = 'position:fixed;inset:0'
  document.body.append(cover)
})</script>"""
DRAG = "<ul><li id=from style='padding:9px'>One</li><li id=to style='padding:9px'>Two</li></ul>"


def over(page: Page) -> None:
    """Wait until a click that had no effect would have been called dead."""
    page.evaluate("new Promise((done) => setTimeout(done, 2700))")
    page.evaluate("heap.track('end')")


@pytest.mark.parametrize(
    ("body", "hierarchy"),
    [
        pytest.param(MENU, "@button;#menu;|@b;|", id="the page is disabled by the press"),
        pytest.param(COVER, "@main;|@button;#menu;|", id="the page is covered by the press"),
    ],
)
def test_a_click_belongs_to_what_was_pressed(visit: Visit, site: Site, body: str, hierarchy: str) -> None:
    page = visit(body)
    box = page.locator("#menu b, #menu").last.bounding_box()
    assert box
    page.mouse.click(box["x"] + 4, box["y"] + 4)
    (message,) = site.wait_for("click")
    assert message["event"]["interaction"]["hierarchy"] == hierarchy


def test_the_text_of_a_whole_page_is_never_sent(visit: Visit, site: Site) -> None:
    page = visit("<p>All that stands on the page</p>" + DRAG)
    page.evaluate("document.documentElement.click(); document.body.click()")
    source, target = page.locator("#from").bounding_box(), page.locator("#to").bounding_box()
    assert source and target
    page.mouse.move(source["x"] + 9, source["y"] + 9)
    page.mouse.down()
    page.mouse.move(target["x"] + 9, target["y"] + 9)
    page.mouse.up()  # a click of the list: pressed on one item, released on another
    messages = site.wait_for("click", 3)
    nodes = [message["event"]["interaction"]["nodes"][0] for message in messages]
    assert [(node["node_name"], node.get("node_text")) for node in nodes] == [
        ("html", None),
        ("body", None),
        ("ul", "OneTwo"),
    ]


@pytest.mark.parametrize("keys", ["Control", "Shift", "Meta", "Alt"])
def test_a_link_with_a_key_held_is_not_dead(visit: Visit, site: Site, keys: str) -> None:
    page = visit("<a id=link href=/other>Other</a>")
    # As the browser sends it; a real one would open a window or save a file, which a test cannot look at.
    page.evaluate(
        """(name) => {
             const key = { Control: 'ctrlKey', Shift: 'shiftKey', Meta: 'metaKey', Alt: 'altKey' }[name]
             const given = { bubbles: true, composed: true, cancelable: true, detail: 1, [key]: true }
             const click = new MouseEvent('click', given)
             window.onclick = (event) => event.preventDefault()
             link.dispatchEvent(click)
           }""",
        keys,
    )
    over(page)
    site.wait_for("end")
    assert not site.of_kind("Dead click")


DOWNLOADS = [
    pytest.param("<a id=it href=/report>Report</a>", id="a link answered as a file"),
    pytest.param("<form action=/report><button id=it>Report</button></form>", id="a form answered as a file"),
    pytest.param(
        "<button id=it onclick=\"location.assign('/report')\">Report</button>",
        id="an address answered as a file",
    ),
    pytest.param(
        "<button id=it onclick=\"const a = document.createElement('a'); a.download = 'x';"
        " a.href = window.URL.createObjectURL(new Blob(['x'])); a.click()\">Report</button>",
        id="a button that clicks a download link",
    ),
    pytest.param(
        "<button id=it onclick=\"const a = document.createElement('a'); a.download = 'x'; a.href = 'data:,x';"
        " a.dispatchEvent(new MouseEvent('click'))\">Report</button>",
        id="a button that sends a download link a click",
    ),
]


@pytest.mark.parametrize("body", DOWNLOADS)
def test_what_the_browser_takes_over_is_not_dead(visit: Visit, site: Site, body: str) -> None:
    site.pages["/report"] = ("rows", {"content-disposition": "attachment; filename=report.csv"})
    page = visit(body)
    page.click("#it")
    over(page)
    site.wait_for("end")
    assert not site.of_kind("Dead click")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "<a id=it href='/other' onclick='return false'>Other</a>", id="a link that was taken over"
        ),
        pytest.param(
            "<form onsubmit='return false'><button id=it>Send</button></form>",
            id="a form that was taken over",
        ),
    ],
)
def test_a_link_or_form_that_does_nothing_is_dead(visit: Visit, site: Site, body: str) -> None:
    page = visit(body)
    page.click("#it")
    assert site.wait_for("Dead click")


def test_a_triple_click_that_selects_text_is_no_rage(visit: Visit, site: Site) -> None:
    page = visit(
        "<p id=text>A paragraph to be copied</p><button id=slow onclick='document.title+=1'>Slow</button>"
    )
    page.click("#text", click_count=3)
    assert page.evaluate("getSelection().toString().trim()") == "A paragraph to be copied"
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    site.wait_for("click", 3)
    assert not site.of_kind("Rage click")
    page.click("#slow", click_count=3)  # text stays selected meanwhile
    (message,) = site.wait_for("Rage click")
    assert message["event"]["custom"]["properties"]["target_text"] == "Slow"


def test_many_clicks_on_text_are_rage(visit: Visit, site: Site) -> None:
    page = visit("<p id=text>Looks like a button</p>")
    page.click("#text", click_count=6)
    assert site.wait_for("Rage click")


@pytest.mark.parametrize(
    "editor",
    [
        pytest.param("document.designMode = 'on'", id="a document in design mode"),
        pytest.param("document.body.contentEditable = 'true'", id="an editable body"),
        pytest.param(
            "document.body.contentEditable = 'plaintext-only'", id="an editable body for plain text"
        ),
    ],
)
def test_text_that_was_typed_into_a_frame_is_never_sent(visit: Visit, site: Site, editor: str) -> None:
    page = visit(f'<iframe srcdoc="<p id=in>a secret thought</p><script>{editor}</script>"></iframe>')
    page.frame_locator("iframe").locator("#in").click()
    (message,) = site.wait_for("click")
    assert "secret" not in str(message)
