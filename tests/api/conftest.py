"""A core behind the API, with workspaces that have one of everything."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cairn.api.app import build_api
from cairn.app.core import Core
from cairn.clock import to_ms
from cairn.conditions.tree import UserProperty
from cairn.db.engine import reading
from cairn.db.routing_tables import dead_letters
from cairn.db.sync_tables import heap_connections, heap_tasks, sync_targets
from cairn.db.tables import environments, metadata, sources
from cairn.definitions.defined_event import create_defined_event
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.event import Draft, Refused
from cairn.flags.definition import NewFlag, create_flag
from cairn.flags.model import Allocation
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.identity import merges
from cairn.ids import event_id, identified_user_id
from cairn.lists.own import create_list
from cairn.members.sets import list_set, users_set
from cairn.outcomes import Reason
from cairn.privacy.request import ErasedUser, ask_deletion
from cairn.privacy.snapshot import THIS, NewSnapshot, add_snapshot
from cairn.routing.catalogue import destination
from cairn.routing.connections import ConnectionChange, create_connection
from cairn.segments.definition import NewSegment, create_segment
from cairn.store.store import AccountChange, PropertyChange
from cairn.sync.addresses import rules_of
from cairn.sync.audiences import add_audience, offer
from cairn.sync.grants import give
from cairn.sync.hooks import create_hook, tell_settings_changed
from cairn.sync.partner_apps import NewPartnerApp, create_app
from cairn.sync.syncs import NewSync, Sync, create_sync
from cairn.sync.tasks import new_sample, save_new
from cairn.workspace.account_key import write_account_key
from cairn.workspace.label_site import name_site
from cairn.workspace.permission import Role
from cairn.workspace.source import list_sources
from tests import world

# No test sends anything there.
UNREACHABLE = "https://127.0.0.1:9"


@dataclass
class Tenant:
    """One workspace with one of everything. Everything it owns is named after it."""

    name: str
    workspace_id: int
    environment: int  # production's id
    source_id: int
    segment_id: int
    event_id: int  # of its defined event
    flag_key: str
    rule_id: int
    identity: str
    raw_id: int  # merged into the identity
    snapshot_id: int
    deletion_id: str
    site_id: int  # to label on
    sync_id: int  # of its segment to a webhook
    list_id: str  # of its own
    target_id: int
    hook_id: int
    app_id: int  # a partner app
    grant_id: int  # what it was allowed
    audience_id: int  # of its Heap account
    connection_id: int  # of its source to a destination
    letter_id: int  # which that gave up
    tokens: dict[Role, str]

    @property
    def user_id(self) -> int:
        return identified_user_id(self.environment, self.identity)

    @property
    def path(self) -> dict[str, Any]:
        """What stands in an endpoint's path for this tenant's own things."""
        return {
            "segment_id": self.segment_id,
            "source_id": self.source_id,
            "event_id": self.event_id,
            "key": self.flag_key,
            "environment": self.environment,
            "rule_id": self.rule_id,
            "user": self.identity,
            "snapshot_id": self.snapshot_id,
            "deletion_id": self.deletion_id,
            "site_id": self.site_id,
            "sync_id": self.sync_id,
            "list_id": self.list_id,
            "target_id": self.target_id,
            "hook_id": self.hook_id,
            "app_id": self.app_id,
            "grant_id": self.grant_id,
            "audience_id": self.audience_id,
            "account": f"{self.name} ltd",
            "connection_id": self.connection_id,
            "letter_id": self.letter_id,
            "slug": "heap_classic",
        }


class World(world.World):
    """Two workspaces that must never meet, behind the API."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.a, self.b = make_tenant(self.core, "aardvark"), make_tenant(self.core, "zebra")
        self.client = TestClient(Starlette(routes=build_api(self.core)))

    def call(self, method: str, path: str, *, role: Role = Role.EDITOR, **options: Any) -> Any:
        """One request of tenant A; below /api/v1."""
        headers = {"Authorization": f"Bearer {self.a.tokens[role]}", **options.pop("headers", {})}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    def everything(self) -> dict[str, list[Any]]:
        """Every row of the metadata database, but for when a token was last used."""
        with reading(self.core.engine) as connection:
            return {
                name: sorted(
                    repr([value for key, value in row._mapping.items() if key != "last_used_at"])
                    for row in connection.execute(sa.select(table))
                )
                for name, table in metadata.tables.items()
            }


