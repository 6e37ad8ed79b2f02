"""Nothing happens but time: members leave and enter at the very millisecond, whatever the window, cheaply."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cairn.clock import from_ms
from cairn.conditions.check import check
from cairn.conditions.due import NEVER_MS
from cairn.conditions.to_sql import MOST_NEWEST
from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Between,
    Condition,
    Did,
    EventMatch,
    Last,
    Not,
    PropertyFilter,
    UserProperty,
)
from cairn.db.tables import user_map
from cairn.errors import InvalidInput
from cairn.event import Draft
from cairn.ingest.loaded import Loaded
from cairn.segments.definition import Segment, delete_segment
from cairn.segments.facts import MOST_ROWS
from cairn.segments.leaves import Leaves
from cairn.segments.questions import count_everybody
from cairn.store.running import Running
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import MapChange, Row, Store
from tests.segments.histories import NOW_MS, conditions, histories
from tests.segments.oracle import History, members
from tests.segments.world import World

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
numbers = itertools.count(1)


@pytest.fixture
def world(tmp_path: Path, store: Store) -> Iterator[World]:
    world = World(tmp_path, store, next(numbers))
    yield world
    world.close()


def did(operator: Any, count: int, window: Last | Between | None, name: str = "Order") -> Did:
    return Did(EventMatch(name=name), operator, count, window)


def put(world: World, history: History) -> Loaded:
    """Store a history as it is; return what the loader would say."""
    environment_id, loaded = world.environment_id, Loaded(world.environment_id)
    events = [
        replace(
            event, environment_id=environment_id, event_id=(environment_id << 24) + 2**20 + event.event_id
        )
        for event in history.events
    ]
    world.store.insert_events(events)
    properties = [replace(change, environment_id=environment_id) for change in history.properties]
    world.store.insert_properties(properties)
    with world.engine.begin() as connection:
        for raw, into in history.merged.items():
            row = {"environment_id": environment_id, "user_id": raw, "canonical_id": into, "identity": "x"}
            connection.execute(sa.insert(user_map).values(**row, merged_at=from_ms(NOW_MS)))
    world.store.insert_user_map(
        [MapChange(environment_id, raw, into, 1) for raw, into in history.merged.items()]
    )
    world.history = History(events, properties, dict(history.merged))
    for event in events:
        loaded.by_event.setdefault((event.kind, event.name), set()).add(event.user_id)
    for change in properties:
        loaded.by_property.setdefault(change.key, set()).add(change.user_id)
    loaded.merged |= {*history.merged, *history.merged.values()}
    return loaded


def changing(history: History, condition: Condition) -> set[int]:
    """Every moment at which some event enters or leaves some window of the condition, and the one before."""
    found = {event.time_ms for event in history.events}
    for window in windows(condition):
        if isinstance(window, Last):
            length = window.amount * UNIT_MS[window.unit]
            found |= {event.time_ms + length for event in history.events}
    return {moment + step for moment in found for step in (-1, 0)}


def windows(node: Condition) -> Iterator[Last | Between | None]:
    match node:
        case Did():
            yield node.window
        case Not(child):
            yield from windows(child)
        case UserProperty():
            pass
        case _:
            for child in node.nodes:
                yield from windows(child)


def is_accepted(condition: Condition) -> bool:
    try:
        check(condition)
    except InvalidInput:
        return False
    return True


accepted = st.lists(conditions.filter(is_accepted), min_size=4, max_size=6)
cases = st.tuples(histories(), accepted, st.lists(st.integers(0, 10**9), min_size=5, max_size=5))


# Not made smaller when it fails: an example takes a second or more.
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
@given(case=cases)
def test_at_any_moment_members_are_what_plain_python_says_though_nothing_but_time_has_passed(
    tmp_path_factory: pytest.TempPathFactory,
    store: Store,
    case: tuple[History, list[Condition], list[int]],
) -> None:
    """Half of the segments got their due times from what was loaded, the others from their first count."""
    history, asked, picks = case
    world = World(tmp_path_factory.mktemp("world"), store, next(numbers))
    live = [world.define(f"live{number}", condition) for number, condition in enumerate(asked[::2])]
    world.settle()
    world.settle(put(world, history))
    counted = [world.define(f"counted{number}", condition) for number, condition in enumerate(asked[1::2])]
    world.settle()
    world.check([*live, *counted])
    moments = sorted(
        moment for moment in set().union(*(changing(history, one) for one in asked)) if moment > NOW_MS
    )
    for moment in sorted({moments[pick % len(moments)] for pick in picks} if moments else ()):
        world.now_ms = moment
        world.settle()
        world.check([*live, *counted])
    world.close()


KINDS_OF_WINDOW: dict[str, Condition] = {
    "at least 1": did("at_least", 1, Last(1, "hour")),
    "at least 3": did("at_least", 3, Last(1, "hour")),
    "more than 1": did("more_than", 1, Last(90, "minute")),
    "exactly 0": did("exactly", 0, Last(1, "hour")),
    "exactly 2": did("exactly", 2, Last(1, "hour")),
    "at most 1": did("at_most", 1, Last(1, "day")),
    "less than 2": did("less_than", 2, Last(1, "week")),
    "more than can be remembered": did("at_least", MOST_NEWEST + 5, Last(1, "hour"), "Often"),
    "filtered": Did(
        EventMatch(name="Order", filters=(PropertyFilter("total", "at_least", "10"),)), window=Last(1, "hour")
    ),
    "any behaviour": Did(EventMatch(""), "at_least", 2, Last(2, "hour")),
    "fixed, ends later": did("at_least", 1, Between(NOW_MS, NOW_MS + HOUR)),
    "fixed, begins later": did("exactly", 0, Between(NOW_MS + HOUR, NOW_MS + DAY)),
    "of the future": did("at_least", 1, None, "Later"),
    "not": Not(did("at_least", 1, Last(1, "hour"))),
    "two windows": And((did("at_least", 1, Last(1, "day")), Not(did("at_least", 1, Last(1, "hour"))))),
    "window and property": And((UserProperty("plan", "is", "premium"), did("at_least", 1, Last(1, "hour")))),
}


@pytest.mark.parametrize("condition", KINDS_OF_WINDOW.values(), ids=list(KINDS_OF_WINDOW))
def test_every_kind_of_window_ends_and_begins_to_the_millisecond(
    tmp_path: Path, store: Store, condition: Condition
) -> None:
    world = World(tmp_path, store, next(numbers))
    segment = world.define("segment", condition)
    world.settle()
    history = History(
        [
            *(
                Draft(
                    0,
                    "custom",
                    "Order",
                    NOW_MS - ago,
                    NOW_MS,
                    user_id=user,
                    event_id=0,
                    properties={"total": total},
                )
                for user in (1, 2)
                for ago, total in ((50 * MINUTE, 9), (30 * MINUTE, 10), (10 * MINUTE * user, 5))
            ),
            *(
                Draft(0, "custom", "Often", NOW_MS - second * 1000, NOW_MS, user_id=3, event_id=0)
                for second in range(MOST_NEWEST + 20)
            ),
            Draft(0, "custom", "Later", NOW_MS + 5 * MINUTE, NOW_MS, user_id=4, event_id=0),
        ],
        merged={2: 5},
    )
    history.events = [replace(event, event_id=number) for number, event in enumerate(history.events)]
    loaded = put(world, history)
    world.settle(loaded, world.set_property(1, "plan", "premium"))
    moments = [moment for moment in changing(history, condition) if moment > NOW_MS]
    for moment in sorted(moments)[:: max(1, len(moments) // 24)]:
        world.now_ms = moment
        world.settle()
        assert world.users(segment) == set(members(world.history, condition, moment)), moment - NOW_MS
    world.close()


class Counting:
    """The real store, with its questions counted."""

    def __init__(self, store: Store) -> None:
        self.questions = 0
        self.bytes = 0
        self._store = store

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        self.questions += 1
        self.bytes += len(statement.sql)
        return self._store.query(statement, limits, running)

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def windowed(number: int, shared: str = "W") -> Condition:
    """Three leaves that only time ends, unlike those of other numbers."""
    names = (shared, f"W{number}", f"V{number}")
    return And(tuple(Did(EventMatch(name=name), window=Last(60 + number, "minute")) for name in names))


def work_of_time(folder: Path, store: Store, segments: int) -> tuple[int, int]:
    """Questions, and bytes of their text, of one departure among so many segments, and of none."""
    counting = Counting(store)
    world = World(folder, counting, next(numbers))
    segment = world.define("w", did("at_least", 1, Last(1, "hour"), "W"))
    for number in range(1, segments):
        world.define(f"s{number}", windowed(number))
    world.settle(world.did(1, "W", ago_ms=59 * MINUTE))
    counting.questions = 0
    world.now_ms = NOW_MS + MINUTE - 1
    world.live.run_once(is_urgent=False)
    assert (counting.questions, world.users(segment)) == (0, {1})
    counting.bytes = 0
    world.now_ms = NOW_MS + MINUTE
    world.live.run_once(is_urgent=False)
    assert world.users(segment) == set()
    world.close()
    return counting.questions, counting.bytes


def test_a_departure_costs_the_same_beside_few_and_many_segments(tmp_path: Path, store: Store) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    assert work_of_time(few, store, 20) == work_of_time(many, store, 60)


def test_an_event_costs_what_the_segments_that_mention_it_cost(tmp_path: Path, store: Store) -> None:
    """Twice as many segments of other events, or equal leaves, ask no more of the store."""
    asked = []
    for number, segments in enumerate((20, 40)):
        counting = Counting(store)
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder, counting, next(numbers))
        same = [
            world.define(f"same{n}", did("at_least", n % 9 + 1, Last(1, "hour"), "W"))
            for n in range(segments)
        ]
        for n in range(segments):
            world.define(f"other{n}", windowed(n + 500, "X"))
        world.settle(world.did(9, "Other"))
        counting.questions = counting.bytes = 0
        world.live.touched([world.did(1, "W")])
        world.live.run_once(is_urgent=False)
        asked.append((counting.questions, counting.bytes))
        assert world.users(same[0]) == {1}
        world.close()
    assert asked[0] == asked[1]


def test_due_times_outlive_a_restart(world: World) -> None:
    segment = world.define("w", did("at_least", 1, Last(1, "hour")))
    world.settle(world.did(1, "Order", ago_ms=10 * MINUTE))
    world.restart()
    world.now_ms += 50 * MINUTE
    world.live.run_once(is_urgent=False)
    assert world.users(segment) == set()


def test_a_repeated_event_puts_the_end_off_and_is_looked_at_once_too_early(world: World) -> None:
    segment = world.define("w", did("at_least", 1, Last(1, "hour")))
    world.settle(world.did(1, "Order"))
    for _ in range(10):
        world.now_ms += MINUTE
        world.settle(world.did(1, "Order"))
    due = world.members.due.of_segment(world.environment_id, segment.id)
    assert due == {1: NOW_MS + HOUR}
    world.now_ms = NOW_MS + HOUR
    world.settle()
    assert world.users(segment) == {1}
    assert world.members.due.of_segment(world.environment_id, segment.id) == {1: NOW_MS + 10 * MINUTE + HOUR}
    world.now_ms += 10 * MINUTE
    world.settle()
    world.check([segment])
    assert world.members.due.of_segment(world.environment_id, segment.id) == {}


def test_merged_and_taken_apart_users_leave_when_their_own_events_do(world: World) -> None:
    segment = world.define("w", did("at_least", 2, Last(1, "hour")))
    world.settle(world.did(1, "Order", ago_ms=30 * MINUTE), world.did(2, "Order", ago_ms=10 * MINUTE))
    world.settle(world.identify(1, "ann"), world.identify(2, "ann"))
    world.check([segment])
    world.now_ms += 5 * MINUTE
    world.settle(world.unmerge(2))
    world.check([segment])
    world.settle(world.identify(2, "ann"))
    world.now_ms = NOW_MS + 30 * MINUTE
    world.settle()
    world.check([segment])
    assert world.users(segment) == set()


def test_an_edit_and_a_deletion_of_a_segment_leave_no_due_time_of_the_old_rule(world: World) -> None:
    segment = world.define("w", did("at_least", 1, Last(1, "hour")))
    world.settle(world.did(1, "Order"))
    segment = world.edit(segment, did("at_least", 1, Last(2, "hour")))
    world.settle()
    for ago_ms, expected in ((HOUR, {1}), (1, {1}), (0, set())):
        world.now_ms = NOW_MS + 2 * HOUR - ago_ms
        world.settle()
        assert world.users(segment) == expected
    world.settle(world.did(1, "Order"))
    segment = world.edit(segment, UserProperty("plan", "is_set"))
    world.settle()
    assert world.members.due.of_segment(world.environment_id, segment.id) == {}
    segment = world.edit(segment, did("at_least", 1, Last(3, "hour")))
    world.settle()
    with world.engine.begin() as connection:
        delete_segment(connection, world.workspace_id, segment.id)
    world.settle()
    assert world.members.due.first(NEVER_MS, 10) == []


@pytest.mark.parametrize(
    "jump_ms", [DAY, -DAY, 40 * DAY], ids=["a day forth", "a day back", "forth for long"]
)
def test_a_clock_that_jumps_and_returns_leaves_everybody_where_plain_python_says(
    world: World, jump_ms: int
) -> None:
    some: list[Segment] = [
        world.define("did", did("at_least", 1, Last(1, "hour"))),
        world.define("did_not", did("exactly", 0, Last(12, "hour"))),
    ]
    world.settle(world.did(1, "Order"), world.did(2, "Order", ago_ms=11 * HOUR), world.did(3, "Other"))
    for moment in (NOW_MS + jump_ms, NOW_MS + 1000, NOW_MS + HOUR, NOW_MS + 2 * HOUR):
        world.now_ms = moment
        world.settle()
        world.check(some)


def test_a_late_event_enters_a_window_that_is_half_over_and_leaves_in_time(world: World) -> None:
    segment = world.define("w", did("at_least", 2, Last(1, "hour")))
    world.settle(world.did(1, "Order"))
    world.now_ms += 30 * MINUTE
    world.settle(world.did(1, "Order", ago_ms=45 * MINUTE))
    world.check([segment])
    assert world.users(segment) == {1}
    world.now_ms = NOW_MS - 15 * MINUTE + HOUR
    world.settle()
    world.check([segment])
    assert world.users(segment) == set()


def test_a_user_of_too_many_different_events_for_one_answer_is_decided_all_the_same(world: World) -> None:
    match = EventMatch(name="View", filters=(PropertyFilter("item", "starts_with", "1"),))
    segment = world.define("w", Did(match, "at_least", 3, Last(1, "hour")))
    other = world.define("o", Did(match, "exactly", 0, Last(1, "hour")))
    world.settle()
    history = History(
        [
            Draft(0, "custom", "View", NOW_MS - n, NOW_MS, user_id=1, event_id=n, properties={"item": str(n)})
            for n in range(MOST_ROWS + 10)
        ]
    )
    loaded = put(world, history)
    world.settle(loaded, world.did(2, "View", properties={"item": "2"}))
    assert (world.users(segment), world.users(other)) == ({1}, {2})
    # Items 1, 10 and 11 are the newest of those that count.
    for ago_ms, expected in ((12, ({1}, {2})), (11, (set(), {2})), (2, (set(), {2})), (1, (set(), {1, 2}))):
        world.now_ms = NOW_MS + HOUR - ago_ms
        world.settle()
        assert (world.users(segment), world.users(other)) == expected, ago_ms


def test_a_first_count_knows_what_time_will_change(world: World) -> None:
    """For members and for those who may enter, whatever the kind of counting."""
    world.settle(world.did(1, "Order", ago_ms=30 * MINUTE), world.did(1, "Order", ago_ms=20 * MINUTE))
    leaves = Leaves()
    asked = {
        ("at_least", 1): 40,
        ("at_least", 2): 30,
        ("at_least", 3): None,
        ("exactly", 0): 40,
        ("exactly", 1): 30,
        ("exactly", 2): 30,
        ("at_most", 1): 30,
        ("at_most", 2): None,
        ("less_than", 2): 30,
        ("more_than", 1): 30,
    }
    conditions = [leaves.ready(did(operator, count, Last(1, "hour"))) for operator, count in asked]
    found = count_everybody(world.store, world.environment_id, conditions, world.now_ms)
    expected = [{} if minutes is None else {1: NOW_MS + minutes * MINUTE} for minutes in asked.values()]
    assert [counted.dues for counted in found] == expected
