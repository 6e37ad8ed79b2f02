"""The first visit: the owner signs up, and nobody after."""

import html
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.event import Draft, Element
from cairn.ids import event_id
from cairn.web.app import build_web
from cairn.workspace.permission import Role
from tests import world
from tests.definitions.world import load
from tests.web.conftest import NOW, Browser
from tests.world import PASSWORD, Tenant

SIGN_UP = {"name": "Ann", "email": "ann@new.test", "password": PASSWORD, "workspace_name": "New"}


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.World]:
    opened = world.World(tmp_path_factory.mktemp("empty"), clock=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture
def empty(nothing: world.World) -> Core:
    return nothing.core


@pytest.fixture
def stranger(empty: Core) -> Browser:
    return Browser(TestClient(build_web(empty), base_url="http://cairn.test"))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        pytest.param("email", "not an address", "expected one address", id="no address"),
        pytest.param("password", "short", "10 to 1000 characters", id="short password"),
        pytest.param("workspace_name", "", "expected 1 to 100", id="no workspace"),
        pytest.param("name", "https://spam.test", "addresses are not accepted", id="a link"),
    ],
)
def test_sign_up_says_what_is_wrong_at_the_field(
    stranger: Browser, field: str, value: str, said: str
) -> None:
    assert stranger.get("/").url.path == "/sign-up"
    answer = stranger.post("/sign-up", {**SIGN_UP, field: value})
    assert answer.status_code == 422
    assert f'id="wrong-{field}"' in answer.text
    assert said in answer.text
    assert f'name="{field}"' in answer.text
    assert PASSWORD not in answer.text


def test_the_first_visitor_owns_the_workspace_and_the_door_closes(stranger: Browser, empty: Core) -> None:
    stranger.get("/sign-up")
    stranger.client.cookies.set("cairn_zone", "America%2FNew_York")
    home = stranger.post("/sign-up", SIGN_UP)
    assert home.status_code == 200
    assert home.url.path == "/env/production"
    assert "Waiting for your first event" in home.text
    assert 'Times in <a href="/env/production/environments">America/New_York</a>' in home.text
    second = Browser(TestClient(build_web(empty), base_url="http://cairn.test"))
    second.get("/sign-in")
    assert second.post("/sign-up", SIGN_UP | {"email": "b@new.test"}).url.path == "/sign-in"
    assert second.get("/sign-up").url.path == "/sign-in"
    stranger.get("/env/production/account")
    assert "sign-in" in str(stranger.post("/sign-out").url)
    assert stranger.get("/env/production").url.path == "/sign-in"


@pytest.fixture
def fresh(nothing: world.World) -> Tenant:
    return nothing.add_tenant("fresh")


def arrive(
    core: Core, tenant: Tenant, kind: str, library: str = "web", element: Element | None = None
) -> None:
    here = tenant.environment.id
    at = to_ms(NOW) - 1_000
    draft = Draft(
        here,
        kind,
        "",
        at,
        at,
        user_id=7,
        event_id=event_id(str(here), kind),
        library=library,
        element=element,
        facts={"path": "/cart"},
    )
    load(core.store, [draft])
    core.feed.publish([draft], [])


def first_card(browser: Browser) -> str:
    """What Home opens with, before its numbers."""
    return str(browser.get("/env/production").text.partition('class="grid stat-row"')[0])


def test_home_of_a_new_workspace_goes_from_the_snippet_to_naming_a_click(empty: Core, fresh: Tenant) -> None:
    browser = Browser(TestClient(build_web(empty), base_url="http://cairn.test")).sign_in(fresh.email())
    viewer = Browser(TestClient(build_web(empty), base_url="http://cairn.test")).sign_in(
        fresh.email(Role.VIEWER)
    )
    waiting = first_card(browser)
    assert "Waiting for your first event" in waiting
    assert f"/k/{fresh.environment.app_id}.js" in waiting and "data-copy=" in waiting
    again = re.search(r'hx-get="([^"]+)"\s+hx-trigger="every 2s"', waiting)
    assert again and browser.get(again[1]).status_code == 204, "no news, no work"
    arrive(empty, fresh, "pageview")
    seen = browser.get(again[1])
    assert seen.status_code == 200 and "Your first event is here" in seen.text and "/cart" in seen.text
    assert "snippet" not in seen.text
    assert seen.headers["HX-Refresh"] == "true", "the numbers around it are others now"
    arrive(empty, fresh, "session")
    newer = re.search(r'hx-get="([^"]+)"\s+hx-trigger="every 2s"', first_card(browser))
    assert newer
    arrive(empty, fresh, "change")
    again = browser.get(html.unescape(newer[1]))
    assert again.status_code == 200 and "HX-Refresh" not in again.headers, "one event more turns no page"
    arrive(empty, fresh, "click", element=Element("@button;#buy;|", "button", "buy", text="Buy now"))
    named = first_card(browser)
    assert "Buy now" in named and "hx-get" not in named
    link = re.search(r'href="([^"]+)">Name this<', named)
    assert link
    editor = browser.get(html.unescape(link[1])).text
    assert 'value="[id=&#34;buy&#34;]"' in editor
    assert "Name this" not in viewer.get("/env/production").text, "who may not name is not invited to"
    browser.post(
        "/env/production/events/new",
        {"name": "Bought", "p0.kind": "click", "p0.selector": "#buy", "do": "save"},
    )
    assert 'id="first"' not in browser.get("/env/production").text, (
        "once something is named, its work is done"
    )


def test_home_waits_for_no_click_where_only_servers_send(nothing: world.World, empty: Core) -> None:
    tenant = nothing.add_tenant("servers")
    browser = Browser(TestClient(build_web(empty), base_url="http://cairn.test")).sign_in(tenant.email())
    arrive(empty, tenant, "custom", library="python")
    assert 'id="first"' not in browser.get("/env/production").text
