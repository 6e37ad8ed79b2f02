"""A workspace with a registered partner app, the program of the app, and browsers of members, for the OAuth tests."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cairn.api.app import build_api
from cairn.app.core import Core
from cairn.db.sync_tables import partner_apps
from cairn.sync.addresses import rules_of
from cairn.sync.partner_apps import NewPartnerApp, Secrets, create_app
from cairn.web.app import build_web
from cairn.workspace.member import find_member
from cairn.workspace.permission import Role
from cairn.workspace.session import COOKIE, start_session
from tests import world
from tests.world import Tenant

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
