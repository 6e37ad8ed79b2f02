"""A whole core with its threads, in this process: what arrives in the log is loaded, counted, listed and published."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from cairn import settings
from cairn.clock import to_ms, utc_now
from cairn.conditions.tree import Did, EventMatch, InList, Last, UserProperty
from cairn.db.engine import reading
from cairn.event import Arrival
from cairn.flags.definition import NewFlag, create_flag, set_flag_state
from cairn.flags.model import Allocation, Variation
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.paths import Paths
from cairn.privacy.deletion import DeletionResources
from cairn.segments.definition import NewSegment, create_segment
from cairn.server import CoreProcess
from cairn.workspace.environment import set_inlines_lists
from cairn.workspace.permission import Role
from cairn.workspace.sealed import open_seal
from tests.databases import postgresql_url
from tests.world import add_tenant, add_tokens


@dataclass
class Tenant:
    workspace_id: int
    environment_id: int
    app_id: str
    other_app_id: str
    tokens: dict[Role, str]
    segment_id: int


class Running:
    """One core on a data directory; `again` is its next start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ahead = timedelta(0)
        options = {"data_dir": folder, "inline_limit": 100, "database_url": postgresql_url(folder)}
        self.core = CoreProcess(settings.load(options, {}), clock=lambda: utc_now() + self.ahead)
        self.client = TestClient(self.core.app)

    def start(self) -> "Running":
        self.core.workers.start()
        return self

    def close(self) -> None:
        self.client.close()
        self.core.close()

    def tenant(self, name: str) -> Tenant:
        now = utc_now()
        with self.core.engine.begin() as connection:
            tenant = add_tenant(connection, open_seal(self.folder), name, now)
            add_tokens(connection, tenant, now)
            workspace_id, production = tenant.workspace_id, tenant.environment
            set_inlines_lists(connection, workspace_id, production.id, inlines_lists=True)
            premium = NewSegment(
                key="premium", name="Premium", condition=UserProperty("plan", "is", "premium")
            )
            segment = create_segment(connection, workspace_id, production.project_id, premium, now)
            buyers = NewSegment(
                key="buyers",
                name="Buyers",
                condition=Did(EventMatch(name="Bought"), "at_least", 2, Last(30, "day")),
            )
            create_segment(connection, workspace_id, production.project_id, buyers, now)
            flag = create_flag(
                connection,
                workspace_id,
                production.project_id,
                NewFlag(key="checkout", variations=(Variation(1, "off"), Variation(2, "on"))),
                now,
            )
            rule = NewRule(
                kind="rollout",
                key="premium",
                condition=InList("mail", segment_id=segment.id),
                allocations=(Allocation(2),),
            )
            add_rule(connection, workspace_id, flag.flag.id, production.id, rule, now)
            set_flag_state(connection, workspace_id, flag.flag.id, production.id, True, now)
        self.core.publisher.publish_all()
        return Tenant(
            workspace_id, production.id, production.app_id, tenant.other.app_id, tenant.tokens, segment.id
        )

    def send(self, tenant: Tenant, parser: str, *, environment_id: int = 0, **body: Any) -> None:
        arrival = Arrival(
            parser,
            environment_id or tenant.environment_id,
            0,
            "heap",
            to_ms(utc_now()),
            "203.0.113.9",
            "test",
            msgspec.json.encode({"app_id": tenant.app_id, **body}),
        )
        self.core.log.append([msgspec.msgpack.encode(arrival)])

    def deletion_resources(self) -> DeletionResources:
        core = self.core
        return DeletionResources(
            core.engine,
            core.store,
            core.members,
            core.log,
            core.feed,
            Paths(self.folder),
            core.clock,
            core.loader.paused,
            core.live.paused,
            core.publisher.changed,
            core.destinations,
        )

    def track(self, tenant: Tenant, event: str, **who: Any) -> None:
        self.send(tenant, "heap.track", event=event, **who)

    def call(self, tenant: Tenant, method: str, path: str, *, role: Role = Role.ADMIN, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {tenant.tokens[role]}"}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    def members(self, tenant: Tenant) -> list[str]:
        found = self.call(
            tenant, "GET", f"/segments/{tenant.segment_id}/members?environment=production"
        ).json()
        return sorted(member["identity"] or str(member["user_id"]) for member in found["members"])

    def inlined(self, tenant: Tenant) -> str:
        return (self.core.members.document(f"settings/{tenant.environment_id}/python") or b"").decode()

    def row(self, sql: str) -> Any:
        with reading(self.core.engine) as connection:
            return connection.exec_driver_sql(sql).all()


def files_holding(folder: Path, text: str) -> list[str]:
    found = subprocess.run(["grep", "-rlaF", text, "."], cwd=folder, capture_output=True, text=True)
    return sorted(found.stdout.split())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path / "data").start()
    yield one
    one.close()
