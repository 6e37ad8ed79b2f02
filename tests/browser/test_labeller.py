"""The labeller in a real browser: from the link in Cairn to a defined event with its history, on pages of all kinds."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.labelling import OPEN_ROOT, Labelling
from tests.browser.site import Site
from tests.browser.test_hostile import STILL_A_PAGE, STILL_CAPTURED
from tests.patience import WAIT_MS, eventually
from tests.prepared import Demos
from tests.served import Served
from tests.web.axe import WIDE, findings, source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    served = demos.served(tmp_path_factory.mktemp("labeller") / "data").start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def labelling(cairn: Served, site: Site, chromium: Browser) -> Iterator[Labelling]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(OPEN_ROOT)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield Labelling(cairn, site, context)
    context.close()


def complaints_of(page: Page) -> list[str]:
    """Everything the browser says is wrong on a page, from now on."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def captured(page: Page) -> None:
    page.wait_for_function("window.cairn && window.cairn.loaded")


def test_from_the_link_in_cairn_to_a_defined_event(labelling: Labelling, cairn: Served) -> None:
    shop = f"{cairn.url}/demo/shop/{labelling.app_id}/"
    customer = labelling.context.new_page()
    customer.goto(shop)
    captured(customer)
    for product in ("tent", "tent", "map-case"):
        customer.click(f"a.product[href$={product}] b")
        customer.click("button.add")
        customer.click("a.logo")
    customer.goto(f"{shop}about")
    eventually(lambda: labelling.count("click", "button.add") == 3, "the clicks")
    customer.close()

    member = labelling.context.new_page()
    member.goto(cairn.url)
    member.get_by_label("E-mail").fill(cairn.demo["email"])
    member.get_by_label("Password").fill(cairn.demo["password"])
    member.keyboard.press("Enter")
    member.wait_for_url("**/env/**")
    member.goto(f"{cairn.url}/env/development/events")
    member.get_by_role("link", name="Label on your page").first.click()
    member.get_by_label("Address of the page").fill(f"{shop}product/tent")
    member.get_by_role("button", name="Make the link").click()
    with labelling.context.expect_page() as opened:
        member.get_by_role("link", name="Open http").click()
    page = opened.value
    complaints = complaints_of(page)
    expect(labelling.bar(page)).to_contain_text("Pick an element of Development")
    assert page.url == f"{shop}product/tent", "the grant is out of the address"

    labelling.point(page, "button.add")
    expect(page.locator("cairn-labeller .box[data-as=picked]")).to_contain_text("button “Add to cart”")
    panel = labelling.pick(page, "button.add")
    proposals = labelling.proposals(page)
    assert proposals[0] == ("button.add", "", 3)
    assert proposals[-1][0].endswith(":nth-child(4)")
    expect(panel.get_by_label("Name")).to_have_value("Click Add to cart")
    panel.get_by_label("Only on pages whose path").check()
    expect(panel.locator(".way b").first).to_have_text("2 events")
    panel.get_by_label("Only on pages whose path").uncheck()
    expect(panel.locator(".way b").first).to_have_text("3 events")
    panel.get_by_label("Name").fill("Added to cart, labelled")
    panel.get_by_label("Category").fill("Shop")
    panel.get_by_role("button", name="Save event").click()
    expect(panel).to_contain_text("3 events in the last 30 days, by 1 user.")

    with labelling.context.expect_page() as opened:
        panel.get_by_role("link", name="Open it in Cairn").click()
    expect(opened.value.get_by_role("heading", name="Added to cart, labelled")).to_be_visible()
    expect(opened.value.locator(".stat").first).to_contain_text("3")
    defined = next(
        defined_event
        for defined_event in labelling.ask("/defined-events")["defined_events"]
        if defined_event["name"] == "Added to cart, labelled"
    )
    assert defined["category"] == "Shop"
    assert defined["definition"]["parts"] == [
        {"kind": "click", "name": "", "selector": "button.add", "tests": []}
    ]
    # It is known here from now on, and on the next page of this tab.
    panel.get_by_role("button", name="Label another").click()
    known = page.locator("cairn-labeller .box[data-as=known]").filter(has_text="Added to cart, labelled")
    expect(known).to_have_count(1)
    labelling.pick(page, "button.add")
    expect(panel).to_contain_text("Counted already by Cart - Add, Added to cart, labelled.")
    assert complaints == []
    page.close()
    member.close()


