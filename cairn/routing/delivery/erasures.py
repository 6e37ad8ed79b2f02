"""Users who were deleted while messages of theirs were on their way: the privacy job asks, delivery drops and says so.

The messages in memory, and those that lanes still read, are dropped; the job itself deletes what is in the log and in
tables.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.db.routing_tables import delivery_erasures
from cairn.routing.delivery.erased import Erasure

# Those that came first have been passed by every lane long ago.
_MOST_KNOWN = 1_000


def ask_erasure(
    connection: sa.Connection, environment_id: int, names: Collection[str], until: int, now: datetime
) -> int:
    """Return the id to ask for with `is_acknowledged`. `until`: the log's newest entry."""
    row = {
        "environment_id": environment_id,
        "names": sorted(names),
        "until": until,
        "is_acknowledged": False,
        "created_at": now,
    }
    inserted = sa.insert(delivery_erasures).values(**row).returning(delivery_erasures.c.id)
    return int(connection.execute(inserted).scalar_one())


def are_acknowledged(connection: sa.Connection, erasure_ids: Collection[int]) -> bool:
    waiting = sa.select(delivery_erasures.c.id).where(
        delivery_erasures.c.id.in_(erasure_ids), ~delivery_erasures.c.is_acknowledged
    )
    return connection.execute(waiting.limit(1)).first() is None


def withdraw(connection: sa.Connection, erasure_ids: Collection[int]) -> None:
    """The users are gone everywhere: their names are kept no longer."""
    connection.execute(sa.delete(delivery_erasures).where(delivery_erasures.c.id.in_(erasure_ids)))


class Pending:
    """What delivery has been asked for."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.known: tuple[Erasure, ...] = ()

    def read(self) -> list[tuple[int, Erasure]]:
        """Those that wait, by their ids."""
        query = sa.select(delivery_erasures).where(~delivery_erasures.c.is_acknowledged)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(delivery_erasures.c.id)).all()
        return [(row.id, Erasure(row.environment_id, frozenset(row.names), row.until)) for row in rows]

    def add(self, erasure: Erasure) -> None:
        self.known = (*self.known, erasure)[-_MOST_KNOWN:]

    def acknowledge(self, erasures: Sequence[tuple[int, Erasure]]) -> None:
        ids = [erasure_id for erasure_id, _ in erasures]
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(delivery_erasures)
                .where(delivery_erasures.c.id.in_(ids))
                .values(is_acknowledged=True, names=[])
            )
