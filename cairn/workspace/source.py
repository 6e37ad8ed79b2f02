"""Where events come from: web and server sources with write keys, and their connections to destinations."""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.routing_tables import connections
from cairn.db.tables import environments, sources
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.ids import key_hash, new_write_key
from cairn.workspace.environment import get_environment
from cairn.workspace.naming import clean_name
from cairn.workspace.sealed import Seal
from cairn.workspace.stored_key import StoredKey

_WRITE_KEY = StoredKey(sources, "write_key")

HEAP = "heap"  # the destination that is Cairn's own analytics

SourceKind = Literal["web", "server"]
KINDS: tuple[SourceKind, ...] = ("web", "server")


class Source(Struct, frozen=True):
    id: int
    environment_id: int
    name: str
    kind: SourceKind
    is_enabled: bool
    created_at: datetime


class Connection(Struct, frozen=True):
    """A source's events go to a destination, for the built-in analytics into an environment."""

    id: int
    source_id: int
    destination: str
    environment_id: int
    is_enabled: bool


class SourceNotFound(NotFound):
    """There is no such source in this workspace."""

    code = "source_not_found"


class SourceNameTaken(Conflict):
    """The environment has a source of this name, and stored events tell sources by their names. Choose another one."""

    code = "source_name_taken"


def create_source(
    connection: sa.Connection,
    workspace_id: int,
    environment_id: int,
    seal: Seal,
    *,
    name: str,
    kind: SourceKind,
    now: datetime,
) -> Source:
    """A source connected to its own environment's analytics.

    Raises InvalidInput, EnvironmentNotFound and SourceNameTaken.
    """
    get_environment(connection, workspace_id, environment_id)
    if kind not in KINDS:
        raise InvalidInput("kind: expected 'web' or 'server'", field="kind")
    name = clean_name(name)
    _check_name_free(connection, environment_id, name)
    write_key = new_write_key()
    row = {
        "environment_id": environment_id,
        "name": name,
        "kind": kind,
        "is_enabled": True,
        "created_at": now,
        "write_key_hash": key_hash(write_key),
        "write_key_sealed": seal.close(write_key),
    }
    created = _source(connection.execute(sa.insert(sources).values(**row).returning(*sources.c)).one())
    connect_analytics(connection, workspace_id, created.id, environment_id, is_enabled=True, now=now)
    return created


def list_sources(connection: sa.Connection, workspace_id: int) -> list[Source]:
    return [_source(row) for row in connection.execute(_sources_of(workspace_id).order_by(sources.c.id))]


def get_source(connection: sa.Connection, workspace_id: int, source_id: int) -> Source:
    """Raises SourceNotFound."""
    row = connection.execute(_sources_of(workspace_id).where(sources.c.id == source_id)).first()
    if row is None:
        raise SourceNotFound(f"no source {source_id} in this workspace")
    return _source(row)


def set_source_enabled(
    connection: sa.Connection, workspace_id: int, source_id: int, *, is_enabled: bool
) -> Source:
    """Raises SourceNotFound."""
    get_source(connection, workspace_id, source_id)
    connection.execute(sa.update(sources).where(sources.c.id == source_id).values(is_enabled=is_enabled))
    return get_source(connection, workspace_id, source_id)


def reveal_write_key(connection: sa.Connection, workspace_id: int, source_id: int, seal: Seal) -> str:
    """The key that clients send with their events. Raises SourceNotFound."""
    get_source(connection, workspace_id, source_id)
    return _WRITE_KEY.reveal(connection, source_id, seal)


def rotate_write_key(connection: sa.Connection, workspace_id: int, source_id: int, seal: Seal) -> str:
    """A new write key; the old one ends when the directory is published again. Raises SourceNotFound."""
    get_source(connection, workspace_id, source_id)
    return _WRITE_KEY.replace(connection, source_id, seal, new_write_key())


def list_connections(connection: sa.Connection, workspace_id: int) -> list[Connection]:
    query = (
        sa.select(connections)
        .where(connections.c.source_id.in_(sa.select(_sources_of(workspace_id).subquery().c.id)))
        .order_by(connections.c.id)
    )
    return [
        Connection(row.id, row.source_id, row.destination, row.environment_id, row.is_enabled)
        for row in connection.execute(query)
    ]


def connect_analytics(
    connection: sa.Connection,
    workspace_id: int,
    source_id: int,
    environment_id: int,
    *,
    is_enabled: bool,
    now: datetime,
) -> None:
    """Connect a source to an environment's built-in analytics, or switch that connection. Idempotent.

    Raises SourceNotFound and EnvironmentNotFound.
    """
    get_source(connection, workspace_id, source_id)
    get_environment(connection, workspace_id, environment_id)
    changed = connection.execute(
        sa.update(connections)
        .where(
            connections.c.source_id == source_id,
            connections.c.destination == HEAP,
            connections.c.environment_id == environment_id,
        )
        .values(is_enabled=is_enabled, updated_at=now)
    )
    if changed.rowcount == 0:
        connection.execute(
            sa.insert(connections).values(
                source_id=source_id,
                destination=HEAP,
                environment_id=environment_id,
                is_enabled=is_enabled,
                settings={},
                created_at=now,
                updated_at=now,
            )
        )


def _check_name_free(connection: sa.Connection, environment_id: int, name: str) -> None:
    """Capitals make no other name: people could not tell the two on Live. Raises SourceNameTaken."""
    names = connection.scalars(sa.select(sources.c.name).where(sources.c.environment_id == environment_id))
    taken = next((other for other in names if other.casefold() == name.casefold()), None)
    if taken is not None:
        raise SourceNameTaken(
            f"name: this environment has a source {taken!r}; choose another name", field="name"
        )


def _sources_of(workspace_id: int) -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(sources)
        .join(environments, environments.c.id == sources.c.environment_id)
        .where(environments.c.workspace_id == workspace_id)
    )


def _source(row: sa.Row[tuple[object, ...]]) -> Source:
    return Source(row.id, row.environment_id, row.name, row.kind, row.is_enabled, row.created_at)