def test_the_panel_over_a_page_has_no_finding(labelling: Labelling, cairn: Served) -> None:
    labelling.context.add_init_script(script=source())
    page = labelling.open(f"{cairn.url}/demo/shop/{labelling.app_id}/product/tent")
    assert findings(page) == []
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]  # which was narrow at last
    panel = labelling.pick(page, "button.add")
    expect(panel.locator(".wait")).to_have_count(0)
    assert findings(page) == []
    page.close()


# Everything clicks land on here: plain, nested, generated, masked, deep. Numbers say how often each is clicked.
PAGE = """
<header><nav aria-label=Main><a href=/pricing>Pricing</a><a href=/docs class='link is-active'>Docs</a></nav></header>
<main id=main>
 <div class='flex mt-4 css-1x2y3z'><button class='btn btn-primary' data-testid=buy>
  <svg width=30 height=20><path d='M0 0h30v20H0z'/></svg><span>Buy</span></button></div>
 <button id=radix-:r1: class=Button_root__a1B2c>Save</button><button>Cancel</button>
 <button aria-label='Close the "box"'>x</button>
 <div role=tablist aria-label='About it'><div role=tab>Details</div><div role=tab>Reviews</div></div>
 <a class=card href='/orders/10042'><h3>Order</h3><p>10042</p></a>
 <a id='user-ann@shop.test' class=mail>ann@shop.test</a>
 <ul><li>One</li><li>Two</li><li class='item chosen'>Three</li></ul>
 <label>Colour <select name=colour><option>red<option>blue</select></label>
 <form name=sign-in><input name=email placeholder=E-mail><input type=checkbox name=keep><button>Sign in</button></form>
 DEEP
</main>
"""
DEEP = (
    "<div class='layer wide tall deep round plain'>" * 20
    + "<button class=bottom>Bottom</button>"
    + "</div>" * 20
)
CLICKED = {
    "nav a[href='/pricing']": 1,
    "nav .link": 2,
    "[data-testid=buy] path": 1,
    "[data-testid=buy] span": 2,
    "button[id^=radix]": 3,
    "[id^=radix] + button": 1,
    "[aria-label^=Close]": 2,
    "[role=tab]:nth-child(2)": 1,
    "[role=tab]:nth-child(1)": 2,
    ".card h3": 1,
    ".card p": 2,
    ".mail": 1,
    "li.item": 2,
    "li:nth-child(2)": 1,
    "form button": 2,
    ".bottom": 3,
}
# What is picked afterwards, by pointing at this.
PICKED = [
    "nav a[href='/pricing']",
    "nav .link",
    "[data-testid=buy] span",
    "button[id^=radix]",
    "[id^=radix] + button",
    "[aria-label^=Close]",
    "[role=tab]:nth-child(2)",
    ".card p",
    ".mail",
    "li.item",
    "li:nth-child(2)",
    "form button",
    ".bottom",
]
RECORD = """
  window.clicks = []
  addEventListener('click', (event) => {
    if (event.target.localName === 'cairn-labeller') return
    window.clicks.push(event.target)
    if (event.target.type !== 'checkbox') event.preventDefault()
  }, true)
"""
EXPECTED = """([selector, text]) => window.clicks.filter(
  (one) => one.matches(selector) && (!text || one.textContent.trim() === text)).length"""


