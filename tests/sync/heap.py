"""What Heap sends, and a core with a connected Heap account to send it to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from cairn import settings
from cairn.api.app import build_api
from cairn.app.core import Core
from cairn.client_address import TrustedProxies
from cairn.clock import to_ms, utc_now
from cairn.db.engine import reading
from cairn.db.sync_tables import heap_audiences, heap_connections, heap_tasks
from cairn.db.tables import attribute_lists, environments, workspaces
from cairn.definitions.matching import Definitions
from cairn.http_client import HttpClient
from cairn.ingest.feed import Feed
from cairn.members.sets import INCOMING, list_set
from cairn.paths import Paths
from cairn.sync.applying import Applying
from cairn.sync.audiences import add_audience, note_applied, offer
from cairn.sync.signature import HEADER, sign
from cairn.web.app import build_web
from cairn.workspace.environment import get_environment
from cairn.workspace.sealed import open_seal
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members, open_store

PATH = "/api/partner/heap/segments"
SECRET = "webhook secret"
ID_TOKEN = "5b1c0000-0000-4000-8000-000000000001"


def page(
    number: int = 1,
    total: int = 1,
    *,
    task: str = "c0ffee00-0000-4000-8000-000000000000",
    add: Sequence[Any] = (),
    remove: Sequence[Any] = (),
    segment: Any = 90210,
    name: str = "Trial, inactive 7 d",
    id_token: str = ID_TOKEN,
) -> dict[str, Any]:
    """A webhook's body as contracts/heap.md section 12 has it."""
    workspace = {"id": "w1", "display_name": "Main"}
    return {
        "id_token": id_token,
        "action_type": "segment.users.sync",
        "customer_config": {
            "fields": [
                {
                    "field_id": "workspace",
                    "field_display_name": "Workspace",
                    "field_type": "identity_mapping",
                    "value": workspace,
                }
            ]
        },
        "data": {
            "segment": {"id": segment, "name": name},
            "sync_info": {"page_number": number, "total_pages": total, "sync_task_id": task},
            "add": [{"id": value} for value in add],
            "remove": [{"id": value} for value in remove],
        },
    }


def drain(segment: Any = 90210) -> dict[str, Any]:
    """The old action, as Heap's samples have it."""
    return {
        "id_token": ID_TOKEN,
        "action_type": "segment.users.drain",
        "data": {"segment": {"id": segment, "name": "Trial, inactive 7 d"}},
    }


def _now() -> datetime:
    return utc_now().replace(microsecond=0)


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def connect(core: Core, name: str = "Shop", *, id_token: str = ID_TOKEN, secret: str = SECRET) -> int:
    """A workspace whose Heap account is connected; its environment's id."""
    now = core.clock()
    with core.engine.begin() as connection:
        workspace = create_workspace(connection, core.seal, name=name, now=now)
        environment = get_environment(connection, workspace.id, "production")
        connection.execute(
            sa.insert(heap_connections).values(
                workspace_id=workspace.id,
                environment_id=environment.id,
                targets_visitors=True,
                host="https://heapanalytics.com",
                client_id="client",
                id_token=id_token,
                webhook_secret_sealed=core.seal.close(secret),
                connected_at=now,
                created_at=now,
                updated_at=now,
            )
        )
    return environment.id


