"""Connecting a workspace to its one Heap account: enabled, configured, authenticated, disconnected.

The steps are those of Wingify's page for Heap (contracts/wingify.md section 14.1). Nothing here calls another machine:
see heap_client.py.
"""

import hmac
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import from_ms, to_ms
from cairn.db.sync_tables import heap_audiences, heap_connections
from cairn.errors import Conflict, InvalidInput
from cairn.ids import key_hash
from cairn.sync.heap_client import HEAP, Metadata, Tokens, clean_host, new_verifier
from cairn.sync.heap_connection import HeapConnection, connection_of
from cairn.workspace.environment import get_environment
from cairn.workspace.sealed import Seal

WINDOW = timedelta(minutes=10)  # how long the other side's page may stay open
LONGEST_SECRET = 500
FORMER = "former/"  # before the number of an audience of an account that is connected no more


class HeapAccountElsewhere(Conflict):
    """A workspace has one Heap account. This one's is set up in another environment; disconnect it there first."""

    code = "heap_account_elsewhere"


class HeapAccountConnected(Conflict):
    """A workspace has one Heap account, and it is connected. Disconnect it before another one is connected."""

    code = "heap_account_connected"


class HeapNotEnabled(Conflict):
    """The Heap integration of this workspace is not enabled, or does not use segments. Do that on its page first."""

    code = "heap_not_enabled"


class ForgedState(InvalidInput):
    """What comes back from Heap's page was not asked for in this session, within ten minutes. Authenticate again."""

    code = "forged_state"


class Config(Struct, frozen=True):
    """The Config tab. Empty secrets stay as they are; none are needed where the other side is a Cairn."""

    targets_visitors: bool
    host: str
    client_id: str = ""
    client_secret: str = ""
    webhook_secret: str = ""


class Window(Struct, frozen=True):
    """An OAuth window that is open, as it is kept, sealed."""

    verifier: str
    redirect_uri: str
    until_ms: int
    environment_id: int


def own_account(connection: sa.Connection, workspace_id: int, environment_id: int) -> HeapConnection:
    """Raises HeapNotEnabled and HeapAccountElsewhere."""
    account = connection_of(connection, workspace_id)
    if account is None:
        raise HeapNotEnabled("enable the Heap integration first")
    if account.environment_id != environment_id:
        there = get_environment(connection, workspace_id, account.environment_id)
        raise HeapAccountElsewhere(
            f"this workspace's Heap account is set up in environment {there.name}; a workspace has one Heap account. "
            f"Use it there, or disconnect it there and disable it first"
        )
    return account


def enable(connection: sa.Connection, workspace_id: int, environment_id: int, now: datetime) -> None:
    """Idempotent. Raises HeapAccountElsewhere."""
    if connection_of(connection, workspace_id) is None:
        row = {"workspace_id": workspace_id, "environment_id": environment_id, "host": HEAP}
        connection.execute(sa.insert(heap_connections).values(**row, created_at=now, updated_at=now))
    own_account(connection, workspace_id, environment_id)


def configure(
    connection: sa.Connection, seal: Seal, account: HeapConnection, config: Config, now: datetime
) -> None:
    """Raises InvalidInput, and HeapAccountConnected for another host or client while one is connected."""
    host = clean_host(config.host)
    client_id = config.client_id.strip() or (account.client_id if host == account.host else "")
    for field in ("client_id", "client_secret", "webhook_secret"):
        _check_secret(getattr(config, field), field)
    if account.is_connected and (host != account.host or client_id != account.client_id):
        raise HeapAccountConnected(
            f"host: {account.host} is connected, and a workspace has one Heap account; disconnect it first",
            field="host",
        )
    values: dict[str, Any] = {
        "targets_visitors": config.targets_visitors,
        "host": host,
        "client_id": client_id,
    }
    for field in ("client_secret", "webhook_secret"):
        if secret := getattr(config, field).strip():
            values[f"{field}_sealed"] = seal.close(secret)
        elif host != account.host:
            values[f"{field}_sealed"] = None
    if host != account.host:
        values |= {"heap_account": "", "heap_environment": ""}
    _update(connection, account, values, now)


def _check_secret(text: str, field: str) -> None:
    if len(text) > LONGEST_SECRET or not all(33 <= ord(character) < 127 for character in text.strip()):
        raise InvalidInput(
            f"{field}: expected up to {LONGEST_SECRET} letters, digits and signs, without spaces", field=field
        )


def note_client(
    connection: sa.Connection,
    seal: Seal,
    account: HeapConnection,
    *,
    client_id: str,
    client_secret: str,
    webhook_secret: str,
    now: datetime,
) -> None:
    """What another Cairn has registered for us."""
    secrets = {
        "client_secret_sealed": seal.close(client_secret),
        "webhook_secret_sealed": seal.close(webhook_secret),
    }
    _update(connection, account, {"client_id": client_id, **secrets}, now)


