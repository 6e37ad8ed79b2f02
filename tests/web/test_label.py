"""Links to the labeller: whose they are, where they lead, and what is refused."""

import html
from collections.abc import Callable

import pytest

from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.web.label_link import is_public, label_link, page_address
from cairn.workspace.label_grant import LabelLinkExpired, exchange_code, read_grant
from cairn.workspace.label_site import list_sites
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World

LABEL = "/env/production/events/label"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://shop.example/cart?a=1#top", "https://shop.example/cart?a=1#top"),
        (" shop.example ", "https://shop.example"),
        ("shop.example:8443/x", "https://shop.example:8443/x"),
        ("localhost:3000/x", "http://localhost:3000/x"),
        ("127.0.0.1/", "http://127.0.0.1/"),
        ("[::1]:80/", "http://[::1]:80/"),
        ("HTTP://shop.example", "HTTP://shop.example"),
    ],
)
def test_addresses_as_people_type_them(typed: str, meant: str) -> None:
    assert page_address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "javascript:alert(1)",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "https://ann:secret@shop.example",
        "https://shop.example/a b",
        "https://[::1",
        "x" * 2001,
        "https://shop.example:port/",
    ],
)
def test_other_addresses_are_refused(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        page_address(typed)
    assert refused.value.field == "address"


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://shop.example/cart", "https://shop.example/cart#cairn-label=T"),
        ("https://shop.example/cart?a=1#top", "https://shop.example/cart?a=1#top&cairn-label=T"),
        ("https://shop.example/#/cart", "https://shop.example/#/cart?cairn-label=T"),
        ("https://shop.example/#!/cart", "https://shop.example/#!/cart?cairn-label=T"),
        ("https://shop.example/#/cart?a=1", "https://shop.example/#/cart?a=1&cairn-label=T"),
    ],
)
def test_the_grant_stands_in_the_fragment(address: str, link: str) -> None:
    assert label_link(address, "T") == link


def test_what_is_public() -> None:
    assert [is_public(host) for host in ("shop.example", "8.8.8.8")] == [True, True]
    assert not any(is_public(host) for host in ("localhost", "app.localhost", "10.0.0.7", "::1", "nas.local"))


def name_site(browser: Browser, address: str) -> None:
    browser.get(LABEL)
    browser.post(f"{LABEL}/sites", {"address": address})


def test_a_link_speaks_for_who_opened_it(world: World, browse: Callable[..., Browser]) -> None:
    editor = browse().enter(world.core, world.a.email(Role.EDITOR))
    name_site(editor, "https://links.example")
    page = editor.get(LABEL, params={"address": "links.example/cart?a=1"})
    link = html.unescape(page.text.split('class="button" data-main href="')[1].split('"')[0])
    opened = editor.get(link, follow_redirects=False)
    assert (opened.status_code, opened.headers["cache-control"]) == (303, "no-store")
    address, _, code = opened.headers["location"].partition("#cairn-label=")
    assert address == "https://links.example/cart?a=1"
    with world.core.writing() as connection:
        token = exchange_code(connection, code, origin="https://links.example", now=NOW)
        grant = read_grant(connection, token, origin="https://links.example", now=NOW)
    assert (grant.member.email, grant.environment_id, grant.home) == (
        world.a.email(Role.EDITOR),
        world.a.environment.id,
        "http://cairn.test",
    )
    editor.get("/env/production/account")
    editor.post("/sign-out")
    with world.core.reading() as connection, pytest.raises(LabelLinkExpired):
        read_grant(connection, token, origin="https://links.example", now=NOW)


@pytest.mark.parametrize(
    "address",
    ["https://seen.example/", "https://links.example.evil.example/", "http://cairn.test/demo/shop/1/", "x"],
)
def test_labelling_opens_on_no_site_that_nobody_named(world: World, owner: Browser, address: str) -> None:
    for number in range(5):
        world.event(f"seen {number}", kind=Kind.PAGEVIEW, facts={"domain": "seen.example", "path": "/"})
    opened = owner.get(f"{LABEL}/open", params={"address": address}, follow_redirects=False)
    assert opened.status_code in (403, 422)
    assert "label/open" not in owner.get(LABEL, params={"address": address}).text.split("links.example")[0]


