"""The OAuth provider by HTTP: the flow, codes and PKCE, as a partner's program and a member's browser use them."""

import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pytest
import sqlalchemy as sa

from cairn.db.sync_tables import sync_targets
from cairn.sync.targets import get_target, secret_of
from tests.sync.oauth import BACK, NOW, OTHER_BACK, WEBHOOK, World, challenge_of, pkce, register
from tests.sync.oauth import new_app as new_app  # fixtures
from tests.sync.oauth import opened as opened
from tests.world import PASSWORD

# The flow, as the contract has it.


def test_the_consent_page_names_the_app_where_it_sends_to_and_what_it_will_see(world: World) -> None:
    page = world.browser().get(world.ask())
    assert page.status_code == 200
    for text in (
        "Mailer",
        "hooks.mailer.example",
        "mailer.example",
        "Production",
        "Development",
        "Allow",
        "Deny",
    ):
        assert text in page.text
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' https://mailer.example;" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
@pytest.mark.parametrize("as_basic", [False, True], ids=["in the body", "basic"])
def test_a_code_is_exchanged_for_a_token_by_form_or_json_and_either_authentication(
    world: World, as_json: bool, as_basic: bool
) -> None:
    body = {"grant_type": "authorization_code", "code": world.code(), "redirect_uri": BACK}
    options: dict[str, Any] = {}
    if as_basic:
        options["auth"] = (world.client.client_id, world.client.secrets.client_secret)
    else:
        body |= world.client.authentication
    options["json" if as_json else "data"] = body
    answer = world.http.post("/api/partner/oauth/token", **options)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "id_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json()["id_token"]) == 36


def test_metadata_says_whose_segments_they_are(world: World) -> None:
    token = world.token(environment=str(world.a.other.id))
    answer = world.metadata(token)
    assert answer.status_code == 200
    here = str(world.a.other.id)
    assert answer.json()["account"]["name"] == "Shop"
    assert answer.json()["environment"] == {"id": here, "name": "Development"}
    field_of_workspace = {
        "field_id": "workspace",
        "field_display_name": "Workspace",
        "field_type": "identity_mapping",
        "value": {"id": here, "display_name": "Development"},
    }
    assert answer.json()["fields"] == [field_of_workspace]
    assert answer.headers["cache-control"] == "no-store"


def test_a_grant_makes_a_target_in_its_environment_and_tells_where_webhooks_go(world: World) -> None:
    token = world.token()
    with world.core.reading() as connection:
        row = connection.execute(sa.select(sync_targets).order_by(sync_targets.c.id.desc()).limit(1)).one()
        target = get_target(connection, row.environment_id, row.id)
        secret = secret_of(connection, world.core.seal, target, NOW)
    assert (row.kind, row.name, row.is_enabled) == ("partner", "Mailer", True)
    assert row.environment_id == world.a.environment.id
    assert (target.webhook_url, target.id_token) == (WEBHOOK, token["id_token"])
    assert secret == world.client.secrets.webhook_secret


def test_denying_leads_back_with_access_denied_and_the_state(world: World) -> None:
    answer = world.decide(world.ask(), do="deny")
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == BACK.partition("?")[0]
    assert dict(parse_qsl(location.query))["error"] == "access_denied"
    assert dict(parse_qsl(location.query))["state"] == "s-1"
    assert "code" not in parse_qs(location.query)


def test_who_is_signed_out_signs_in_and_comes_back_to_the_whole_request(world: World) -> None:
    browser = world.anonymous()
    url = world.ask(state="x" * 700)
    answer = browser.get(url)
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"])
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    back = page.text.partition('name="next" value="')[2].partition('"')[0].replace("&amp;", "&")
    assert back == url
    form = {"email": world.a.email(), "password": PASSWORD, "csrf": csrf, "next": back}
    answer = browser.post("/sign-in", data=form)
    assert answer.headers["location"] == url
    assert "Allow Mailer" in browser.get(answer.headers["location"]).text


def test_the_well_known_document_names_every_endpoint(world: World) -> None:
    document = world.http.get("/.well-known/oauth-authorization-server").json()
    for name in ("authorization", "token", "revocation", "registration"):
        assert document[f"{name}_endpoint"].startswith(document["issuer"] + "/api/partner/oauth/")
    assert document["code_challenge_methods_supported"] == ["S256"]


