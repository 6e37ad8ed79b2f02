"""A workspace: everything one company keeps in Cairn, and how the first one comes to be."""

import secrets
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import workspaces
from cairn.errors import Conflict, NotFound
from cairn.workspace.environment import DEVELOPMENT, PRODUCTION, create_environment, create_project
from cairn.workspace.member import Member, create_member
from cairn.workspace.naming import clean_name
from cairn.workspace.permission import Role
from cairn.workspace.sealed import Seal
from cairn.workspace.source import create_source

FIRST_ENVIRONMENTS = ((PRODUCTION, "Production"), (DEVELOPMENT, "Development"))


class Workspace(Struct, frozen=True):
    id: int
    name: str
    account_id: int  # what flag SDKs are initialised with beside the SDK key
    is_demo: bool
    created_at: datetime


class SignUpClosed(Conflict):
    """There is a workspace already. Ask one of its admins to add you."""

    code = "sign_up_closed"


class WorkspaceNotFound(NotFound):
    """There is no such workspace."""

    code = "workspace_not_found"


def is_first_visit(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(workspaces.c.id).limit(1)).first() is None


def sign_up(
    connection: sa.Connection,
    seal: Seal,
    *,
    workspace_name: str,
    email: str,
    name: str,
    password: str,
    now: datetime,
    time_zone: str = "UTC",
) -> tuple[Workspace, Member]:
    """The first visitor becomes the owner of the first workspace. Raises SignUpClosed and InvalidInput."""
    if not is_first_visit(connection):
        raise SignUpClosed("there is a workspace already; ask one of its admins to add you")
    workspace = create_workspace(connection, seal, name=workspace_name, now=now, time_zone=time_zone)
    owner = create_member(
        connection, workspace.id, email=email, name=name, password=password, role=Role.OWNER, now=now
    )
    return workspace, owner


def create_workspace(
    connection: sa.Connection,
    seal: Seal,
    *,
    name: str,
    now: datetime,
    is_demo: bool = False,
    time_zone: str = "UTC",
) -> Workspace:
    """With one project of the same name, two environments, and a web and a server source in each."""
    name = clean_name(name, field="workspace_name")
    row = {"name": name, "account_id": _free_account_id(connection), "is_demo": is_demo, "created_at": now}
    inserted = sa.insert(workspaces).values(**row).returning(*workspaces.c)
    workspace = _workspace(connection.execute(inserted).one())
    project = create_project(connection, workspace.id, name=name, now=now, time_zone=time_zone)
    for key, title in FIRST_ENVIRONMENTS:
        environment = create_environment(
            connection,
            workspace.id,
            project.id,
            seal,
            key=key,
            name=title,
            now=now,
            inlines_lists=is_demo,  # so that a first try shows every SDK at work; its people are made up
        )
        create_source(connection, workspace.id, environment.id, seal, name="Website", kind="web", now=now)
        create_source(connection, workspace.id, environment.id, seal, name="Server", kind="server", now=now)
    return workspace


def list_workspaces(connection: sa.Connection) -> list[Workspace]:
    """Every workspace, for the core's own work; never shown to a member."""
    return [_workspace(row) for row in connection.execute(sa.select(workspaces).order_by(workspaces.c.id))]


def has_several_workspaces(connection: sa.Connection) -> bool:
    return len(connection.execute(sa.select(workspaces.c.id).limit(2)).all()) > 1


def get_workspace(connection: sa.Connection, workspace_id: int) -> Workspace:
    """Raises WorkspaceNotFound."""
    row = connection.execute(sa.select(workspaces).where(workspaces.c.id == workspace_id)).first()
    if row is None:
        raise WorkspaceNotFound(f"no workspace {workspace_id}")
    return _workspace(row)


def rename_workspace(connection: sa.Connection, workspace_id: int, name: str) -> Workspace:
    """Raises InvalidInput and WorkspaceNotFound."""
    name = clean_name(name, field="workspace_name")
    connection.execute(sa.update(workspaces).where(workspaces.c.id == workspace_id).values(name=name))
    return get_workspace(connection, workspace_id)


def _free_account_id(connection: sa.Connection) -> int:
    """Six or seven digits, as Wingify's."""
    while True:
        account_id = 100_000 + secrets.randbelow(9_900_000)
        if (
            connection.execute(
                sa.select(workspaces.c.id).where(workspaces.c.account_id == account_id)
            ).first()
            is None
        ):
            return account_id


def _workspace(row: sa.Row[tuple[object, ...]]) -> Workspace:
    return Workspace(row.id, row.name, row.account_id, row.is_demo, row.created_at)
