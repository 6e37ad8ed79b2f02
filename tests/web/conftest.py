"""A core behind its pages."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.event import Draft, Kind, Refused
from cairn.ids import event_id, identified_user_id
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import PropertyChange
from cairn.web.app import build_web
from cairn.workspace.member import find_member
from cairn.workspace.session import COOKIE, start_session
from tests import world
from tests.web.reading import Reading
from tests.world import PASSWORD

NOW = datetime(2026, 11, 22, 10, 42, tzinfo=UTC)
OPERATOR = "owner@shop.test"  # of tenant A; tenant B's owner does not run the machine
CSRF = re.compile(r'name="csrf" value="([^"]*)"')


class World(world.World):
    """Two workspaces that must never meet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=lambda: NOW, operators=OPERATOR)
        self.a, self.b = self.add_tenant("shop"), self.add_tenant("rival")

    def event(
        self, name: str, identity: str = "ann@shop.test", *, minutes_ago: float = 1, **more: Any
    ) -> None:
        """Store one event of tenant A, and tell the feed, as a load does."""
        environment_id = more.pop("environment_id", self.a.environment.id)
        received = to_ms(NOW) - int(minutes_ago * 60_000)
        key = f"{name}/{identity}/{received}"
        draft = Draft(
            environment_id,
            more.pop("kind", Kind.CUSTOM),
            name,
            received,
            received,
            identity=identity,
            user_id=more.pop("user_id", identified_user_id(environment_id, identity)),
            event_id=event_id(str(environment_id), key),
            source=more.pop("source", "Server"),
            library=more.pop("library", "test"),
            session_id=more.pop("session_id", 0),
            properties=more.pop("properties", {}),
            facts=more.pop("facts", {}),
        )
        assert not more
        self.core.store.insert_events([draft])
        self.core.feed.publish([draft], [])

    def refuse(self, refused: Refused) -> None:
        self.core.store.insert_refusals([refused])
        self.core.feed.publish([], [refused])

    def user(self, identity: str, **properties: str) -> int:
        """Set user properties of tenant A's user."""
        environment_id = self.a.environment.id
        user_id = identified_user_id(environment_id, identity)
        at = to_ms(NOW) - 3_600_000
        changes = [
            PropertyChange(environment_id, user_id, key, value, at, at << 22)
            for key, value in {IDENTITY_KEY: identity, **properties}.items()
        ]
        self.core.store.insert_properties(changes)
        return user_id


class Browser:
    """A client that keeps cookies and sends back the token of the page it stands on, as a browser does."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.csrf = ""

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(path, **options)
        if found := CSRF.search(answer.text):
            self.csrf = found[1]
        return answer

    def read(self, path: str, **options: Any) -> Reading:
        """The page at the path, as its reader finds it."""
        answer = self.get(path, **options)
        assert answer.status_code == 200, answer.text
        return Reading(answer.text)

    def post(self, path: str, form: dict[str, str] | None = None, **options: Any) -> Any:
        return self.client.post(path, data={"csrf": self.csrf, **(form or {})}, **options)

    def enter(self, core: Core, email: str) -> "Browser":
        """Signed in without the form, whose password takes a quarter of a second to check."""
        with core.engine.begin() as connection:
            token, session = start_session(connection, find_member(connection, email), NOW)
        self.client.cookies.set(COOKIE, token)
        self.csrf = session.csrf
        return self

    def sign_in(self, email: str, password: str = PASSWORD) -> "Browser":
        self.get("/sign-in")
        answer = self.post("/sign-in", {"email": email, "password": password}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        self.get("/")
        return self


@pytest.fixture(scope="module", name="world")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("core"))
    yield opened
    opened.close()


@pytest.fixture
def browse(world: World) -> Iterator[Callable[..., Browser]]:
    opened: list[TestClient] = []

    def open_browser(core: Core | None = None) -> Browser:
        opened.append(
            TestClient(
                build_web(core or world.core), base_url="http://cairn.test", raise_server_exceptions=False
            )
        )
        return Browser(opened[-1])

    yield open_browser
    for client in opened:
        client.close()


@pytest.fixture
def owner(world: World, browse: Callable[..., Browser]) -> Browser:
    return browse().enter(world.core, world.a.email())
