"""A table in a PostgreSQL of one's own: a row for each message, once."""

import asyncio
import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, LiteralString

from cairn.errors import Unavailable
from cairn.routing.columns import NAMES, Row, row_of
from cairn.routing.destination import (
    Batch,
    Configuration,
    Destination,
    Locate,
    Request,
    Setting,
    Verdict,
)
from cairn.routing.message import Message

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_MOST_MESSAGES = 1_000
_MOST_BYTES = 4_000_000
_CONNECT_S = 10
_STATEMENT_MS: Literal[20_000] = 20_000
_LONGEST_NAME = 63  # bytes of an identifier
_SHOWN = 300  # characters of what the database says
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")  # one host: no socket's path, no list

_SETTINGS = (
    Setting("host", "Host", "Name or address of the server.", is_required=True),
    Setting("port", "Port", "5432 unless it was changed.", kind="number", default=5432),
    Setting("database", "Database", "It must exist.", is_required=True),
    Setting("user", "User", "One that may create the table, or insert into it.", is_required=True),
    Setting("password", "Password", "The user's.", kind="secret"),
    Setting("schema", "Schema", "It must exist.", is_required=True, default="public"),
    Setting(
        "table",
        "Table",
        "Made with the first message where there is none.",
        is_required=True,
        default="events",
    ),
    Setting(
        "encryption",
        "Encryption",
        "Checked: by a certificate of a public authority for the host's name. Without encryption only hosts that an "
        "operator allows are reached.",
        kind="choice",
        default="require",
        choices=(
            ("verify-full", "Encrypted, and the server's name checked"),
            ("require", "Encrypted"),
            ("disable", "Not encrypted"),
        ),
    ),
)

# The same for every connection: what the operator's own files and environment would add stays out.
_FIXED = {
    "application_name": "cairn",
    "connect_timeout": _CONNECT_S,
    "gssencmode": "disable",
    "client_encoding": "UTF8",
    "passfile": os.devnull,
    "sslcert": "/nonexistent/none",
    "sslkey": "/nonexistent/none",
    "sslcrl": "",
    "target_session_attrs": "any",
}
_CREATE: LiteralString = """CREATE TABLE IF NOT EXISTS {table} (
    message_id text PRIMARY KEY,
    type text NOT NULL,
    event text,
    user_id text,
    anonymous_id text,
    "timestamp" timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    body jsonb NOT NULL
)"""
# In one statement, whose size does not grow with the number of rows.
_INSERT: LiteralString = """INSERT INTO {table}
    (message_id, type, event, user_id, anonymous_id, "timestamp", received_at, body)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::jsonb[]
) ON CONFLICT DO NOTHING"""


async def _send(messages: Sequence[Message], configuration: Configuration, locate: Locate) -> Verdict:
    rows = [row_of(message) for message in messages]
    try:
        import psycopg
    except ImportError:
        return Verdict(detail="Cairn was installed without psycopg; install its extra: cairn[postgres]")
    try:
        async with await _connected(configuration, locate) as connection:
            if rows:
                await _insert(connection, rows, configuration)
            else:
                await connection.execute("SELECT 1")
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        # Of a table with rules of its own, which a message breaks.
        return Verdict(is_final=True, detail=_said(error))
    except (psycopg.Error, Unavailable, OSError) as error:
        return Verdict(detail=_said(error))
    return Verdict(is_delivered=True)


async def _connected(configuration: Configuration, locate: Locate) -> "psycopg.AsyncConnection[Any]":
    """To the address that was checked; the host's name is for the certificate. Raises Unavailable, psycopg.Error."""
    import psycopg

    settings = configuration.settings
    encryption, port = settings["encryption"], settings["port"] or 5432
    address = await asyncio.to_thread(locate, settings["host"], port, encryption != "disable")
    parameters: dict[str, Any] = {  # Any: texts and numbers
        **_FIXED,
        "host": settings["host"],
        "hostaddr": address,
        "port": port,
        "dbname": settings["database"],
        "user": settings["user"],
        "password": configuration.secrets.get("password", ""),
        "sslmode": encryption,
        "sslrootcert": "system" if encryption == "verify-full" else "/nonexistent/none",
    }
    # Without prepared statements and start-up options it works behind poolers of connections as well.
    connection = await psycopg.AsyncConnection.connect(prepare_threshold=None, **parameters)
    await _limit(connection)
    return connection


async def _limit(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Of the transaction that begins with it."""
    await connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}")


async def _insert(
    connection: "psycopg.AsyncConnection[Any]", rows: Sequence[Row], configuration: Configuration
) -> None:
    """In one transaction, which the connection's own end commits."""
    import psycopg
    from psycopg import sql

    table = sql.Identifier(configuration.settings["schema"], configuration.settings["table"])
    columns = [[getattr(row, name) for row in rows] for name in NAMES]
    insert = sql.SQL(_INSERT).format(table=table)
    try:
        await connection.execute(insert, columns)
    except psycopg.errors.UndefinedTable:
        await connection.rollback()
        await _create(connection, table)
        await _limit(connection)
        await connection.execute(insert, columns)


async def _create(connection: "psycopg.AsyncConnection[Any]", table: "sql.Identifier") -> None:
    import psycopg
    from psycopg import sql

    try:
        await connection.execute(sql.SQL(_CREATE).format(table=table))
        await connection.commit()
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
        await connection.rollback()  # another batch made it at the same time


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:_SHOWN] or type(error).__name__


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    """Nothing: `_send` does it. Raises NotForDestination for a message that is no row."""
    for message in messages:
        row_of(message)
    return []


def _check(configuration: Configuration) -> dict[str, str]:
    settings, problems = configuration.settings, {}
    if not _HOST.fullmatch(settings["host"]):
        problems["host"] = "expected the name or address of one server"
    if settings["port"] not in (None, "") and not (
        isinstance(settings["port"], int) and 1 <= settings["port"] <= 65_535
    ):
        problems["port"] = "expected 1 to 65535"
    for key in ("database", "user", "schema", "table"):
        if not (settings[key].isprintable() and 0 < len(settings[key].encode()) <= _LONGEST_NAME):
            problems[key] = f"expected up to {_LONGEST_NAME} bytes that can be shown"
    return problems


DESTINATION = Destination(
    slug="postgresql_table",
    name="PostgreSQL table",
    summary="Inserts calls of every type into a table of your PostgreSQL, each message once.",
    settings=_SETTINGS,
    prepare=_prepare,
    send=_send,
    batch=Batch(_MOST_MESSAGES, _MOST_BYTES),
    check=_check,
    is_storage=True,
)
