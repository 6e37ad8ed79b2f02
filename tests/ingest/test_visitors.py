"""Flag visitors in the loader: after a crash, after an upgrade, and what they cost a batch that has none."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog
from cairn.identity.merges import canonical
from cairn.ids import identified_user_id, key_hash, visitor_id
from cairn.published.directory import Directory, Sdk
from cairn.store.embedded import EmbeddedStore
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


class Counting(EmbeddedStore):
    """Counts the questions about flag visitors."""

    asked = 0

    def visitors(self, asked: Sequence[tuple[int, int]]) -> list[VisitorRow]:
        Counting.asked += bool(asked)
        return super().visitors(asked)

    def insert_visitors(self, visitors: Sequence[VisitorRow]) -> None:
        Counting.asked += bool(visitors)
        super().insert_visitors(visitors)


def test_events_of_known_users_cost_nothing(flags: Rig, environment_id: int) -> None:
    store = flags.store
    assert isinstance(store, EmbeddedStore)
    store._filling.join()
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
