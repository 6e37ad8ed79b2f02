"""A partner's access to one environment: at most one that is in force for each app and environment.

Allowing again while a grant is in force keeps its id token and replaces its access token. After it was revoked,
allowing again makes a new grant, by which the partner knows this environment as a new customer; the target is the same
one, and what is synced to it starts over.
"""

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import partner_apps, partner_grants, segment_syncs, sync_targets
from cairn.db.tables import environments, segments
from cairn.errors import NotFound
from cairn.ids import key_hash, new_token
from cairn.sync.addresses import host_of

KIND = "partner"  # of a sync target


class Grant(Struct, frozen=True):
    id: int
    app_id: int
    app_name: str
    host: str  # where its webhooks go
    environment_id: int
    environment_name: str
    granted_by: str
    granted_at: datetime
    target_id: int | None = None


class Customer(Struct, frozen=True):
    """Whom an access token speaks for."""

    grant_id: int
    app_id: int
    workspace_id: int
    environment_id: int
    id_token: str
    granted_by: str


class Ends(Struct, frozen=True):
    """What ends with an app or a grant."""

    grants: list[Grant]
    syncs: list[str]  # names of segments, with their environments


class GrantNotFound(NotFound):
    """There is no such access of a partner app in this workspace, or it was revoked already."""

    code = "grant_not_found"


def list_grants(
    connection: sa.Connection,
    workspace_id: int,
    *,
    app_id: int | None = None,
    environment_id: int | None = None,
) -> list[Grant]:
    """Those in force, the newest first."""
    query = _in_force(workspace_id).order_by(partner_grants.c.granted_at.desc(), partner_grants.c.id.desc())
    if app_id is not None:
        query = query.where(partner_grants.c.app_id == app_id)
    if environment_id is not None:
        query = query.where(partner_grants.c.environment_id == environment_id)
    return [_grant(row) for row in connection.execute(query)]


def get_grant(connection: sa.Connection, workspace_id: int, grant_id: int) -> Grant:
    """Raises GrantNotFound."""
    row = connection.execute(_in_force(workspace_id).where(partner_grants.c.id == grant_id)).first()
    if row is None:
        raise GrantNotFound(f"no access {grant_id} of a partner app in this workspace; it may be revoked")
    return _grant(row)


def ends_with(
    connection: sa.Connection, workspace_id: int, *, app_id: int | None = None, grant_id: int | None = None
) -> Ends:
    """What deleting an app or revoking a grant takes along."""
    grants = list_grants(connection, workspace_id, app_id=app_id)
    if grant_id is not None:
        grants = [grant for grant in grants if grant.id == grant_id]
    targets = [grant.target_id for grant in grants if grant.target_id is not None]
    query = (
        sa.select(segments.c.name, environments.c.name.label("environment"))
        .join(segment_syncs, segment_syncs.c.segment_id == segments.c.id)
        .join(environments, environments.c.id == segment_syncs.c.environment_id)
        .where(segment_syncs.c.target_id.in_(targets))
        .order_by(segments.c.name, environments.c.name)
    )
    return Ends(grants, [f"{row.name} in {row.environment}" for row in connection.execute(query)])


def give(
    connection: sa.Connection,
    *,
    app_id: int,
    workspace_id: int,
    environment_id: int,
    granted_by: str,
    now: datetime,
) -> tuple[Customer, str]:
    """The grant, and its access token, which is never shown again. Makes or enables the app's sync target."""
    token = new_token("cairn_partner")
    here = (partner_grants.c.app_id == app_id) & (partner_grants.c.environment_id == environment_id)
    values = {"token_hash": key_hash(token), "granted_by": granted_by, "granted_at": now}
    known = connection.execute(
        sa.select(partner_grants).where(here, partner_grants.c.revoked_at.is_(None))
    ).first()
    if known is not None:
        statement: sa.UpdateBase = (
            sa.update(partner_grants).where(partner_grants.c.id == known.id).values(**values)
        )
    else:
        new = {
            "app_id": app_id,
            "workspace_id": workspace_id,
            "environment_id": environment_id,
            "id_token": str(uuid.uuid4()),
        }
        statement = sa.insert(partner_grants).values(**values, **new)
    row = connection.execute(statement.returning(*partner_grants.c)).one()
    _enable_target(connection, row, now)
    return _customer(row), token


