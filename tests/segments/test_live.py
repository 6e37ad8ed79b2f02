"""Members follow what people do, what time ends and what is defined: story by story, and in random streams."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cairn.conditions.tree import And, Condition, Did, EventMatch, Last, Not, Or, PropertyFilter, UserProperty
from cairn.db.tables import segments
from cairn.ids import identified_user_id
from cairn.ingest.loaded import Loaded
from cairn.members.sets import users_set
from cairn.segments.definition import delete_segment
from cairn.segments.live import GRACE_MS
from cairn.store.errors import StoreBusy
from cairn.store.running import Running
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import Store
from tests.segments.histories import NOW_MS
from tests.segments.world import World
from tests.world import add_environment

DAY = 86_400_000
PREMIUM = UserProperty("plan", "is", "premium")
BUYERS = Did(EventMatch(name="Order Completed"), "at_least", 2, Last(30, "day"))
QUIET = Did(EventMatch(name="Order Completed"), "exactly", 0, Last(1, "day"))
numbers = itertools.count(1)


@pytest.fixture
def world(tmp_path: Path, store: Store) -> Iterator[World]:
    world = World(tmp_path, store, next(numbers))
    yield world
    world.close()


def test_anonymous_users_are_in_the_segment_and_only_identified_ones_in_its_list(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    world.settle(
        world.set_property(1, "plan", "premium"),
        world.set_property(2, "plan", "free"),
        world.set_property(3, "plan", "premium"),
    )
    assert (world.users(segment), world.listed(segment)) == ({1, 3}, set())

    world.settle(world.identify(1, "ann@example.com"))

    ann = identified_user_id(world.environment_id, "ann@example.com")
    assert (world.users(segment), world.listed(segment)) == ({ann, 3}, {"ann@example.com"})
    world.check([segment])


def test_two_purchases_across_two_merged_devices_count_together_until_they_are_taken_apart(
    world: World,
) -> None:
    segment = world.define("buyers", BUYERS)
    world.settle(world.did(1, "Order Completed"), world.did(2, "Order Completed"))
    assert world.users(segment) == set()

    world.settle(world.identify(1, "ann"), world.identify(2, "ann"))
    assert world.listed(segment) == {"ann"}

    world.settle(world.unmerge(2))
    assert (world.users(segment), world.listed(segment)) == (set(), set())
    world.check([segment])


def test_an_identified_member_that_loses_its_reason_leaves_the_list(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    ann = identified_user_id(world.environment_id, "ann")
    world.settle(world.identify(1, "ann"), world.set_property(ann, "plan", "premium"))
    assert world.listed(segment) == {"ann"}
    world.settle(world.set_property(1, "plan", "free"))
    assert world.listed(segment) == set()


def test_an_identity_that_arrives_later_without_a_merge_enters_the_list(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    world.settle(world.set_property(5, "plan", "premium"))
    assert world.listed(segment) == set()
    world.settle(world.set_property(5, "identity", "eve"))
    assert world.listed(segment) == {"eve"}
    world.check([segment])


def test_an_identified_user_that_is_merged_into_another_takes_its_identity_out_of_the_list(
    world: World,
) -> None:
    segment = world.define("premium", PREMIUM)
    ann = identified_user_id(world.environment_id, "ann")
    world.settle(world.set_property(ann, "identity", "ann"), world.set_property(ann, "plan", "premium"))
    assert world.listed(segment) == {"ann"}
    world.settle(world.identify(ann, "bob"))
    assert world.listed(segment) == {"bob"}
    world.check([segment])


def test_a_window_ends_without_an_event_to_the_millisecond(world: World) -> None:
    segment, quiet = world.define("buyers", BUYERS), world.define("quiet", QUIET)
    world.settle(world.did(1, "Order Completed", ago_ms=3 * DAY), world.did(1, "Order Completed"))
    assert (world.users(segment), world.users(quiet)) == ({1}, set())

    world.now_ms = NOW_MS + DAY - 1
    world.settle()
    assert (world.users(segment), world.users(quiet)) == ({1}, set())

    world.now_ms = NOW_MS + DAY
    world.settle()
    assert world.users(quiet) == {1}

    world.now_ms = NOW_MS + 27 * DAY - 1
    world.settle()
    assert world.users(segment) == {1}

    world.now_ms += 1
    world.settle()
    assert world.users(segment) == set()
    world.check([segment, quiet])


def test_an_event_of_the_future_counts_when_its_time_comes(world: World) -> None:
    segment = world.define("did", Did(EventMatch(name="Order Completed")))
    world.settle(world.did(1, "Order Completed", ago_ms=-5000))
    assert world.users(segment) == set()
    world.now_ms += 4999
    world.settle()
    assert world.users(segment) == set()
    world.now_ms += 1
    world.settle()
    assert world.users(segment) == {1}


def test_a_new_user_enters_a_segment_of_those_who_did_not(world: World) -> None:
    segment = world.define("quiet", QUIET)
    world.settle(world.did(1, "Something else"), world.set_property(2, "plan", "free"))
    assert world.users(segment) == {1, 2}
    world.settle(world.did(1, "Order Completed"))
    assert world.users(segment) == {2}
    world.check([segment])


def test_an_edit_switches_to_the_new_membership_and_follows_it(world: World) -> None:
    segment = world.define("people", PREMIUM)
    world.settle(world.set_property(1, "plan", "premium"), world.set_property(2, "plan", "free"))
    segment = world.edit(segment, UserProperty("plan", "is", "free"))
    world.settle()
    assert world.users(segment) == {2}
    world.settle(world.set_property(3, "plan", "free"), world.set_property(2, "plan", "premium"))
    assert world.users(segment) == {3}
    world.check([segment])


def test_members_are_kept_over_a_restart_and_what_was_missed_is_caught_up(world: World) -> None:
    segment, buyers = world.define("premium", PREMIUM), world.define("buyers", BUYERS)
    world.settle(world.set_property(1, "plan", "premium"), world.did(1, "Order Completed"))
    since = world.members.since(users_set(world.environment_id, segment.id), "1")
    world.set_property(2, "plan", "premium")  # stored, but the process died before anyone was told
    world.did(1, "Order Completed")

    world.restart()
    world.now_ms += 10_000
    assert world.users(segment) == {1}
    world.settle()

    assert (world.users(segment), world.users(buyers)) == ({1, 2}, {1})
    assert world.members.since(users_set(world.environment_id, segment.id), "1") == since
    world.check([segment, buyers])  # and catching up is no drift


def test_a_new_environment_gets_its_own_list(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    with world.engine.begin() as connection:
        other = add_environment(
            connection, world.workspace_id, world.project_id, "staging", now=world.clock()
        )
    world.settle(world.set_property(1, "plan", "premium"))
    assert world.users(segment) == {1}
    assert world.members.size(users_set(other, segment.id)) == 0
    assert {status.environment_id for status in world.live.status().segments} == {world.environment_id, other}


def test_a_deleted_segment_leaves_nothing_behind(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    world.settle(world.set_property(1, "plan", "premium"), world.identify(1, "ann"))
    list_id = world.state(segment).list_id
    with world.engine.begin() as connection:
        delete_segment(connection, world.workspace_id, segment.id)
    world.settle()
    assert world.users(segment) == set()
    assert world.members.size(f"list/{list_id}") == 0
    assert world.live.status().segments == ()


def test_a_recount_sets_right_what_drifted_and_says_so(tmp_path: Path, store: Store) -> None:
    world = World(tmp_path, store, next(numbers), recount_interval_s=600)
    segment = world.define("premium", PREMIUM)
    world.settle(world.set_property(1, "plan", "premium"), world.set_property(2, "plan", "premium"))
    name = users_set(world.environment_id, segment.id)
    world.members.apply(name, add={"99": 1}, remove=["2"])  # as a fault of ours would

    world.now_ms += 600_000
    world.settle()
    assert world.users(segment) == {1, 2}
    world.now_ms += GRACE_MS
    world.settle()
    assert world.state(segment).drift == 2

    world.now_ms += 600_000
    world.settle()
    assert world.state(segment).drift == 0
    world.close()


def test_an_event_counted_in_full_before_its_user_was_named_is_no_drift(tmp_path: Path, store: Store) -> None:
    world = World(tmp_path, store, next(numbers), recount_interval_s=600)
    segment = world.define("premium", PREMIUM)
    world.settle()
    world.now_ms += 600_000
    loaded = world.set_property(1, "plan", "premium")
    world.settle()
    assert world.users(segment) == {1}
    world.settle(loaded)
    world.now_ms += GRACE_MS
    world.settle()
    world.check([segment])
    world.close()


def _texts(parameters: dict[str, object]) -> set[object]:
    lists = [value if isinstance(value, list) else [value] for value in parameters.values()]
    return {value for values in lists for value in values}


class Failing:
    """The real store, which can be made to fail: the network edge that cannot be broken at will otherwise."""

    def __init__(self, store: Store) -> None:
        self.is_away = False
        self.refuses = ""  # a parameter's value that is too much for it
        self._store = store

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[tuple[object, ...]]:
        if self.is_away or (self.refuses and self.refuses in _texts(statement.parameters)):
            raise StoreBusy("the event store is away")
        return self._store.query(statement, limits, running)

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def test_users_touched_while_the_store_is_away_are_evaluated_when_it_is_back(
    tmp_path: Path, store: Store
) -> None:
    failing = Failing(store)
    world = World(tmp_path, failing, next(numbers))
    segment = world.define("premium", PREMIUM)
    world.settle()
    loaded = [world.set_property(1, "plan", "premium"), world.set_property(2, "plan", "premium")]
    failing.is_away = True
    with pytest.raises(StoreBusy):
        world.settle(loaded[0])
    assert world.live.status().pending_users == 1
    assert "away" in world.live.status().last_error
    failing.is_away = False
    world.settle(loaded[1])
    assert world.users(segment) == {1, 2}
    assert world.live.status().last_error == ""
    world.close()


def test_a_segment_that_cannot_be_answered_stops_no_other_and_recovers(tmp_path: Path, store: Store) -> None:
    failing = Failing(store)
    world = World(tmp_path, failing, next(numbers))
    premium, heavy = world.define("premium", PREMIUM), world.define("heavy", UserProperty("heavy", "is_set"))
    world.settle()
    failing.refuses = "heavy"
    world.settle(world.set_property(1, "plan", "premium"), world.set_property(1, "heavy", "x"))
    assert (world.users(premium), world.users(heavy)) == ({1}, set())
    assert "away" in world.state(heavy).error

    failing.refuses = ""
    world.now_ms += 10_000
    world.settle()
    assert world.users(heavy) == {1}
    world.check([premium, heavy])
    world.close()


def test_a_stored_condition_that_cannot_be_read_stops_no_other(world: World) -> None:
    broken, segment = world.define("broken", PREMIUM), world.define("premium", PREMIUM)
    with world.engine.begin() as connection:
        connection.execute(
            sa.update(segments)
            .where(segments.c.id == broken.id)
            .values(condition={"type": "of the future"}, version=2)
        )
    world.settle(world.set_property(1, "plan", "premium"))
    assert world.users(segment) == {1}


def test_changes_of_lists_are_told_and_others_are_not(world: World) -> None:
    world.define("premium", PREMIUM)
    world.settle()
    world.recounted.clear()
    world.settle(world.set_property(1, "plan", "premium"))
    assert world.recounted == []
    world.settle(world.identify(1, "ann"))
    assert world.recounted == [{world.environment_id}]


def test_the_thread_evaluates_what_it_is_told_and_stops_when_asked(world: World) -> None:
    segment = world.define("premium", PREMIUM)
    stop = threading.Event()
    thread = threading.Thread(target=world.live.run, args=(stop,))
    thread.start()
    try:
        world.live.touched([world.set_property(user, "plan", "premium") for user in range(1, 20)])
        for _ in range(600):
            if world.users(segment) == set(range(1, 20)):
                break
            stop.wait(0.05)
        assert world.users(segment) == set(range(1, 20))
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert world.state(segment).users == 19


WATCHED: list[Condition] = [
    PREMIUM,
    BUYERS,
    QUIET,
    Not(UserProperty("plan", "is_set")),
    And((PREMIUM, Did(EventMatch(name="Order Completed"), "less_than", 2, Last(1, "hour")))),
    Or(
        (
            UserProperty("plan", "in", values=("gold", "premium")),
            Did(
                EventMatch("", "", (PropertyFilter("total", "at_least", "10"),)),
                "at_least",
                1,
                Last(2, "day"),
            ),
        )
    ),
    Did(EventMatch(""), "at_most", 3),
]
USERS = [1, 2, 3, 4, 5]
IDENTITIES = ["ann", "bob ü", "x" * 600]
steps = st.one_of(
    st.tuples(
        st.just("did"),
        st.sampled_from(USERS),
        st.sampled_from(["Order Completed", "View"]),
        st.sampled_from([0, 1, 3_600_000, DAY, DAY - 1, 2 * DAY, 30 * DAY - 5, -1000, -3_600_000]),
        st.sampled_from([None, 9, 10]),
    ),
    st.tuples(
        st.just("set"), st.sampled_from(USERS), st.just("plan"), st.sampled_from(["premium", "gold", "free"])
    ),
    st.tuples(st.just("identify"), st.sampled_from(USERS), st.sampled_from(IDENTITIES)),
    st.tuples(st.just("unmerge"), st.sampled_from(USERS)),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 1000, 3_600_000, DAY, 30 * DAY])),
    st.tuples(st.just("edit"), st.integers(0, 1), st.sampled_from(WATCHED)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("settle")),
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(stream=st.lists(steps, min_size=10, max_size=25))
def test_in_any_stream_members_equal_a_full_count_at_every_quiet_moment(
    tmp_path_factory: pytest.TempPathFactory, store: Store, stream: list[tuple]
) -> None:
    world = World(tmp_path_factory.mktemp("world"), store, next(numbers))
    watched = [world.define(f"s{number}", condition) for number, condition in enumerate(WATCHED)]
    waiting: list[Loaded] = []
    for kind, *arguments in stream:
        match kind, arguments:
            case "did", (user, name, ago_ms, total):
                facts = {} if total is None else {"total": total}
                waiting.append(world.did(user, name, ago_ms=ago_ms, properties=facts))
            case "set", (user, key, value):
                waiting.append(world.set_property(user, key, value))
            case "identify", (user, identity):
                waiting.append(world.identify(user, identity))
            case "unmerge", (user,):
                waiting.append(world.unmerge(user))
            case "wait", (ms,):
                world.now_ms += ms
            case "edit", (index, condition):
                watched[index] = world.edit(watched[index], condition)
            case "restart", ():
                waiting.clear()
                world.restart()
            case "settle", ():
                world.settle(*waiting)
                waiting.clear()
                world.check(watched)
    world.settle(*waiting)
    world.check(watched)
    world.close()


def test_a_clock_that_was_ahead_holds_up_no_end_of_a_window(world: World) -> None:
    """Without the urgency of `settle`: passes as they come in a running core."""
    segment = world.define("buyers", BUYERS)
    world.settle(world.did(1, "Order Completed", ago_ms=29 * DAY), world.did(1, "Order Completed"))
    world.now_ms = NOW_MS + 7_200_000
    world.settle()
    for now_ms in (NOW_MS, NOW_MS + 2_000, NOW_MS + DAY):
        world.now_ms = now_ms
        for _ in range(3):
            world.live.run_once(is_urgent=False)
        assert world.users(segment) == ({1} if now_ms < NOW_MS + DAY else set())
    world.check([segment])
