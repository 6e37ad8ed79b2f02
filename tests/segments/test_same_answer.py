"""The heart of segments: the full count, the live evaluation and plain Python give the same users. Always."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cairn.conditions.to_sql import Users, everybody, only
from cairn.conditions.tree import (
    Condition,
    CountOperator,
    Did,
    EventMatch,
    Not,
    PropertyFilter,
    TextOperator,
    UserProperty,
)
from cairn.event import Draft
from cairn.store.store import MapChange, PropertyChange, Store
from tests.segments.histories import (
    EDGES,
    KINDS,
    NAMES,
    NOW_MS,
    PATTERNS,
    USERS,
    VALUES,
    WINDOWS,
    conditions,
    histories,
)
from tests.segments.oracle import History, members

pytestmark = pytest.mark.slow

environments = itertools.count(1)
STRANGER = 77  # a user id that has no event and no property


def write(store: Store, batch: Sequence[History]) -> list[int]:
    """Store histories, each under an environment of its own; together, because each insert waits for the disk."""
    ids = [next(environments) for _ in batch]
    placed = list(zip(ids, batch, strict=True))
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


def counted(store: Store, environment_id: int, tested: Sequence[Condition]) -> list[dict[int, str]]:
    statement = everybody(environment_id, tested, NOW_MS)
    rows = store.query(statement)
    return [{row[0]: row[1] for row in rows if row[2 + n]} for n in range(len(tested))]


def evaluated(
    store: Store, environment_id: int, tested: Sequence[Condition], users: Users
) -> list[dict[int, str]]:
    statement = only(environment_id, tested, NOW_MS, users)
    rows = store.query(statement)
    assert len({row[0] for row in rows}) == len(rows)
    return [{row[0]: row[1] for row in rows if row[2 + n]} for n in range(len(tested))]


def check(
    store: Store,
    environment_id: int,
    history: History,
    tested: Sequence[Condition],
    looked_at: set[int],
) -> None:
    expected = [members(history, condition, NOW_MS) for condition in tested]

    for condition, found, right in zip(tested, counted(store, environment_id, tested), expected, strict=True):
        assert found == right, condition

    canonical = {history.canonical(user) for user in looked_at}
    raw_ids = {
        user: [user, *(raw for raw, into in history.merged.items() if into == user)] for user in canonical
    }
    known = frozenset(list(canonical & history.users())[::2])
    answers = evaluated(store, environment_id, tested, Users(raw_ids, known))
    for condition, found, right in zip(tested, answers, expected, strict=True):
        assert found == {u: i for u, i in right.items() if u in canonical}, condition


everybody_or_some = st.just({*USERS, STRANGER}) | st.sets(st.sampled_from([*USERS, STRANGER]))
cases = st.tuples(histories(), st.lists(conditions, min_size=3, max_size=6), everybody_or_some)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(batch=st.lists(cases, min_size=8, max_size=8))
def test_full_count_live_evaluation_and_plain_python_agree(
    store: Store, batch: list[tuple[History, list[Condition], set[int]]]
) -> None:
    ids = write(store, [history for history, _, _ in batch])
    for environment_id, (history, tested, looked_at) in zip(ids, batch, strict=True):
        check(store, environment_id, history, tested, looked_at)


def event(
    user_id: int, *, kind: str = "custom", name: str = "Order", time_ms: int = NOW_MS, **more: Any
) -> Draft:
    return Draft(0, kind, name, time_ms, NOW_MS, user_id=user_id, **more)


def numbered(events: Iterable[Draft]) -> list[Draft]:
    return [replace(one, event_id=number) for number, one in enumerate(events)]


def test_every_window_to_the_millisecond(store: Store) -> None:
    """One user for each moment that could matter, one event each."""
    moments = [NOW_MS - edge + step for edge in EDGES for step in (-1, 0, 1, 4, 5, 6)]
    history = History(numbered(event(user, time_ms=moment) for user, moment in enumerate(moments, 1)))
    [environment_id] = write(store, [history])
    asked = [
        Did(EventMatch(name="Order"), operator, 1, window)
        for window in WINDOWS
        for operator in ("at_least", "exactly", "less_than")
    ]
    check(store, environment_id, history, asked, history.users())


def test_every_count_of_events(store: Store) -> None:
    history = History(
        numbered([*(event(user) for user in range(5) for _ in range(user)), event(9, name="Other")]),
        merged={4: 3},
    )
    [environment_id] = write(store, [history])
    asked = [
        Did(EventMatch(name="Order"), operator, count)
        for operator in get_args(CountOperator)
        for count in range(9)
    ]
    check(store, environment_id, history, asked, {*range(10)})


def test_every_kind_and_name(store: Store) -> None:
    pairs = [(kind, name) for kind in KINDS[2:] for name in NAMES]
    history = History(numbered(event(n, kind=kind, name=name) for n, (kind, name) in enumerate(pairs, 1)))
    [environment_id] = write(store, [history])
    asked = [Did(EventMatch(kind, name)) for kind in ("", *KINDS[2:]) for name in NAMES]
    check(store, environment_id, history, asked, history.users())


@pytest.mark.parametrize("operator", get_args(TextOperator))
def test_every_operator_on_every_value(store: Store, operator: TextOperator) -> None:
    """One user for each value: as a user property, an event's property and an event's column; one user without."""
    history = History(
        numbered(
            [
                *(event(n, properties={"k": v}, source=v) for n, v in enumerate(VALUES, 1)),
                event(STRANGER),
            ]
        ),
        [PropertyChange(0, n, "k", value, NOW_MS, 1) for n, value in enumerate(VALUES, 1)],
    )
    [environment_id] = write(store, [history])
    operands = PATTERNS if operator == "matches" else VALUES
    tests = [(value, (value, VALUES[n - 1])) for n, value in enumerate(operands)]
    asked: list[Condition] = [UserProperty("k", operator, *test) for test in tests]
    for key in ("k", "source"):
        matches = [
            EventMatch(name="Order", filters=(PropertyFilter(key, operator, *test),)) for test in tests
        ]
        asked += [Did(match) for match in matches]
    check(store, environment_id, history, asked, history.users())


def test_the_newest_value_across_merged_users_counts(store: Store) -> None:
    """Three raw users become one; each wrote the property, one of them twice, in every possible order."""
    history = History()
    for group, order in enumerate(itertools.permutations(range(4))):
        raws = [group * 10 + 1, group * 10 + 2, group * 10 + 3, group * 10 + 3]
        history.merged |= {raws[0]: raws[1], raws[2]: raws[1]}
        history.properties += [
            PropertyChange(0, raw, "plan", f"value {place}", NOW_MS, 10 + version)
            for place, (raw, version) in enumerate(zip(raws, order, strict=True))
        ]
    [environment_id] = write(store, [history])
    asked: list[Condition] = [UserProperty("plan", "is", f"value {place}") for place in range(4)]
    check(store, environment_id, history, [*asked, *map(Not, asked)], history.users())
