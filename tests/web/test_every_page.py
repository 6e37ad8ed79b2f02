"""What holds for all pages: empty ones, failing ones, hostile text, other workspaces."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cairn.db.engine import reading
from cairn.errors import Unavailable
from cairn.event import Refused
from cairn.outcomes import Reason
from cairn.segments.definition import states
from cairn.workspace.source import list_sources
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE, form_of, make_flag, make_segment

EMPTY = [
    pytest.param("", "Waiting for your first event", id="home"),
    pytest.param("/live", "Waiting for your first event", id="live"),
    pytest.param("/live?q=x", "Nothing matches", id="live, filtered"),
    pytest.param("/live?keys=unknown", "belongs to no environment", id="unknown keys"),
    pytest.param("/users", "No users yet", id="users"),
    pytest.param("/users?q=ann", "Nobody matches", id="users, searched"),
    pytest.param("/users?after=1-1", "That was the last page", id="users, beyond the end"),
    pytest.param("/segments", "No segment yet", id="segments"),
    pytest.param("/flags", "No flag yet", id="flags"),
    pytest.param("/lists", "No list yet", id="lists"),
    pytest.param("/keys", "waiting for its first event", id="keys"),
    pytest.param("/tokens", "No tokens", id="tokens"),
]


@pytest.mark.parametrize(("path", "said"), EMPTY)
def test_an_empty_page_says_what_it_is_for(world: World, owner: Browser, path: str, said: str) -> None:
    answer = owner.get(HERE + path)
    assert answer.status_code == 200
    assert said in answer.text


def test_the_environment_switch_keeps_the_page(world: World, owner: Browser) -> None:
    def switched(to: str) -> str:
        query = {"environment": str(world.a.other.id), "to": to}
        return str(owner.client.get("/switch", params=query, follow_redirects=False).headers["location"])

    assert switched(f"{HERE}/live") == "/env/development/live"
    assert switched(f"{HERE}/users/123") == "/env/development/users"
    assert switched(f"{HERE}/flags/checkout/sdk") == "/env/development/flags/checkout"
    assert switched(f"{HERE}") == "/env/development"
    assert switched("https://evil.test/x/y/z").startswith("/env/development")
    assert owner.get("/switch", params={"environment": world.b.environment.id, "to": HERE}).status_code == 404


def test_no_page_shows_or_changes_another_workspace(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    segment = make_segment(owner, "ours_alone")
    make_flag(owner, "ours-alone")
    user = world.user("secret@shop.test")
    world.event("Secret Event", "secret@shop.test")
    with reading(world.core.engine) as connection:
        source = list_sources(connection, world.a.workspace_id)[0].id
        list_id = states(connection, world.a.workspace_id, segment)[0].list_id
    rival = browse().enter(world.core, world.b.email())
    before = list(world.changed)
    for path in (
        f"/segments/{segment}",
        f"/segments/{segment}/edit",
        "/flags/ours-alone",
        "/flags/ours-alone/variables",
        "/flags/ours-alone/sdk",
        "/flags/ours-alone/rules/new",
        f"/users/{user}",
    ):
        assert rival.get(HERE + path).status_code == 404, path
    for path in (
        f"/segments/{segment}/delete",
        f"/segments/{segment}/edit",
        "/flags/ours-alone/toggle",
        "/flags/ours-alone/archive",
        "/flags/ours-alone/variables",
        f"/keys/sources/{source}/rotate",
        f"/users/{user}/unmerge",
    ):
        assert rival.post(HERE + path, {"do": "save", "raw": "1"}).status_code == 404, path
    for path in (
        "",
        "/live",
        "/live/rows?after=0",
        "/users",
        "/users?q=secret",
        "/segments",
        "/flags",
        "/keys",
    ):
        text = rival.get(HERE + path).text
        for ours in (
            "ours_alone",
            "ours-alone",
            "secret@shop.test",
            "Secret Event",
            list_id,
            world.a.environment.app_id,
        ):
            assert ours not in text.replace("Users whose identity", ""), (path, ours)
    for number in (world.a.environment.id, world.a.other.id):
        for path in ("", "/live", "/live/rows", "/live/stream", "/users", "/keys"):
            assert rival.client.get(f"/env/{number}{path}").status_code in (401, 404)
    assert world.changed == before


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='alert(1)",
    "</pre></textarea><svg onload=alert(1)>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_wherever_it_is_shown(world: World, owner: Browser, text: str) -> None:
    number = HOSTILE.index(text)
    user = world.user(f"{text}", name=text, email=text, **{text: text})
    world.event(text, text, properties={text: text, "path": text}, source=text)
    at = int(NOW.timestamp() * 1000) - 500
    world.refuse(Refused(world.a.environment.id, at, Reason.BAD_REQUEST, text, text, text, text, text))
    segment = make_segment(
        owner, f"hostile{number}", name=text, description=text, **{"g0.r0.key": text, "g0.r0.value": text}
    )
    world.live.settle()
    make_flag(
        owner,
        f"hostile-{number}",
        name=text,
        description=text,
        **{"v0.key": "a", "v0.type": "string", "v0.value": text},
    )
    rule = f"{HERE}/flags/hostile-{number}/rules/new"
    form = form_of(owner.get(rule).text) | {
        "r0.name": "n",
        "r0.operator": "is",
        "r0.value": text,
        "name": text,
    }
    assert owner.post(rule, {**form, "do": "save"}).status_code == 200
    pages = [
        "",
        "/live",
        "/live/rows?after=0",
        "/users",
        "/segments",
        "/flags",
        "/keys",
        f"/users/{user}",
        f"/segments/{segment}",
        f"/segments/{segment}/edit",
        f"/flags/hostile-{number}",
        f"/flags/hostile-{number}/variables",
        f"/flags/hostile-{number}/sdk",
    ]
    for path in pages:
        answer = owner.get(HERE + path)
        assert answer.status_code == 200, path
        assert_harmless(answer.text, path)
    for path in ("/users", "/live", f"/segments/{segment}", f"/flags/hostile-{number}"):
        query = {"q": text, "user": text, "source": text, "as": text, "context": text}
        assert_harmless(owner.get(HERE + path, params=query).text, path)
    assert "{{ 7 * 7 }}" in owner.get(f"{HERE}/users/{user}").text or "{{" not in text


def assert_harmless(html: str, path: str) -> None:
    assert "<script>alert" not in html and "<img" not in html and "<svg onload" not in html, path
    for tag in re.findall(r"<[a-z][^>]*>", html):
        names = re.findall(
            r"""\s([a-z:-]+)(?:=(?:"[^"]*"|'[^']*'))?""", re.sub(r"=\"[^\"]*\"|='[^']*'", "=''", tag)
        )
        assert not any(name.startswith("on") for name in names), (path, tag)


class Broken:
    """A store that cannot answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def state(self, _environment_id: int) -> None:
        return None

    def query(self, *_: object, **__: object) -> list[Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        pytest.param(Unavailable("the question took longer than 10 s"), 503, "Nothing was lost", id="away"),
        pytest.param(
            RuntimeError("secret detail"),
            500,
            "This page failed because of an error in Cairn",
            id="our fault",
        ),
    ],
)
def test_a_store_that_fails_is_told_without_alarm(
    world: World, browse: Callable[..., Browser], error: Exception, status: int, said: str
) -> None:
    owner = browse(replace(world.core, store=Broken(error))).sign_in(world.a.email())  # type: ignore[arg-type]
    answer = owner.get(f"{HERE}/users")
    assert answer.status_code == status
    assert said in answer.text and "secret detail" not in answer.text
    assert "Flags" in answer.text, "the navigation stays"
