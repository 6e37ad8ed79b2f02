"""Projects and their environments: each environment has an app id, an SDK key and data of its own."""

import re
from datetime import datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.calendar import check_zone, zone_of
from cairn.db.tables import environments, projects
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.ids import key_hash, new_app_id, new_sdk_key
from cairn.workspace.naming import clean_key, clean_name
from cairn.workspace.sealed import Seal
from cairn.workspace.stored_key import StoredKey

_SDK_KEY = StoredKey(environments, "sdk_key")
_SERVER_KEY = StoredKey(environments, "server_key")
PRODUCTION = "production"
DEVELOPMENT = "development"
_APP_ID = re.compile(r"[1-9][0-9]{0,15}")


class Project(Struct, frozen=True):
    id: int
    workspace_id: int
    name: str
    time_zone: str  # in which its days begin
    created_at: datetime


class Environment(Struct, frozen=True):
    id: int
    workspace_id: int
    project_id: int
    key: str
    name: str
    app_id: str
    created_at: datetime
    needs_server_key: bool = False  # flag events count only with the server SDK key, which no front-end has
    # Python's settings file holds the values of lists: anyone with the SDK key can read them.
    inlines_lists: bool = False
    time_zone: str = "UTC"  # of its project

    @property
    def zone(self) -> tzinfo:
        return zone_of(self.time_zone)


class EnvironmentNotFound(NotFound):
    """There is no such environment in this workspace."""

    code = "environment_not_found"


class EnvironmentKeyTaken(Conflict):
    """The project has an environment with this key. Choose another one."""

    code = "environment_key_taken"


class BadAppId(InvalidInput):
    """An app id is 1 to 16 digits, the first not zero, as `heap.load` has it. Leave it empty for a new one."""

    code = "bad_app_id"


class AppIdTaken(Conflict):
    """Another environment has this app id already. Two with one id would share their data."""

    code = "app_id_taken"


class ProjectNotFound(NotFound):
    """There is no such project in this workspace."""

    code = "project_not_found"


def create_project(
    connection: sa.Connection, workspace_id: int, *, name: str, now: datetime, time_zone: str = "UTC"
) -> Project:
    """A project without environments. Raises InvalidInput and UnknownTimeZone."""
    name = clean_name(name)
    row = {
        "workspace_id": workspace_id,
        "name": name,
        "time_zone": check_zone(time_zone),
        "created_at": now,
    }
    return _project(connection.execute(sa.insert(projects).values(**row).returning(*projects.c)).one())


def list_projects(connection: sa.Connection, workspace_id: int) -> list[Project]:
    query = sa.select(projects).where(projects.c.workspace_id == workspace_id).order_by(projects.c.id)
    return [_project(row) for row in connection.execute(query)]


def set_time_zone(connection: sa.Connection, workspace_id: int, project_id: int, time_zone: str) -> None:
    """Its days begin there from now on, those of its history too. Raises UnknownTimeZone and ProjectNotFound."""
    changed = connection.execute(
        sa.update(projects)
        .where(projects.c.workspace_id == workspace_id, projects.c.id == project_id)
        .values(time_zone=check_zone(time_zone))
    )
    if not changed.rowcount:
        raise ProjectNotFound(f"no project {project_id} in this workspace", field="project_id")


def create_environment(
    connection: sa.Connection,
    workspace_id: int,
    project_id: int,
    seal: Seal,
    *,
    key: str,
    name: str,
    now: datetime,
    app_id: str = "",
    inlines_lists: bool = False,
) -> Environment:
    """`app_id`: that of the Heap environment it takes over, whose cookies carry it; else a new one.

    Raises InvalidInput, ProjectNotFound, EnvironmentKeyTaken and AppIdTaken.
    """
    key, name = clean_key(key), clean_name(name)
    projects_by_id = {project.id: project for project in list_projects(connection, workspace_id)}
    if project_id not in projects_by_id:
        raise ProjectNotFound(f"no project {project_id} in this workspace", field="project_id")
    taken = sa.select(environments.c.id).where(
        environments.c.project_id == project_id, environments.c.key == key
    )
    if connection.execute(taken).first():
        raise EnvironmentKeyTaken(f"the project has an environment {key!r}; choose another key", field="key")
    sdk_key = new_sdk_key()
    row = {
        "workspace_id": workspace_id,
        "project_id": project_id,
        "key": key,
        "name": name,
        "created_at": now,
        "app_id": _given_app_id(connection, app_id) if app_id else _free_app_id(connection),
        "sdk_key_hash": key_hash(sdk_key),
        "sdk_key_sealed": seal.close(sdk_key),
        "inlines_lists": inlines_lists,
    }
    made = connection.execute(sa.insert(environments).values(**row).returning(*environments.c)).one()
    return _environment(made, projects_by_id[project_id].time_zone)


def list_environments(connection: sa.Connection, workspace_id: int) -> list[Environment]:
    return [_environment(row, row.time_zone) for row in connection.execute(_of_workspace(workspace_id))]