@dataclass
class Account:
    """A core that is called as Heap calls it."""

    core: Core
    client: TestClient
    applying: Applying
    environment_id: int
    changed: list[int] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: _now())

    def send(
        self,
        body: Any,
        *,
        secret: str = SECRET,
        sent: datetime | None = None,
        header: str = "",
        **headers: str,
    ) -> httpx2.Response:
        raw = encoded(body)
        signed = header or sign(secret, to_ms(sent or self.now), raw)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        all_headers = {"Content-Type": "application/json", HEADER: signed, **named}
        return self.client.post(PATH, content=raw, headers=all_headers)  # type: ignore[return-value]

    def taken(self, body: Any, **options: Any) -> None:
        """It is accepted, and what is complete is applied."""
        answer = self.send(body, **options)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
        self.applying.apply_due()

    def list_of(self, segment: Any = 90210) -> dict[str, int]:
        return dict(self.core.members.values(list_set(self.audience(segment).list_id)))

    @property
    def members(self) -> set[str]:
        return set(self.list_of())

    def audience(self, segment: Any = 90210) -> Any:
        query = sa.select(heap_audiences).where(heap_audiences.c.heap_id == str(segment))
        with reading(self.core.engine) as connection:
            return connection.execute(query).one()

    def audiences(self) -> list[Any]:
        with reading(self.core.engine) as connection:
            return list(connection.execute(sa.select(heap_audiences)).all())

    def history(self) -> list[Any]:
        with reading(self.core.engine) as connection:
            return list(connection.execute(sa.select(heap_tasks).order_by(heap_tasks.c.id)).all())

    def refusals(self) -> list[str]:
        return [task.error for task in self.history() if task.action == "refused"]

    def waiting(self) -> list[str]:
        """The sets of tasks that are not applied."""
        return [name for name in self.core.members.sets(INCOMING) if not name.endswith("/pages")]

    def pages(self) -> list[str]:
        """The sets of which pages came."""
        return [name for name in self.core.members.sets(INCOMING) if name.endswith("/pages")]

    def reset(self) -> None:
        """As when the account was just connected."""
        self.now = _now()
        for name in (*self.core.members.sets(INCOMING), *self.core.members.sets(list_set(""))):
            self.core.members.drop(name)
        with self.core.engine.begin() as connection:
            connection.execute(sa.delete(heap_tasks))
            connection.execute(sa.delete(attribute_lists))
            connection.execute(sa.update(heap_connections).values(targets_visitors=True))
        self.changed.clear()

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def close(self) -> None:
        self.client.close()
        self.core.store.close()
        self.core.members.close()
        self.core.engine.dispose()


def open_account(folder: Path) -> Account:
    engine, members = open_test_metadata(folder), open_members(folder / "members")
    store = open_store(folder / "store")
    account: Account
    core = Core(
        settings=settings.load({"data_dir": folder}, {}),
        engine=engine,
        store=store,
        members=members,
        definitions=Definitions(store),
        feed=Feed(),
        seal=open_seal(folder),
        clock=lambda: account.now,
        changed=lambda _id: None,
        touched=lambda _loaded: None,
        health=list,
        client=HttpClient(TrustedProxies("127.0.0.0/8")),
    )
    changed: list[int] = []
    applying = Applying(engine, members, core.clock, on_change=changed.extend)
    client = TestClient(
        build_web(core, api=build_api(core)), base_url="http://cairn.test", raise_server_exceptions=False
    )
    account = Account(core, client, applying, 0, changed)
    account.environment_id = connect(core)
    return account


def synced_audience(data_dir: Path) -> int:
    """The id of an audience of a served demo, with members and a history."""
    engine, members, now = open_test_metadata(data_dir), open_members(Paths(data_dir).members), _now()
    with engine.begin() as connection:
        environment_id = connection.execute(
            sa.select(environments.c.id).where(environments.c.key == "production")
        ).scalar_one()
        workspace_id = connection.execute(sa.select(workspaces.c.id)).scalar_one()
        account_id = connection.execute(
            sa.insert(heap_connections)
            .values(
                workspace_id=workspace_id,
                environment_id=environment_id,
                targets_visitors=True,
                id_token=ID_TOKEN,
                host="https://heapanalytics.com",
                connected_by="owner@demo.test",
                connected_at=now,
                created_at=now,
                updated_at=now,
                heap_account="Acme",
                heap_environment="Production",
                webhook_secret_sealed=open_seal(data_dir).close(SECRET),
            )
            .returning(heap_connections.c.id)
        ).scalar_one()
        audience = offer(
            connection, account_id, environment_id, heap_id="90210", name="Trial, inactive 7 d", now=now
        )
        add_audience(connection, audience.id)
        note_applied(connection, audience.id, added=1204, removed=3, now=now)
        for number, state in enumerate(("applied", "refused", "receiving")):
            connection.execute(
                sa.insert(heap_tasks).values(
                    connection_id=account_id,
                    audience_id=audience.id,
                    task_id=f"c0ffee0{number}",
                    action="sync",
                    state=state,
                    pages=40,
                    pages_received=40,
                    added=1204,
                    removed=3,
                    started_at=now,
                    finished_at=now,
                    error="data.sync_info.total_pages: it is 4, and was 3" if state == "refused" else "",
                )
            )
    members.apply(
        list_set(audience.list_id), add={f"user{n}@acme.test": to_ms(now) for n in range(1201)}, remove=()
    )
    members.close()
    engine.dispose()
    return audience.id
