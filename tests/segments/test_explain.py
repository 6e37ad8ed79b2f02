"""Why in, why out: every node of the condition with its answer and what it rests on."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.clock import from_ms
from cairn.conditions.tree import (
    And,
    Attribute,
    Condition,
    Did,
    EventMatch,
    Last,
    Not,
    Or,
    PropertyFilter,
    UserProperty,
)
from cairn.db.engine import reading
from cairn.errors import InvalidInput, NotFound
from cairn.ids import identified_user_id
from cairn.segments.explain import Why, explain
from cairn.store.store import Store
from tests.segments.histories import NOW_MS
from tests.segments.oracle import holds
from tests.segments.world import World

HOUR = 3_600_000
PREMIUM = UserProperty("plan", "is", "premium")
numbers = itertools.count(1)
BUY = EventMatch("custom", "Buy", (PropertyFilter("total", "at_least", "10"),))


@pytest.fixture
def world(tmp_path: Path, store: Store) -> Iterator[World]:
    world = World(tmp_path, store, next(numbers))
    yield world
    world.close()


def why(world: World, user_id: int, condition: Condition) -> Why:
    with reading(world.engine) as connection:
        return explain(world.store, connection, world.environment_id, user_id, condition, world.clock())


def test_the_tree_shows_which_part_decides_and_its_evidence(world: World) -> None:
    ann = identified_user_id(world.environment_id, "ann")
    world.identify(1, "ann")
    for ago, total in ((0, 10), (1, 9), (2, 11), (3, 12), (4, 13), (5, 14), (6, 15), (HOUR, 99), (-5, 99)):
        world.did(1, "Buy", ago_ms=ago, properties={"total": total})
    world.did(2, "Buy", properties={"total": 50})
    world.set_property(1, "plan", "free")
    world.now_ms += 1
    world.set_property(ann, "plan", "premium")
    condition = Or(
        (
            And((PREMIUM, Did(BUY, "at_least", 7, Last(1, "hour")))),
            Not(UserProperty("country", "is_set")),
            Did(EventMatch(name="Never"), "exactly", 0),
        )
    )

    for asked in (ann, 1):  # a merged id stands for its user
        root = why(world, asked, condition)

        assert root.holds and [node.holds for node in root.nodes] == [False, True, True]
        plan, bought = root.nodes[0].nodes
        assert (plan.holds, plan.value, plan.set_at) == (True, "premium", from_ms(NOW_MS + 1))
        assert (bought.holds, bought.count) == (False, 6)
        assert [(seen.name, seen.properties["total"], seen.time) for seen in bought.latest] == [
            ("Buy", str(total), from_ms(NOW_MS - ago))
            for ago, total in ((0, 10), (2, 11), (3, 12), (4, 13), (5, 14))
        ]
        country = root.nodes[1].nodes[0]
        assert (country.holds, country.value, country.set_at) == (False, None, None)
        assert (root.nodes[2].count, root.nodes[2].latest) == (0, ())
        assert root.holds == holds(world.history, ann, condition, world.now_ms)


def test_a_user_of_whom_nothing_is_known_is_in_no_segment_and_said_to_be_unknown(world: World) -> None:
    world.did(2, "Buy")
    with pytest.raises(NotFound):
        why(world, 77, Not(PREMIUM))


def test_a_leaf_that_only_flags_know_is_refused(world: World) -> None:
    world.did(2, "Buy")
    with pytest.raises(InvalidInput):
        why(world, 2, And((PREMIUM, Attribute("a", "is", "b"))))


def test_everybody_needs_no_reason(world: World) -> None:
    world.did(2, "Buy")
    assert why(world, 2, And(())) == Why(And(()), True)
