"""Flag visitors in the loader: after a crash, after an upgrade, and what they cost a batch that has none."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog
from cairn.identity.merges import canonical
from cairn.ids import identified_user_id, key_hash, visitor_id
from cairn.published.directory import Directory, Sdk
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.question import ad_hoc
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import PropertyChange, VisitorRow
from tests.ingest.rig import NOW_MS, Rig

ACCOUNT = 12345


@pytest.fixture
def flags(rig: Rig, environment_id: int) -> Rig:
    """With an SDK key in the environment."""
    rig.directory = Directory(sdks={key_hash("key"): Sdk(environment_id, 1, ACCOUNT)})
    return rig


def exposure(name: str) -> dict[str, Any]:
    return {"user_id": visitor_id(name, ACCOUNT), "kind": "exposure", "name": "seen", "is_visitor": True}


def owners(rig: Rig, environment_id: int) -> list[int]:
    """Of the exposures, by the map of the metadata."""
    raws = rig.store.query(
        ad_hoc(
            environment_id,
            "SELECT user_id FROM cairn.events WHERE environment_id = {environment:UInt32} AND kind = 'exposure' "
            "ORDER BY log_position",
        ),
    )
    with rig.engine.connect() as connection:
        leads = canonical(connection, environment_id, [row[0] for row in raws])
    return [leads.get(row[0], row[0]) for row in raws]


def test_identities_of_an_earlier_version_find_their_exposures(flags: Rig, environment_id: int) -> None:
    """Stored before there were rows for flag visitors: both the identity and the exposure."""
    ann = identified_user_id(environment_id, "ann")
    flags.send(exposure("ann"), environment_id=environment_id)
    flags.load()
    flags.store.insert_properties([PropertyChange(environment_id, ann, IDENTITY_KEY, "ann", NOW_MS, 1)])
    assert owners(flags, environment_id) == [visitor_id("ann", ACCOUNT)]
    flags.restart()
    flags.send(exposure("ann"), environment_id=environment_id)
    flags.load()
    assert owners(flags, environment_id) == [ann, ann]
    assert visitor_id("ann", ACCOUNT) in {user for loaded in flags.loaded for user in loaded.merged}


class _NeverMoving:
    """A log whose cursor stays, as when the process ends before it moves."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(self, *_: object) -> None:
        raise Unavailable("killed")


def test_a_join_whose_load_was_killed_is_told_again(flags: Rig, environment_id: int) -> None:
    flags.send(exposure("ann"), environment_id=environment_id)
    flags.load()
    flags.send({"identity": "ann", "name": "Paid"}, environment_id=environment_id)
    flags.restart(log=cast(EventLog, _NeverMoving(flags.log)))
    with pytest.raises(Unavailable):
        flags.load()
    flags.loaded.clear()
    flags.restart()
    flags.load()
    ann, visitor = identified_user_id(environment_id, "ann"), visitor_id("ann", ACCOUNT)
    assert {ann, visitor} <= {user for loaded in flags.loaded for user in loaded.merged}
    assert owners(flags, environment_id) == [ann]


class Counting(ClickHouseStore):
    """Counts the questions about flag visitors."""

    asked = 0

    def visitors(self, keys: Sequence[tuple[int, int]]) -> list[VisitorRow]:
        Counting.asked += bool(keys)
        return super().visitors(keys)

    def insert_visitors(self, visitors: Sequence[VisitorRow]) -> None:
        Counting.asked += bool(visitors)
        super().insert_visitors(visitors)


def test_events_of_known_users_cost_nothing(flags: Rig, environment_id: int) -> None:
    store = flags.store
    assert isinstance(store, ClickHouseStore)
    assert store.wait_for_ids()
    batch: list[dict[str, Any]] = [{"identity": "ann"}, {"user_id": 7}, {"anonymous_id": "a"}]
    flags.send(*batch, environment_id=environment_id)
    flags.load()
    before, store.__class__ = store.__class__, Counting
    try:
        Counting.asked = 0
        flags.send(*batch, environment_id=environment_id)
        flags.load()
        assert Counting.asked == 0
        flags.send({"user_id": 8}, environment_id=environment_id)
        flags.load()
        assert Counting.asked == 1  # its row is written; nobody waits for it
        flags.send(*(exposure("ann") for _ in range(50)), environment_id=environment_id)
        flags.load()
        assert Counting.asked == 2  # one question for a batch
    finally:
        store.__class__ = before