@pytest.fixture(scope="package", name="world")
def open_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("core"))
    with opened.client:
        yield opened
    opened.close()


def make_tenant(core: Core, name: str) -> Tenant:
    now = core.clock()
    with core.engine.begin() as connection:
        made = world.add_tenant(connection, core.seal, name, now)
        world.add_tokens(connection, made, now)
        workspace_id, environment = made.workspace_id, made.environment
        own = sa.select(environments.c.id).where(environments.c.workspace_id == workspace_id)
        connection.execute(sa.update(environments).where(environments.c.id.in_(own)).values(name=name))
        named_apart = name + sa.cast(sources.c.id, sa.Text)  # names of one environment differ
        connection.execute(
            sa.update(sources).where(sources.c.environment_id.in_(own)).values(name=named_apart)
        )
        new = NewSegment(key=name, name=name, condition=UserProperty("plan", "is", name))
        segment = create_segment(connection, workspace_id, environment.project_id, new, now)
        counted = Definition((Part("custom", f"{name} bought"),))
        named = NewDefinedEvent(name, counted)
        defined = create_defined_event(connection, workspace_id, environment.project_id, named, now)
        flag = create_flag(connection, workspace_id, environment.project_id, NewFlag(key=name), now)
        rule = add_rule(
            connection,
            workspace_id,
            flag.flag.id,
            environment.id,
            NewRule(kind="rollout", key=name, allocations=(Allocation(1),)),
            now,
        )
        write_account_key(connection, environment.project_id, f"{name} company", now)
        asked = NewPartnerApp(name, (f"https://{name}.example/back",), f"https://{name}.example/webhook")
        app, _ = create_app(connection, workspace_id, core.seal, asked, rules_of(core.settings), now)
        customer, _ = give(
            connection,
            app_id=app.id,
            workspace_id=workspace_id,
            environment_id=environment.id,
            granted_by=name,
            now=now,
        )
        connection_id, letter_id = _connection(connection, core, workspace_id, name, now)
        sync = _sync(connection, workspace_id, environment.id, segment.id, name, now)
        tenant = Tenant(
            name=name,
            workspace_id=workspace_id,
            environment=environment.id,
            source_id=list_sources(connection, workspace_id)[0].id,
            segment_id=segment.id,
            event_id=defined.id,
            flag_key=name,
            rule_id=rule.id,
            identity=f"{name}@example.com",
            raw_id=1000 + workspace_id,
            snapshot_id=add_snapshot(
                connection,
                environment.id,
                NewSnapshot(name, "click", "a", "text", THIS),
                now,
                may_run_javascript=False,
            ).id,
            deletion_id=ask_deletion(
                connection, workspace_id, [ErasedUser(identity="somebody")], by=name, now=now
            ).id,
            site_id=name_site(
                connection, environment.id, f"https://{name}.example", by=name, own="", now=now
            ).id,
            sync_id=sync.id,
            target_id=sync.target_id,
            hook_id=_hook(connection, core, environment.id, name, now),
            app_id=app.id,
            grant_id=customer.grant_id,
            audience_id=_audience(connection, workspace_id, environment.id, name, now),
            connection_id=connection_id,
            letter_id=letter_id,
            list_id=create_list(connection, environment.id, f"{name} list", folds_case=False, now=now).id,
            tokens=made.tokens,
        )
        merge = merges.merge(
            connection, environment.id, tenant.raw_id, tenant.identity, "add_user_properties", now
        )
    assert isinstance(merge, merges.Merge)
    _behaviour(core, tenant, merge)
    return tenant


def _hook(connection: sa.Connection, core: Core, environment_id: int, name: str, now: datetime) -> int:
    hook, _ = create_hook(
        connection,
        core.seal,
        environment_id,
        "settings",
        f"https://{name}.example",
        rules_of(core.settings),
        now,
    )
    tell_settings_changed(connection, [environment_id], now)
    return hook.id


