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
from cairn.conditions.tree import EVERYBODY, Condition
from cairn.db.tables import segment_states, segments
from cairn.definitions.matching import needs_resolving
from cairn.errors import InvalidInput
from cairn.members.sets import list_set, users_set
from cairn.segments.leaves import Leaves, Ready

logger = logging.getLogger(__name__)

WatchedId = tuple[int, int]  # (environment id, segment id)


class Watched(Struct, eq=False):
    """One segment in one environment. Mutable: only the evaluating thread touches it."""

    environment_id: int
    segment_id: int
    key: str
    list_id: str
    version: int
    condition: Condition
    needs_resolving: bool  # does it name defined events, which change their meaning with new elements?
    ready: Ready  # the same with its defined events as they are now; what the store is asked
    counted_version: int = 0  # the definition that the members were counted from; 0: never counted
    is_caught_up: bool = False  # counted since this process started: what happened before is in
    due_ms: int = 0  # when the next full count is due
    counted_ms: int = 0
    count_ms: int = 0
    users: int = 0
    identified: int = 0
    drift: int = 0
    error: str = ""  # why it is not live; empty: it is
    failed_ms: int = 0  # since when; 0: it is live
    failures: int = 0  # in a row
    is_unreadable: bool = False  # its stored condition cannot be read; only an edit helps
    is_saved: bool = True
    # Differences a recount found, and since when: the loader may still be about to name these users.
    suspects: set[int] = msgspec.field(default_factory=set)
    suspected_ms: int = 0

    @property
    def watched_id(self) -> WatchedId:
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

    @property
    def is_live(self) -> bool:
        """Does it follow what happens? One that failed waits for its full count, which makes up for what it missed."""
        return self.is_current and not self.failures

    def fail(self, error: str, now_ms: int, *, retry_ms: int) -> None:
        """It stops being live. Its touched users are not kept: the full count that follows makes up for them."""
        self.failed_ms = self.failed_ms or now_ms
        self.error, self.is_caught_up, self.is_saved = error, False, False
        self.due_ms = now_ms + retry_ms
        self.failures += 1


def read_watched(
    connection: sa.Connection, earlier: dict[WatchedId, Watched], leaves: Leaves, now_ms: int
) -> dict[WatchedId, Watched]:
    """The segments defined now. Those already known keep their state; a changed condition replaces the old one.

    Conditions are read only when their version is new, as some are long. One that cannot be read fails.
    """
    rows = connection.execute(
        sa.select(segments.c.version.label("defined_version"), segments.c.key, segment_states).join(
            segment_states, segment_states.c.segment_id == segments.c.id
        )
    ).all()
    conditions: dict[int, Condition | InvalidInput] = {}
    watched_segments: dict[WatchedId, Watched] = {}
    for row in rows:
        watched_id = (row.environment_id, row.segment_id)
        watched = earlier.get(watched_id)
        if watched is None or watched.version != row.defined_version:
            if row.segment_id not in conditions:
                conditions[row.segment_id] = _condition(connection, row.segment_id)
            watched = _renewed(row, conditions[row.segment_id], watched, leaves, now_ms)
        watched_segments[watched_id] = watched
    return watched_segments


def _condition(connection: sa.Connection, segment_id: int) -> Condition | InvalidInput:
    query = sa.select(segments.c.condition).where(segments.c.id == segment_id)
    try:
        return parse(connection.execute(query).scalar_one())
    except InvalidInput as error:
        return error


def _renewed(
    row: sa.Row[Any],  # Any: a joined row
    condition: Condition | InvalidInput,
    earlier: Watched | None,
    leaves: Leaves,
    now_ms: int,
) -> Watched:
    unreadable = condition if isinstance(condition, InvalidInput) else None
    read = EVERYBODY if isinstance(condition, InvalidInput) else condition
    try:
        ready = leaves.ready(read)
    except InvalidInput as error:
        unreadable, ready = error, leaves.ready(EVERYBODY)
    watched = earlier or _watched(row, read, ready)
    watched.version, watched.condition, watched.ready = row.defined_version, read, ready
    watched.needs_resolving = needs_resolving(read)
    watched.due_ms, watched.failures, watched.suspects = 0, 0, set()
    watched.is_unreadable = unreadable is not None
    if unreadable is not None:
        logger.error("segment %s cannot be read and is not counted: %s", row.segment_id, unreadable)
        watched.fail(f"its stored condition cannot be read: {unreadable}", now_ms, retry_ms=0)
    return watched


def _watched(row: sa.Row[Any], condition: Condition, ready: Ready) -> Watched:  # Any: a joined row
    return Watched(
        environment_id=row.environment_id,
        segment_id=row.segment_id,
        key=row.key,
        list_id=row.list_id,
        version=row.defined_version,
        condition=condition,
        needs_resolving=False,
        ready=ready,
        counted_version=row.version,
        counted_ms=_ms(row.counted_at),
        count_ms=row.count_ms,
        users=row.users,
        identified=row.identified,
        drift=row.drift,
        error=row.error,
        failed_ms=_ms(row.failed_at),
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
                version=watched.counted_version,
                users=watched.users,
                identified=watched.identified,
                counted_at=_moment(watched.counted_ms),
                drift=watched.drift,
                count_ms=watched.count_ms,
                error=watched.error,
                failed_at=_moment(watched.failed_ms),
            )
        )


def _ms(moment: datetime | None) -> int:
    return to_ms(moment) if moment else 0


def _moment(ms: int) -> datetime | None:
    return from_ms(ms) if ms else None
