"""Feeds of followed sets, and work between whole sets, against plain Python sets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cairn.members import between, lmdb
from cairn.members.feed import KEPT_VALUES
from cairn.members.lmdb import LmdbMembers, open_members
from tests.members.test_sets import AWKWARD

MANY = 130_000  # more than any piece


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbMembers]:
    store = open_members(tmp_path / "members")
    yield store
    store.close()


def values(store: LmdbMembers, name: str) -> set[str]:
    return {value for value, _ in store.values(name)}


def numbered(count: int, start: int = 0) -> dict[str, int]:
    return {f"user{number:07}@example.test": 1 for number in range(start, start + count)}


def test_a_feed_names_what_came_and_went(store: LmdbMembers) -> None:
    store.apply("s", add={"a": 1, "b": 1}, remove=[])
    start = store.follow("s")
    assert store.changed_since("s", start, most=10).values == frozenset()
    store.apply("s", add={"a": 2, "c": 2}, remove=["b", "nobody"])
    store.replace("s", {"c": 3, "d": 3})
    changed = store.changed_since("s", start, most=10)
    assert changed.values == {"a", "b", "c", "d"}
    assert changed.version == store.version("s")


def test_a_feed_is_read_in_parts(store: LmdbMembers) -> None:
    version = store.follow("s")
    for number in range(5):
        store.apply("s", add={f"{number}a": 1, f"{number}b": 1}, remove=[])
    read: list[str] = []
    while version != store.version("s"):
        changed = store.changed_since("s", version, most=3)
        assert changed.values is not None
        read += sorted(changed.values)
        version = changed.version
    assert read == sorted(values(store, "s"))


def test_what_a_feed_does_not_hold_means_compare(store: LmdbMembers) -> None:
    store.apply("s", add={"a": 1}, remove=[])
    before = store.version("s") - 1
    start = store.follow("s")
    assert store.changed_since("s", before, most=10).values is None, "from before it was followed"
    assert store.changed_since("s", start + 9, most=10).values is None, "of a store that was set back"
    store.drop("s")
    assert store.changed_since("s", start, most=10).values is None, "emptied as a whole"
    after_drop = store.version("s")
    store.apply("s", add={"x" * 600: 1}, remove=[])
    assert store.changed_since("s", after_drop, most=10).values is None, "too long for a feed"
    after_long = store.version("s")
    store.apply("s", add={"b": 1}, remove=[])
    assert store.changed_since("s", after_long, most=10).values == {"b"}
    store.unfollow("s")
    store.apply("s", add={"c": 1}, remove=[])
    assert store.changed_since("s", after_long, most=10).values is None
    assert store.changed_since("s", store.follow("s"), most=10).values == frozenset()


def test_a_feed_stays_small(store: LmdbMembers) -> None:
    start = store.follow("s")
    rounds, size = 30, 20_000
    for number in range(rounds):
        store.apply("s", add=numbered(size, number * size), remove=[])
    assert rounds * size > KEPT_VALUES
    assert store.changed_since("s", start, most=10**9).values is None
    newest = store.version("s") - 2
    assert (
        store.changed_since("s", newest, most=10**9).values == numbered(2 * size, (rounds - 2) * size).keys()
    )


def test_what_a_feed_forgot_is_compared_and_what_follows_is_known(store: LmdbMembers) -> None:
    start = store.follow("s")
    store.apply("s", add={"a": 1}, remove=[])
    store.forget_changes("s")
    assert store.changed_since("s", start, most=9).values is None
    now = store.version("s")
    store.apply("s", add={"b": 1}, remove=[])
    assert store.changed_since("s", now, most=9).values == {"b"}
    store.forget_changes("nowhere")
    assert "nowhere" not in store.followed()


def test_feeds_are_kept_apart(store: LmdbMembers) -> None:
    first, second = store.follow("s"), store.follow("t")
    store.apply_all({})
    store.apply("s", add={"a": 1}, remove=[])
    store.apply("t", add={"b": 1}, remove=[])
    assert store.changed_since("s", first, most=9).values == {"a"}
    store.unfollow("s")
    assert store.changed_since("t", second, most=9).values == {"b"}


def test_a_difference_is_a_set_of_its_own(store: LmdbMembers) -> None:
    store.replace("s", AWKWARD)
    odd = dict(list(AWKWARD.items())[::2])
    store.replace("t", odd)
    assert store.fill_difference("only", "s", "t") == len(AWKWARD) - len(odd)
    assert dict(store.values("only")) == {value: AWKWARD[value] for value in AWKWARD.keys() - odd.keys()}
    assert store.fill_difference("only", "t", "s") == 0
    assert values(store, "only") == set()
    assert store.fill_difference("only", "s", "nowhere") == len(AWKWARD)
    assert store.fill_difference("only", "nowhere", "s") == 0


def test_differences_of_many(store: LmdbMembers) -> None:
    store.replace("s", numbered(MANY))
    store.replace("t", numbered(MANY, 10))
    assert store.fill_difference("only", "s", "t") == 10
    assert values(store, "only") == numbered(10).keys()
    assert store.fill_difference("only", "s", "none") == MANY
    assert values(store, "only") == numbered(MANY).keys()


def test_a_set_takes_over_another(store: LmdbMembers) -> None:
    store.replace("s", {"old": 1})
    start = store.follow("s")
    store.replace("t", AWKWARD)
    assert store.adopt("s", "t") == len(AWKWARD)
    assert dict(store.values("s")) == AWKWARD
    assert (store.size("t"), values(store, "t")) == (0, set())
    assert store.changed_since("s", start, most=9).values is None
    assert store.adopt("s", "nowhere") == 0
    assert values(store, "s") == set()
    store.apply("t", add={"again": 1}, remove=[])
    assert values(store, "t") == {"again"}


@pytest.mark.parametrize("count", [40, MANY])
def test_one_set_is_changed_by_two(store: LmdbMembers, count: int) -> None:
    store.replace("s", numbered(count))
    store.replace("come", {**dict.fromkeys(numbered(count, count // 2), 7), "b": 7, "~last": 7})
    store.replace("go", {**numbered(count // 4), "b": 1, "nobody": 1, "~~": 1})
    held = numbered(count).keys()
    wanted = (held - numbered(count // 4).keys()) | values(store, "come")
    added, removed = store.combine("s", add="come", remove="go")
    assert values(store, "s") == wanted
    assert (added, removed) == (len(wanted - held), len(held - wanted))
    kept = f"user{count // 2 + 1:07}@example.test"
    assert store.since("s", kept) == 1, "who stays keeps the time of coming"
    assert store.since("s", "~last") == 7


SOME = st.dictionaries(st.sampled_from([*"abcdefghij", "", "x" * 600, "y" * 600]), st.integers(1, 9))


@given(held=SOME, coming=SOME, going=SOME, piece=st.integers(1, 4))
def test_whatever_a_piece_holds_whole_sets_are_changed_alike(
    held: dict[str, int], coming: dict[str, int], going: dict[str, int], piece: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(between, "PIECE", piece)
        patch.setattr(lmdb, "PIECE", -1)  # never the short way for few
        store = open_members(Path(folder))
        for name in ("s", "t"):
            store.replace(name, held)
        store.replace("come", coming)
        store.replace("go", going)
        gone = held.keys() & going.keys() - coming.keys()
        both = coming | held
        assert store.combine("s", add="come", remove="go") == (len(coming.keys() - held.keys()), len(gone))
        assert dict(store.values("s")) == {value: both[value] for value in both.keys() - gone}
        assert store.fill_difference("only", "t", "go") == len(held.keys() - going.keys())
        assert dict(store.values("only")) == {value: held[value] for value in held.keys() - going.keys()}
        assert store.replace_by("t", "come") == (
            len(coming.keys() - held.keys()),
            len(held.keys() - coming.keys()),
        )
        assert dict(store.values("t")) == {value: both[value] for value in coming}
        assert (store.size("t"), store.size("come"), dict(store.values("come"))) == (len(coming), 0, {})
        store.close()


class Following(RuleBasedStateMachine):
    """Whatever happens, the feed names every value whose membership is another than at a version, or says it cannot."""

    texts = st.sampled_from(["a", "b", "c", "d", "", "x" * 600])
    many = st.sets(texts, max_size=6)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_members(Path(self.folder.name))
        self.store.follow("s")
        self.seen: dict[int, set[str]] = {self.store.version("s"): set()}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(add=many, remove=many)
    def apply(self, add: set[str], remove: set[str]) -> None:
        self.store.apply("s", add=dict.fromkeys(add, 1), remove=remove)

    @rule(wanted=many)
    def replace(self, wanted: set[str]) -> None:
        self.store.replace("s", dict.fromkeys(wanted, 1))

    @rule()
    def drop(self) -> None:
        self.store.drop("s")

    @rule(wanted=many)
    def adopt(self, wanted: set[str]) -> None:
        self.store.replace("t", dict.fromkeys(wanted, 1))
        self.store.adopt("s", "t")

    @rule(add=many, remove=many)
    def combine(self, add: set[str], remove: set[str]) -> None:
        self.store.replace("come", dict.fromkeys(add, 1))
        self.store.replace("go", dict.fromkeys(remove, 1))
        before = values(self.store, "s")
        self.store.combine("s", add="come", remove="go")
        assert values(self.store, "s") == (before - remove) | add

    @rule(wanted=many)
    def fill(self, wanted: set[str]) -> None:
        self.store.replace("t", dict.fromkeys(wanted, 1))
        self.store.fill_difference("s", "t", "none")
        assert values(self.store, "s") == wanted

    @invariant()
    def feed_is_complete(self) -> None:
        now = values(self.store, "s")
        for version, then in self.seen.items():
            changed = self.store.changed_since("s", version, most=100)
            if changed.values is not None:
                assert changed.version == self.store.version("s")
                assert then ^ now <= changed.values
        self.seen[self.store.version("s")] = now


Following.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_following = Following.TestCase