def _connection(
    connection: sa.Connection, core: Core, workspace_id: int, name: str, now: datetime
) -> tuple[int, int]:
    """Of its first source, with a dead letter."""
    source = list_sources(connection, workspace_id)[0]
    wanted = ConnectionChange(
        name=name, settings={"app_id": "1234567890", "host": UNREACHABLE}, is_enabled=False
    )
    chosen = destination("heap_classic")
    made = create_connection(
        connection, workspace_id, source.id, chosen, core.seal, wanted, log_end=0, now=now
    )
    letter = sa.insert(dead_letters).values(
        connection_id=made.id,
        position="1",
        kind="track",
        event=name,
        user_id=name,
        anonymous_id="",
        message={"event": name},
        reason="expired",
        detail=name,
        failed_at=now,
        expires_at=now + timedelta(days=30),
    )
    return made.id, connection.execute(letter.returning(dead_letters.c.id)).scalar_one()


def _sync(
    connection: sa.Connection,
    workspace_id: int,
    environment_id: int,
    segment_id: int,
    name: str,
    now: datetime,
) -> Sync:
    target = sa.insert(sync_targets).values(
        environment_id=environment_id,
        kind="webhook",
        name=name,
        settings={"url": f"https://{name}.example"},
        is_enabled=False,  # so that the segment can be deleted
        created_at=now,
        updated_at=now,
    )
    target_id = connection.execute(target.returning(sync_targets.c.id)).scalar_one()
    new = NewSync(target_id, every="once")
    sync = create_sync(connection, workspace_id, environment_id, segment_id, new, now)
    save_new(connection, structs.replace(new_sample(sync, now), state="failed", error=name))
    return sync


def _audience(
    connection: sa.Connection, workspace_id: int, environment_id: int, name: str, now: datetime
) -> int:
    """Synced once, by a task that is named after the tenant."""
    account = sa.insert(heap_connections).values(
        workspace_id=workspace_id,
        environment_id=environment_id,
        host="https://heapanalytics.com",
        targets_visitors=True,
        id_token=f"{name}{workspace_id}",
        created_at=now,
        updated_at=now,
    )
    account_id = connection.execute(account.returning(heap_connections.c.id)).scalar_one()
    audience = offer(connection, account_id, environment_id, heap_id=name, name=name, now=now)
    add_audience(connection, audience.id)
    task = {"task_id": name, "action": "sync", "state": "applied", "started_at": now, "finished_at": now}
    connection.execute(
        sa.insert(heap_tasks).values(connection_id=account_id, audience_id=audience.id, **task)
    )
    return audience.id


def _behaviour(core: Core, tenant: Tenant, merge: merges.Merge) -> None:
    now = to_ms(core.clock())
    core.store.insert_user_map([merge.change])
    core.store.insert_properties(
        [
            PropertyChange(tenant.environment, tenant.user_id, key, value, now, now << 22)
            for key, value in (
                ("identity", tenant.identity),
                ("plan", tenant.name),
                (f"{tenant.name} company", tenant.path["account"]),
            )
        ]
    )
    core.store.insert_account_properties(
        [AccountChange(tenant.environment, tenant.path["account"], "seats", "3", now, now << 22)]
    )
    core.store.insert_events(
        [
            Draft(
                tenant.environment,
                "custom",
                f"{tenant.name} bought",
                now - number * 1000,
                now - number * 1000,
                user_id=tenant.raw_id if number % 2 else tenant.user_id,
                event_id=event_id(tenant.name, str(number)),
                properties={"shop": tenant.name},
                session_id=7,
                facts={"path": f"/{tenant.name}"},
                source=tenant.name,
            )
            for number in range(60)
        ]
    )
    refused = Refused(
        tenant.environment,
        now,
        Reason.JUNK_IDENTITY,
        "identity: no",
        tenant.name,
        tenant.name,
        tenant.name,
        tenant.name,
    )
    core.store.insert_refusals([refused])
    since = to_ms(core.clock() - timedelta(hours=1))
    values = {str(user): since for user in (tenant.user_id, 5, 6)}
    core.members.apply(users_set(tenant.environment, tenant.segment_id), add=values, remove=())
    core.members.apply(list_set(tenant.list_id), add={tenant.identity: since}, remove=())