def get_environment(connection: sa.Connection, workspace_id: int, name: str | int) -> Environment:
    """By id, or by key: of several projects with that key the oldest. Raises EnvironmentNotFound."""
    query = _of_workspace(workspace_id)
    if isinstance(name, int) or (name.isascii() and name.isdigit() and len(name) <= 9):
        query = query.where(environments.c.id == int(name))
    else:
        # No key has a NUL, which PostgreSQL does not even compare.
        query = query.where(sa.false() if "\0" in name else environments.c.key == name)
    row = connection.execute(query).first()
    if row is None:
        raise EnvironmentNotFound(
            "no such environment in this workspace; name it by its id or key", field="environment"
        )
    return _environment(row, row.time_zone)


def _of_workspace(workspace_id: int) -> sa.Select[Any]:
    """Its environments with the time zones of their projects, oldest first."""
    return (
        sa.select(environments, projects.c.time_zone)
        .join(projects, projects.c.id == environments.c.project_id)
        .where(environments.c.workspace_id == workspace_id)
        .order_by(environments.c.id)
    )


def reveal_sdk_key(connection: sa.Connection, workspace_id: int, environment_id: int, seal: Seal) -> str:
    """The key flag SDKs need. Raises EnvironmentNotFound."""
    get_environment(connection, workspace_id, environment_id)
    return _SDK_KEY.reveal(connection, environment_id, seal)


def rotate_sdk_key(connection: sa.Connection, workspace_id: int, environment_id: int, seal: Seal) -> str:
    """A new SDK key; the old one ends when the directory is published again. Raises EnvironmentNotFound."""
    get_environment(connection, workspace_id, environment_id)
    return _SDK_KEY.replace(connection, environment_id, seal, new_sdk_key())


def reveal_server_key(connection: sa.Connection, workspace_id: int, environment_id: int, seal: Seal) -> str:
    """The key of flag SDKs on servers; empty while there is none. Raises EnvironmentNotFound."""
    get_environment(connection, workspace_id, environment_id)
    return _SERVER_KEY.reveal(connection, environment_id, seal)


def rotate_server_key(connection: sa.Connection, workspace_id: int, environment_id: int, seal: Seal) -> str:
    """A new server SDK key; the old one ends when the directory is published again. Raises EnvironmentNotFound."""
    get_environment(connection, workspace_id, environment_id)
    return _SERVER_KEY.replace(connection, environment_id, seal, new_sdk_key())


def set_needs_server_key(
    connection: sa.Connection, workspace_id: int, environment_id: int, seal: Seal, *, is_needed: bool
) -> Environment:
    """Whether flag events count only with the server SDK key, which is made when it is first needed.

    Raises EnvironmentNotFound.
    """
    if is_needed and not reveal_server_key(connection, workspace_id, environment_id, seal):
        rotate_server_key(connection, workspace_id, environment_id, seal)
    own = (environments.c.id == environment_id) & (environments.c.workspace_id == workspace_id)
    connection.execute(sa.update(environments).where(own).values(needs_server_key=is_needed))
    return get_environment(connection, workspace_id, environment_id)


def set_inlines_lists(
    connection: sa.Connection, workspace_id: int, environment_id: int, *, inlines_lists: bool
) -> Environment:
    """In force when it is published again. Idempotent. Raises EnvironmentNotFound."""
    get_environment(connection, workspace_id, environment_id)
    changed = sa.update(environments).where(environments.c.id == environment_id)
    connection.execute(changed.values(inlines_lists=inlines_lists))
    return get_environment(connection, workspace_id, environment_id)


def _free_app_id(connection: sa.Connection) -> str:
    """Ten random digits rarely meet, but two environments with one app id would share their data."""
    while True:
        app_id = new_app_id()
        if not _is_taken(connection, app_id):
            return app_id


def _given_app_id(connection: sa.Connection, app_id: str) -> str:
    if not _APP_ID.fullmatch(app_id):
        raise BadAppId(f"app id: {app_id[:40]!r} is not 1 to 16 digits", field="app_id")
    if _is_taken(connection, app_id):
        raise AppIdTaken(f"app id: an environment has {app_id} already", field="app_id")
    return app_id


def _is_taken(connection: sa.Connection, app_id: str) -> bool:
    query = sa.select(environments.c.id).where(environments.c.app_id == app_id)
    return connection.execute(query).first() is not None


def _project(row: sa.Row[tuple[object, ...]]) -> Project:
    return Project(row.id, row.workspace_id, row.name, row.time_zone, row.created_at)


def _environment(row: sa.Row[Any], time_zone: str) -> Environment:
    return Environment(
        row.id,
        row.workspace_id,
        row.project_id,
        row.key,
        row.name,
        row.app_id,
        row.created_at,
        row.needs_server_key,
        row.inlines_lists,
        time_zone,
    )
