"""Partner apps: their secrets are rotated, other Cairns register themselves, and addresses are checked."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cairn import settings as known
from cairn.client_address import TrustedProxies
from cairn.db.sync_tables import partner_apps, sync_targets
from cairn.errors import InvalidInput
from cairn.sync.addresses import clean_redirect, rules_of
from cairn.sync.partner_apps import Secrets
from cairn.sync.targets import get_target, secret_of
from tests.sync.oauth import BACK, NOW, WEBHOOK, Client, World
from tests.sync.oauth import new_app as new_app  # fixtures
from tests.sync.oauth import opened as opened

# Secrets are rotated with overlap.


def api(world: World, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    browser = world.browser()
    csrf = browser.headers["x-csrf-for-tests"]
    return browser.request(method, f"/env/production{path}", data={"csrf": csrf, **(body or {})})


def shown(world: World, answer: Any, browser: TestClient) -> str:
    page = browser.get(answer.headers["location"])
    return str(page.text.rpartition("Copy now")[2].partition('data-copy="')[2].partition('"')[0])


def test_a_new_client_secret_is_shown_once_and_the_old_one_is_accepted_a_day_longer(world: World) -> None:
    browser = world.browser()
    path = f"/env/production/partner-apps/{world.client.id}/client-secret"
    answer = browser.post(path, data={"csrf": browser.headers["x-csrf-for-tests"]})
    secret = shown(world, answer, browser)
    assert secret.startswith("pas_")
    assert secret not in browser.get(answer.headers["location"]).text
    assert world.exchange(world.code()).status_code == 200
    assert world.exchange(world.code(), client_secret=secret).status_code == 200
    world.clock.now += timedelta(hours=24)
    assert world.exchange(world.code()).status_code == 401
    assert world.exchange(world.code(), client_secret=secret).status_code == 200


def test_a_client_secret_that_leaked_ends_at_once(world: World) -> None:
    assert (
        api(world, "POST", f"/partner-apps/{world.client.id}/client-secret", {"at_once": "1"}).status_code
        == 303
    )
    assert world.exchange(world.code()).status_code == 401


@pytest.mark.parametrize("at_once", [False, True])
def test_a_new_webhook_secret_signs_when_it_was_said_to(world: World, at_once: bool) -> None:
    world.token()
    with world.core.reading() as connection:
        row = connection.execute(sa.select(sync_targets).order_by(sync_targets.c.id.desc()).limit(1)).one()
        target = get_target(connection, row.environment_id, row.id)
    browser = world.browser()
    path = f"/env/production/partner-apps/{world.client.id}/webhook-secret"
    form = {"csrf": browser.headers["x-csrf-for-tests"], "at_once": "1" if at_once else ""}
    new = shown(world, browser.post(path, data=form), browser)
    old = world.client.secrets.webhook_secret

    def signing(hours: float) -> str:
        with world.core.reading() as connection:
            return secret_of(connection, world.core.seal, target, NOW + timedelta(hours=hours))

    assert [signing(0), signing(23.9), signing(24)] == ([new] * 3 if at_once else [old, old, new])


# Registration of another Cairn.


def offered(world: World, client: TestClient | None = None, **changes: Any) -> Any:
    body = {"client_name": "Evil Corp", "redirect_uris": [BACK], "webhook_url": WEBHOOK, **changes}
    return (client or world.anonymous()).post("/api/partner/oauth/register", json=body)


def test_another_cairn_registers_itself_and_belongs_to_who_allows_it_first(world: World) -> None:
    answer = offered(world)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["client_name"] == "Wingify Cohort Sync", "it does not choose what it is called"
    assert {"client_id", "client_secret", "webhook_secret"} <= set(told)
    world.client = Client(0, told["client_id"], Secrets(told["client_secret"], told["webhook_secret"]))
    page = world.browser().get(world.ask())
    assert "Evil Corp" not in page.text
    assert "Nobody of this workspace has registered this app" in page.text
    token = world.token()
    assert world.metadata(token).json()["account"]["name"] == "Shop"
    assert "Nobody of this workspace" not in world.browser().get(world.ask()).text
    assert world.browser(world.b).get(world.ask()).status_code == 404


def test_a_wrong_request_of_an_app_that_nobody_knows_leads_nowhere(world: World) -> None:
    """Else whoever registers an address could make links to us that lead there."""
    told = offered(world).json()
    world.client = Client(0, told["client_id"], Secrets(told["client_secret"], ""))
    answer = world.browser().get(world.ask(response_type="token"))
    assert answer.status_code == 422
    assert "location" not in answer.headers


def test_an_app_that_nobody_allows_within_an_hour_is_gone(world: World) -> None:
    told = offered(world).json()
    world.client = Client(0, told["client_id"], Secrets(told["client_secret"], ""))
    world.clock.now += timedelta(hours=1)
    assert world.browser().get(world.ask()).status_code == 404
    assert world.exchange("x").status_code == 401
    assert offered(world).status_code == 201
    with world.core.reading() as connection:
        left = sa.select(partner_apps.c.id).where(partner_apps.c.client_id == told["client_id"])
        assert connection.execute(left).first() is None


def test_who_registers_again_and_again_is_slowed_down(world: World) -> None:
    client = world.anonymous()
    answers = [offered(world, client) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [201] * 20 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": ["http://mailer.example/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": [BACK] * 11}, "invalid_redirect_uri"),
        ({"redirect_uris": BACK}, "invalid_client_metadata"),
        ({"redirect_uris": [5]}, "invalid_client_metadata"),
        ({"webhook_url": "http://mailer.example/"}, "invalid_client_metadata"),
        ({"webhook_url": None}, "invalid_client_metadata"),
    ],
    ids=str,
)
def test_a_registration_that_is_not_accepted_says_which_field(
    world: World, changes: dict[str, Any], error: str
) -> None:
    answer = offered(world, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_nobody_rotates_the_secrets_of_another_cairn(world: World) -> None:
    told = offered(world).json()
    world.client = Client(0, told["client_id"], Secrets(told["client_secret"], ""))
    world.token()
    with world.core.reading() as connection:
        query = sa.select(partner_apps.c.id).where(partner_apps.c.client_id == told["client_id"])
        app_id = connection.execute(query).scalar_one()
    for path in ("client-secret", "webhook-secret"):
        assert api(world, "POST", f"/partner-apps/{app_id}/{path}").status_code == 409
    assert world.exchange(world.code()).status_code == 200


# Which addresses may be registered.


@pytest.mark.parametrize(
    ("address", "is_accepted"),
    [
        ("https://a.example/cb", True),
        ("https://a.example:8443/cb?x=1&y=%20", True),
        ("https://[2606:4700::1111]/cb", True),
        ("http://a.example/cb", False),
        ("http://10.0.0.1/cb", False),
        ("https://a.example/cb#x", False),
        ("https://u:p@a.example/cb", False),
        ("https://u@a.example/cb", False),
        ("https://a.example/cb x", False),
        ("https://a.example\\@b.example/", False),
        ("https://ä.example/", False),
        ("https:///cb", False),
        ("https://*.example/cb", False),
        ("https://a.example:99999/", False),
        ("HTTPS://a.example/", False),
        ("javascript:alert(1)", False),
        ("ftp://a.example/", False),
        ("/cb", False),
        ("x" * 3000, False),
        ("", False),
        ("http://127.0.0.1:9000/cb", True),
        ("http://localhost:9000/cb", True),
        ("http://[::1]:9000/cb", True),
        ("http://localhost.evil.example/cb", False),
        ("http://127.0.0.1.evil.example/cb", False),
    ],
)
def test_redirect_addresses_are_https_and_whole(world: World, address: str, is_accepted: bool) -> None:
    """This Cairn is reached on its own machine only, so addresses of this machine are accepted too."""
    form = {"name": "X", "redirect_uris": address, "webhook_url": WEBHOOK}
    answer = api(world, "POST", "/partner-apps", form)
    assert answer.status_code == (303 if is_accepted else 422), answer.text
    if not is_accepted:
        assert 'aria-invalid="true"' in answer.text


@pytest.mark.parametrize(
    ("networks", "public_url", "is_accepted"),
    [
        ("", "", True),
        ("", "https://cairn.example", False),
        ("", "http://127.0.0.1:8300", True),
        ("127.0.0.1", "https://cairn.example", True),
        ("10.0.0.0/8", "https://cairn.example", False),
    ],
)
def test_redirects_to_this_machine_take_a_cairn_on_it_or_the_operators_word(
    networks: str, public_url: str, is_accepted: bool
) -> None:
    rules = rules_of(known.load({"outbound_networks": networks, "public_url": public_url}, {}))
    assert rules.allowed == TrustedProxies(networks)
    if is_accepted:
        assert clean_redirect("http://127.0.0.1:9/cb", rules)
    else:
        with pytest.raises(InvalidInput, match="redirect_uris"):
            clean_redirect("http://127.0.0.1:9/cb", rules)


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "http://127.0.0.1/",
        "https://[::1]/",
    ],
)
def test_webhooks_go_to_public_addresses_by_https(world: World, address: str) -> None:
    form = {"name": "X", "redirect_uris": BACK, "webhook_url": address}
    assert api(world, "POST", "/partner-apps", form).status_code == 422
