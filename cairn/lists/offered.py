"""The attribute lists that rules may name by their id: a team's own, and audiences that somebody has added.

Lists of segments are named by their segment. An audience that is only on offer cannot be asked for.
"""

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import heap_audiences
from cairn.db.tables import attribute_lists

SEGMENT, HEAP = "segment", "heap"  # kinds of lists


class OfferedList(Struct, frozen=True):
    id: str
    name: str
    kind: str  # static, heap


def offered_lists(connection: sa.Connection, environment_id: int) -> list[OfferedList]:
    """By name."""
    query = (
        sa.select(attribute_lists.c.id, attribute_lists.c.name, attribute_lists.c.kind)
        .where(attribute_lists.c.environment_id == environment_id, attribute_lists.c.kind != SEGMENT)
        .where(may_be_asked())
        .order_by(attribute_lists.c.name, attribute_lists.c.id)
    )
    return [OfferedList(*row) for row in connection.execute(query)]


def may_be_asked() -> sa.ColumnElement[bool]:
    """Of a row of `attribute_lists`."""
    added = sa.select(heap_audiences.c.list_id).where(heap_audiences.c.is_added)
    return (attribute_lists.c.kind != HEAP) | attribute_lists.c.id.in_(added)
