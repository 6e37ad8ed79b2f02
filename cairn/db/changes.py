"""Counting the committed changes of what is published, on any engine, by any process and connection.

The count is a row that a transaction raises as the last thing before it commits, so that the row is locked for a
moment only, and whoever sees a new count sees the change too.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from cairn.db.tables import metadata, published_changes

# Nothing that the edge or the gateway serves is made of these. Any other table counts, a new one too.
# Counting a segment writes its state; what is published of a state is its list, which is a row of its own. So it is
# with syncs.
NOT_PUBLISHED = frozenset(
    {
        "aliases",
        "api_tokens",
        "deletions",
        "edits",
        "heap_audiences",
        "heap_connections",
        "heap_tasks",
        "jobs",
        "label_grants",
        "label_sites",
        "members",
        "merges",
        "outbound_hooks",
        "outbound_messages",
        "partner_apps",
        "partner_codes",
        "partner_grants",
        "published_changes",
        "segment_states",
        "segment_syncs",
        "sessions",
        "sync_targets",
        "sync_tasks",
        "user_map",
    }
)
_MARK = "cairn_published_changed"


def count_changes(engine: sa.Engine) -> None:
    event.listen(engine, "begin", _begin)
    event.listen(engine, "after_execute", _note)
    event.listen(engine, "commit", _count)


def changes_counted(connection: sa.Connection) -> int:
    """A number that rises with every committed change of what is published."""
    return int(connection.execute(sa.select(published_changes.c.number)).scalar_one())


def _begin(connection: sa.Connection) -> None:
    connection.info.pop(_MARK, None)  # of a transaction that was rolled back


def _note(connection: sa.Connection, statement: Any, *_details: Any) -> None:  # Any: SQLAlchemy's own event
    if isinstance(statement, sa.sql.dml.UpdateBase):
        table = statement.table
        if isinstance(table, sa.Table) and table.metadata is metadata and table.name not in NOT_PUBLISHED:
            connection.info[_MARK] = True


def _count(connection: sa.Connection) -> None:
    if connection.info.pop(_MARK, False):
        connection.execute(sa.update(published_changes).values(number=published_changes.c.number + 1))
