"""Targets: where segments of an environment can be synced to. How is in `deliver/`, one module for each kind."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import partner_apps, partner_grants, sync_targets
from cairn.errors import NotFound
from cairn.sync.partner_apps import signing_secret
from cairn.workspace.sealed import Seal

TargetKind = Literal["partner", "webhook", "files", "traits"]


class Target(Struct, frozen=True):
    id: int
    environment_id: int
    kind: TargetKind
    name: str
    settings: dict[str, Any]  # Any: each kind has its own
    is_enabled: bool
    created_at: datetime
    # Of a partner: who the customer is, and where to.
    id_token: str = ""
    webhook_url: str = ""
    is_revoked: bool = False

    @property
    def can_send(self) -> bool:
        return self.is_enabled and not self.is_revoked


class TargetNotFound(NotFound):
    """There is no such target in this environment."""

    code = "sync_target_not_found"


_OF_TARGET = ("id", "environment_id", "kind", "name", "settings", "is_enabled", "created_at")
_COLUMNS = (
    *(sync_targets.c[name] for name in _OF_TARGET),
    partner_grants.c.id_token,
    partner_grants.c.revoked_at,
    partner_apps.c.webhook_url,
)
_JOINED = sync_targets.outerjoin(partner_grants, partner_grants.c.id == sync_targets.c.grant_id).outerjoin(
    partner_apps, partner_apps.c.id == partner_grants.c.app_id
)


def list_targets(connection: sa.Connection, environment_id: int) -> list[Target]:
    """By name."""
    query = sa.select(*_COLUMNS).select_from(_JOINED).where(sync_targets.c.environment_id == environment_id)
    return [
        _target(row) for row in connection.execute(query.order_by(sync_targets.c.name, sync_targets.c.id))
    ]


def get_target(connection: sa.Connection, environment_id: int, target_id: int) -> Target:
    """Raises TargetNotFound."""
    query = (
        sa.select(*_COLUMNS)
        .select_from(_JOINED)
        .where(sync_targets.c.environment_id == environment_id, sync_targets.c.id == target_id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise TargetNotFound(f"no sync target {target_id} in this environment", field="target_id")
    return _target(row)


def read_targets(connection: sa.Connection, target_ids: Iterable[int]) -> dict[int, Target]:
    """By id, of any environment: for the sender. Those that are gone are left out."""
    query = sa.select(*_COLUMNS).select_from(_JOINED).where(sync_targets.c.id.in_(list(target_ids)))
    return {row.id: _target(row) for row in connection.execute(query)}


def secret_of(connection: sa.Connection, seal: Seal, target: Target, now: datetime) -> str:
    """What signs the pages for this target now; empty where its kind has no secret. Raises TargetNotFound."""
    query = (
        sa.select(
            sync_targets.c.secret_sealed,
            partner_apps.c.webhook_secret_sealed,
            partner_apps.c.next_webhook_secret_sealed,
            partner_apps.c.next_webhook_secret_at,
        )
        .select_from(_JOINED)
        .where(sync_targets.c.id == target.id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise TargetNotFound(f"sync target {target.name!r} is gone", field="target_id")
    sealed = row.secret_sealed if row.webhook_secret_sealed is None else signing_secret(row, now)
    return seal.open(sealed) if sealed else ""


def enable_target(
    connection: sa.Connection, environment_id: int, target_id: int, *, is_enabled: bool, now: datetime
) -> Target:
    """Raises TargetNotFound."""
    get_target(connection, environment_id, target_id)
    connection.execute(
        sa.update(sync_targets)
        .where(sync_targets.c.id == target_id)
        .values(is_enabled=is_enabled, updated_at=now)
    )
    return get_target(connection, environment_id, target_id)


def _target(row: sa.Row[Any]) -> Target:  # Any: a joined row
    return Target(
        row.id,
        row.environment_id,
        row.kind,
        row.name,
        row.settings if isinstance(row.settings, dict) else {},
        row.is_enabled,
        row.created_at,
        row.id_token or "",
        row.webhook_url or "",
        row.revoked_at is not None,
    )
