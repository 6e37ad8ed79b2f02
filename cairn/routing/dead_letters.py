"""Messages that a connection gave up: looked at, sent again, deleted. Delivery writes them, and sends those again
whose `redrive_at` is set.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.routing_tables import dead_letters
from cairn.errors import NotFound

_Json = dict[str, Any]  # Any: JSON


class DeadLetter(Struct, frozen=True):
    id: int
    kind: str
    event: str
    user_id: str
    anonymous_id: str
    reason: str  # one of routing.outcome.Discard
    detail: str
    attempts: int
    failed_at: datetime
    expires_at: datetime
    redrive_at: datetime | None  # it is going to be sent again


class WholeLetter(Struct, frozen=True):
    letter: DeadLetter
    message: Any  # Any: JSON, also what is none
    request: Any  # without secrets; None: nothing was sent
    answer: Any  # None: there was none


class DeadLetterNotFound(NotFound):
    """The connection has no such dead letter: it was sent, deleted or has expired."""

    code = "dead_letter_not_found"


_COLUMNS = tuple(dead_letters.c[name] for name in DeadLetter.__struct_fields__)


def list_letters(
    connection: sa.Connection, connection_id: int, *, reason: str = "", before: int = 0, limit: int = 50
) -> list[DeadLetter]:
    """The newest first. `before`: only those older than this one; 0: from the newest on."""
    query = sa.select(*_COLUMNS).where(*_these(connection_id, reason))
    if before:
        query = query.where(dead_letters.c.id < before)
    rows = connection.execute(query.order_by(dead_letters.c.id.desc()).limit(limit))
    return [DeadLetter(*row) for row in rows]


def count_letters(connection: sa.Connection, connection_id: int) -> dict[str, int]:
    """Reason -> how many, the most first."""
    number = sa.func.count()
    query = (
        sa.select(dead_letters.c.reason, number)
        .where(dead_letters.c.connection_id == connection_id)
        .group_by(dead_letters.c.reason)
        .order_by(number.desc(), dead_letters.c.reason)
    )
    return {reason: count for reason, count in connection.execute(query)}


def get_letter(connection: sa.Connection, connection_id: int, letter_id: int) -> WholeLetter:
    """Raises DeadLetterNotFound."""
    documents = (dead_letters.c.message, dead_letters.c.request, dead_letters.c.answer)
    query = sa.select(*_COLUMNS, *documents).where(*_these(connection_id), dead_letters.c.id == letter_id)
    row = connection.execute(query).first()
    if row is None:
        raise DeadLetterNotFound(f"no dead letter {letter_id} of this connection", field="letter_id")
    return WholeLetter(DeadLetter(*row[:-3]), *row[-3:])


def redrive_letter(
    connection: sa.Connection, connection_id: int, letter_id: int, now: datetime
) -> DeadLetter:
    """Ask delivery to send it again. Raises DeadLetterNotFound."""
    get_letter(connection, connection_id, letter_id)
    is_it = dead_letters.c.id == letter_id
    connection.execute(sa.update(dead_letters).where(is_it).values(redrive_at=now))
    return get_letter(connection, connection_id, letter_id).letter


def redrive_letters(connection: sa.Connection, connection_id: int, reason: str, now: datetime) -> int:
    """All of a connection, or those of a reason; how many are sent again now that were not before."""
    waiting = dead_letters.c.redrive_at.is_(None)
    asked = sa.update(dead_letters).where(*_these(connection_id, reason), waiting).values(redrive_at=now)
    return connection.execute(asked).rowcount


def delete_letter(connection: sa.Connection, connection_id: int, letter_id: int) -> None:
    """Raises DeadLetterNotFound."""
    get_letter(connection, connection_id, letter_id)
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.id == letter_id))


def delete_letters(connection: sa.Connection, connection_id: int, reason: str = "") -> int:
    """All of a connection, or those of a reason; how many it were."""
    return connection.execute(sa.delete(dead_letters).where(*_these(connection_id, reason))).rowcount


def _these(connection_id: int, reason: str = "") -> list[sa.ColumnElement[bool]]:
    clauses = [dead_letters.c.connection_id == connection_id]
    return [*clauses, dead_letters.c.reason == reason] if reason else clauses
