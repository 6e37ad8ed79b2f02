"""Writing what delivery gathered into the metadata database, and deleting what is old or a deleted user's."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

from cairn.db.among import among
from cairn.db.routing_tables import (
    connections,
    dead_letters,
    delivery_counts,
    delivery_erasures,
    delivery_samples,
    delivery_states,
)
from cairn.routing.delivery.erased import names_anybody
from cairn.routing.delivery.ledger import Letter, Records, Sample
from cairn.routing.delivery.shown import message_json, read_message
from cairn.routing.message import Message

MOST_SAMPLES = 10  # of a connection, outcome and reason: the newest
MOST_LETTERS = 10_000  # of a connection; what comes after them is counted only
LETTERS_KEPT = timedelta(days=30)
COUNTS_KEPT = timedelta(days=31)
ERASURES_KEPT = timedelta(days=1)  # that nobody withdrew; they name nobody any more
_LETTER_KEY = ["connection_id", "position"]
_MOST_REDRIVEN = 200  # letters of a connection at a time


class State(Struct, frozen=True):
    """How a connection does."""

    connection_id: int
    state: str  # delivering, waiting
    detail: str
    since: datetime
    waiting: int
    retrying: int
    oldest_at: datetime | None


def write_records(
    connection: sa.Connection, records: Records, states: Iterable[State], now: datetime
) -> None:
    """Of connections that were deleted meanwhile nothing is written."""
    known = set(connection.execute(sa.select(connections.c.id)).scalars())
    _add_counts(connection, records, known)
    _add_samples(connection, [sample for sample in records.samples if sample.connection_id in known], now)
    connection.execute(sa.delete(dead_letters).where(among(dead_letters.c.id, records.redriven)))
    _add_letters(connection, [letter for letter in records.letters if letter.connection_id in known])
    for state in states:
        if state.connection_id in known:
            _set_state(connection, state, now)


def forget_old(connection: sa.Connection, now: datetime) -> None:
    oldest = int((now - COUNTS_KEPT).timestamp() // 60)
    connection.execute(sa.delete(delivery_counts).where(delivery_counts.c.minute < oldest))
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.expires_at < now))
    is_old = delivery_erasures.c.created_at < now - ERASURES_KEPT
    connection.execute(sa.delete(delivery_erasures).where(delivery_erasures.c.is_acknowledged, is_old))


class Redrive(Struct, frozen=True):
    """A dead letter that somebody wants to be sent once more."""

    letter_id: int
    at: datetime  # when they asked: another time is another wish
    message: Message


def read_redrives(connection: sa.Connection) -> dict[int, list[Redrive]]:
    """By connection id its oldest ones."""
    is_wanted = dead_letters.c.redrive_at.is_not(None)
    connection_ids = connection.execute(sa.select(dead_letters.c.connection_id).where(is_wanted).distinct())
    wanted: dict[int, list[Redrive]] = {}
    for connection_id in connection_ids.scalars().all():
        query = sa.select(dead_letters.c.id, dead_letters.c.redrive_at, dead_letters.c.message).where(
            is_wanted, dead_letters.c.connection_id == connection_id
        )
        rows = connection.execute(query.order_by(dead_letters.c.id).limit(_MOST_REDRIVEN))
        wanted[connection_id] = [Redrive(row.id, row.redrive_at, read_message(row.message)) for row in rows]
    return wanted


def forget_users(connection: sa.Connection, environment_id: int, names: frozenset[str]) -> None:
    """Delete the samples and dead letters of these users. `names`: as of an `Erasure`."""
    own = sa.select(connections.c.id).where(connections.c.environment_id == environment_id)
    for table in (delivery_samples, dead_letters):
        query = sa.select(table.c.id, table.c.user_id, table.c.anonymous_id)
        rows = connection.execute(query.where(table.c.connection_id.in_(own))).all()
        theirs = [
            row.id for row in rows if names_anybody(names, environment_id, row.user_id, row.anonymous_id)
        ]
        connection.execute(sa.delete(table).where(among(table.c.id, theirs)))


def _add_counts(connection: sa.Connection, records: Records, known: set[int]) -> None:
    rows = [
        {
            "connection_id": count.connection_id,
            "minute": count.minute,
            "outcome": count.outcome,
            "reason": count.reason,
            "latency_ms": count.latency_ms,
            "count": number,
        }
        for count, number in records.counts.items()
        if count.connection_id in known
    ]
    if rows:
        insert = _insert(connection, delivery_counts)
        added = {"count": delivery_counts.c.count + insert.excluded.count}
        connection.execute(
            insert.on_conflict_do_update(index_elements=_key(delivery_counts), set_=added), rows
        )


def _add_samples(connection: sa.Connection, samples: list[Sample], now: datetime) -> None:
    if not samples:
        return
    connection.execute(
        sa.insert(delivery_samples),
        [
            {
                "connection_id": sample.connection_id,
                "outcome": sample.outcome,
                "reason": sample.reason,
                "at": sample.at,
                **_shown(sample),
            }
            for sample in samples
        ],
    )
    for place in {(sample.connection_id, sample.outcome, sample.reason) for sample in samples}:
        is_there = sa.and_(
            delivery_samples.c.connection_id == place[0],
            delivery_samples.c.outcome == place[1],
            delivery_samples.c.reason == place[2],
        )
        newest = sa.select(delivery_samples.c.id).where(is_there).order_by(delivery_samples.c.id.desc())
        last = connection.execute(newest.offset(MOST_SAMPLES).limit(1)).scalar()
        if last is not None:
            connection.execute(sa.delete(delivery_samples).where(is_there, delivery_samples.c.id <= last))


def _add_letters(connection: sa.Connection, letters: list[Letter]) -> None:
    if not letters:
        return
    held = sa.select(dead_letters.c.connection_id, sa.func.count()).group_by(dead_letters.c.connection_id)
    counts: Counter[int] = Counter({row[0]: row[1] for row in connection.execute(held)})
    rows = []
    for letter in letters:
        counts[letter.connection_id] += 1
        if letter.is_again or counts[letter.connection_id] <= MOST_LETTERS:
            rows.append(_letter_row(letter))
    if rows:  # one that is there already was sent once more, or was met again after a crash
        insert = _insert(connection, dead_letters)
        changed = {name: insert.excluded[name] for name in rows[0] if name not in _LETTER_KEY}
        connection.execute(
            insert.on_conflict_do_update(index_elements=_LETTER_KEY, set_=changed | {"redrive_at": None}),
            rows,
        )


def _letter_row(letter: Letter) -> dict[str, Any]:  # Any: each column its own
    return {
        "connection_id": letter.connection_id,
        "position": str(letter.message.position),
        "kind": letter.message.kind,
        "event": letter.message.event,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "failed_at": letter.at,
        "expires_at": letter.at + LETTERS_KEPT,
        **_shown(letter),
    }


def _shown(entry: Sample | Letter) -> dict[str, Any]:  # Any: each column its own
    message: Message = entry.message
    return {
        "detail": entry.exchange.detail,
        "user_id": message.user_id,
        "anonymous_id": message.anonymous_id,
        "message": message_json(message),
        "request": entry.exchange.request,
        "answer": entry.exchange.answer,
    }


def _set_state(connection: sa.Connection, state: State, now: datetime) -> None:
    row = {name: getattr(state, name) for name in state.__struct_fields__} | {"updated_at": now}
    insert = _insert(connection, delivery_states).values(**row)
    changed = {name: insert.excluded[name] for name in row if name != "connection_id"}
    connection.execute(insert.on_conflict_do_update(index_elements=_key(delivery_states), set_=changed))


def _insert(connection: sa.Connection, table: sa.Table) -> Any:  # Any: of the engine's own dialect
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _key(table: sa.Table) -> list[str]:
    return [column.name for column in table.primary_key]
