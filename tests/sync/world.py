"""A workspace with one segment and a partner app that was allowed to see its environment, and a sender for it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from cairn.client_address import TrustedProxies
from cairn.clock import to_ms
from cairn.conditions.tree import EVERYBODY
from cairn.db.sync_tables import partner_apps, partner_grants, sync_targets
from cairn.db.tables import segment_states
from cairn.http_client import HttpClient
from cairn.ids import key_hash
from cairn.members.sets import list_set, users_set
from cairn.segments.definition import NewSegment, create_segment, states
from cairn.store.store import Store
from cairn.sync import syncs
from cairn.sync.addresses import AddressRules
from cairn.sync.sender import Sender
from cairn.sync.syncs import NewSync, Sync
from cairn.workspace.environment import list_environments, list_projects
from cairn.workspace.sealed import open_seal
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members
from tests.sync.partner import Partner

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID_TOKEN = "5b1c0000-0000-4000-8000-000000000001"
SECRET = "partner-secret"
RULES = AddressRules(TrustedProxies("127.0.0.0/8"), is_on_loopback=False)


class SyncWorld:
    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.now = NOW
        self.engine = open_test_metadata(folder)
        self.members = open_members(folder / "members")
        self.seal = open_seal(folder)
        self.store = store
        with self.engine.begin() as connection:
            workspace = create_workspace(connection, self.seal, name="Acme", now=NOW)
            (project,) = list_projects(connection, workspace.id)
            self.workspace_id = workspace.id
            self.environment_id = list_environments(connection, workspace.id)[0].id
            segment = create_segment(
                connection, workspace.id, project.id, NewSegment("trial", "Trial", EVERYBODY), NOW
            )
            self.segment_id = segment.id
            connection.execute(sa.update(segment_states).values(version=1))
            self.list_id = next(
                state.list_id
                for state in states(connection, workspace.id, segment.id)
                if state.environment_id == self.environment_id
            )
        self.sender = self.new_sender()

    def clock(self) -> datetime:
        return self.now

    def now_ms(self) -> int:
        return to_ms(self.now)

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def new_sender(self, *, timeout_s: float = 5.0) -> Sender:
        client = HttpClient(TrustedProxies("127.0.0.0/8"), timeout_s=timeout_s)
        return Sender(self.engine, self.store, self.members, self.seal, client, self.clock)  # type: ignore[arg-type]

    def partner_target(self, partner: Partner) -> int:
        """As if somebody had allowed the partner app to see the environment."""
        with self.engine.begin() as connection:
            app = connection.execute(
                sa.insert(partner_apps)
                .values(
                    workspace_id=self.workspace_id,
                    name="Partner",
                    client_id=f"app{partner.url}",
                    secret_hash="",
                    redirect_uris=[],
                    webhook_url=partner.url,
                    created_at=NOW,
                    updated_at=NOW,
                    webhook_secret_sealed=self.seal.close(partner.secret),
                )
                .returning(partner_apps.c.id)
            ).scalar_one()
            grant = connection.execute(
                sa.insert(partner_grants)
                .values(
                    app_id=app,
                    workspace_id=self.workspace_id,
                    environment_id=self.environment_id,
                    id_token=ID_TOKEN,
                    token_hash=key_hash(f"token{app}"),
                    granted_by="ann@acme.test",
                    granted_at=NOW,
                )
                .returning(partner_grants.c.id)
            ).scalar_one()
            target = sa.insert(sync_targets).values(
                environment_id=self.environment_id,
                kind="partner",
                name="Partner",
                grant_id=grant,
                settings={},
                created_at=NOW,
                updated_at=NOW,
            )
            return int(connection.execute(target.returning(sync_targets.c.id)).scalar_one())

    def sync(self, target_id: int, **fields: str) -> Sync:
        with self.engine.begin() as connection:
            new = NewSync(target_id, **fields)  # type: ignore[arg-type]
            return syncs.create_sync(
                connection, self.workspace_id, self.environment_id, self.segment_id, new, self.now
            )

    def read(self, sync: Sync) -> Sync:
        with self.engine.connect() as connection:
            return syncs.get_sync(connection, self.environment_id, sync.id)

    def tasks(self, sync: Sync) -> list[syncs.Task]:
        """Newest first."""
        with self.engine.connect() as connection:
            return syncs.tasks_of(connection, sync.id)

    def enter(self, *values: str) -> None:
        """As live segments do: identities come into the segment's list."""
        self.members.apply(list_set(self.list_id), add=dict.fromkeys(values, 1), remove=())

    def leave(self, *values: str) -> None:
        self.members.apply(list_set(self.list_id), add={}, remove=values)

    def counted(self, values: Iterable[str]) -> None:
        """As a full count does."""
        self.members.replace(list_set(self.list_id), dict.fromkeys(values, 1))

    def counted_users(self, users: Iterable[int]) -> None:
        self.members.replace(
            users_set(self.environment_id, self.segment_id), {str(user): 1 for user in users}
        )

    def close(self) -> None:
        self.members.close()
        self.engine.dispose()


@contextmanager
def sync_world(folder: Path, store: Store | None = None) -> Iterator[SyncWorld]:
    world = SyncWorld(folder, store)
    try:
        yield world
    finally:
        world.close()
