"""The heart of segments: the full count, the live evaluation and plain Python give the same users. Always."""

import itertools
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cairn.conditions.to_sql import Users, everybody, only
from cairn.conditions.tree import Condition
from cairn.store.embedded import EmbeddedStore
from cairn.store.store import MapChange
from tests.segments.histories import NOW_MS, USERS, conditions, histories
from tests.segments.oracle import History, members

environments = itertools.count(1)
STRANGER = 77  # a user id that has no event and no property


def write(store: EmbeddedStore, some: Sequence[History]) -> list[int]:
    """Store histories, each under an environment of its own; together, because each insert waits for the disk."""
    ids = [next(environments) for _ in some]
    placed = list(zip(ids, some, strict=True))
    store.insert_events(
        [
            replace(event, environment_id=number, event_id=number << 20 | event.event_id)
            for number, history in placed
            for event in history.events
        ]
    )
    store.insert_properties(
        [
            replace(change, environment_id=number)
            for number, history in placed
            for change in history.properties
        ]
    )
    store.insert_user_map(
        [
            MapChange(number, raw, into, 1)
            for number, history in placed
            for raw, into in history.merged.items()
        ]
    )
    return ids


def counted(store: EmbeddedStore, environment_id: int, asked: Sequence[Condition]) -> list[dict[int, str]]:
    statement = everybody(asked, NOW_MS)
    rows = store.query(environment_id, statement.sql, statement.parameters)
    return [{row[0]: row[1] for row in rows if row[2 + n]} for n in range(len(asked))]


def evaluated(
    store: EmbeddedStore, environment_id: int, asked: Sequence[Condition], users: Users
) -> list[dict[int, str]]:
    statement = only(asked, NOW_MS, users)
    rows = store.query(environment_id, statement.sql, statement.parameters)
    assert len({row[0] for row in rows}) == len(rows)
    return [{row[0]: row[1] for row in rows if row[2 + n]} for n in range(len(asked))]


everybody_or_some = st.just({*USERS, STRANGER}) | st.sets(st.sampled_from([*USERS, STRANGER]))
cases = st.tuples(histories(), st.lists(conditions, min_size=1, max_size=4), everybody_or_some)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(some=st.lists(cases, min_size=8, max_size=8))
def test_full_count_live_evaluation_and_plain_python_agree(
    store: EmbeddedStore, some: list[tuple[History, list[Condition], set[int]]]
) -> None:
    ids = write(store, [history for history, _, _ in some])
    for environment_id, (history, asked, looked_at) in zip(ids, some, strict=True):
        expected = [members(history, condition, NOW_MS) for condition in asked]

        assert counted(store, environment_id, asked) == expected

        canonical = {history.canonical(user) for user in looked_at}
        raw_ids = {
            user: [user, *(raw for raw, into in history.merged.items() if into == user)] for user in canonical
        }
        known = frozenset(list(canonical & history.users())[::2])
        of_looked_at = [{u: i for u, i in one.items() if u in canonical} for one in expected]
        assert evaluated(store, environment_id, asked, Users(raw_ids, known)) == of_looked_at