def test_segments_on_offer_are_those_of_the_environments_project(world: World) -> None:
    answer = world.http.get(
        "/api/partner/v1/segments", headers={"Authorization": f"Bearer {world.token()['access_token']}"}
    )
    assert answer.status_code == 200
    assert answer.json() == {"segments": []}


# State.


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("state=s-1", id="plain"),
        pytest.param("state=a%20b+c%2Bd%26e%3Df%23g%25", id="escaped in two ways"),
        pytest.param("state=%C3%BC%E2%86%92", id="beyond ASCII"),
        pytest.param("state=%ff%FE", id="no UTF-8"),
        pytest.param("state=<script>\"'`", id="not escaped"),
        pytest.param("state=%0d%0aLocation:%20https://evil.example", id="lines of a header"),
        pytest.param("state=", id="empty"),
        pytest.param("state=" + "x" * 2000, id="long"),
        pytest.param("", id="none"),
    ],
)
@pytest.mark.parametrize("do", ["allow", "deny"])
def test_the_state_comes_back_exactly_as_it_was_sent(world: World, raw: str, do: str) -> None:
    answer = world.decide("&".join(part for part in (world.ask(state=None), raw) if part), do=do)
    assert answer.status_code == 303, answer.text
    query = urlsplit(answer.headers["location"]).query
    states = [part for part in query.split("&") if part.startswith("state=")]
    sent = quote(raw, safe="%!$'()*+,-./:;=?@_~[]")
    assert states == ([sent] if raw else [])
    assert query.startswith("from=heap&")
    assert "\n" not in answer.headers["location"]


# Codes.


def test_a_code_used_again_gives_nothing_and_takes_back_what_it_gave(world: World) -> None:
    code = world.code()
    token = world.exchange(code).json()
    assert world.metadata(token).status_code == 200
    again = world.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert world.metadata(token).status_code == 401


def test_a_code_ends_after_a_minute(world: World) -> None:
    code = world.code()
    world.clock.now += timedelta(seconds=60)
    answer = world.exchange(code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_code_of_another_client_is_worth_nothing_and_harms_nothing(world: World) -> None:
    code, other = world.code(), register(world.core, world.a, "Other")
    answer = world.exchange(code, other)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert world.exchange(code).status_code == 200


@pytest.mark.parametrize("address", [OTHER_BACK, BACK + "&x", BACK.upper(), ""])
def test_a_code_is_bound_to_the_address_it_was_asked_with(world: World, address: str) -> None:
    answer = world.exchange(world.code(), redirect_uri=address)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("code", ["pc_never-issued", "", "\0", "x" * 10_000, "ü"])
def test_a_code_that_was_never_issued_is_refused(world: World, code: str) -> None:
    answer = world.exchange(code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


# PKCE.


def test_with_a_challenge_the_verifier_is_demanded(world: World) -> None:
    verifier = secrets.token_urlsafe(48)
    wrong = secrets.token_urlsafe(48)
    for sent in (
        {},
        {"code_verifier": ""},
        {"code_verifier": wrong},
        {"code_verifier": "short"},
        {"code_verifier": challenge_of(verifier)},
    ):
        answer = world.exchange(world.code(pkce(world, verifier)), **sent)
        assert answer.status_code == 400, sent
        assert answer.json()["error"] in ("invalid_grant", "invalid_request")
    assert world.exchange(world.code(pkce(world, verifier)), code_verifier=verifier).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": None},
        {"code_challenge_method": ""},
        {"code_challenge": "short"},
        {"code_challenge": ""},
        {"code_challenge": None},
    ],
    ids=str,
)
def test_only_a_challenge_by_s256_is_taken(world: World, changes: dict[str, str | None]) -> None:
    values = {"code_challenge": "x" * 43, "code_challenge_method": "S256", **changes}
    answer = world.browser().get(world.ask(**values))
    assert answer.status_code == 303
    assert "error=invalid_request" in answer.headers["location"]
    assert world.decide(world.ask(**values)).headers["location"] == answer.headers["location"]


def test_a_verifier_without_a_challenge_is_refused(world: World) -> None:
    answer = world.exchange(world.code(), code_verifier=secrets.token_urlsafe(48))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
