"""A workspace's one Heap account, as it is kept: where it is, what opens it, and whose lists it fills."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import heap_connections


class HeapConnection(Struct, frozen=True):
    """Secrets are sealed."""

    id: int
    workspace_id: int
    environment_id: int
    targets_visitors: bool  # its segments are used in flags
    host: str
    client_id: str
    client_secret_sealed: bytes | None
    webhook_secret_sealed: bytes | None
    token_sealed: bytes | None
    id_token: str | None  # names the account in each webhook
    heap_account: str
    heap_environment: str
    connected_by: str
    connected_at: datetime | None
    disconnected_at: datetime | None
    error: str
    failed_at: datetime | None

    @property
    def is_connected(self) -> bool:
        return self.id_token is not None


_COLUMNS = [heap_connections.c[name] for name in HeapConnection.__struct_fields__]
# Made once: every webhook asks it.
_BY_ID_TOKEN = sa.select(*_COLUMNS).where(heap_connections.c.id_token == sa.bindparam("id_token"))


def connection_of(connection: sa.Connection, workspace_id: int) -> HeapConnection | None:
    """The workspace's; None: it was never enabled."""
    query = sa.select(*_COLUMNS).where(heap_connections.c.workspace_id == workspace_id)
    return _read(connection.execute(query).first())


def connection_by_id_token(connection: sa.Connection, id_token: str) -> HeapConnection | None:
    """The one whose webhooks carry it."""
    return _read(connection.execute(_BY_ID_TOKEN, {"id_token": id_token}).first()) if id_token else None


def _read(row: Any) -> HeapConnection | None:  # Any: a row of many types
    return HeapConnection(*row) if row else None
