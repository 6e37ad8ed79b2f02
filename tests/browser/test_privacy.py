"""What never leaves the browser, and what the environment or the page switches off."""

from typing import Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.site import Site

SECRET_FIELDS = [
    '<input type=password value="hunter2">',
    '<input name=card_number value="hunter2">',
    '<input autocomplete=cc-csc value="hunter2">',
]


@pytest.mark.parametrize("field", SECRET_FIELDS)
def test_secret_fields_are_not_captured_at_all(visit: Visit, site: Site, field: str) -> None:
    page = visit(field)
    page.click("input")
    page.fill("input", "correct horse")
    page.locator("input").blur()
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert not {"click", "change", "touch"} & set(site.kinds)
    assert "horse" not in str(site.posted) and "hunter2" not in str(site.posted)


def test_no_value_of_any_field_leaves(visit: Visit, site: Site) -> None:
    page = visit(
        "<form onsubmit='return false'><input name=q value=VALUE1><textarea>VALUE2</textarea>"
        "<select><option>VALUE3</select><div contenteditable>VALUE4</div><output>VALUE5</output>"
        "<input type=submit value=VALUE6></form>",
        captureAttributes=["value"],
    )
    page.fill("[name=q]", "VALUE7")
    page.fill("textarea", "VALUE8")
    page.click("[contenteditable]")
    page.click("[type=submit]")
    page.click("form", position={"x": 1, "y": 1})
    site.wait_for("submit")
    site.wait_for("click", 3)
    assert "VALUE" not in str(site.posted)


TEXTS: list[Any] = [
    pytest.param("<button>ann@shop.test</button>", {}, "{email}", id="an e-mail address"),
    pytest.param("<button>Pay 4111 1111 1111 1111</button>", {}, "Pay {card}", id="a card number"),
    pytest.param("<button>Plain <!-- no --> words</button>", {}, "Plain words", id="plain words"),
    pytest.param("<button data-heap-redact-text>Balance 5</button>", {}, None, id="redacted"),
    pytest.param(
        "<p data-heap-redact-text=true><button>Balance 5</button></p>", {}, None, id="redacted around it"
    ),
    pytest.param(
        "<button>Due <b data-heap-redact-text>5 €</b> today</button>", {}, "Due today", id="redacted inside"
    ),
    pytest.param("<button>Words</button>", {"disableTextCapture": True}, None, id="text off"),
    pytest.param(
        "<button>Words</button>", {"disableTargetText": True}, None, id="text off by its other name"
    ),
    pytest.param(
        "<button>Words</button>", {"disableInteractionTextCapture": True}, None, id="interaction text off"
    ),
    pytest.param(
        "<button>x<script>secret()</script><style>a{}</style></button>", {}, "x", id="code is no text"
    ),
]


@pytest.mark.parametrize(("body", "options", "text"), TEXTS)
def test_text_of_the_target(visit: Visit, site: Site, body: str, options: Any, text: str | None) -> None:
    page = visit(body, **options)
    page.click("button", position={"x": 2, "y": 2})
    node = site.wait_for("click")[0]["event"]["interaction"]["nodes"][0]
    assert node.get("node_text") == text


def test_with_text_off_no_label_leaves_either(visit: Visit, site: Site) -> None:
    page = visit(
        '<button title="Ann Miller" aria-label="Ann Miller">Ann Miller</button>', disableTextCapture=True
    )
    page.click("button")
    site.wait_for("click")
    assert "Miller" not in str(site.posted)


def test_listed_attributes_are_hidden(visit: Visit, site: Site) -> None:
    page = visit(
        '<a id=keep name=gone class=gone href="/gone" title=stays onclick="return false"'
        ' data-heap-redact-attributes="name, href,class">x</a>'
    )
    page.click("a")
    interaction = site.wait_for("click")[0]["event"]["interaction"]
    assert interaction["hierarchy"] == "@a;#keep;[title=stays];|"
    assert "gone" not in str(interaction)


