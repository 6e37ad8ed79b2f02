"""Links to the labeller: whose they are, where they lead, and what is refused."""

from collections.abc import Callable
from urllib.parse import unquote

import pytest

from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.web.label_link import is_public, label_link, page_address
from cairn.workspace.label_grant import LIFETIME, PURPOSE, read_grant
from cairn.workspace.member import list_members
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
        "", "javascript:alert(1)", "javascript://shop.example/%0aalert(1)", "data:text/html,x", "file:///etc/passwd",
        "https://", "https://ann:secret@shop.example", "https://shop.example/a b", "https://[::1", "x" * 2001,
        "https://shop.example:port/",
    ],
)  # fmt: skip
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


def test_a_link_speaks_for_who_asked_for_it(world: World, browse: Callable[..., Browser]) -> None:
    editor = browse().sign_in(world.a.email(Role.EDITOR))
    page = editor.get(LABEL, params={"address": "shop.example/cart"})
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    link = page.text.split('href="https://shop.example/cart#cairn-label=')[1].split('"')[0]
    grant = read_grant(world.core.seal.key_for(PURPOSE), unquote(link), NOW)
    with world.core.engine.connect() as connection:
        members = list_members(connection, world.a.workspace_id)
    member = next(each for each in members if each.role is Role.EDITOR)
    assert (grant.workspace_id, grant.environment_id, grant.member_id, grant.home) == (
        world.a.workspace_id, world.a.environment.id, member.id, "http://cairn.test",
    )  # fmt: skip
    assert grant.until_ms == int((NOW + LIFETIME).timestamp() * 1000)
    assert "until 11:12" in page.text


def test_who_may_not_define_gets_no_link(world: World, browse: Callable[..., Browser]) -> None:
    viewer = browse().sign_in(world.a.email(Role.VIEWER))
    assert viewer.get(LABEL, params={"address": "shop.example"}).status_code == 403
    assert "events/label" not in viewer.get("/env/production/events").text
    assert "events/label" in browse().sign_in(world.a.email(Role.EDITOR)).get("/env/production/events").text


def test_a_wrong_address_is_told_at_its_field(owner: Browser) -> None:
    page = owner.get(LABEL, params={"address": "javascript:alert(1)"})
    assert page.status_code == 422
    assert "cairn-label" not in page.text
    assert 'id="wrong-address"' in page.text


def test_pages_people_saw_are_offered(world: World, owner: Browser) -> None:
    for number, (domain, path) in enumerate(
        [("shop.example", "/cart")] * 2 + [("cairn.test", "/demo/ü"), ("10.0.0.7", "/private"), ("", "/none")]
    ):
        world.event(f"view {number}", kind=Kind.PAGEVIEW, facts={"domain": domain, "path": path})
    page = owner.get(LABEL).text
    assert 'href="https://shop.example/cart#cairn-label=' in page
    assert 'href="http://cairn.test/demo/%C3%BC#cairn-label=' in page
    assert "private" not in page
    assert page.index("shop.example/cart") < page.index("cairn.test/demo")