def test_every_proposal_counts_what_happened(labelling: Labelling) -> None:
    address = labelling.put(PAGE.replace("DEEP", DEEP), path="/proposals", before=RECORD)
    page = labelling.open(address)
    page.locator("cairn-labeller").get_by_role("button", name="Browse").click()
    captured(page)
    for selector, times in CLICKED.items():
        for _ in range(times):
            page.locator(selector).first.click()
    page.select_option("select", "blue")
    page.fill("[name=email]", "x")
    page.check("[name=keep]")
    total = page.evaluate("window.clicks.length")
    here = urlsplit(address).path
    eventually(lambda: labelling.count("click", path=here) == total, "the clicks")
    eventually(lambda: labelling.count("change", path=here) == 3, "the changes")

    page.locator("cairn-labeller").get_by_role("button", name="Label", exact=True).click()
    for selector in PICKED:
        labelling.pick(page, selector)
        labelling.panel(page).get_by_label("Only on pages whose path").check()
        proposals = labelling.proposals(page)
        expected = [page.evaluate(EXPECTED, [found, text]) for found, text, _ in proposals]
        assert [count for _, _, count in proposals] == expected, (selector, proposals)
        assert all(expected), (selector, proposals)
        page.keyboard.press("Escape")
    for selector, changed in (("select", 1), ("[name=email]", 1), ("[name=keep]", 1)):
        labelling.pick(page, selector)
        proposals = labelling.proposals(page)
        assert proposals[0][2] == changed, (selector, proposals)
        page.keyboard.press("Escape")


def test_a_form_is_submitted_as_a_whole(labelling: Labelling) -> None:
    before = "addEventListener('submit', (event) => event.preventDefault())"
    form = "<form class=order><input name=who><button>Order for 12.50 €</button></form>"
    address = labelling.put(form, path="/form", before=before)
    page = labelling.open(address)
    page.locator("cairn-labeller").get_by_role("button", name="Browse").click()
    captured(page)
    for _ in range(2):
        page.click("form button")
    eventually(lambda: labelling.count("submit", "form.order") == 2, "the submits")
    page.locator("cairn-labeller").get_by_role("button", name="Label", exact=True).click()
    panel = labelling.pick(page, "form button")
    expect(panel.get_by_label("Name")).to_have_value("Click Order")
    panel.get_by_role("button", name="Submit of the form").click()
    assert labelling.proposals(page)[0] == ("form.order", "", 2)
    expect(panel.get_by_label("Name")).to_have_value("Submit Order form")
    panel.get_by_role("button", name="Save event").click()
    expect(panel).to_contain_text("2 events in the last 30 days, by 1 user.")


NONCE = (
    "default-src 'none'; script-src 'nonce-n1' 'strict-dynamic'; connect-src {cairn}; "
    "style-src 'nonce-n1'; base-uri 'none'; require-trusted-types-for 'script'"
)
STRICT = (
    "default-src 'none'; script-src 'self' {cairn}; connect-src {cairn}; style-src 'self'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types cairn"
)


@pytest.mark.parametrize(("policy", "neutral"), [(STRICT, True), (STRICT, False), (NONCE, True)])
def test_under_a_strict_policy(labelling: Labelling, cairn: Served, policy: str, neutral: bool) -> None:
    address = labelling.put(
        "<button class=go>Go</button>",
        path="/strict",
        policy=policy.format(cairn=cairn.url),
        neutral=neutral,
        nonce="n1",
    )
    page = labelling.context.new_page()
    complaints = complaints_of(page)
    page.goto(f"{address}#cairn-label={labelling.grant()}")
    expect(labelling.bar(page)).to_be_visible()
    panel = labelling.pick(page, "button.go")
    assert labelling.proposals(page)[0][0] == "button.go"
    box = panel.bounding_box()
    assert box is not None and box["width"] > 300 and box["y"] == 16, "its styles hold"
    assert [each for each in complaints if "favicon" not in each] == []


def test_a_policy_that_keeps_cairn_out_is_named(labelling: Labelling, cairn: Served) -> None:
    policy = f"default-src 'none'; script-src 'self' {cairn.url}"
    page = labelling.open(labelling.put("<p>x</p>", path="/closed", policy=policy))
    expect(labelling.bar(page)).to_contain_text("content-security policy")
    expect(page.locator("cairn-labeller .pane")).to_be_hidden()


