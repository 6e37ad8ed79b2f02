"""What only the embedded store has: a folder, an owner, a form that migrates."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.errors import Unavailable
from cairn.event import Draft
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.embedded import open_embedded
from cairn.store.errors import StoreInUse, StoreTooNew
from cairn.store.migrations import MIGRATIONS, Migration, migrate
from cairn.store.question import ad_hoc
from cairn.store.schema import FIRST_SEEN_KEY
from cairn.store.store import MapChange, PropertyChange
from tests.store.engine import Engine, engine_of

NEXT = MIGRATIONS[-1].number + 1
ONE = Draft(1, "custom", "Paid", 1_800_000_000_000, 1_800_000_000_000, user_id=1, event_id=5, log_position=6)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseStore]:
    opened = open_embedded(tmp_path / "store", memory_mb=300)
    yield opened
    opened.close()


@pytest.fixture
def engine(store: ClickHouseStore, tmp_path: Path) -> Iterator[Engine]:
    with engine_of(tmp_path / "store") as engine:
        yield engine


def test_what_is_stored_is_there_again(store: ClickHouseStore, tmp_path: Path) -> None:
    store.insert_events([ONE])
    store.close()
    again = open_embedded(tmp_path / "store", memory_mb=300)
    assert again.known([5, 7]) == {5: 6}
    again.close()


def test_what_is_known_of_the_data_is_read_again(store: ClickHouseStore, tmp_path: Path) -> None:
    store.insert_events([ONE])
    store.insert_user_map([MapChange(2, 1, 9, 1)])
    store.close()
    again = open_embedded(tmp_path / "store", memory_mb=300)
    known = [again.state(environment_id) for environment_id in (1, 2, 3)]
    assert [(state.newest_ms, state.has_merges) for state in known] == [
        (ONE.time_ms, False),
        (0, True),
        (0, False),
    ]
    again.close()


def test_another_process_is_told_that_the_store_is_in_use(store: ClickHouseStore, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from cairn.store.embedded import open_embedded
from cairn.store.errors import StoreInUse
try:
    open_embedded(Path({str(tmp_path / "store")!r}), memory_mb=300)
except StoreInUse as error:
    print("in use")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "in use\n"
    assert issubclass(StoreInUse, Exception)


def test_a_closed_store_is_unavailable(store: ClickHouseStore) -> None:
    store.close()
    with pytest.raises(Unavailable):
        store.query(ad_hoc(1, "SELECT {environment:UInt32}"))
    with pytest.raises(Unavailable):
        store.insert_events([ONE])


def test_one_memory_limit_and_modest_caches(store: ClickHouseStore) -> None:
    settings = dict(
        store.query(
            ad_hoc(
                1,
                "SELECT name, toUInt64(value) FROM system.server_settings WHERE name IN "
                "('max_server_memory_usage', 'mark_cache_size') AND 1 = {environment:UInt32}",
            )
        )
    )
    assert settings == {"max_server_memory_usage": (300 + 512) << 20, "mark_cache_size": 64 << 20}


class TestMigrations:
    def test_are_applied_once_and_in_order(self, store: ClickHouseStore, engine: Engine) -> None:
        assert store.migrate() == []
        added = (
            Migration(NEXT, "a", ("CREATE TABLE cairn.x (a UInt8) ENGINE = Memory",)),
            Migration(
                NEXT + 1, "b", ("ALTER TABLE cairn.x ADD COLUMN b UInt8", "ALTER TABLE cairn.x DROP COLUMN a")
            ),
        )
        run, newest = engine.run, engine.number
        assert migrate(run, newest, migrations=(*MIGRATIONS, *added)) == ["a", "b"]
        assert migrate(run, newest, migrations=(*MIGRATIONS, *added)) == []
        with pytest.raises(StoreTooNew):
            store.migrate()

    def test_one_that_broke_off_is_run_again(self, store: ClickHouseStore, engine: Engine) -> None:
        run, newest = engine.run, engine.number
        run("DELETE FROM cairn.versions WHERE 1")
        assert store.migrate() == [migration.name for migration in MIGRATIONS]
        store.insert_events([ONE])
        assert newest("SELECT count() FROM cairn.events") == 1

    def test_events_of_the_first_form_are_kept(
        self, store: ClickHouseStore, engine: Engine, tmp_path: Path
    ) -> None:
        """A store as the first version left it, opened by this one."""
        run, newest = engine.run, engine.number
        run("DROP DICTIONARY cairn.merged_users SYNC")
        for table in ("events", "user_properties", "user_map", "refusals", "elements", "versions"):
            run(f"DROP TABLE cairn.{table} SYNC")
        migrate(run, newest, migrations=MIGRATIONS[:1])
        run("INSERT INTO cairn.events (environment_id, event_id, time) VALUES (1, 9, now64(3))")
        assert store.migrate() == [migration.name for migration in MIGRATIONS[1:]]
        store.insert_events([ONE])
        asked = "SELECT event_id, path, element FROM cairn.events WHERE environment_id = {environment:UInt32}"
        assert sorted(store.query(ad_hoc(1, asked))) == [(5, "", 0), (9, "", 0)]
        store.close()
        again = open_embedded(
            tmp_path / "store", memory_mb=300
        )  # as `known` has seen only what came through it
        assert again.known([9, 5]) == {9: 0, 5: 6}
        again.close()

    def test_properties_keep_their_values_and_lose_to_later_arrivals(
        self, store: ClickHouseStore, engine: Engine
    ) -> None:
        """Versions as the fourth form wrote them, of ordinary properties and of those where the earliest wins."""
        run, newest = engine.run, engine.number
        for table in ("user_properties", "account_properties", "versions"):
            run(f"DROP TABLE cairn.{table} SYNC")
        migrate(run, newest, migrations=MIGRATIONS[:4])
        at, first = 1_780_000_000_000, 2**42 - 1 - 1_780_000_000_000
        for key, user, value, version in (
            ("plan", 1, "old", (at - 1 << 22) + 9),
            ("plan", 1, "free", (at << 22) + 2**22 - 1),
            ("initial_channel", 1, "Email", (first << 22) + 5),
            ("initial_channel", 1, "Direct", (first << 22) + 4),
        ):
            run(
                f"INSERT INTO cairn.user_properties VALUES (1, '{key}', {user}, '{value}', now64(3), {version})"
            )
        run(f"INSERT INTO cairn.account_properties VALUES (1, 'acme', 'seats', '3', now64(3), {at << 22})")
        assert store.migrate() == [migration.name for migration in MIGRATIONS[4:]]
        sql = """SELECT key, argMax(value, version) FROM cairn.user_properties
            WHERE environment_id = {environment:UInt32} GROUP BY key"""
        assert dict(store.query(ad_hoc(1, sql))) == {"plan": "free", "initial_channel": "Email"}
        store.insert_properties(
            [
                PropertyChange(1, 1, "plan", "pro", at, (at << 64) + (1 << 29)),
                PropertyChange(1, 1, "initial_channel", "Paid", at, (first << 64) + 2**64 - 1 - (1 << 29)),
            ]
        )
        assert dict(store.query(ad_hoc(1, sql))) == {"plan": "pro", "initial_channel": "Email"}
        sql = """SELECT value, bitShiftRight(version, 64) FROM cairn.account_properties
            WHERE environment_id = {environment:UInt32}"""
        assert store.query(ad_hoc(1, sql)) == [("3", at)]


def test_what_is_known_is_read_again_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In full: an id that is stored is found without the store being asked about those that are not."""
    store = open_embedded(tmp_path / "store", memory_mb=300)
    store.insert_events([ONE])
    seen = PropertyChange(3, 2**53, FIRST_SEEN_KEY, "Direct", ONE.time_ms, 77)
    store.insert_properties([seen])
    store.close()
    again = open_embedded(tmp_path / "store", memory_mb=300)
    assert again.wait_for_ids()
    assert (again.known([5, 7]), again.first_seen([(3, 2**53), (3, 1)])) == ({5: 6}, {(3, 2**53): 77})
    assert not caplog.records
    again.close()