def test_attribute_names_are_read_whatever_their_case(visit: Visit, site: Site) -> None:
    page = visit(
        "<input name=Q value=VALUE1 title=SECRET data-Plan=pro data-heap-redact-attributes=TITLE>",
        captureAttributes=["VALUE", "Data-Plan"],
    )
    page.click("input")
    attributes = site.wait_for("click")[0]["event"]["interaction"]["nodes"][0]["attributes"]
    assert attributes["Data-Plan"] == "pro"
    assert not {"VALUE1", "SECRET"} & set(attributes.values())


IGNORED = [
    "<button heap-ignore=true>x</button>",
    "<div heap-ignore><button>x</button></div>",
    "<div class='a heap-ignore'><p><button>x</button></p></div>",
]


@pytest.mark.parametrize("body", IGNORED)
def test_ignored_elements_lead_to_no_event(visit: Visit, site: Site, body: str) -> None:
    page = visit(body)
    page.click("button", click_count=3)
    page.evaluate("heap.track('end')")
    site.wait_for("end")
    assert not {"click", "Rage click"} & set(site.kinds)


def test_addresses_and_secrets_are_masked_in_addresses_and_titles(visit: Visit, site: Site) -> None:
    page = visit(path="/u/x?mail=ann@shop.test&access_token=abc123", title="Inbox of ann@shop.test")
    page.evaluate("history.pushState({}, '', '/reset/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b')")
    first, second = site.wait_for("pageview", 2)
    assert first["pageview_info"]["url"]["query"] == "?mail={email}&access_token={token}"
    assert first["pageview_info"]["title"] == "Inbox of {email}"
    assert second["pageview_info"]["url"]["path"] == "/reset/{token}"


def test_addresses_are_masked_in_campaign_parameters(visit: Visit, site: Site) -> None:
    visit(path="/?utm_term=ann%40shop.test&utm_campaign=spring_2026_sale_for_everybody_who_came_back")
    utm = site.wait_for("pageview")[0]["session_info"]["utm"]
    assert utm["term"] == "{email}"
    assert utm["campaign"] == "spring_2026_sale_for_everybody_who_came_back"
    assert "ann" not in str(site.messages)


def test_the_environment_blocks_pages(visit: Visit, site: Site) -> None:
    site.configuration["capture"] = {"mode": "block", "pages": ["/admin/*"]}
    page = visit("<button>x</button>", path="/admin/users", capture={"mode": "all"})
    page.click("button")
    page.evaluate("heap.track('hidden')")
    page.evaluate("history.pushState({}, '', '/open')")
    page.click("button")
    site.wait_for("click")
    assert site.kinds == ["user", "session", "pageview", "click", *site.kinds[4:]]
    assert {
        message["pageview_info"]["url"]["path"] for message in site.messages if "pageview_info" in message
    } == {"/open"}
    assert "admin" not in str(site.posted)


def test_the_environment_allows_pages(visit: Visit, site: Site) -> None:
    site.configuration["capture"] = {"mode": "allow", "pages": ["/shop*"]}
    page = visit("<button>x</button>", path="/private")
    page.click("button")
    page.evaluate("history.pushState({}, '', '/shop/1')")
    site.wait_for("pageview")
    assert "private" not in str(site.posted)


def test_the_environment_switches_text_off_whatever_the_page_says(visit: Visit, site: Site) -> None:
    site.configuration["privacy"] = {"disableTextCapture": True}
    page = visit("<button>Words</button>", disableTextCapture=False)
    page.click("button")
    assert "node_text" not in site.wait_for("click")[0]["event"]["interaction"]["nodes"][0]


def test_consent_first(visit: Visit, site: Site) -> None:
    page = visit("<button>x</button>", disableTracking=True, is_ready=False)
    page.wait_for_function("cairn.loaded")
    page.click("button")
    page.evaluate("heap.track('early'); heap.identify('ann')")
    assert page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    page.evaluate("heap.startTracking()")
    page.click("button")
    site.wait_for("click")
    assert site.kinds[:3] == ["user", "session", "pageview"]
    assert "early" not in site.kinds and not site.calls("identify")


