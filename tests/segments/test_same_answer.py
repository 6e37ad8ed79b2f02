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


def write(store: EmbeddedStore, history: History) -> int:
    """Store a history under an environment of its own."""
    environment_id = next(environments)
    store.insert_events(
        [
            replace(event, environment_id=environment_id, event_id=environment_id << 20 | event.event_id)
            for event in history.events
        ]
    )
    store.insert_properties([replace(change, environment_id=environment_id) for change in history.properties])
    store.insert_user_map([MapChange(environment_id, raw, into, 1) for raw, into in history.merged.items()])
    return environment_id


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


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    history=histories(),
    asked=st.lists(conditions, min_size=1, max_size=4),
    looked_at=st.sets(st.sampled_from([*USERS, STRANGER])),
)
def test_full_count_live_evaluation_and_plain_python_agree(
    store: EmbeddedStore, history: History, asked: list[Condition], looked_at: set[int]
) -> None:
    environment_id = write(store, history)
    expected = [members(history, condition, NOW_MS) for condition in asked]

    assert counted(store, environment_id, asked) == expected

    for chosen in ({*USERS, STRANGER}, looked_at):
        canonical = {history.canonical(user) for user in chosen}
        raw_ids = {
            user: [user, *(raw for raw, into in history.merged.items() if into == user)] for user in canonical
        }
        known = frozenset(list(canonical & history.users())[::2])
        of_chosen = [{u: i for u, i in one.items() if u in canonical} for one in expected]
        assert evaluated(store, environment_id, asked, Users(raw_ids, known)) == of_chosen
