"""The OAuth provider by HTTP, as a partner's program and a member's browser use it, and as attackers would."""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cairn import settings as known
from cairn.api.app import build_api
from cairn.app.core import Core
from cairn.client_address import TrustedProxies
from cairn.db.sync_tables import partner_apps, segment_syncs, sync_targets
from cairn.errors import InvalidInput
from cairn.sync.addresses import clean_redirect, rules_of
from cairn.sync.partner_apps import NewPartnerApp, Secrets, create_app
from cairn.sync.targets import get_target, secret_of
from cairn.web.app import build_web
from cairn.workspace.member import find_member
from cairn.workspace.permission import Role
from cairn.workspace.session import COOKIE, start_session
from tests import world
from tests.world import PASSWORD, Tenant

NOW = datetime(2026, 11, 22, 10, 42, tzinfo=UTC)
AUTHORIZE = "/api/partner/oauth/authorize"
BACK = "https://mailer.example/heap/callback?from=heap"
OTHER_BACK = "https://mailer.example:8443/callback"
WEBHOOK = "https://hooks.mailer.example/heap"


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Client:
    """A registered app."""

    id: int
    client_id: str
    secrets: Secrets

    @property
    def authentication(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.secrets.client_secret}


class World(world.World):
    """Two workspaces, one of which has registered an app."""

    clock: Clock

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=Clock())
        self.a, self.b = self.add_tenant("shop"), self.add_tenant("rival")
        self.client = register(self.core, self.a)
        self.http = TestClient(build_web(self.core, api=build_api(self.core)))
        self.opened: list[TestClient] = []

    def browser(self, tenant: Tenant | None = None, role: Role = Role.OWNER) -> TestClient:
        """Signed in; it follows no redirect."""
        browser = self.anonymous()
        with self.core.engine.begin() as connection:
            member = find_member(connection, (tenant or self.a).email(role))
            token, session = start_session(connection, member, self.clock.now)
        browser.cookies.set(COOKIE, token)
        browser.headers["x-csrf-for-tests"] = session.csrf
        return browser

    def anonymous(self) -> TestClient:
        app = build_web(self.core, api=build_api(self.core))
        self.opened.append(
            TestClient(
                app, base_url="http://cairn.test", raise_server_exceptions=False, follow_redirects=False
            )
        )
        return self.opened[-1]

    def ask(self, **changes: str | None) -> str:
        """The address that the app opens; None leaves a parameter out."""
        values: dict[str, str | None] = {
            "client_id": self.client.client_id,
            "state": "s-1",
            "response_type": "code",
            "redirect_uri": BACK,
            "scope": "segment",
            **changes,
        }
        return (
            f"{AUTHORIZE}?{urlencode({name: value for name, value in values.items() if value is not None})}"
        )

    def decide(self, url: str, *, do: str = "allow", browser: TestClient | None = None, **form: str) -> Any:
        browser = browser or self.browser()
        csrf = browser.headers["x-csrf-for-tests"]
        environment = str(self.a.environment.id)
        return browser.post(url, data={"csrf": csrf, "do": do, "environment": environment, **form})

    def code(self, url: str = "", **form: str) -> str:
        answer = self.decide(url or self.ask(), **form)
        assert answer.status_code == 303, answer.text
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def exchange(self, code: str, client: Client | None = None, **changes: str) -> Any:
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            **(client or self.client).authentication,
            **changes,
        }
        return self.http.post("/api/partner/oauth/token", data=body)

    def token(self, **form: str) -> dict[str, str]:
        answer = self.exchange(self.code(**form))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def metadata(self, token: dict[str, str], id_token: str = "") -> Any:
        path = f"/api/partner/v1/metadata/{id_token or token['id_token']}"
        return self.http.get(path, headers={"Authorization": f"Bearer {token['access_token']}"})


def register(core: Core, tenant: Tenant, name: str = "Mailer") -> Client:
    new = NewPartnerApp(name, (BACK, OTHER_BACK), WEBHOOK)
    with core.engine.begin() as connection:
        app, made = create_app(
            connection, tenant.workspace_id, core.seal, new, rules_of(core.settings), core.clock()
        )
    return Client(app.id, app.client_id, made)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("core"))
    yield opened
    opened.http.close()
    opened.close()


@pytest.fixture(name="world")
def new_app(opened: World) -> Iterator[World]:
    """With an app of its own, at the time at which everything begins."""
    opened.clock.now = NOW
    opened.client = register(opened.core, opened.a)
    yield opened
    while opened.opened:
        opened.opened.pop().close()
    with opened.core.engine.begin() as connection:
        connection.execute(sa.delete(partner_apps))


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def pkce(world: World, verifier: str) -> str:
    return world.ask(code_challenge=challenge_of(verifier), code_challenge_method="S256")


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


# Client authentication, and what stands in a body.


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "pas_wrong"},
        {"client_secret": ""},
        {"client_secret": "\0"},
        {"client_id": "app_unknown-unknown-unknown"},
        {"client_id": ""},
        {"client_id": "ü"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["token", "revoke"])
def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(
    world: World, changes: dict[str, str], path: str
) -> None:
    body = {
        "grant_type": "authorization_code",
        "code": world.code(),
        "redirect_uri": BACK,
        "token": "x",
        **world.client.authentication,
        **changes,
    }
    answer = world.http.post(f"/api/partner/oauth/{path}", data=body)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"grant_type": 5}', "application/json"),
        (b'{"a":' * 5000, "application/json"),
        (b"a=1&" * 100, "application/x-www-form-urlencoded"),
        (b"grant_type=authorization_code&grant_type=x", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/json"),
        (b"<xml/>", "text/xml"),
    ],
)
@pytest.mark.parametrize("path", ["token", "revoke", "register"])
def test_a_body_that_cannot_be_read_is_refused_as_the_standard_says(
    world: World, body: bytes, kind: str, path: str
) -> None:
    answer = world.http.post(f"/api/partner/oauth/{path}", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] in ("invalid_request", "invalid_client", "invalid_client_metadata")


