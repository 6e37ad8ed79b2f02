"""The segments that are kept live: one per segment and environment, read from their definitions again and again."""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import from_ms, to_ms
from cairn.conditions.check import parse
from cairn.conditions.clause import NOT_BEHAVIOUR
from cairn.conditions.to_sql import Relevance, relevance
from cairn.conditions.tree import Condition, ElementMatch, EventMatch, ResolvedMatch
from cairn.db.tables import segment_states, segments
from cairn.errors import InvalidInput
from cairn.ingest.loaded import Loaded
from cairn.members.sets import list_set, users_set

logger = logging.getLogger(__name__)

Place = tuple[int, int]  # (environment id, segment id)


class Watched(Struct, eq=False):
    """One segment in one environment. Mutable: only the evaluating thread touches it."""

    environment_id: int
    segment_id: int
    key: str
    list_id: str
    version: int
    condition: Condition
    resolved: Condition  # the same with its defined events as they stand; what the store is asked
    relevance: Relevance
    counted_version: int = 0  # the definition that the members were counted from; 0: never counted
    is_caught_up: bool = False  # counted since this process started: what happened before is in
    due_ms: int = 0  # when the next full count is due
    swept_ms: int = 0  # 0: never swept
    counted_ms: int = 0
    count_ms: int = 0
    users: int = 0
    identified: int = 0
    drift: int = 0
    error: str = ""
    failures: int = 0  # in a row
    is_saved: bool = True
    # Differences a recount found, and since when: the loader may still be about to name these users.
    suspects: set[int] = msgspec.field(default_factory=set)
    suspected_ms: int = 0

    @property
    def place(self) -> Place:
        return self.environment_id, self.segment_id

    @property
    def users_set(self) -> str:
        return users_set(self.environment_id, self.segment_id)

    @property
    def list_set(self) -> str:
        return list_set(self.list_id)

    @property
    def is_current(self) -> bool:
        """Do the members belong to the definition in force?"""
        return self.counted_version == self.version

    def candidates(self, loaded: Loaded) -> set[int]:
        """Raw users among those touched whose answer can have changed by what the condition mentions.

        One who got a name is none of them: that changes what a member is called, not who is one.
        """
        found = set(loaded.merged)
        for (kind, name), users in loaded.by_event.items():
            if any(mentions(event, kind, name) for event in self.relevance.events):
                found |= users
        for key, users in loaded.by_property.items():
            if key in self.relevance.property_keys:
                found |= users
        return found


def mentions(event: EventMatch | ElementMatch, kind: str, name: str) -> bool:
    """Could an event of this kind and name be one of these?"""
    if isinstance(event, ResolvedMatch):
        return any(mentions(one, kind, name) for one in event.any_of)
    if event.name and event.name != name:
        return False
    return event.kind == kind if event.kind else kind not in NOT_BEHAVIOUR


def read_watched(connection: sa.Connection, known: dict[Place, Watched]) -> dict[Place, Watched]:
    """The segments defined now. Those already known keep their state; a changed condition replaces the old one.

    Conditions are read only when their version is new: this is asked twice a second, and some are long.
    """
    rows = connection.execute(
        sa.select(segments.c.version.label("defined_version"), segments.c.key, segment_states).join(
            segment_states, segment_states.c.segment_id == segments.c.id
        )
    ).all()
    conditions: dict[int, Condition] = {}
    found: dict[Place, Watched] = {}
    for row in rows:
        place = (row.environment_id, row.segment_id)
        watched = known.get(place)
        if watched is None or watched.version != row.defined_version:
            try:
                condition = conditions.get(row.segment_id) or _condition(connection, row.segment_id)
                watched = _renewed(row, condition, watched)
            except InvalidInput:
                logger.exception("segment %s cannot be read and is not counted", row.segment_id)
                continue
            conditions[row.segment_id] = condition
        found[place] = watched
    return found


def _condition(connection: sa.Connection, segment_id: int) -> Condition:
    query = sa.select(segments.c.condition).where(segments.c.id == segment_id)
    return parse(connection.execute(query).scalar_one())


def _renewed(row: sa.Row[Any], condition: Condition, known: Watched | None) -> Watched:  # Any: a joined row
    if known is not None:
        known.version, known.condition, known.resolved = row.defined_version, condition, condition
        known.relevance = relevance(condition)
        known.due_ms, known.failures, known.suspects = 0, 0, set()
        return known
    return Watched(
        environment_id=row.environment_id,
        segment_id=row.segment_id,
        key=row.key,
        list_id=row.list_id,
        version=row.defined_version,
        condition=condition,
        resolved=condition,
        relevance=relevance(condition),
        counted_version=row.version,
        swept_ms=_ms(row.swept_at),
        counted_ms=_ms(row.counted_at),
        count_ms=row.count_ms,
        users=row.users,
        identified=row.identified,
        drift=row.drift,
        error=row.error,
    )


def save_states(connection: sa.Connection, changed: Iterable[Watched]) -> None:
    """Write what pages show of segments. One deleted meanwhile is no longer there, which is fine."""
    for watched in changed:
        connection.execute(
            sa.update(segment_states)
            .where(
                segment_states.c.segment_id == watched.segment_id,
                segment_states.c.environment_id == watched.environment_id,
            )
            .values(
                version=watched.counted_version, users=watched.users, identified=watched.identified,
                counted_at=_moment(watched.counted_ms), swept_at=_moment(watched.swept_ms), drift=watched.drift,
                count_ms=watched.count_ms, error=watched.error,
            )
        )  # fmt: skip


def _ms(moment: datetime | None) -> int:
    return to_ms(moment) if moment else 0


def _moment(ms: int) -> datetime | None:
    return from_ms(ms) if ms else None
