"""The first visit: the owner signs up, and nobody after."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from cairn.app.core import Core
from cairn.web.app import build_web
from tests.web.conftest import PASSWORD, Browser, close_core, open_core

SIGN_UP = {"name": "Ann", "email": "ann@new.test", "password": PASSWORD, "workspace_name": "New"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core, _, _ = open_core(tmp_path_factory.mktemp("empty"))
    yield core
    close_core(core)


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