def test_a_body_without_an_end_is_not_read_to_its_end(world: World) -> None:
    for path in ("token", "revoke", "register"):
        answer = world.http.post(f"/api/partner/oauth/{path}", content=b"x" * 70_000)
        assert answer.status_code == 413


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "→"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_only_codes_are_exchanged(world: World, changes: dict[str, str], error: str) -> None:
    answer = world.exchange(world.code(), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_two_ways_to_authenticate_in_one_request_are_refused(world: World) -> None:
    body = {
        "grant_type": "authorization_code",
        "code": "x",
        "redirect_uri": BACK,
        **world.client.authentication,
    }
    auth = (world.client.client_id, world.client.secrets.client_secret)
    answer = world.http.post("/api/partner/oauth/token", data=body, auth=auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("header", ["Basic", "Basic =", "Basic /w==", "Bearer x", "Basic " + "x" * 5000])
def test_an_authorization_header_that_cannot_be_read_is_no_secret(world: World, header: str) -> None:
    body = {"grant_type": "authorization_code", "code": "x"}
    answer = world.http.post("/api/partner/oauth/token", data=body, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("path", ["token", "revoke", "register"])
def test_secrets_are_not_taken_from_an_address(world: World, path: str) -> None:
    answer = world.http.get(f"/api/partner/oauth/{path}", params=world.client.authentication)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert (
        world.http.post(f"/api/partner/oauth/{path}", params=world.client.authentication).status_code >= 400
    )


# Access tokens.


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic {token}", "Bearer {token}x"])
@pytest.mark.parametrize("path", ["metadata/{id_token}", "segments"])
def test_without_an_access_token_nothing_is_told(world: World, header: str, path: str) -> None:
    token = world.token()
    answer = world.http.get(
        f"/api/partner/v1/{path.format(**token)}",
        headers={"Authorization": header.format(token=token["access_token"])} if header else {},
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_tells_nothing_of_another_customer(world: World) -> None:
    token = world.token()
    mine = world.client
    world.client = register(world.core, world.a, "Other")
    other = world.token()
    assert world.metadata(token, other["id_token"]).status_code == 404
    assert world.metadata(token, "5b1c0000-0000-0000-0000-000000000000").status_code == 404
    world.client = mine
    assert world.metadata(token).status_code == 200


def test_an_api_token_of_the_workspace_is_no_access_token_and_the_other_way_round(world: World) -> None:
    token = world.token()
    answer = world.http.get("/api/v1/segments", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["access_token", "token"])
def test_an_access_token_in_an_address_is_refused(world: World, name: str) -> None:
    token = world.token()
    answer = world.http.get("/api/partner/v1/segments", params={name: token["access_token"]})
    assert answer.status_code == 400
    assert token["access_token"] not in answer.text


# Revoking, by the app and by a member.


def test_an_app_gives_its_access_back(world: World) -> None:
    token = world.token()
    body = {"token": token["access_token"], **world.client.authentication}
    for _ in range(2):
        assert world.http.post("/api/partner/oauth/revoke", data=body).status_code == 200
    assert world.metadata(token).status_code == 401


def test_an_app_revokes_nothing_of_another_app(world: World) -> None:
    token = world.token()
    other = register(world.core, world.a, "Other")
    body = {"token": token["access_token"], **other.authentication}
    assert world.http.post("/api/partner/oauth/revoke", data=body).status_code == 400
    assert world.metadata(token).status_code == 200


def test_a_revoked_grant_ends_at_once_and_allowing_again_is_a_new_customer_whose_syncs_start_anew(
    world: World,
) -> None:
    first = world.token()
    with world.core.reading() as connection:
        target = connection.execute(sa.select(sync_targets).order_by(sync_targets.c.id.desc()).limit(1)).one()
    browser = world.browser()
    path = f"/env/production/partner-grants/{target.grant_id}/revoke"
    assert browser.post(path, data={"csrf": browser.headers["x-csrf-for-tests"]}).status_code == 303
    assert world.metadata(first).status_code == 401
    with world.core.reading() as connection:
        gone = connection.execute(sa.select(sync_targets).where(sync_targets.c.id == target.id)).one()
        assert not gone.is_enabled
        assert get_target(connection, target.environment_id, target.id).is_revoked
    second = world.token()
    assert second["id_token"] != first["id_token"]
    with world.core.reading() as connection:
        again = connection.execute(sa.select(sync_targets).where(sync_targets.c.id == target.id)).one()
        assert again.is_enabled
        assert again.grant_id != target.grant_id
        assert connection.execute(sa.select(segment_syncs)).all() == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_change_integrations_revokes_nothing(world: World, role: Role) -> None:
    token = world.token()
    with world.core.reading() as connection:
        grant_id = connection.execute(
            sa.select(sync_targets.c.grant_id).order_by(sync_targets.c.id.desc()).limit(1)
        ).scalar_one()
    browser = world.browser(role=role)
    path = f"/env/production/partner-grants/{grant_id}/revoke"
    assert browser.post(path, data={"csrf": browser.headers["x-csrf-for-tests"]}).status_code == 403
    stranger = world.browser(world.b)
    assert stranger.post(path, data={"csrf": stranger.headers["x-csrf-for-tests"]}).status_code == 404
    assert world.metadata(token).status_code == 200


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
