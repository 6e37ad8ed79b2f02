"""A real core behind its pages: SQLite, LMDB and the embedded store on disk, two workspaces that must never meet."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cairn import settings
from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.definitions.matching import Definitions
from cairn.event import Draft, Kind, Refused
from cairn.ids import event_id, identified_user_id
from cairn.ingest.feed import Feed
from cairn.segments.live import LiveSegments
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import PropertyChange
from cairn.web.app import build_web
from cairn.workspace.environment import Environment, list_environments
from cairn.workspace.member import create_member, find_member
from cairn.workspace.permission import Role
from cairn.workspace.sealed import open_seal
from cairn.workspace.session import COOKIE, start_session
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members, open_store

NOW = datetime(2026, 11, 22, 10, 42, tzinfo=UTC)
OPERATOR = "owner@shop.test"  # of tenant A; tenant B's owner does not run the machine
PASSWORD = "correct horse battery"
CSRF = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass
class Tenant:
    """One workspace and its first environment."""

    name: str
    workspace_id: int
    environment: Environment
    other: Environment

    def email(self, role: Role = Role.OWNER) -> str:
        return f"{role.value}@{self.name}.test"


@dataclass
class World:
    core: Core
    live: LiveSegments
    a: Tenant
    b: Tenant
    changed: list[int] = field(default_factory=list)

    def event(
        self, name: str, identity: str = "ann@shop.test", *, minutes_ago: float = 1, **more: Any
    ) -> None:
        """Store one event of tenant A, and tell the feed, as a load does."""
        environment_id = more.pop("environment_id", self.a.environment.id)
        received = to_ms(NOW) - int(minutes_ago * 60_000)
        key = f"{name}/{identity}/{received}"
        draft = Draft(
            environment_id, more.pop("kind", Kind.CUSTOM), name, received, received, identity=identity,
            user_id=more.pop("user_id", identified_user_id(environment_id, identity)),
            event_id=event_id(str(environment_id), key), source=more.pop("source", "Server"),
            library=more.pop("library", "test"), session_id=more.pop("session_id", 0),
            properties=more.pop("properties", {}), facts=more.pop("facts", {}),
        )  # fmt: skip
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


def open_core(folder: Path) -> tuple[Core, LiveSegments, list[int]]:
    engine = open_test_metadata(folder)
    members = open_members(folder / "members")
    store = open_store(folder / "store", memory_mb=1024)
    live = LiveSegments(
        engine, store, members, lambda: NOW, recount_interval_s=600, on_change=lambda _ids: None
    )
    changed: list[int] = []
    core = Core(
        settings=settings.load({"data_dir": folder, "operators": OPERATOR}, {}), engine=engine, store=store,
        members=members,
        definitions=Definitions(store), feed=Feed(), seal=open_seal(folder), clock=lambda: NOW, changed=changed.append,
        touched=live.touched, health=list,
    )  # fmt: skip
    return core, live, changed


def close_core(core: Core) -> None:
    core.store.close()
    core.members.close()
    core.engine.dispose()


def make_tenant(core: Core, name: str) -> Tenant:
    with core.engine.begin() as connection:
        workspace = create_workspace(connection, core.seal, name=name.title(), now=NOW)
        for role in Role:
            create_member(
                connection, workspace.id, email=f"{role.value}@{name}.test", name=f"{name} {role.value}",
                password=PASSWORD, role=role, now=NOW,
            )  # fmt: skip
        production, development = list_environments(connection, workspace.id)
    return Tenant(name, workspace.id, production, development)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    core, live, changed = open_core(tmp_path_factory.mktemp("core"))
    yield World(core, live, make_tenant(core, "shop"), make_tenant(core, "rival"), changed)
    close_core(core)


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