def open_window(
    connection: sa.Connection,
    seal: Seal,
    account: HeapConnection,
    *,
    state: str,
    session: str,
    redirect_uri: str,
    now: datetime,
) -> Window:
    """One at a time: an earlier window's answer is refused. `session`: the secret of the browser that opens it."""
    window = Window(new_verifier(), redirect_uri, to_ms(now + WINDOW), account.environment_id)
    sealed = seal.close(msgspec.json.encode(window).decode())
    values = {"state_hash": key_hash(state), "session_hash": key_hash(session), "verifier_sealed": sealed}
    _update(connection, account, values, now)
    return window


def close_window(
    connection: sa.Connection, seal: Seal, workspace_id: int, *, state: str, session: str, now: datetime
) -> tuple[HeapConnection, Window]:
    """The window that this answer belongs to. It counts once. Raises ForgedState."""
    row = connection.execute(
        sa.select(heap_connections).where(heap_connections.c.workspace_id == workspace_id)
    ).first()
    is_known = (
        row is not None
        and row.verifier_sealed is not None
        and hmac.compare_digest(row.state_hash or "", key_hash(state))
        and hmac.compare_digest(row.session_hash or "", key_hash(session))
    )
    account = connection_of(connection, workspace_id)
    if not is_known or row is None or account is None:
        raise ForgedState(
            "this answer was not asked for from here; open Integrations, Heap and authenticate again"
        )
    closed = {"state_hash": None, "session_hash": None, "verifier_sealed": None}
    _update(connection, account, closed, now)
    window = msgspec.json.decode(seal.open(row.verifier_sealed), type=Window)
    if from_ms(window.until_ms) <= now:
        raise ForgedState("the window was open for more than ten minutes; authenticate again")
    return account, window


def connect(
    connection: sa.Connection,
    seal: Seal,
    account: HeapConnection,
    tokens: Tokens,
    metadata: Metadata,
    *,
    by: str,
    now: datetime,
) -> None:
    """From now on webhooks with this id token are the account's. Raises HeapAccountConnected."""
    if account.is_connected:
        raise HeapAccountConnected("a Heap account is connected already; disconnect it first")
    is_same = (account.heap_account, account.heap_environment) == (
        metadata.account.name,
        metadata.environment_name,
    )
    if not is_same:
        _set_apart(connection, account)
    values = {
        "token_sealed": seal.close(tokens.access_token),
        "id_token": tokens.id_token,
        "connected_by": by,
        "connected_at": now,
        "disconnected_at": None,
        "error": "",
        "failed_at": None,
        "heap_account": metadata.account.name[:200],
        "heap_environment": metadata.environment_name,
    }
    _update(connection, account, values, now)


def _set_apart(connection: sa.Connection, account: HeapConnection) -> None:
    """Audiences of another account keep their lists; a segment that happens to have the same number is another one."""
    former = sa.literal(FORMER) + sa.cast(heap_audiences.c.id, sa.String)
    of_account = heap_audiences.c.connection_id == account.id
    connection.execute(sa.update(heap_audiences).where(of_account).values(heap_id=former))


def disconnect(connection: sa.Connection, account: HeapConnection, now: datetime) -> None:
    """Lists stay as they are. A client that another Cairn registered for us goes with the permission."""
    values: dict[str, Any] = {"token_sealed": None, "id_token": None, "disconnected_at": now}
    if account.host != HEAP:
        values |= {"client_id": "", "client_secret_sealed": None, "webhook_secret_sealed": None}
    _update(connection, account, values, now)


def disable(connection: sa.Connection, account: HeapConnection) -> None:
    """Raises HeapAccountConnected; and Conflict while audiences are left, whose lists a flag may ask for."""
    if account.is_connected:
        raise HeapAccountConnected("the Heap account is connected; disconnect it first")
    left = sa.select(sa.func.count()).where(heap_audiences.c.connection_id == account.id)
    if number := connection.execute(left).scalar_one():
        raise Conflict(f"{number} audiences of the Heap account are left; remove them first")
    connection.execute(sa.delete(heap_connections).where(heap_connections.c.id == account.id))


def note_error(connection: sa.Connection, account: HeapConnection, error: str, now: datetime) -> None:
    """What keeps the account from being connected; empty: nothing any more."""
    _update(connection, account, {"error": error[:1000], "failed_at": now if error else None}, now)


def _update(
    connection: sa.Connection, account: HeapConnection, values: dict[str, Any], now: datetime
) -> None:
    of_this = heap_connections.c.id == account.id
    connection.execute(sa.update(heap_connections).where(of_this).values(**values, updated_at=now))
