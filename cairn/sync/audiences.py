"""Audiences: the segments of a Heap account, and the lists that hold their members.

An audience is on offer from its first webhook on, because Heap sends only what changed since the one before: its
members are kept, and no rule can ask about them until somebody adds it.
"""

from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import heap_audiences
from cairn.db.tables import attribute_lists
from cairn.errors import LimitExceeded, NotFound
from cairn.ids import new_list_id

KIND = "heap"  # of the attribute lists
MOST_AUDIENCES = 1_000  # of one account, on offer or added


class AudienceNotFound(NotFound):
    """There is no such audience of the Heap account, or it belongs to another workspace."""

    code = "audience_not_found"


class TooManyAudiences(LimitExceeded):
    """A Heap account may sync 1,000 segments to a workspace. Stop the sync of some at Heap, and remove them here."""

    code = "too_many_audiences"


class Audience(Struct, frozen=True):
    id: int
    connection_id: int
    heap_id: str
    name: str
    list_id: str
    is_added: bool
    added_last: int
    removed_last: int
    synced_at: datetime | None
    error: str
    failed_at: datetime | None
    first_seen_at: datetime


_COLUMNS = [heap_audiences.c[name] for name in Audience.__struct_fields__]


def list_audiences(
    connection: sa.Connection, connection_id: int, *, is_added: bool | None = None
) -> list[Audience]:
    """By name."""
    query = sa.select(*_COLUMNS).where(heap_audiences.c.connection_id == connection_id)
    if is_added is not None:
        query = query.where(heap_audiences.c.is_added == is_added)
    rows = connection.execute(query.order_by(heap_audiences.c.name, heap_audiences.c.id))
    return [Audience(*row) for row in rows]


def get_audience(connection: sa.Connection, connection_id: int, audience_id: int) -> Audience:
    """Raises AudienceNotFound."""
    query = sa.select(*_COLUMNS).where(
        heap_audiences.c.connection_id == connection_id, heap_audiences.c.id == audience_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise AudienceNotFound(f"this workspace's Heap account has no audience {audience_id}")
    return Audience(*row)


def offer(
    connection: sa.Connection,
    connection_id: int,
    environment_id: int,
    *,
    heap_id: str,
    name: str,
    now: datetime,
) -> Audience:
    """The audience of a segment at Heap, by its present name; on offer from now on if it is new.

    Raises TooManyAudiences.
    """
    known = connection.execute(
        sa.select(*_COLUMNS).where(
            heap_audiences.c.connection_id == connection_id, heap_audiences.c.heap_id == heap_id
        )
    ).first()
    if known is not None:
        audience = Audience(*known)
        return audience if audience.name == name else _rename(connection, audience, name, now)
    _check_room(connection, connection_id)
    list_id = new_list_id()
    of_list = {
        "environment_id": environment_id,
        "name": name,
        "kind": KIND,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(sa.insert(attribute_lists).values(id=list_id, **of_list))
    row = {
        "connection_id": connection_id,
        "heap_id": heap_id,
        "name": name,
        "list_id": list_id,
        "first_seen_at": now,
    }
    inserted = connection.execute(sa.insert(heap_audiences).values(**row).returning(heap_audiences.c.id))
    return get_audience(connection, connection_id, inserted.scalar_one())


def _check_room(connection: sa.Connection, connection_id: int) -> None:
    query = sa.select(sa.func.count()).where(heap_audiences.c.connection_id == connection_id)
    if connection.execute(query).scalar_one() >= MOST_AUDIENCES:
        raise TooManyAudiences(
            f"data.segment.id: {MOST_AUDIENCES} segments of this account are known already; remove some in Cairn"
        )


def _rename(connection: sa.Connection, audience: Audience, name: str, now: datetime) -> Audience:
    """The segment has another name at Heap."""
    of_this = heap_audiences.c.id == audience.id
    connection.execute(sa.update(heap_audiences).where(of_this).values(name=name))
    of_list = attribute_lists.c.id == audience.list_id
    connection.execute(sa.update(attribute_lists).where(of_list).values(name=name, updated_at=now))
    return get_audience(connection, audience.connection_id, audience.id)


def add_audience(connection: sa.Connection, audience_id: int) -> None:
    """Offer its list to rules. Idempotent."""
    of_this = heap_audiences.c.id == audience_id
    connection.execute(sa.update(heap_audiences).where(of_this).values(is_added=True))


def remove_audience(connection: sa.Connection, audience: Audience, *, is_synced: bool) -> None:
    """Take it from those to choose. What is still synced stays on offer; else its list is deleted."""
    of_this = heap_audiences.c.id == audience.id
    if is_synced:
        connection.execute(sa.update(heap_audiences).where(of_this).values(is_added=False))
        return
    connection.execute(sa.delete(heap_audiences).where(of_this))
    connection.execute(sa.delete(attribute_lists).where(attribute_lists.c.id == audience.list_id))


def note_failure(
    connection: sa.Connection, connection_id: int, heap_id: str, error: str, now: datetime
) -> int | None:
    """Something of the segment's sync went wrong; the audience's id, where there is one."""
    of_segment = (heap_audiences.c.connection_id == connection_id) & (heap_audiences.c.heap_id == heap_id)
    failed_at = sa.func.coalesce(heap_audiences.c.failed_at, sa.literal(now, heap_audiences.c.failed_at.type))
    changed = connection.execute(
        sa.update(heap_audiences)
        .where(of_segment)
        .values(error=error, failed_at=failed_at)
        .returning(heap_audiences.c.id)
    )
    return changed.scalar()


def note_applied(
    connection: sa.Connection, audience_id: int, *, added: int, removed: int, now: datetime
) -> None:
    values = {"added_last": added, "removed_last": removed, "synced_at": now, "error": "", "failed_at": None}
    of_this = heap_audiences.c.id == audience_id
    connection.execute(sa.update(heap_audiences).where(of_this).values(**values))
