"""The contracts of Members and Published, for every implementation."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cairn.errors import InvalidInput, NotAllowed, Unavailable
from cairn.members.lmdb import open_members
from cairn.members.sets import Members, Published


class Store(Members, Published, Protocol): ...


OPENERS: dict[str, Callable[[Path], Store]] = {"lmdb": open_members}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Callable[[Path], Store]:
    return OPENERS[request.param]


@pytest.fixture
def store(opener: Callable[[Path], Store], tmp_path: Path) -> Iterator[Store]:
    store = opener(tmp_path / "members")
    yield store
    store.close()


def contents(store: Members, name: str) -> dict[str, int]:
    """Everything in a set, agreed on by every way of asking."""
    pairs = store.values(name)
    found = dict(pairs)
    assert len(found) == len(pairs) == store.size(name)
    assert store.which(name, found) == set(found)
    assert all(store.contains(name, value) and store.since(name, value) == since for value, since in pairs)
    return found


LONG = "x" * 600
AWKWARD = {
    "plain": 1,
    "PLAIN": 2,
    "plain ": 3,
    "ﬁ": 4,  # folds to "fi"
    "fi": 5,
    "e\u0301": 6,
    "\u00e9": 7,
    "a\0b": 8,
    "a": 9,
    "\ud800": 10,
    "\U0001f600": 11,
    LONG + "a": 12,
    LONG + "b": 13,
    "y" * 480: 14,
    "y" * 481: 15,
    "é" * 240: 16,
    "é" * 241: 17,
    "": 18,
    "\x01" + "z" * 31: 19,
}


def test_an_unknown_set_is_empty(store: Store) -> None:
    assert contents(store, "none") == {}
    assert (store.contains("none", "a"), store.since("none", "a"), store.version("none")) == (False, None, 0)
    store.drop("none")
    assert store.version("none") == 0


def test_values_are_kept_apart_exactly(store: Store) -> None:
    assert store.apply("s", add=AWKWARD, remove=[]) == (len(AWKWARD), 0)
    assert contents(store, "s") == AWKWARD
    for value in AWKWARD:
        assert store.apply("s", add={}, remove=[value]) == (0, 1)
        assert not store.contains("s", value)
        assert store.apply("s", add={value: AWKWARD[value]}, remove=[]) == (1, 0)
    assert store.replace("t", AWKWARD) == (len(AWKWARD), 0)
    assert contents(store, "t") == AWKWARD


def test_set_names_are_kept_apart_exactly(store: Store) -> None:
    for name in AWKWARD:
        store.apply(name, add={f"in {name!r}": 1}, remove=[])
    for name in AWKWARD:
        assert contents(store, name) == {f"in {name!r}": 1}


def test_the_first_since_is_kept(store: Store) -> None:
    store.apply("s", add={"a": 1}, remove=[])
    assert store.apply("s", add={"a": 2, "b": 2}, remove=["c"]) == (1, 0)
    assert store.replace("s", {"a": 3, "c": 3}) == (1, 1)
    assert contents(store, "s") == {"a": 1, "c": 3}
    assert store.apply("s", add={"a": 4}, remove=["a"]) == (0, 0)
    assert store.since("s", "a") == 1


def test_the_version_rises_with_changes_only(store: Store) -> None:
    versions = []
    for change in (
        lambda: store.apply("s", add={"a": 1}, remove=[]),
        lambda: store.apply("s", add={"a": 2}, remove=["b"]),
        lambda: store.replace("s", {"a": 5}),
        lambda: store.replace("s", {"b": 5}),
        lambda: store.drop("s"),
        lambda: store.drop("s"),
        lambda: store.apply("s", add={"a": 1}, remove=[]),
    ):
        change()
        versions.append(store.version("s"))
    assert versions == [1, 1, 1, 2, 3, 3, 4]


def test_values_are_paged_without_loss_or_repeat(store: Store) -> None:
    store.replace("s", AWKWARD)
    for limit in (1, 2, 7, 100):
        seen: list[tuple[str, int]] = []
        while page := store.values("s", after=seen[-1][0] if seen else "", limit=limit):
            seen += page
            if len(seen) >= len(AWKWARD):
                break
        assert seen == store.values("s")
    assert store.values("s", limit=0) == []


def test_closing_and_opening_loses_nothing(opener: Callable[[Path], Store], tmp_path: Path) -> None:
    store = opener(tmp_path / "m")
    store.replace("s", AWKWARD)
    store.publish({"settings/1": b"one"})
    store.close()
    store.close()
    store = opener(tmp_path / "m")
    assert contents(store, "s") == AWKWARD
    assert (store.document("settings/1"), store.version("s"), store.changes()) == (b"one", 1, 1)
    store.close()


def test_documents_are_published_together_and_counted(store: Store) -> None:
    assert (store.changes(), store.document("a"), list(store.names(""))) == (0, None, [])
    store.publish({"a/1": b"one", "a/2": b"", "b/1": b"\0" * 3_000_000})
    store.publish({"a/1": b"one"})
    store.publish({"missing": None})
    assert store.changes() == 1
    store.publish({"a/1": None, "b/1": b"new"})
    assert store.changes() == 2
    assert (store.document("a/1"), store.document("a/2"), store.document("b/1")) == (None, b"", b"new")
    assert (list(store.names("")), list(store.names("a/")), list(store.names("c"))) == (
        ["a/2", "b/1"],
        ["a/2"],
        [],
    )


def test_a_document_name_has_a_limit(store: Store) -> None:
    store.publish({"n" * 499: b"fits"})
    with pytest.raises(InvalidInput, match="500 bytes"):
        store.publish({"n" * 500: b"too long"})


def test_a_reader_cannot_write_but_sees_writes(tmp_path: Path) -> None:
    reader = open_members(tmp_path / "m", read_only=True)
    writer = open_members(tmp_path / "m")
    writer.apply("s", add={"a": 1}, remove=[])
    assert reader.contains("s", "a")
    with pytest.raises(NotAllowed, match="read_only"):
        reader.apply("s", add={"b": 1}, remove=[])
    reader.close()
    assert writer.contains("s", "a")
    writer.close()


def test_the_store_grows_when_it_is_full(tmp_path: Path) -> None:
    store = open_members(tmp_path / "m", map_bytes=2**20)
    values = {f"{number}" * 20: number for number in range(100_000)}
    assert store.replace("s", values) == (100_000, 0)
    store.apply("t", add=values, remove=[])
    store.publish({"big": b"x" * 5_000_000})
    assert contents(store, "s") == contents(store, "t") == values
    store.close()


def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "data.mdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises(Unavailable, match="members store"):
        open_members(tmp_path / "m")


def test_an_exchange_of_many_values_never_shows_a_part(store: Store) -> None:
    old = {f"old-{number}": 1 for number in range(60_000)}
    new = {f"new-{number}": 2 for number in range(60_000)}
    store.replace("s", old)
    stop = threading.Event()
    seen: set[tuple[bool, bool]] = set()

    def watch() -> None:
        while not stop.is_set():
            which = store.which("s", ["old-0", "old-59999", "new-0", "new-59999"])
            assert which in ({"old-0", "old-59999"}, {"new-0", "new-59999"})
            assert store.size("s") == 60_000
            seen.add(("old-0" in which, "new-0" in which))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for values in (new, old, new):
        assert store.replace("s", values) == (60_000, 60_000)
    stop.set()
    watcher.join()
    assert seen == {(True, False), (False, True)}


def test_a_million_values_are_exchanged(store: Store) -> None:
    values = {f"user-{number}@acme.test": number for number in range(1_000_000)}
    assert store.replace("s", values) == (1_000_000, 0)
    assert store.size("s") == 1_000_000
    values["one more"] = values.pop("user-500000@acme.test")
    assert store.replace("s", dict.fromkeys(values, 7)) == (1, 1)
    assert (store.since("s", "user-999999@acme.test"), store.since("s", "one more")) == (999_999, 7)
    assert not store.contains("s", "user-500000@acme.test")


texts = st.sampled_from([*AWKWARD, "b", "c"]) | st.text(st.characters(exclude_categories=[]), max_size=8)


class SetsMachine(RuleBasedStateMachine):
    """Any sequence of changes leaves what a dictionary would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "m"
        self.store = open_members(self.path)
        self.model: dict[str, dict[str, int]] = {"s": {}, "t": {}}
        self.version = {"s": 0, "t": 0}

    @rule(name=st.sampled_from("st"), add=st.dictionaries(texts, st.integers(0, 9)), remove=st.lists(texts))
    def apply(self, name: str, add: dict[str, int], remove: list[str]) -> None:
        before = self.model[name]
        gone = {value for value in remove if value in before and value not in add}
        come = {value: since for value, since in add.items() if value not in before}
        assert self.store.apply(name, add=add, remove=remove) == (len(come), len(gone))
        self.change(name, {k: v for k, v in before.items() if k not in gone} | come)

    @rule(name=st.sampled_from("st"), values=st.dictionaries(texts, st.integers(0, 9)))
    def replace(self, name: str, values: dict[str, int]) -> None:
        before = self.model[name]
        counts = (len(values.keys() - before.keys()), len(before.keys() - values.keys()))
        assert self.store.replace(name, values) == counts
        self.change(name, values | {k: v for k, v in before.items() if k in values})

    @rule(name=st.sampled_from("st"))
    def drop(self, name: str) -> None:
        self.store.drop(name)
        self.change(name, {})

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_members(self.path)

    def change(self, name: str, values: dict[str, int]) -> None:
        if values.keys() != self.model[name].keys():
            assert self.store.version(name) > self.version[name]
        else:
            assert self.store.version(name) == self.version[name]
        self.model[name], self.version[name] = values, self.store.version(name)

    @invariant()
    def holds_the_same(self) -> None:
        for name, values in self.model.items():
            assert contents(self.store, name) == values

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestSetsMachine = SetsMachine.TestCase
TestSetsMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