def rows(rig: Rig, environment_id: int) -> set[tuple[int, int]]:
    """(visitor id, user id) of all flag visitors."""
    sql = "SELECT visitor_id, user_id FROM cairn.visitors WHERE environment_id = {environment:UInt32}"
    return {(row[0], row[1]) for row in rig.store.query(ad_hoc(environment_id, sql))}


def row_of(name: str, environment_id: int) -> tuple[int, int]:
    return visitor_id(name, ACCOUNT), identified_user_id(environment_id, name)


def test_new_identities_cost_nothing_where_there_are_no_flag_events(flags: Rig, environment_id: int) -> None:
    store = flags.store
    before, store.__class__ = store.__class__, Counting
    try:
        Counting.asked = 0
        flags.send(*({"identity": f"user {number}"} for number in range(50)), environment_id=environment_id)
        flags.load()
        assert Counting.asked == 0
    finally:
        store.__class__ = before
    assert not rows(flags, environment_id)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["same process", "after a restart"])
def test_the_first_flag_event_finds_every_identity_seen_before(
    flags: Rig, environment_id: int, is_restarted: bool
) -> None:
    names = [f"user {number}" for number in range(20)]
    flags.send(*({"identity": name} for name in names), environment_id=environment_id)
    flags.load()
    if is_restarted:
        flags.restart()
    flags.send(
        exposure(names[3]), {"identity": "just now"}, exposure("just now"), environment_id=environment_id
    )
    flags.load()
    expected = [identified_user_id(environment_id, name) for name in (names[3], "just now")]
    raws = flags.events(environment_id, "user_id")
    assert raws[-3:] == [expected[0], expected[1], expected[1]]  # stored as theirs, not joined
    assert rows(flags, environment_id) == {row_of(name, environment_id) for name in [*names, "just now"]}
    flags.send({"identity": "later"}, environment_id=environment_id)
    flags.load()
    assert row_of("later", environment_id) in rows(flags, environment_id)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["same process", "after a restart"])
def test_an_identity_seen_after_its_exposure_is_joined(
    flags: Rig, environment_id: int, is_restarted: bool
) -> None:
    flags.send({"identity": "bob"}, exposure("ann"), environment_id=environment_id)
    flags.load()
    if is_restarted:
        flags.restart()
    flags.send({"identity": "ann"}, environment_id=environment_id)
    flags.load()
    assert owners(flags, environment_id) == [identified_user_id(environment_id, "ann")]


def test_a_flag_event_changes_nothing_for_other_environments(flags: Rig, environment_id: int) -> None:
    other = environment_id + 1_000_000
    sdks = {**flags.directory.sdks, key_hash("other"): Sdk(other, 1, ACCOUNT)}
    flags.directory = Directory(sdks=sdks)
    flags.send({"identity": "ann"}, environment_id=other)
    flags.load()
    flags.send(exposure("ann"), environment_id=environment_id)
    flags.load()
    assert owners(flags, environment_id) == [visitor_id("ann", ACCOUNT)]
    assert not rows(flags, other)


def test_a_load_killed_at_its_first_flag_event_is_repeated_whole(flags: Rig, environment_id: int) -> None:
    flags.send({"identity": "ann"}, environment_id=environment_id)
    flags.load()
    flags.send(exposure("ann"), exposure("bob"), {"identity": "eve"}, environment_id=environment_id)
    flags.restart(log=cast(EventLog, _NeverMoving(flags.log)))
    with pytest.raises(Unavailable):
        flags.load()
    flags.restart()
    flags.load()
    flags.send({"identity": "bob"}, environment_id=environment_id)
    flags.load()
    assert owners(flags, environment_id) == [
        identified_user_id(environment_id, name) for name in ("ann", "bob")
    ]
    assert {row_of(name, environment_id) for name in ("ann", "bob", "eve")} <= rows(flags, environment_id)