def find_customer(connection: sa.Connection, token: str) -> Customer | None:
    """Whose access token it is; None: nobody's, or of a revoked grant."""
    query = sa.select(partner_grants).where(
        partner_grants.c.token_hash == key_hash(token), partner_grants.c.revoked_at.is_(None)
    )
    row = connection.execute(query).first()
    return None if row is None else _customer(row)


def revoke(connection: sa.Connection, grant_id: int, now: datetime) -> None:
    """The access token ends and the target is disabled; syncs and their history stay. Idempotent."""
    in_force = (partner_grants.c.id == grant_id) & partner_grants.c.revoked_at.is_(None)
    connection.execute(sa.update(partner_grants).where(in_force).values(revoked_at=now))
    target = (sync_targets.c.grant_id == grant_id) & sync_targets.c.is_enabled
    connection.execute(sa.update(sync_targets).where(target).values(is_enabled=False, updated_at=now))


def _enable_target(connection: sa.Connection, grant: sa.Row[Any], now: datetime) -> None:
    """The app's own target in this environment, whichever of its grants it was made for."""
    app = sa.select(partner_apps.c.name).where(partner_apps.c.id == grant.app_id)
    name = connection.execute(app).scalar_one()
    of_app = sa.select(partner_grants.c.id).where(
        partner_grants.c.app_id == grant.app_id, partner_grants.c.environment_id == grant.environment_id
    )
    known = connection.execute(
        sa.select(sync_targets).where(sync_targets.c.kind == KIND, sync_targets.c.grant_id.in_(of_app))
    ).first()
    values = {"name": name, "grant_id": grant.id, "is_enabled": True, "updated_at": now}
    if known is None:
        new = {"environment_id": grant.environment_id, "kind": KIND, "settings": {}, "created_at": now}
        connection.execute(sa.insert(sync_targets).values(**values, **new))
        return
    connection.execute(sa.update(sync_targets).where(sync_targets.c.id == known.id).values(**values))
    if known.grant_id != grant.id:
        _start_anew(connection, known.id, now)


def _start_anew(connection: sa.Connection, target_id: int, now: datetime) -> None:
    """For a new customer the partner has no members yet. New rows have new ids, so no set of the old ones is read."""
    old = connection.execute(
        sa.select(segment_syncs)
        .where(segment_syncs.c.target_id == target_id, ~segment_syncs.c.is_ending)
        .order_by(segment_syncs.c.id)
    ).all()
    connection.execute(sa.delete(segment_syncs).where(segment_syncs.c.target_id == target_id))
    for sync in old:
        kept = {
            name: getattr(sync, name)
            for name in ("environment_id", "segment_id", "target_id", "mapping", "every", "is_on")
        }
        connection.execute(
            sa.insert(segment_syncs).values(**kept, next_at=now, created_at=sync.created_at, updated_at=now)
        )


def _in_force(workspace_id: int) -> sa.Select[Any]:
    grant, app = partner_grants.c, partner_apps.c
    return (
        sa.select(
            grant.id,
            grant.app_id,
            app.name.label("app_name"),
            app.webhook_url,
            grant.environment_id,
            environments.c.name.label("environment_name"),
            grant.granted_by,
            grant.granted_at,
            sync_targets.c.id.label("target_id"),
        )
        .select_from(partner_grants)
        .join(partner_apps, app.id == grant.app_id)
        .join(environments, environments.c.id == grant.environment_id)
        .outerjoin(sync_targets, sync_targets.c.grant_id == grant.id)
        .where(grant.workspace_id == workspace_id, grant.revoked_at.is_(None))
    )


def _grant(row: sa.Row[Any]) -> Grant:
    return Grant(
        row.id,
        row.app_id,
        row.app_name,
        host_of(row.webhook_url),
        row.environment_id,
        row.environment_name,
        row.granted_by,
        row.granted_at,
        row.target_id,
    )


def _customer(row: sa.Row[Any]) -> Customer:
    return Customer(row.id, row.app_id, row.workspace_id, row.environment_id, row.id_token, row.granted_by)
