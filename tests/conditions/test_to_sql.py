"""The compiler at its edges; that its answers are right is proven in tests/segments/test_same_answer.py."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cairn.conditions.to_sql import Statement, Users, everybody, holds_for_unknown_users, only
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    EventMatch,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    UserProperty,
    Visitor,
)
from cairn.errors import InvalidInput
from cairn.event import Draft
from cairn.store.store import MapChange, PropertyChange, Store
from tests.seams import open_store

NOW = 1_772_539_445_678
PREMIUM = UserProperty("plan", "is", "premium")
BUY = EventMatch(name="Buy")
environments = itertools.count(1)
ids = itertools.count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("store"), memory_mb=1024)
    yield store
    store.close()


class Environment:
    def __init__(self, store: Store) -> None:
        self.id, self.store = next(environments), store

    def did(self, user_id: int, name: str = "Buy", **more: object) -> None:
        draft = Draft(self.id, "custom", name, NOW, NOW, user_id=user_id, event_id=next(ids), **more)  # type: ignore[arg-type]
        self.store.insert_events([draft])

    def has(self, user_id: int, key: str, value: str, version: int = 1) -> None:
        self.store.insert_properties([PropertyChange(self.id, user_id, key, value, NOW, version)])

    def ask(self, statement: Statement) -> list[tuple[object, ...]]:
        return sorted(self.store.query(statement))

    def users(self, condition: Condition) -> set[object]:
        return {row[0] for row in self.ask(everybody(self.id, [condition], NOW))}


@pytest.fixture
def here(store: Store) -> Environment:
    return Environment(store)


def test_one_environment_never_sees_another(here: Environment, store: Store) -> None:
    there = Environment(store)
    for environment in (here, there):
        environment.did(1)
        environment.has(2, "plan", "premium")
    store.insert_user_map([MapChange(there.id, 1, 9, 1)])
    there.did(3)
    for condition, found, found_there in (
        (Did(BUY), {1}, {9, 3}),
        (PREMIUM, {2}, {2}),
        (EVERYBODY, {1, 2}, {9, 2, 3}),
        (Not(Did(BUY)), {2}, {2}),
    ):
        assert here.users(condition) == found
        assert there.users(condition) == found_there
        asked = Users({user: [user] for user in (1, 2, 3, 9)})
        assert {row[0] for row in here.ask(only(here.id, [condition], NOW, asked)) if row[2]} == found


def test_a_hundred_thousand_values_are_one_parameter(here: Environment) -> None:
    for user, value in ((1, "value 0"), (2, "value 99999"), (3, "value 100000"), (4, "")):
        here.has(user, "plan", value)
        here.did(user, properties={"plan": value})
    many = tuple(f"value {number}" for number in range(100_000))
    for condition in (
        UserProperty("plan", "in", values=many),
        Did(EventMatch("custom", "Buy", (PropertyFilter("plan", "in", values=many),))),
    ):
        assert here.users(condition) == {1, 2}
        assert here.users(Not(condition)) == {3, 4}
        rows = here.ask(only(here.id, [condition], NOW, Users({user: [user] for user in (1, 3)})))
        assert [(row[0], row[2]) for row in rows] == [(1, 1), (3, 0)]


def test_twenty_thousand_users_can_be_asked_about_at_once(here: Environment) -> None:
    here.has(20_000, "plan", "premium")
    here.did(7)
    asked = Users({user: [user, user + 50_000] for user in range(1, 20_001)})
    assert here.ask(only(here.id, [Or((PREMIUM, Did(BUY)))], NOW, asked)) == [(7, "", 1), (20_000, "", 1)]


def test_nothing_a_person_wrote_is_part_of_the_statement(here: Environment) -> None:
    evil = "'; DROP TABLE cairn.events; -- {environment:UInt32} \\"
    condition = And(
        (
            UserProperty(evil, "contains", evil),
            UserProperty(evil, "in", values=(evil,)),
            Did(
                EventMatch(
                    evil, evil, (PropertyFilter(evil, "is", evil), PropertyFilter("a", "matches", "evil(.)"))
                )
            ),
        )
    )
    for statement in (everybody(here.id, [condition], NOW), only(here.id, [condition], NOW, Users({1: [1]}))):
        assert "DROP" not in statement.sql and "evil" not in statement.sql
        assert here.ask(statement) == []
    here.did(1)
    assert here.users(Did(BUY)) == {1}


def test_the_largest_accepted_tree_compiles_and_runs(here: Environment) -> None:
    here.has(1, "k1", "1")
    deep: Condition = PREMIUM
    for _ in range(19):
        deep = Not(deep)
    wide = Or(
        tuple(
            node
            for number in range(50)
            for node in (
                UserProperty(f"k{number}", "at_least", str(number)),
                Did(EventMatch(name=f"e{number}"), "at_least", 1, Last(number + 1, "day")),
            )
        )
    )
    assert here.users(wide) == {1}
    assert here.users(deep) == {1}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Did(BUY, "less_than", 10**30), True),
        (Did(BUY, "more_than", -(10**30)), True),
        (Did(BUY, "exactly", 10**30), False),
        (Did(BUY, window=Last(10**30, "week")), True),
        (Did(BUY, window=Between(-(10**30), 10**30)), True),
        (Did(BUY, window=Last(0, "day")), False),
        (Did(BUY, window=Between(NOW, NOW)), False),
        (Did(BUY, window=Between(NOW, NOW + 1)), True),
    ],
)
def test_numbers_past_all_measure_are_limited_and_not_wrapped(
    here: Environment, condition: Condition, holds: bool
) -> None:
    here.did(1)
    assert here.users(condition) == ({1} if holds else set())


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "a{1001}", r"\Z"])
def test_a_pattern_that_the_store_cannot_read_is_refused_before_it_is_asked(pattern: str) -> None:
    for condition in (
        UserProperty("plan", "matches", pattern),
        Not(Did(EventMatch("custom", "", (PropertyFilter("plan", "matches", pattern),)))),
    ):
        with pytest.raises(InvalidInput, match="regular expression"):
            everybody(1, [condition], NOW)


@pytest.mark.parametrize(
    "leaf",
    [
        Attribute("a", "is", "b"),
        InList("a", segment_id=1),
        Visitor("a"),
        Location("country", "DE"),
        Device("os", "Linux"),
        OtherFlag(1, "on"),
    ],
    ids=lambda leaf: type(leaf).__name__,
)
def test_a_leaf_that_only_flags_know_is_refused_by_name(leaf: Condition) -> None:
    for condition in (leaf, And((PREMIUM, Not(leaf)))):
        for compiled in (
            lambda condition=condition: everybody(1, [condition], NOW),
            lambda condition=condition: only(1, [condition], NOW, Users({1: [1]})),
        ):
            with pytest.raises(InvalidInput, match=type(leaf).__struct_config__.tag):
                compiled()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (EVERYBODY, True),
        (Or(()), False),
        (PREMIUM, False),
        (Not(PREMIUM), True),
        (UserProperty("plan", "is_not", "premium"), True),
        (UserProperty("plan", "is_not_set"), True),
        (UserProperty("plan", "not_in", values=("a",)), True),
        (UserProperty("plan", "is", ""), False),
        (Did(BUY), False),
        (Did(BUY, "exactly", 0), True),
        (Did(BUY, "at_most", 3), True),
        (And((Did(BUY, "exactly", 0), PREMIUM)), False),
    ],
)
def test_whether_a_stranger_would_be_in(condition: Condition, expected: bool) -> None:
    assert holds_for_unknown_users(condition) is expected


def test_writing_the_same_again_changes_nothing(here: Environment) -> None:
    for _ in range(2):
        here.has(1, "plan", "premium", version=5)
        here.has(1, "plan", "free", version=4)
    assert here.users(PREMIUM) == {1}


def test_the_compiler_knows_no_database_and_no_network() -> None:
    code = "import sys, json, cairn.conditions.to_sql; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert not {"sqlalchemy", "clickhouse_connect", "chdb", "lmdb", "httpx2", "cairn.settings"} & set(loaded)
