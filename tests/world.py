"""What tests stand on: a core on disk with everything real but its threads, and workspaces in it.

Folders add what their tests speak of: `tests/web`, `tests/api`, `tests/analysis`, `tests/segments`. `tests/privacy` has
a core with its threads, and the same workspaces.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from argon2 import PasswordHasher

from cairn import settings
from cairn.app.core import Core
from cairn.clock import utc_now
from cairn.db.tables import environments, members, projects, workspaces
from cairn.definitions.matching import Definitions
from cairn.ingest.feed import Feed
from cairn.ingest.loaded import Loaded
from cairn.segments.live import LiveSegments
from cairn.store.store import Store
from cairn.workspace.api_token import create_token
from cairn.workspace.environment import Environment, list_environments
from cairn.workspace.permission import Role
from cairn.workspace.sealed import Seal, open_seal
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members, open_store

PASSWORD = "correct horse battery"


@dataclass
class Tenant:
    """One workspace as sign-up makes it, and its two environments."""

    name: str
    workspace_id: int
    environment: Environment
    other: Environment
    tokens: dict[Role, str] = field(default_factory=dict)

    def email(self, role: Role = Role.OWNER) -> str:
        return f"{role.value}@{self.name}.test"


def add_tenant(
    connection: sa.Connection, seal: Seal, name: str, now: datetime, *, workspace_name: str = ""
) -> Tenant:
    workspace = create_workspace(connection, seal, name=workspace_name or name, now=now)
    production, development = list_environments(connection, workspace.id)
    return Tenant(name, workspace.id, production, development)


def add_members(connection: sa.Connection, tenant: Tenant, now: datetime) -> None:
    """One of each role, all with the same password, which is hashed once: that is slow on purpose."""
    rows = [
        {
            "workspace_id": tenant.workspace_id,
            "email": tenant.email(role),
            "name": f"{tenant.name} {role.value}",
            "role": role.value,
            "password_hash": _password_hash(),
            "created_at": now,
        }
        for role in Role
    ]
    connection.execute(sa.insert(members), rows)


@functools.cache
def _password_hash() -> str:
    return PasswordHasher().hash(PASSWORD)


def add_tokens(connection: sa.Connection, tenant: Tenant, now: datetime) -> None:
    """One of each role."""
    for role in Role:
        tenant.tokens[role] = create_token(connection, tenant.workspace_id, name=role, role=role, now=now)[1]


def add_project(connection: sa.Connection, *, account_id: int, now: datetime) -> tuple[int, int]:
    """The ids of a workspace and its project, without environments."""
    workspace = sa.insert(workspaces).values(name="W", account_id=account_id, created_at=now)
    workspace_id = connection.execute(workspace.returning(workspaces.c.id)).scalar_one()
    project = sa.insert(projects).values(workspace_id=workspace_id, name="P", created_at=now)
    return workspace_id, connection.execute(project.returning(projects.c.id)).scalar_one()


def add_environment(
    connection: sa.Connection,
    workspace_id: int,
    project_id: int,
    key: str,
    *,
    now: datetime,
    environment_id: int | None = None,
) -> int:
    """With an id of one's choice, which keeps tests on one event store apart."""
    row = {
        "workspace_id": workspace_id,
        "project_id": project_id,
        "key": key,
        "name": key,
        "created_at": now,
        "app_id": f"{project_id}{key}",
        "sdk_key_hash": f"{project_id}{key}",
        "sdk_key_sealed": b"",
    }
    if environment_id is not None:
        row["id"] = environment_id
    made = sa.insert(environments).values(**row).returning(environments.c.id)
    return int(connection.execute(made).scalar_one())


class World:
    """A core without its threads: what they would do is done when a test says so."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        store: Store | None = None,
        operators: str = "",
        recount_interval_s: float = 600,
    ) -> None:
        """`store`: one that outlives this world; by default it has its own."""
        self.folder, self.clock = folder, clock
        self.engine = open_test_metadata(folder)
        self.members = open_members(folder / "members")
        self.store = store or open_store(folder / "store", memory_mb=1024)
        self.changed: list[int] = []  # environments to publish
        self.touched: list[Loaded] = []
        self.recounted: list[set[int]] = []  # environments of segments that changed
        self._owns_store, self._recount_interval_s = store is None, recount_interval_s
        self.live = self._live_segments()
        self.core = Core(
            settings=settings.load({"data_dir": folder, "operators": operators}, {}),
            engine=self.engine,
            store=self.store,
            members=self.members,
            definitions=Definitions(self.store),
            feed=Feed(),
            seal=open_seal(folder),
            clock=clock,
            changed=self.changed.append,
            touched=self._touch,
            health=list,
        )

    def restart(self) -> None:
        """As after a crash: what was touched and not yet evaluated is forgotten."""
        self.live = self._live_segments()

    def close(self) -> None:
        if self._owns_store:
            self.store.close()
        self.members.close()
        self.engine.dispose()

    def add_tenant(self, name: str) -> Tenant:
        """A workspace with a member of each role."""
        with self.engine.begin() as connection:
            tenant = add_tenant(connection, self.core.seal, name, self.clock(), workspace_name=name.title())
            add_members(connection, tenant, self.clock())
        return tenant

    def _touch(self, loaded: list[Loaded]) -> None:
        self.touched += loaded
        self.live.touched(loaded)

    def _live_segments(self) -> LiveSegments:
        return LiveSegments(
            self.engine,
            self.store,
            self.members,
            self.clock,
            recount_interval_s=self._recount_interval_s,
            on_change=self.recounted.append,
        )
