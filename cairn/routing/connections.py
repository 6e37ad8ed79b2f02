"""Connections: from a source to one destination each, with settings, secrets and rules of their own.

The built-in analytics are connected by `workspace/source.py`; all other destinations here. Rules are checked by
whoever knows them (routing/rules.py) before they are given to these functions.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.db.routing_tables import connections
from cairn.db.tables import environments, sources
from cairn.errors import InvalidInput, LimitExceeded, NotFound
from cairn.eventlog.readers import READERS, connection_reader
from cairn.routing.destination import Configuration, Destination
from cairn.routing.settings import checked_secrets, checked_settings, defaults
from cairn.workspace.naming import clean_name
from cairn.workspace.sealed import Seal
from cairn.workspace.source import HEAP, get_source

MOST_CONNECTIONS = 500  # of one source
DEFAULT_RETRY_HOURS = 4
MOST_RETRY_HOURS = 72

_Json = dict[str, Any]  # Any: by each setting's kind, or rules


class Connection(Struct, frozen=True):
    id: int
    source_id: int
    environment_id: int
    workspace_id: int
    destination: str  # its slug
    name: str
    is_enabled: bool
    settings: _Json
    rules: _Json
    retry_hours: int
    start_position: int  # in the log; nothing before it is delivered
    created_at: datetime
    updated_at: datetime
    is_source_enabled: bool = True

    @property
    def reader(self) -> str:
        """Its name among the readers of the event log."""
        return connection_reader(self.id)


class ConnectionNotFound(NotFound):
    """There is no such connection in this workspace."""

    code = "connection_not_found"


class TooManyConnections(LimitExceeded):
    """A source has at most 500 connections. Delete some that are not needed."""

    code = "too_many_connections"


class ConnectionChange(Struct, frozen=True):
    """What is to be different. Of `secrets` those that are named; an empty one is removed."""

    name: str | UnsetType = UNSET
    settings: _Json | UnsetType = UNSET
    secrets: dict[str, str] = {}
    rules: _Json | UnsetType = UNSET
    retry_hours: int | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET


_COLUMNS = (
    *(connections.c[name] for name in Connection.__struct_fields__ if name in connections.c),
    environments.c.workspace_id,
    sources.c.is_enabled.label("is_source_enabled"),
)
_JOINED = connections.join(sources, sources.c.id == connections.c.source_id).join(
    environments, environments.c.id == sources.c.environment_id
)
_ROUTED = connections.c.destination != HEAP


def list_connections(
    connection: sa.Connection, workspace_id: int, *, source_id: int | None = None
) -> list[Connection]:
    """In the order they were made, without those to the built-in analytics."""
    query = _select().where(environments.c.workspace_id == workspace_id)
    if source_id is not None:
        query = query.where(connections.c.source_id == source_id)
    return [_connection(row) for row in connection.execute(query)]


def of_environment(connection: sa.Connection, environment_id: int) -> list[Connection]:
    """In the order they were made, without those to the built-in analytics."""
    query = _select().where(connections.c.environment_id == environment_id)
    return [_connection(row) for row in connection.execute(query)]


def get_connection(connection: sa.Connection, workspace_id: int, connection_id: int) -> Connection:
    """Raises ConnectionNotFound."""
    query = _select().where(environments.c.workspace_id == workspace_id, connections.c.id == connection_id)
    row = connection.execute(query).first()
    if row is None:
        raise ConnectionNotFound(f"no connection {connection_id} in this workspace", field="connection_id")
    return _connection(row)


def create_connection(
    connection: sa.Connection,
    workspace_id: int,
    source_id: int,
    destination: Destination,
    seal: Seal,
    wanted: ConnectionChange,
    *,
    log_end: int,
    now: datetime,
) -> Connection:
    """Delivers what arrives from now on: after `log_end`, the end of the event log.

    Raises SourceNotFound, InvalidInput naming the setting, TooManyConnections.
    """
    source = get_source(connection, workspace_id, source_id)
    held = sa.select(sa.func.count()).where(connections.c.source_id == source_id, _ROUTED)
    if connection.execute(held).scalar_one() >= MOST_CONNECTIONS:
        raise TooManyConnections(f"source {source.name!r} has {MOST_CONNECTIONS} connections already")
    secrets = checked_secrets(destination, wanted.secrets)
    settings = defaults(destination) | ({} if wanted.settings is UNSET else wanted.settings)
    row = {
        "source_id": source_id,
        "environment_id": source.environment_id,
        "destination": destination.slug,
        "name": clean_name(destination.name if wanted.name is UNSET else wanted.name),
        "settings": checked_settings(destination, settings, secrets),
        "secret_sealed": _sealed(seal, secrets),
        "rules": {} if wanted.rules is UNSET else wanted.rules,
        "retry_hours": _retry_hours(
            DEFAULT_RETRY_HOURS if wanted.retry_hours is UNSET else wanted.retry_hours
        ),
        "is_enabled": wanted.is_enabled is not False,
        "start_position": log_end,
        "created_at": now,
        "updated_at": now,
    }
    made = sa.insert(connections).values(**row).returning(connections.c.id)
    return get_connection(connection, workspace_id, connection.execute(made).scalar_one())


def change_connection(
    connection: sa.Connection,
    workspace_id: int,
    connection_id: int,
    destination: Destination,
    seal: Seal,
    change: ConnectionChange,
    *,
    log_end: int,
    now: datetime,
) -> Connection:
    """One that is switched on again goes on after `log_end`: what arrived meanwhile is not delivered.

    Raises ConnectionNotFound, and InvalidInput naming the setting.
    """
    known = get_connection(connection, workspace_id, connection_id)
    # Whoever looks for changes compares this moment, so that two changes in one millisecond are still two.
    row: _Json = {"updated_at": max(now, known.updated_at + timedelta(milliseconds=1))}
    if change.name is not UNSET:
        row["name"] = clean_name(change.name)
    if change.settings is not UNSET or change.secrets:
        secrets = _secrets(connection, seal, connection_id) | checked_secrets(destination, change.secrets)
        secrets = {key: secret for key, secret in secrets.items() if secret}
        settings = known.settings | ({} if change.settings is UNSET else change.settings)
        row["settings"] = checked_settings(destination, settings, secrets)
        row["secret_sealed"] = _sealed(seal, secrets)
    if change.rules is not UNSET:
        row["rules"] = change.rules
    if change.retry_hours is not UNSET:
        row["retry_hours"] = _retry_hours(change.retry_hours)
    if change.is_enabled is not UNSET and change.is_enabled != known.is_enabled:
        row["is_enabled"] = change.is_enabled
        row |= {"start_position": log_end} if change.is_enabled else {}
    connection.execute(sa.update(connections).where(connections.c.id == connection_id).values(**row))
    return get_connection(connection, workspace_id, connection_id)


def delete_connection(connection: sa.Connection, workspace_id: int, connection_id: int) -> None:
    """With its counts, samples and dead letters. Raises ConnectionNotFound."""
    get_connection(connection, workspace_id, connection_id)
    connection.execute(sa.delete(connections).where(connections.c.id == connection_id))


def read_active(connection: sa.Connection) -> list[Connection]:
    """Of all workspaces those that deliver: switched on, as their sources are."""
    query = _select().where(connections.c.is_enabled, sources.c.is_enabled)
    return [_connection(row) for row in connection.execute(query)]


def log_readers(connection: sa.Connection) -> dict[str, int]:
    """Everybody who reads the event log, and from where at least. A connection that is off holds nothing back."""
    return {**READERS, **{active.reader: active.start_position for active in read_active(connection)}}


def configuration_of(
    connection: sa.Connection, seal: Seal, known: Connection, destination: Destination
) -> Configuration:
    """With the secrets opened: for delivery, and never to be shown."""
    settings = defaults(destination) | known.settings
    return Configuration(settings, _secrets(connection, seal, known.id))


def secret_names(connection: sa.Connection, seal: Seal, connection_id: int) -> frozenset[str]:
    """Which secrets are set."""
    return frozenset(_secrets(connection, seal, connection_id))


def _select() -> sa.Select[Any]:  # Any: a joined row
    return sa.select(*_COLUMNS).select_from(_JOINED).where(_ROUTED).order_by(connections.c.id)


def _connection(row: sa.Row[Any]) -> Connection:  # Any: a joined row
    fields = dict(row._mapping)
    for document in ("settings", "rules"):
        fields[document] = fields[document] if isinstance(fields[document], dict) else {}
    return Connection(**fields)


def _secrets(connection: sa.Connection, seal: Seal, connection_id: int) -> dict[str, str]:
    query = sa.select(connections.c.secret_sealed).where(connections.c.id == connection_id)
    sealed = connection.execute(query).scalar()
    return msgspec.json.decode(seal.open(sealed), type=dict[str, str]) if sealed else {}


def _sealed(seal: Seal, secrets: Mapping[str, str]) -> bytes | None:
    return seal.close(msgspec.json.encode(secrets).decode()) if secrets else None


def _retry_hours(hours: int) -> int:
    if not 1 <= hours <= MOST_RETRY_HOURS:
        raise InvalidInput(f"retry_hours: expected 1 to {MOST_RETRY_HOURS}, got {hours}", field="retry_hours")
    return hours
