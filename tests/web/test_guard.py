"""What a page lets its forms lead to: this site, and what the page itself names."""

from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

import cairn
from cairn.web.door import Door
from cairn.web.guard import SecurityHeaders, content_security_policy, read_cookie, set_cookie
from cairn.web.visit import Page, Visit, get
from tests.web.conftest import World

PLAIN = "door.html"


def policy_of(world: World, page: Page) -> dict[str, str]:
    headers = Middleware(SecurityHeaders, secure=False)
    client = TestClient(Starlette(routes=[Door(world.core).route(page)], middleware=[headers]))
    answer = client.get(page.path)
    assert answer.status_code == 200, answer.text
    directives = (part.partition(" ") for part in answer.headers["content-security-policy"].split("; "))
    return {name: value for name, _, value in directives}


def consent(visit: Visit) -> Response:
    """As a page that hands a visitor on to a partner would answer."""
    return visit.page(PLAIN, form_targets=("https://partner.example:8443/callback?a=b",))


def plain(visit: Visit) -> Response:
    return visit.page(PLAIN)


def test_a_page_names_the_sites_its_forms_may_lead_to(world: World) -> None:
    policy = policy_of(world, get("/consent", consent, None))
    assert policy["form-action"] == "'self' https://partner.example:8443"
    assert policy["script-src"].startswith("'nonce-")


def test_every_other_page_keeps_its_forms_here(world: World) -> None:
    assert policy_of(world, get("/plain", plain, None))["form-action"] == "'self'"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://",
        "https://a.example;script-src *",
        "https://a b.example",
        "*",
        "data:x",
    ],
)
def test_what_is_no_address_of_a_site_never_reaches_the_header(address: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        content_security_policy("n", form_targets=[address])


def test_no_page_reads_cookies_by_starlettes_parser() -> None:
    """Its work grows with the square of a quoted value's length; see guard.read_cookie."""
    pages = Path(cairn.__file__).parent
    users = [file.name for file in pages.rglob("*.py") if "request.cookies" in file.read_text()]
    assert users == ["guard.py"], "where it is named once, as what not to use"


@pytest.mark.parametrize("notice", ["Saved.", "plan: a/b; 50 %, \"quoted\" and 'not'", "größer → kleiner"])
def test_what_a_page_says_after_a_form_arrives_as_it_was(notice: str) -> None:
    response = Response()
    set_cookie(response, "notice", quote(notice), secure=False)
    sent = response.headers["set-cookie"].partition("; ")[0].encode()
    request = Request({"type": "http", "headers": [(b"cookie", b"other=1; " + sent + b"; last=2")]})
    assert unquote(read_cookie(request, "notice")) == notice