def test_a_link_that_is_too_old_says_so(labelling: Labelling) -> None:
    address = labelling.put("<button>x</button>", path="/old")
    page = labelling.open(address, labelling.grant(minutes=-1))
    expect(labelling.bar(page)).to_contain_text("too old")
    expect(page.locator("cairn-labeller .pane")).to_be_hidden()
    page.goto(address)
    captured(page)
    page.wait_for_load_state("networkidle")
    assert page.locator("cairn-labeller").count() == 0, "it is forgotten"


@pytest.mark.parametrize("token", ["", "x", "a.b", "lc_forged"])
def test_it_never_starts_without_a_grant(labelling: Labelling, token: str) -> None:
    page = labelling.open(labelling.put("<button>x</button>", path="/nothing"), token, wait=False)
    captured(page)
    page.wait_for_load_state("networkidle")
    assert page.locator("cairn-labeller").count() == 0
    assert page.evaluate("sessionStorage.length") == 0
    if token:
        assert "cairn-label" not in page.url


def test_no_link_opens_over_the_pages_of_another_environment(labelling: Labelling, cairn: Served) -> None:
    other = str(cairn.production["app_id"])
    page = labelling.open(labelling.put("<button>x</button>", path="/other", app_id=other))
    expect(labelling.bar(page)).to_contain_text("another environment")
    expect(page.locator("cairn-labeller .pane")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


def test_it_stays_in_the_tab_until_done(labelling: Labelling) -> None:
    first = labelling.put("<a id=next href=/second>Next</a>", path="/first")
    labelling.put("<button>Here</button>", path="/second")
    page = labelling.open(first)
    page.locator("cairn-labeller").get_by_role("button", name="Browse").click()
    page.click("#next")
    expect(labelling.bar(page)).to_be_visible()
    assert page.url.endswith("/second")
    page.locator("cairn-labeller").get_by_role("button", name="Done").click()
    assert page.locator("cairn-labeller").count() == 0
    page.reload()
    captured(page)
    page.wait_for_load_state("networkidle")
    assert page.locator("cairn-labeller").count() == 0
    other = labelling.context.new_page()
    other.goto(first)
    captured(other)
    other.wait_for_load_state("networkidle")
    assert other.locator("cairn-labeller").count() == 0, "another tab has no grant"


def test_a_route_in_the_fragment_stays(labelling: Labelling) -> None:
    page = labelling.open(labelling.put("<button>x</button>", path="/spa") + "#/cart?a=1")
    assert page.evaluate("location.hash") == "#/cart?a=1"
    panel = labelling.pick(page, "button")
    panel.get_by_label("Only on pages whose hash").check()
    expect(panel.get_by_label("hash", exact=True)).to_have_value("#/cart?a=1")
    eventually(lambda: labelling.count("pageview", hash="#/cart?a=1") == 1, "the pageview, without the grant")


def test_labelling_is_not_captured_and_the_page_hears_nothing(
    labelling: Labelling, chromium: Browser
) -> None:
    """With the root as closed as it is for everybody."""
    labelling.context.close()
    labelling.context = chromium.new_context(viewport={"width": 1280, "height": 800})
    before = """
      window.heard = []
      for (const type of ['click', 'pointerdown', 'mousedown', 'input', 'change', 'keydown', 'submit', 'focusin']) {
        document.addEventListener(type, (event) => window.heard.push(type + ' ' + event.target.localName))
      }
      document.addEventListener('click', (event) => event.target.localName === 'button' && (document.title = 'used'))
    """
    address = labelling.put("<button class=quiet>Add</button>", path="/quiet", before=before)
    page = labelling.open(address, wait=False)
    page.wait_for_selector("cairn-labeller", state="attached")
    captured(page)
    assert page.evaluate("document.querySelector('cairn-labeller').shadowRoot") is None
    labelling.point(page, "button.quiet")
    for _ in range(4):  # a rage click, if it were one
        page.mouse.down()
        page.mouse.up()
    page.keyboard.type("/")
    page.keyboard.press("Tab")
    page.keyboard.type("q")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")  # Browse
    page.wait_for_timeout(400)
    assert page.evaluate("window.heard") == []
    assert page.title() == "Page"
    page.click("button.quiet")
    assert page.title() == "used"
    here = urlsplit(address).path
    eventually(lambda: labelling.count("click", path=here) == 1, "the one real click")
    page.wait_for_timeout(3000)  # a dead click would be told by now
    assert [labelling.count(kind, path=here) for kind in ("click", "change", "submit", "custom")] == [
        1,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    "config", ["{disableTracking: true}", "{disableTextCapture: true, disableInteractionEvents: ['click']}"]
)
def test_it_works_while_nothing_is_captured(labelling: Labelling, config: str) -> None:
    before = f"window.cairn = []; window.cairn.config = {config}"
    page = labelling.open(labelling.put("<button class=off>Off</button>", path="/off", before=before))
    labelling.pick(page, "button.off")
    assert labelling.proposals(page)[0][0] == "button.off"


def test_what_capture_leaves_out_is_not_offered(labelling: Labelling) -> None:
    body = "<input type=password name=pw><div heap-ignore><button>Secret</button></div>"
    page = labelling.open(labelling.put(body, path="/secret"))
    for selector in ("input", "button"):
        panel = labelling.pick(page, selector)
        expect(panel).to_contain_text("Capture leaves this element out")
        expect(panel.get_by_role("button", name="Save event")).to_have_count(0)
        page.keyboard.press("Escape")


HOSTILE_STYLE = """
  addEventListener('DOMContentLoaded', () => {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(`*, *::before, html > *, cairn-labeller { all: unset !important; display: none !important;
        visibility: hidden !important; opacity: 0 !important; pointer-events: none !important;
        transform: scale(0) !important; position: static !important; z-index: -1 !important;
        font-size: 80px !important; filter: blur(9px) !important }
      html, body, button { display: block !important; visibility: visible !important; opacity: 1 !important;
        transform: none !important; pointer-events: auto !important; filter: none !important }
      :root { --moss: red; font-size: 60px !important }`)
    document.adoptedStyleSheets = [sheet]
  })
"""


def test_the_pages_styles_do_not_reach_it(labelling: Labelling) -> None:
    page = labelling.open(labelling.put("<button class=go>Big</button>", path="/style", before=HOSTILE_STYLE))
    panel = labelling.pick(page, "button.go")
    assert labelling.proposals(page)[0][0] == "button.go"
    save = panel.get_by_role("button", name="Save event")
    assert save.evaluate("(one) => getComputedStyle(one).fontSize") == "15px"
    assert save.evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(47, 107, 82)"
    host = page.locator("cairn-labeller")
    assert (
        host.evaluate("(one) => { const s = getComputedStyle(one); return s.filter + s.transform }")
        == "nonenone"
    )


@pytest.mark.parametrize("poison", STILL_CAPTURED.values(), ids=STILL_CAPTURED.keys())
def test_it_works_on_poisoned_pages(labelling: Labelling, poison: str) -> None:
    if "window.fetch" in poison or "JSON.parse" in poison:
        pytest.skip("it cannot ask then; that it harms nothing is tested below")
    page = labelling.open(labelling.put("<button class=go>Go</button>", path="/poison", before=poison))
    labelling.pick(page, "button.go")
    assert labelling.proposals(page)[0][0] == "button.go"


@pytest.mark.parametrize("poison", [*STILL_A_PAGE.values(), "JSON.parse = window.fetch = () => { throw 1 }"])
def test_where_it_cannot_work_the_page_does(labelling: Labelling, poison: str) -> None:
    errors: list[str] = []
    labelling.context.on("weberror", lambda error: errors.append(str(error.error)))
    works = "document.querySelector('button').onclick = () => document.title = 'works'"
    before = f"onload = () => {{ {works} }}; {poison}"
    address = labelling.put("<button>x</button>", path="/still", before=before)
    page = labelling.open(address, wait=False)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelector('button').click()")
    assert page.title() == "works"
    assert errors == []


def test_the_keyboard_does_it_all(labelling: Labelling) -> None:
    body = "<div class=outer><button class=one>One</button><button class=two>Two</button></div>"
    page = labelling.open(labelling.put(body, path="/keys"))
    picked = page.locator("cairn-labeller .box[data-as=picked]")
    page.evaluate("document.querySelector('.one').focus()")
    expect(picked).to_contain_text("button “One”")
    page.keyboard.press("Tab")
    expect(picked).to_contain_text("button “Two”")
    page.keyboard.press("ArrowUp")
    expect(picked).to_contain_text("box")
    page.keyboard.press("ArrowDown")
    expect(picked).to_contain_text("button “Two”")
    page.keyboard.press("Enter")
    panel = labelling.panel(page)
    labelling.proposals(page)
    expect(panel.locator(".way input").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(panel.locator(".way input").nth(1)).to_be_checked()
    chosen = panel.locator(".way code").nth(1).get_attribute("data-selector")
    while page.evaluate("document.activeElement.shadowRoot.activeElement.name") != "name":
        page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(panel).to_contain_text("Saved “By keyboard”")
    defined = labelling.ask("/defined-events")["defined_events"]
    saved: Any = next(each for each in defined if each["name"] == "By keyboard")
    assert saved["definition"]["parts"][0]["selector"] == chosen
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("cairn-labeller .pane")).to_be_hidden()


def test_a_taken_name_is_told_at_its_field(labelling: Labelling) -> None:
    page = labelling.open(labelling.put("<button class=t>Twice</button>", path="/twice"))
    for said in ("Saved “Twice”", "choose another name"):
        panel = labelling.pick(page, "button.t")
        labelling.proposals(page)
        panel.get_by_label("Name").fill("Twice")
        panel.get_by_role("button", name="Save event").click()
        expect(panel).to_contain_text(said)
        if said.startswith("Saved"):
            panel.get_by_role("button", name="Label another").click()
    expect(panel.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(panel.get_by_label("Name")).to_be_focused()


def test_inside_shadow_roots_frames_and_modal_dialogs(labelling: Labelling) -> None:
    before = """
      addEventListener('DOMContentLoaded', () => {
        const root = document.getElementById('host').attachShadow({ mode: 'open' })
        root.append(Object.assign(document.createElement('button'), { textContent: 'In the shadow' }))
        document.querySelector('dialog').showModal()
      })
    """
    labelling.put("<button>In the frame</button>", path="/framed")
    body = (
        "<div id=host></div><iframe src=/framed width=300 height=100></iframe>"
        "<dialog><button class=dlg>In the dialog</button></dialog>"
    )
    page = labelling.open(labelling.put(body, path="/roots", before=before))
    picked = page.locator("cairn-labeller .box[data-as=picked]")
    expect(page.locator("dialog cairn-labeller")).to_have_count(1)
    labelling.point(page, "button.dlg", at=(8, 8))
    expect(picked).to_contain_text("button “In the dialog”")
    labelling.pick(page, "button.dlg")
    assert labelling.proposals(page)[0][0] == "button.dlg"
    labelling.panel(page).get_by_label("Name").fill("typed in a dialog")
    page.evaluate("document.querySelector('dialog').close()")
    expect(page.locator("html > cairn-labeller")).to_have_count(1)
    expect(labelling.panel(page).get_by_label("Name")).to_have_value("typed in a dialog")
    page.keyboard.press("Escape")
    for selector, said in (("#host", "button “In the shadow”"), ("iframe", "button “In the frame”")):
        labelling.point(page, selector, at=(20, 14))
        expect(picked).to_contain_text(said)
    assert page.locator("cairn-labeller").count() == 1, "none in the frame"