def test_consent_withdrawn(visit: Visit, site: Site) -> None:
    page = visit("<button>x</button>")
    site.wait_for("pageview")
    page.evaluate("heap.track('unsent'); heap.stopTracking()")
    page.click("button")
    page.evaluate("history.pushState({}, '', '/two'); heap.track('late')")
    page.evaluate("heap.startTracking(); heap.track('end')")
    site.wait_for("end")
    assert not {"unsent", "late", "click"} & set(site.kinds)
    assert page.evaluate("history.pushState.toString()").count("native code") == 0


def test_stopping_puts_the_page_back(visit: Visit) -> None:
    page = visit()
    page.evaluate("heap.stopTracking()")
    assert "native code" in page.evaluate("history.pushState.toString() + history.replaceState.toString()")


def test_a_queued_stop_holds_before_the_first_page_view(visit: Visit, site: Site) -> None:
    from tests.browser import snippets

    page = visit(snippet=snippets.v5() + "heap.stopTracking();", is_ready=False)
    page.wait_for_function("cairn.loaded")
    assert page.evaluate("document.cookie") == ""
    page.evaluate("heap.startTracking(); heap.track('end')")
    site.wait_for("end")
    assert site.kinds == ["user", "session", "pageview", "end"]


@pytest.mark.parametrize("signal", ["doNotTrack: { value: '1' }", "globalPrivacyControl: { value: true }"])
def test_do_not_track_is_respected_where_asked_for(visit: Visit, site: Site, signal: str) -> None:
    ask = f"Object.defineProperties(navigator, {{ {signal} }})"
    page = visit(before=ask, respectDoNotTrack=True, is_ready=False)
    page.wait_for_function("cairn.loaded")
    page.evaluate("heap.track('no')")
    assert page.evaluate("document.cookie") == ""
    visit(before=ask, path="/asked-but-not-respected")
    site.wait_for("pageview")
    assert "no" not in site.kinds


def test_cookieless(visit: Visit, site: Site) -> None:
    page = visit(cookieless=True)
    first = site.wait_for("pageview")[0]
    assert page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    page.evaluate("history.pushState({}, '', '/two')")
    second = site.wait_for("pageview", 2)[1]
    assert (first["user_id"], first["session_info"]["id"]) == (
        second["user_id"],
        second["session_info"]["id"],
    )
    page.goto(site.url())
    assert site.wait_for("pageview", 3)[2]["user_id"] != first["user_id"]


SNAPSHOTS = {
    "click": {
        "#buy": {
            "a": {
                "Plan": {"target": "${this}", "attribute": "data-plan"},
                "Id": {"target": "#shop", "attribute": "data-id"},
            },
            "t": {"Price": "#price"},
            "s": {"Owner": "#owner"},
            "f": {"Size": "#size", "Gift": "#gift", "Password": "#password", "Hidden": "#ignored"},
        },
        "::broken": {"t": {"Never": "#price"}},
        "#other": {"t": {"Never": "#price"}},
    },
    "pageview": {"/shop*": {"t": {"Heading": "h1"}}, "/none": {"t": {"Never": "h1"}}},
}


def test_snapshots(visit: Visit, site: Site) -> None:
    site.configuration["snapshots"] = SNAPSHOTS
    page = visit(
        "<h1>Sale</h1><div id=shop data-id=7><span id=price>12 €</span><span id=owner>ann@shop.test</span>"
        "<select id=size><option>S<option selected>XL</select><input type=checkbox id=gift checked>"
        "<input type=password id=password value=hunter2><p heap-ignore><input id=ignored value=hunter2></p>"
        "<button id=buy data-plan=pro><b>Buy</b></button></div>",
        path="/shop/1",
    )
    page.click("b")
    (click,) = site.wait_for("click")
    assert click["properties"] == {
        "Plan": "pro",
        "Id": "7",
        "Price": "12 €",
        "Owner": "{email}",
        "Size": "XL",
        "Gift": "true",
    }
    page.evaluate("history.pushState({}, '', '/shop/2')")
    assert site.wait_for("pageview", 2)[1]["properties"] == {"Heading": "Sale"}
    assert "hunter2" not in str(site.posted)