@settings(max_examples=30, deadline=None)
@given(st.sets(texts, min_size=1))
def test_paging_order_is_stable(values: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_members(Path(folder) / "m")
        store.replace("s", dict.fromkeys(values, 1))
        order = store.values("s")
        assert {value for value, _ in order} == values
        for index, (value, _) in enumerate(order):
            if value:
                assert store.values("s", after=value) == order[index + 1 :]
        store.close()


WRITER = """
import sys
from pathlib import Path
from cairn.members.lmdb import open_members
store = open_members(Path(sys.argv[1]), map_bytes=2**20)
turn = 0
while True:
    turn += 1
    if sys.argv[2] == "replace":
        store.replace("s", {f"{turn}/{number}": turn for number in range(30_000)})
    else:
        store.apply("s", add={f"{turn}/{number}": turn for number in range(50)}, remove=[])
    store.publish({"turn": b"%d" % turn})
    print(turn, flush=True)
"""


@pytest.mark.parametrize("change", ["apply", "replace"])
@pytest.mark.parametrize("wait_for", [1, 4])
def test_a_killed_writer_leaves_whole_changes(tmp_path: Path, change: str, wait_for: int) -> None:
    reader = open_members(tmp_path / "m", read_only=True)  # before the writer, with the normal map size
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "m"), change], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(wait_for):
            said = int(writer.stdout.readline())
            assert int(reader.document("turn") or 0) >= said
            assert reader.contains("s", f"{said}/0") or change == "replace"
        os.kill(writer.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    reader.close()
    store = open_members(tmp_path / "m")
    turns = sorted(set(contents(store, "s").values()))
    if change == "replace":
        [turn] = turns
        assert store.size("s") == 30_000 and turn in (said, said + 1)
    else:
        assert turns == list(range(1, len(turns) + 1)) and len(turns) in (said, said + 1)
        assert store.size("s") == 50 * len(turns)
    assert store.replace("s", {"left": 1})[0] == 1
    assert contents(store, "s") == {"left": 1}
    store.close()


def test_small_writes_from_another_process_pass_during_an_exchange(tmp_path: Path) -> None:
    edge = open_members(tmp_path / "m", map_bytes=2**22)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "m"), "replace"], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for number in range(50):
            edge.publish({f"alias/{number}": b"x"})
            edge.apply("aliases", add={f"{number}": number}, remove=[])
        writer.kill()
    assert edge.size("aliases") == 50
    assert len(list(edge.names("alias/"))) == 50
    assert edge.size("s") == 30_000
    edge.close()


def test_nothing_stays_of_a_forgotten_set(store: Store) -> None:
    store.replace("s", AWKWARD)
    store.replace("t", AWKWARD)
    for _ in range(2):
        store.forget("s")
        assert (contents(store, "s"), store.version("s"), store.sets("")) == ({}, 0, ["t"])
    assert contents(store, "t") == AWKWARD
    assert store.apply("s", add={"a": 1}, remove=[]) == (1, 0)
    assert (contents(store, "s"), store.version("s")) == ({"a": 1}, 1)
