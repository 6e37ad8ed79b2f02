"""Signing in, and what protects every page and every change."""

import re
from collections.abc import Callable

import pytest

from cairn.web.app import PAGES
from cairn.web.guard import content_security_policy, safe_next
from cairn.workspace.permission import Role
from tests.web.conftest import Browser, World
from tests.world import PASSWORD


def test_sign_in_leads_back_to_the_wanted_page(world: World, browse: Callable[..., Browser]) -> None:
    browser = browse()
    asked = browser.get("/env/production/users?q=ann")
    assert asked.url.path == "/sign-in"
    answer = browser.post(
        "/sign-in", {"email": world.a.email(), "password": PASSWORD, "next": asked.url.params["next"]}
    )
    assert (answer.url.path, answer.url.params["q"]) == ("/env/production/users", "ann")


@pytest.mark.parametrize(
    ("path", "led"),
    [
        ("/env/production/live?q=a", "/env/production/live?q=a"),
        ("https://evil.test/", "/"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("/env/x\\..\\evil", "/"),
        ("/env/x\nSet-Cookie: a", "/"),
        ("", "/"),
    ],
)
def test_sign_in_never_leads_elsewhere(path: str, led: str) -> None:
    assert safe_next(path) == led


def test_wrong_passwords_are_slowed_down(world: World, browse: Callable[..., Browser]) -> None:
    browser = browse()
    browser.get("/sign-in")
    form = {"email": world.b.email(Role.VIEWER), "password": "a wrong password"}
    statuses = [browser.post("/sign-in", form).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert "do not belong together" in browser.post("/sign-in", form | {"email": "nobody@x.test"}).text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_behind_tls_cookies_are_secure_and_browsers_stay_with_it(
    world: World, browse: Callable[..., Browser], scheme: str
) -> None:
    """The scheme is what a trusted proxy said of the client's connection; no public_url is set here."""
    browser = browse()
    page = browser.get(f"{scheme}://testserver/sign-in")
    form = {"email": world.a.email(), "password": PASSWORD}
    signed_in = browser.post(f"{scheme}://testserver/sign-in", form, follow_redirects=False)
    for answer in (page, signed_in):
        assert answer.headers["set-cookie"]
        for cookie in answer.headers.get_list("set-cookie"):
            assert ("secure" in cookie.lower()) == (scheme == "https"), cookie
        assert ("strict-transport-security" in answer.headers) == (scheme == "https")


def test_cookies_and_headers_protect_the_session(world: World, browse: Callable[..., Browser]) -> None:
    browser = browse()
    browser.get("/sign-in")
    answer = browser.post(
        "/sign-in", {"email": world.a.email(), "password": PASSWORD}, follow_redirects=False
    )
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    for path in ("/sign-in", "/env/production", "/static/cairn.css", "/nowhere"):
        headers = browser.get(path).headers
        nonce = headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]
        assert headers["content-security-policy"] == content_security_policy(nonce)
        assert len(nonce) > 20, "and nobody guesses which scripts run"
        assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in content_security_policy("")
    nonces = [re.findall(r'<script[^>]* nonce="([^"]+)"', browser.get("/sign-in").text) for _ in range(2)]
    assert nonces[0] != nonces[1] and all(len(set(found)) == 1 for found in nonces)


PARTS = {
    "environment": "production",
    "key": "flag",
    "user_id": 1,
    "segment_id": 1,
    "rule_id": 1,
    "token_id": 1,
    "source_id": 1,
    "event_id": 1,
    "snapshot_id": 1,
    "site_id": 1,
    "app_id": 1,
    "grant_id": 1,
    "sync_id": 1,
    "target_id": 1,
    "kind": "webhook",
    "audience_id": 1,
    "list_id": "lnone",
    "hook_id": 1,
    "connection_id": 1,
    "letter_id": 1,
    "slug": "webhook",
}
POSTS = [page.path for page in PAGES if page.method == "POST"]
WITH_FILES = {page.path for page in PAGES if page.takes_file}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("attack", ["no token", "wrong token", "other site"])
def test_every_change_needs_the_token_of_the_session(
    world: World, owner: Browser, path: str, attack: str
) -> None:
    files = {"file": ("values.csv", b"dana@acme.test")} if path in WITH_FILES else None
    path = path.format(**PARTS)
    headers = {"sec-fetch-site": "cross-site"} if attack == "other site" else {}
    token = {"no token": "", "wrong token": "x" * 43, "other site": owner.csrf}[attack]
    before = list(world.changed)
    answer = owner.client.post(
        path, data={"csrf": token}, files=files, headers=headers, follow_redirects=False
    )
    assert answer.status_code == 403
    assert world.changed == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_only_members_get_in(world: World, browse: Callable[..., Browser], page: object) -> None:
    path = page.path.format(**PARTS)  # type: ignore[attr-defined]
    method = page.method  # type: ignore[attr-defined]
    answer = browse().client.request(method, path, follow_redirects=False)
    if page.verb is None:  # type: ignore[attr-defined]
        assert answer.status_code in (200, 303, 403)
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")


def test_a_form_of_another_kind_or_size_is_refused(owner: Browser) -> None:
    path = "/env/production/segments/new"
    sent = owner.client.post(path, content=b'{"csrf": "x"}', headers={"content-type": "application/json"})
    assert sent.status_code == 422
    assert owner.client.post(path, data={"csrf": owner.csrf, "name": "x" * 600_000}).status_code == 413


def test_pages_that_go_wrong_are_designed(
    owner: Browser, browse: Callable[..., Browser], world: World
) -> None:
    for path in ("/env/production/nothing", "/env/nowhere/live", "/env/production/users/abc", "/nothing"):
        answer = owner.get(path)
        assert answer.status_code == 404, path
        assert "Page not found" in answer.text
    viewer = browse().sign_in(world.a.email(Role.VIEWER))
    answer = viewer.get("/env/production/segments/new")
    assert answer.status_code == 403
    assert "You may not change this" in answer.text
