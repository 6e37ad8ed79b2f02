"""Where a browser may be led by a request for consent, and who may allow what: as attackers would try."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import sqlalchemy as sa

from cairn.db.sync_tables import sync_targets
from cairn.workspace.permission import Role
from tests.sync.oauth import BACK, World
from tests.sync.oauth import new_app as new_app  # fixtures
from tests.sync.oauth import opened as opened

# Where a browser may be led.


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("https://evil.example/heap/callback?from=heap", id="another host"),
        pytest.param("https://mailer.example/heap/callback", id="without its query"),
        pytest.param(BACK + "&more=1", id="more query"),
        pytest.param("https://mailer.example/heap/callback/extra?from=heap", id="extra path"),
        pytest.param("https://mailer.example/heap/callback/?from=heap", id="slash"),
        pytest.param("https://mailer.example/heap/../heap/callback?from=heap", id="dots"),
        pytest.param("https://mailer.example:444/heap/callback?from=heap", id="other port"),
        pytest.param("https://mailer.example:443/heap/callback?from=heap", id="the same port, written"),
        pytest.param("http://mailer.example/heap/callback?from=heap", id="without TLS"),
        pytest.param("https://mailer.example@evil.example/heap/callback?from=heap", id="userinfo"),
        pytest.param("https://mailer.example.evil.example/heap/callback?from=heap", id="suffix"),
        pytest.param("https://sub.mailer.example/heap/callback?from=heap", id="subdomain"),
        pytest.param("https://MAILER.example/heap/callback?from=heap", id="capitals"),
        pytest.param(BACK + "#fragment", id="fragment"),
        pytest.param(BACK + "\n", id="a line"),
        pytest.param(BACK + "\0", id="NUL"),
        pytest.param("//evil.example/heap/callback?from=heap", id="no scheme"),
        pytest.param("javascript:alert(1)", id="script"),
        pytest.param("https://mailer.example\\@evil.example/", id="backslash"),
        pytest.param('https://mailer.example/"><script>', id="markup"),
        pytest.param("https://mäiler.example/", id="letters beyond ASCII"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
    ],
)
@pytest.mark.parametrize("do", ["look", "allow", "deny"])
@pytest.mark.parametrize("response_type", ["code", "token"])
def test_no_browser_is_led_to_an_address_that_is_not_registered_letter_by_letter(
    world: World, address: str | None, do: str, response_type: str
) -> None:
    url = world.ask(redirect_uri=address, response_type=response_type)
    answer = world.browser().get(url) if do == "look" else world.decide(url, do=do)
    assert answer.status_code == 400, answer.text
    assert "location" not in answer.headers
    assert "evil.example" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "name", ["client_id", "redirect_uri", "state", "response_type", "scope", "code_challenge"]
)
def test_a_parameter_that_stands_there_twice_leads_nowhere(world: World, name: str) -> None:
    answer = world.browser().get(f"{world.ask(code_challenge='x' * 43)}&{name}=https://evil.example/")
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize("client_id", ["app_unknown-unknown-unknown", "", "\0", "ü", "x" * 5000, None])
def test_an_unknown_client_leads_nowhere(world: World, client_id: str | None) -> None:
    answer = world.browser().get(world.ask(client_id=client_id))
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'co"de\n→'}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"scope": "segment everything"}, "invalid_scope"),
        ({"scope": 'a"b'}, "invalid_scope"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_to_the_app_at_its_own_address(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    answer = world.browser().get(world.ask(**changes))
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith(BACK + "&error=")
    assert dict(parse_qsl(urlsplit(location).query)).items() >= {"error": error, "state": "s-1"}.items()


def test_an_app_of_another_workspace_is_unknown(world: World) -> None:
    answer = world.browser(world.b).get(world.ask())
    assert answer.status_code == 404
    assert "Mailer" not in answer.text
    answer = world.decide(
        world.ask(), browser=world.browser(world.b), environment=str(world.b.environment.id)
    )
    assert answer.status_code == 404


def test_no_environment_of_another_workspace_can_be_allowed(world: World) -> None:
    for environment in (str(world.b.environment.id), "0", "", "x"):
        answer = world.decide(world.ask(), environment=environment)
        assert answer.status_code == 422
        assert "location" not in answer.headers


# Consent.


def test_consent_takes_the_token_of_its_own_page(world: World) -> None:
    for form in ({"csrf": ""}, {"csrf": "x" * 43}):
        answer = world.decide(world.ask(), **form)
        assert answer.status_code == 403
        assert "location" not in answer.headers


def test_consent_is_not_taken_from_another_sites_page(world: World) -> None:
    browser = world.browser()
    browser.headers["sec-fetch-site"] = "cross-site"
    answer = world.decide(world.ask(), browser=browser)
    assert answer.status_code == 403


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_change_integrations_cannot_allow_but_go_back(world: World, role: Role) -> None:
    browser = world.browser(role=role)
    page = browser.get(world.ask())
    assert 'value="allow"' not in page.text
    assert "Ask an admin" in page.text
    assert world.decide(world.ask(), browser=browser).status_code == 403
    assert "access_denied" in world.decide(world.ask(), browser=browser, do="deny").headers["location"]


def test_allowing_twice_keeps_one_grant_whose_newest_token_counts(world: World) -> None:
    first = world.token()
    second = world.token()
    assert second["id_token"] == first["id_token"]
    assert world.metadata(first).status_code == 401
    assert world.metadata(second).status_code == 200
    with world.core.reading() as connection:
        query = sa.select(sa.func.count()).select_from(sync_targets).where(sync_targets.c.name == "Mailer")
        grants = sa.select(sync_targets.c.grant_id).order_by(sync_targets.c.id.desc()).limit(1)
        latest = connection.execute(grants).scalar_one()
        assert connection.execute(query.where(sync_targets.c.grant_id == latest)).scalar_one() == 1


def test_consent_of_a_session_that_is_over_is_asked_again_and_not_replayed(world: World) -> None:
    browser = world.browser()
    url = world.ask()
    browser.cookies.clear()
    answer = browser.post(
        url, data={"csrf": "x", "do": "allow"}, headers={"referer": f"http://cairn.test{url}"}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?next={quote(url, safe='')}"
