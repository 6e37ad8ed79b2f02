"""The event store's copy of the user map, brought up to date at the start.

A merge is committed to the metadata database first and copied second; a crash between the two leaves a gap at the
end of the history, which is copied again here. Copying twice is harmless: the newest version wins.
"""

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.db.tables import merges
from cairn.identity.joins import joined_to
from cairn.identity.merges import canonical
from cairn.store.store import MapChange, Store

_OVERLAP = 20_000  # history items copied again at every start; far more than are ever under way at once


def copy_map(engine: sa.Engine, store: Store) -> int:
    """Copy the end of the history, or all of it into an empty store; return how many changes were sent."""
    after = max(0, store.user_map_version() - _OVERLAP)
    newest = sa.select(sa.func.max(merges.c.id)).group_by(merges.c.environment_id, merges.c.user_id)
    statement = sa.select(merges).where(
        merges.c.id > after, merges.c.id.in_(newest.where(merges.c.id > after))
    )
    with reading(engine) as connection:
        changes = [
            MapChange(
                row.environment_id,
                row.user_id,
                row.user_id if row.kind == "unmerge" else row.canonical_id,
                row.id,
            )
            for row in connection.execute(statement.order_by(merges.c.id))
        ]
        changes += joined_to(connection, changes)
        changes = _followed(connection, changes)
    if changes:
        store.insert_user_map(changes)
    return len(changes)


def _followed(connection: sa.Connection, changes: list[MapChange]) -> list[MapChange]:
    """Each to its end: a joined visitor leads to an id that may be merged itself."""
    ends: dict[tuple[int, int], int] = {}
    for environment_id in {change.environment_id for change in changes}:
        targets = {change.canonical_id for change in changes if change.environment_id == environment_id}
        leads = canonical(connection, environment_id, targets)
        ends |= {(environment_id, target): end for target, end in leads.items()}
    return [
        MapChange(
            change.environment_id,
            change.user_id,
            ends.get((change.environment_id, change.canonical_id), change.canonical_id),
            change.version,
        )
        for change in changes
    ]
