"""Flag visitors that stand for a user: rows of the user map without an identity.

A flag SDK names its users by a hash. What came under the hash before its user was known is joined to that user's raw
id when it becomes known. Unlike a merge, a join gives no identity: the visitor belongs to whomever the raw id belongs
to, now and after later merges and un-merges of that id.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.among import among
from cairn.db.engine import Lock, take
from cairn.db.tables import merges, user_map
from cairn.identity.merges import Merge, canonical
from cairn.store.store import MapChange

CAUSE = "flag visitor"


class Join(Struct, frozen=True):
    """What came under this visitor is this raw user's."""

    environment_id: int
    visitor_id: int
    user_id: int
    at: datetime


def join_all(connection: sa.Connection, joins: Sequence[Join]) -> list[Merge]:
    """Append to map and history. Shape: what was joined now or before, leading to the canonical id.

    A visitor that has a history stays as it is: what a person took apart stays apart. Idempotent.
    """
    take(connection, Lock.MERGES)
    done: list[Merge] = []
    for environment_id in sorted({join.environment_id for join in joins}):
        own = {join.visitor_id: join for join in joins if join.environment_id == environment_id}
        settled = with_history(connection, environment_id, own)
        for join in (join for visitor_id, join in own.items() if visitor_id not in settled):
            _append(connection, join)
        done += joined(connection, environment_id, own)
    return done


def with_history(connection: sa.Connection, environment_id: int, user_ids: Iterable[int]) -> set[int]:
    """Those of these ids that were ever merged, joined or taken apart."""
    statement = sa.select(merges.c.user_id).where(
        merges.c.environment_id == environment_id, among(merges.c.user_id, user_ids)
    )
    return set(connection.execute(statement.distinct()).scalars())


def joined(connection: sa.Connection, environment_id: int, visitor_ids: Iterable[int]) -> list[Merge]:
    """Those of these visitors that are joined to a user, leading to the canonical id."""
    leads = canonical(connection, environment_id, visitor_ids)
    statement = (
        sa.select(merges.c.user_id, sa.func.max(merges.c.id))
        .where(merges.c.environment_id == environment_id, among(merges.c.user_id, leads))
        .group_by(merges.c.user_id)
    )
    return [
        Merge(environment_id, user_id, leads[user_id], "", version, is_new=True)
        for user_id, version in connection.execute(statement)
    ]


def joined_to(connection: sa.Connection, changes: Sequence[MapChange]) -> list[MapChange]:
    """The visitors that were joined to changed ids, and so go where these go."""
    found = []
    for environment_id in {change.environment_id for change in changes}:
        own = {change.user_id: change for change in changes if change.environment_id == environment_id}
        statement = sa.select(user_map.c.user_id, user_map.c.canonical_id).where(
            user_map.c.environment_id == environment_id,
            among(user_map.c.canonical_id, own),
            user_map.c.identity == "",
        )
        for row in connection.execute(statement):
            change = own[row.canonical_id]
            found.append(MapChange(environment_id, row.user_id, change.canonical_id, change.version))
    return found


def _append(connection: sa.Connection, join: Join) -> None:
    row = {
        "environment_id": join.environment_id,
        "user_id": join.visitor_id,
        "canonical_id": join.user_id,
        "identity": "",
    }
    connection.execute(sa.insert(user_map).values(**row, merged_at=join.at))
    connection.execute(sa.insert(merges).values(**row, kind="merge", cause=CAUSE, at=join.at))
