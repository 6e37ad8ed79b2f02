"""What live segments ask the event store: answers for some users, everybody, and whom the passing of time concerns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import sqlalchemy as sa

from cairn.conditions.clause import Bindings, between, event_clause
from cairn.conditions.to_sql import Users, everybody, only
from cairn.conditions.tree import Condition
from cairn.identity.merges import raw_ids
from cairn.segments.membership import Answer
from cairn.segments.watched import Watched
from cairn.store.schema import DATABASE, IDENTITY_KEY
from cairn.store.store import Store

USERS_PER_QUESTION = 2_000  # canonical users; a few thousand raw ids still parse in milliseconds
CONDITIONS_PER_QUESTION = 12  # share one pass over the events
COUNT_TIMEOUT_S = 120.0  # a full count may take long; it keeps nobody waiting but the other segments


def answers_for(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    conditions: Sequence[Condition],
    asked: Set[int],
    known: Set[int],
    now_ms: int,
) -> list[dict[int, Answer]]:
    """Shape: for each condition, canonical user -> answer; users that do not exist are left out."""
    found: list[dict[int, Answer]] = [{} for _ in conditions]
    for some in _chunks(asked):
        users = Users(raw_ids(connection, environment_id, some), some & known)
        statement = only(conditions, now_ms, users)
        for user, identity, *flags in store.query(environment_id, statement.sql, statement.parameters):
            for answers, holds in zip(found, flags, strict=True):
                answers[user] = Answer(identity, bool(holds))
    return found


def count_everybody(store: Store, environment_id: int, condition: Condition, now_ms: int) -> dict[int, str]:
    """Everybody for whom it holds. Shape: canonical user -> identity or ""."""
    statement = everybody([condition], now_ms)
    rows = store.query(environment_id, statement.sql, statement.parameters, timeout_s=COUNT_TIMEOUT_S)
    return {row[0]: row[1] for row in rows}


def identities_of(store: Store, environment_id: int, users: Set[int]) -> Mapping[int, str]:
    """Identities set on these very ids, merged ones too. Shape: user id -> identity; anonymous ones are left out."""
    found: dict[int, str] = {}
    for some in _chunks(users):
        found |= dict(
            store.query(
                environment_id,
                f"""SELECT user_id, argMax(value, version) FROM {DATABASE}.user_properties
                    WHERE environment_id = {{environment:UInt32}} AND key = {{key:String}}
                        AND user_id IN {{users:Array(UInt64)}} GROUP BY user_id""",
                {"key": IDENTITY_KEY, "users": sorted(some)},
            )
        )
    return found


def swept_users(
    store: Store, environment_id: int, some: Iterable[Watched], since_ms: int, now_ms: int
) -> set[int]:
    """Raw users for whom time alone can have changed an answer between two moments.

    An event left a rolling window, or was stamped in the future and its time has come.
    """
    bindings = Bindings()
    passed = f"{between(since_ms, now_ms, bindings)} AND received_at < time"
    clauses: dict[str, None] = {}
    for watched in some:
        for event in watched.relevance.events:
            clauses[f"({event_clause(event, bindings)} AND {passed})"] = None
        for event, window_ms in watched.relevance.windows:
            left = between(since_ms - window_ms, now_ms - window_ms, bindings)
            clauses[f"({event_clause(event, bindings)} AND {left})"] = None
    if not clauses:
        return set()
    rows = store.query(
        environment_id,
        f"""SELECT DISTINCT user_id FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND ({" OR ".join(clauses)})""",
        bindings.values,
    )
    return {row[0] for row in rows}


def _chunks(users: Set[int]) -> Iterator[frozenset[int]]:
    ordered = sorted(users)
    for start in range(0, len(ordered), USERS_PER_QUESTION):
        yield frozenset(ordered[start : start + USERS_PER_QUESTION])
