"""Two Cairns that know each other, as after the consent window: one has the segments, the other the flags."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import sqlalchemy as sa

from cairn.db.sync_tables import heap_connections, partner_apps, partner_grants, sync_targets
from cairn.db.tables import environments
from cairn.ids import key_hash
from cairn.workspace.sealed import open_seal
from tests.databases import open_test_metadata
from tests.patience import eventually
from tests.served import Served

SECRET = "webhook-secret"
RECEIVER = "/api/partner/heap/segments"
NETWORKS = ("--outbound-networks", "127.0.0.0/8")
FLAG = "from-heap"
ATTRIBUTE = "your_custom_variable"


def call(served: Served, method: str, path: str, **options: object) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {served.demo['api_token']}"}
    answer = httpx2.request(method, f"{served.url}/api/v1{path}", headers=headers, timeout=60, **options)  # type: ignore[arg-type]
    if answer.status_code >= 300:
        raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
    return dict(answer.json())


def allow(data_dir: Path, environment_id: int, webhook_url: str) -> tuple[str, int]:
    """On the side of the segments: the grant's id token, and the target that it made."""
    now, id_token = datetime.now(UTC), str(uuid.uuid4())
    engine, seal = open_test_metadata(data_dir), open_seal(data_dir)
    with engine.begin() as connection:
        of = sa.select(environments.c.workspace_id).where(environments.c.id == environment_id)
        workspace_id = connection.execute(of).scalar_one()
        app = sa.insert(partner_apps).values(
            workspace_id=workspace_id,
            name="Wingify Cohort Sync",
            client_id=id_token,
            secret_hash="",
            redirect_uris=[],
            webhook_url=webhook_url,
            webhook_secret_sealed=seal.close(SECRET),
            created_at=now,
            updated_at=now,
        )
        app_id = connection.execute(app.returning(partner_apps.c.id)).scalar_one()
        grant = sa.insert(partner_grants).values(
            app_id=app_id,
            workspace_id=workspace_id,
            environment_id=environment_id,
            id_token=id_token,
            token_hash=key_hash(id_token),
            granted_by="bench",
            granted_at=now,
        )
        grant_id = connection.execute(grant.returning(partner_grants.c.id)).scalar_one()
        target = sa.insert(sync_targets).values(
            environment_id=environment_id,
            kind="partner",
            name="Wingify Cohort Sync",
            grant_id=grant_id,
            settings={},
            created_at=now,
            updated_at=now,
        )
        target_id = connection.execute(target.returning(sync_targets.c.id)).scalar_one()
    engine.dispose()
    return id_token, int(target_id)


def expect_from(data_dir: Path, environment_id: int, id_token: str, *, secret: str = SECRET) -> None:
    """On the side of the flags: whose webhooks are taken."""
    now = datetime.now(UTC)
    engine, seal = open_test_metadata(data_dir), open_seal(data_dir)
    with engine.begin() as connection:
        of = sa.select(environments.c.workspace_id).where(environments.c.id == environment_id)
        row = sa.insert(heap_connections).values(
            workspace_id=connection.execute(of).scalar_one(),
            environment_id=environment_id,
            targets_visitors=True,
            host="http://127.0.0.1",
            client_id="",
            webhook_secret_sealed=seal.close(secret),
            id_token=id_token,
            token_sealed=seal.close("token"),
            connected_by="bench",
            connected_at=now,
            created_at=now,
            updated_at=now,
        )
        connection.execute(row)
    engine.dispose()


def connect(analytics: Served, flags: Served) -> None:
    """Continuous sync of the demo's premium users, and a flag of the other side that is on for them."""
    here, there = int(analytics.production["environment_id"]), int(flags.production["environment_id"])
    id_token, target_id = allow(analytics.data_dir, here, flags.url + RECEIVER)
    expect_from(flags.data_dir, there, id_token)
    segments = call(analytics, "GET", "/segments")["segments"]
    assert isinstance(segments, list)
    segment_id = next(segment["id"] for segment in segments if segment["key"] == "heap_premium_users")
    call(
        analytics,
        "POST",
        f"/segments/{segment_id}/syncs",
        params={"environment": here},
        json={"target_id": target_id, "every": "continuous"},
    )
    syncs = f"/segments/{segment_id}/syncs"
    eventually(lambda: _is_acknowledged(analytics, syncs, here), "the first sync")
    added = call(
        flags, "POST", "/audiences", params={"environment": there}, json={"heap_ids": [str(segment_id)]}
    )["audiences"]
    assert isinstance(added, list)
    call(flags, "POST", "/flags", json={"key": FLAG, "name": "From Heap"})
    rule = {
        "kind": "rollout",
        "key": "premium",
        "allocations": [{"variation_id": 1}],
        "condition": {"type": "in_list", "attribute": ATTRIBUTE, "list_id": added[0]["list_id"]},
    }
    call(flags, "POST", f"/flags/{FLAG}/environments/{there}/rules", json=rule)
    call(flags, "PUT", f"/flags/{FLAG}/environments/{there}", json={"is_on": True})


def _is_acknowledged(analytics: Served, syncs: str, environment_id: int) -> bool:
    found = call(analytics, "GET", syncs, params={"environment": environment_id})["syncs"]
    assert isinstance(found, list)
    return bool(found[0]["acknowledged_at"])