def test_a_link_from_another_site_opens_nothing(world: World, owner: Browser) -> None:
    name_site(owner, "https://links.example")
    headers = {"Sec-Fetch-Site": "cross-site"}
    address = {"address": "https://links.example/"}
    assert (
        owner.get(f"{LABEL}/open", params=address, headers=headers, follow_redirects=False).status_code == 403
    )


@pytest.mark.parametrize(
    "address", ["", "shop.example", "ftp://shop.example", "https://a b", "http://cairn.test/"]
)
def test_a_site_is_named_by_scheme_and_host(world: World, owner: Browser, address: str) -> None:
    owner.get(LABEL)
    refused = owner.post(f"{LABEL}/sites", {"address": address})
    assert refused.status_code == 422 and 'id="wrong-address"' in refused.text


def test_a_site_is_removed_by_its_own_workspace_only(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    name_site(owner, "https://gone.example")
    with world.core.reading() as connection:
        sites = {site.origin: site.id for site in list_sites(connection, world.a.environment.id)}
    rival = browse().enter(world.core, world.b.email())
    rival.get(LABEL)
    assert rival.post(f"{LABEL}/sites/{sites['https://gone.example']}/delete").status_code == 404
    assert "https://gone.example" not in rival.get(LABEL).text
    owner.get(LABEL)
    owner.post(f"{LABEL}/sites/{sites['https://gone.example']}/delete")
    assert "https://gone.example/" not in owner.get(LABEL).text


def test_who_may_not_define_gets_no_link(world: World, browse: Callable[..., Browser]) -> None:
    viewer = browse().enter(world.core, world.a.email(Role.VIEWER))
    for path in (LABEL, f"{LABEL}/open"):
        assert viewer.get(path, params={"address": "shop.example"}).status_code == 403
    assert "events/label" not in viewer.get("/env/production/events").text
    assert (
        "events/label"
        in browse().enter(world.core, world.a.email(Role.EDITOR)).get("/env/production/events").text
    )


def test_a_wrong_address_is_told_at_its_field(owner: Browser) -> None:
    page = owner.get(LABEL, params={"address": "javascript:alert(1)"})
    assert page.status_code == 422
    assert "cairn-label" not in page.text
    assert 'id="wrong-address"' in page.text


def test_sites_the_script_ran_on_are_suggested_first_and_own_or_dead_hosts_are_not(
    world: World, owner: Browser
) -> None:
    for number in range(30):
        pixel = {"facts": {"domain": "flood.example", "path": f"/{number}"}, "user_id": 7_000 + number}
        world.event(f"flood {number}", kind=Kind.PAGEVIEW, library="pixel", **pixel)
    for domain, path, library in (
        ("real.example", "/cart", "web"),
        ("real.example", "/ü", "web"),
        ("cairn.test", "/demo", "web"),
        ("10.0.0.7", "/private", "web"),
        ("", "/none", "web"),
        ("shop.trailhead.example", "/", "demo"),
    ):
        facts = {"domain": domain, "path": path}
        world.event(f"view {domain}{path}", kind=Kind.PAGEVIEW, facts=facts, library=library, session_id=5)
    page = owner.get(LABEL).text
    assert page.index("https://real.example") < page.index("https://flood.example")
    assert not [host for host in ("cairn.test/", "10.0.0.7", "trailhead") if f"//{host}" in page]
    assert "label/open" not in page.split("real.example")[1], "nothing opens before a person says so"
    name_site(owner, "https://real.example")
    page = html.unescape(owner.get(LABEL).text)
    assert "address=https%3A%2F%2Freal.example%2F%25C3%25BC" in page
    assert "https://real.example/cart" in page
