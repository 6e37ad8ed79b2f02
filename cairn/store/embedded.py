"""The embedded event store: ClickHouse inside the process, in one folder that one process owns."""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from cairn.disk_space import disk_space_of
from cairn.event import Draft, Refused
from cairn.log_position import order_of, position_of
from cairn.store import rows
from cairn.store.asking import Asking
from cairn.store.cut_off import set_aside
from cairn.store.data_state import DataState, DataStates
from cairn.store.disk_guard import DiskGuard
from cairn.store.engine_config import write_engine_config
from cairn.store.erase import Erased, UserErasure, erase, rewrite
from cairn.store.errors import StoreBusy, StoreInUse, of_insert, of_question
from cairn.store.known import Ids, KnownIds
from cairn.store.migrations import migrate
from cairn.store.running import Running
from cairn.store.schema import DATABASE, FIRST_SEEN_KEY, IDENTITY_KEY, MERGED_USERS
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import AccountChange, MapChange, PropertyChange, Row, SeenElement, VisitorRow
from cairn.store.visitors import identities_behind, name_identities, stored_visitors, waiting_environments

logger = logging.getLogger(__name__)

_WRITING = {"max_partitions_per_insert_block": 0}  # a batch of late events may span any number of months
# The ids of all events, and one word for each user who was seen in a session and for each flag visitor whose user is
# not known; `_hashes` makes the same.
_ALL_KNOWN = f"""
    SELECT 0 AS filter, event_id AS id FROM {DATABASE}.events
    UNION ALL
    SELECT 1, bitXor(user_id, bitShiftLeft(toUInt64(environment_id), 32)) FROM {DATABASE}.user_properties
    WHERE key = '{FIRST_SEEN_KEY}'
    UNION ALL
    SELECT 2, bitXor(visitor_id, bitShiftLeft(toUInt64(environment_id), 32)) FROM {DATABASE}.visitors WHERE rank = 0
"""
_KNOWN_ROW = np.dtype([("filter", "u1"), ("id", "<u8")])
_IDS_PER_BLOCK = 1 << 16  # ids read at once when the filter is filled


def open_embedded(
    path: Path, *, memory_mb: int, on_cut_off: Callable[[], None] = lambda: None
) -> "EmbeddedStore":
    """Open the store in a folder, making or migrating it as needed. `memory_mb`: most memory one question may use.

    `on_cut_off` is called, in any thread, when a full disk has cut off a part: only opening again mends it.

    Raises StoreInUse when another process has it open, StoreTooNew when a newer Cairn wrote it.
    """
    folder = path.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    config = write_engine_config(folder, memory_mb=memory_mb)
    try:
        if names := set_aside(folder):
            logger.error("parts_set_aside", extra={"parts": names})
        store = EmbeddedStore(folder, config, memory_mb=memory_mb, on_cut_off=on_cut_off)
    except Error as error:
        raise StoreInUse(
            f"the event store in {folder} cannot be opened: is another Cairn running on it? {error}"
        ) from error
    try:
        store.migrate()
        store.start()
    except BaseException:
        store.close()
        raise
    return store


class EmbeddedStore:
    """Implements Store. Each thread gets clients of its own, as the engine's sessions are not to be shared."""

    def __init__(self, folder: Path, config: Path, *, memory_mb: int, on_cut_off: Callable[[], None]) -> None:
        self._folder, self._config, self._memory_mb = folder, config, memory_mb
        self._local = threading.local()
        self._clients: weakref.WeakSet[Client] = (
            weakref.WeakSet()
        )  # of finished threads: they close themselves
        self._is_closed = False
        self._map_lock, self._map_is_stale = threading.Lock(), True
        self._states = DataStates(self._read_state)
        self._ids, self._ids_are_filled = KnownIds(), False
        self._seen_users = KnownIds()
        self._waiting_visitors = KnownIds()
        self._filling = threading.Thread(target=self._fill_ids, name="known ids", daemon=True)
        self._engine = self._connect()  # keeps the engine open while no other client is
        self._disk_guard = DiskGuard(folder, self._command, on_cut_off)
        self._disk_guard.start()

    def start(self) -> None:
        """Begin to read the stored ids into memory, after the migrations."""
        count = int(self._read(f"SELECT count() FROM {DATABASE}.events", {})[0][0])
        self._ids.reserve(count)
        self._filling.start()

    def migrate(self) -> list[str]:
        """Apply missing migrations; return their names."""
        return migrate(self._engine.command, lambda sql: int(self._engine.query(sql).result_rows[0][0]))

    def wait_for_ids(self) -> bool:
        """Wait until the stored ids are in memory. False: they could not be read, and every look-up asks the engine."""
        self._filling.join()
        return self._ids_are_filled

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        if statement.reads_user_map:
            self._refresh_map()
        asking = self._asking()
        try:
            return asking.ask(statement, limits, running, self._writing)
        except Error as error:
            del self._local.asking  # a client that failed is not trusted with the next tenant's question
            asking.client.close()
            raise of_question(error) from error

    def insert_events(self, events: Sequence[Draft]) -> None:
        if not events:
            return
        table = rows.events_table(events)
        # Before the insert: an id must never be in the store and not in the filter.
        self._ids.add(table.column("event_id").to_numpy())
        newest_ms: dict[int, int] = {}
        for event in events:
            if event.time_ms > newest_ms.get(event.environment_id, -1):
                newest_ms[event.environment_id] = event.time_ms
        with self._states.changing(newest_ms, newest_ms=newest_ms):
            self._insert("events", table)

    def insert_properties(self, changes: Sequence[PropertyChange]) -> None:
        if not changes:
            return
        table = rows.properties_table(changes)
        if seen := [(one.environment_id, one.user_id) for one in changes if one.key == FIRST_SEEN_KEY]:
            self._seen_users.add(_hashes(seen))
        with self._states.changing(change.environment_id for change in changes):
            self._insert("user_properties", table)

    def insert_account_properties(self, changes: Sequence[AccountChange]) -> None:
        if changes:
            with self._states.changing(change.environment_id for change in changes):
                self._insert("account_properties", rows.account_properties_table(changes))

    def insert_user_map(self, changes: Sequence[MapChange]) -> None:
        if changes:
            with self._states.changing((change.environment_id for change in changes), is_merge=True):
                self._insert("user_map", rows.user_map_table(changes))
                self._map_is_stale = True

    def insert_visitors(self, visitors: Sequence[VisitorRow]) -> None:
        if not visitors:
            return
        if waiting := [(row.environment_id, row.visitor_id) for row in visitors if not row.rank]:
            self._waiting_visitors.add(_hashes(waiting))
        with self._states.changing(row.environment_id for row in visitors):
            self._insert("visitors", rows.visitors_table(visitors))

    def insert_elements(self, elements: Sequence[SeenElement]) -> None:
        stored = self._stored_elements(elements)
        missing = [one for one in elements if (one.environment_id, one.element_id) not in stored]
        if missing:
            with self._states.changing(element.environment_id for element in missing):
                self._insert("elements", rows.elements_table(missing))

    def insert_refusals(self, refusals: Sequence[Refused]) -> None:
        stored = self._stored_refusals([r for r in refusals if r.log_position])
        missing = [r for r in refusals if r.log_position not in stored]
        if missing:
            with self._states.changing(refusal.environment_id for refusal in missing):
                self._insert("refusals", rows.refusals_table(missing))

    def known(self, event_ids: Sequence[int]) -> dict[int, int]:
        if not event_ids:
            return {}
        maybes: Sequence[int] = event_ids
        if self._ids_are_filled:
            ids = np.array(event_ids, dtype=np.uint64)
            maybes = ids[self._ids.maybe(ids)].tolist()
        if not maybes:
            return {}
        sql = f"""SELECT event_id, log_id, log_position FROM {DATABASE}.events
                  WHERE event_id IN {{ids:Array(UInt64)}}"""
        return {row[0]: position_of(row[1], row[2]) for row in self._read(sql, {"ids": maybes})}

    def erase_users(self, some: Sequence[UserErasure]) -> list[Erased]:
        with self._states.changing_all(), self._changing_map():
            return erase(self._command, self._read, some)

    def scrub(self) -> bool:
        return rewrite(self._command, self._read)

    def first_seen(self, users: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        maybes = list(users)
        if users and self._ids_are_filled:
            found = self._seen_users.maybe(_hashes(users))
            maybes = [user for user, maybe in zip(users, found.tolist(), strict=True) if maybe]
        if not maybes:
            return {}
        sql = f"""
            SELECT environment_id, user_id, max(version) FROM {DATABASE}.user_properties
            WHERE environment_id IN {{environments:Array(UInt32)}} AND key = {{key:String}}
              AND user_id IN {{users:Array(UInt64)}}
            GROUP BY environment_id, user_id
        """
        parameters = {
            "environments": sorted({environment_id for environment_id, _ in maybes}),
            "key": FIRST_SEEN_KEY,
            "users": [user_id for _, user_id in maybes],
        }
        return {(row[0], row[1]): row[2] for row in self._read(sql, parameters)}

    def identified(self, users: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        if not users:
            return set()
        sql = f"""
            SELECT DISTINCT environment_id, user_id FROM {DATABASE}.user_properties
            WHERE environment_id IN {{environments:Array(UInt32)}} AND key = {{key:String}}
              AND user_id IN {{users:Array(UInt64)}}
        """
        parameters = {
            "environments": sorted({environment_id for environment_id, _ in users}),
            "key": IDENTITY_KEY,
            "users": [user_id for _, user_id in users],
        }
        return set(self._read(sql, parameters)) & set(users)

    def visitors(self, asked: Sequence[tuple[int, int]]) -> list[VisitorRow]:
        return stored_visitors(self._read, asked) if asked else []

    def waiting_visitors(self, asked: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        maybes = list(asked)
        if asked and self._ids_are_filled:
            waits = self._waiting_visitors.maybe(_hashes(asked))
            maybes = [visitor for visitor, maybe in zip(asked, waits.tolist(), strict=True) if maybe]
        return {(row.environment_id, row.visitor_id) for row in self.visitors(maybes) if not row.rank}

    def state(self, environment_id: int) -> DataState:
        return self._states.of(environment_id)

    def waiting_environments(self) -> set[int]:
        return waiting_environments(self._read)

    def identities_behind(
        self, environment_id: int, account_id: int, asked: Sequence[int]
    ) -> list[VisitorRow]:
        return identities_behind(self._read, environment_id, account_id, asked)

    def name_identities(self, environment_id: int, account_id: int) -> None:
        self._check_space()
        with self._states.changing([environment_id]):
            name_identities(self._read, self._command, environment_id, account_id)

    def newest_received_ms(self) -> int:
        sql = f"SELECT toUnixTimestamp64Milli(max(received_at)) FROM {DATABASE}.events"
        return int(self._read(sql, {})[0][0])

    def user_map_version(self) -> int:
        return int(self._read(f"SELECT max(version) FROM {DATABASE}.user_map", {})[0][0])

    def close(self) -> None:
        self._disk_guard.close()
        self._is_closed = True
        if self._filling.ident is not None:
            self._filling.join()
        for client in list(self._clients):
            client.close()

    def _connect(self) -> Client:
        client = get_client(
            interface="chdb",
            path=str(self._folder),
            chdb_options={"config-file": str(self._config)},
            tz_mode="aware",
        )
        self._clients.add(client)
        return client

    def _asking(self) -> Asking:
        self._check_open()
        asking: Asking | None = getattr(self._local, "asking", None)
        if asking is None:
            asking = self._local.asking = Asking(self._connect(), memory_mb=self._memory_mb)
        return asking

    def _writing(self) -> Client:
        self._check_open()
        client: Client | None = getattr(self._local, "writing", None)
        if client is None:
            client = self._connect()
            for name, value in _WRITING.items():
                client.set_client_setting(name, value)
            self._local.writing = client
        return client

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreBusy("the event store is closed")

    def _check_space(self) -> None:
        if (space := disk_space_of(self._folder)).is_spent:
            raise StoreBusy(f"the event store takes no rows: {space.text}")

    def _insert(self, table: str, table_rows: Any) -> None:  # Any: pyarrow.Table
        self._check_space()
        try:
            self._writing().insert_arrow(table, table_rows, database=DATABASE)
        except Error as error:
            raise of_insert(error) from error
        except OSError as error:  # rows pass through a file
            raise StoreBusy(f"the event store did not take the rows: {error}") from error
        if self._disk_guard.has_cut_off():
            raise StoreBusy(
                "the disk was full before the rows were on it; they are written again after a restart"
            )

    def _command(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        try:
            self._writing().command(sql, parameters=parameters)
        except Error as error:
            raise StoreBusy(f"the event store did not do it: {error}") from error

    @contextmanager
    def _changing_map(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._map_is_stale = True

    def _read(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Across environments, for the store's own needs."""
        try:
            return list(self._writing().query(sql, parameters=parameters).result_rows)
        except Error as error:
            raise StoreBusy(f"the event store did not answer: {error}") from error

    def _read_state(self, environment_id: int) -> tuple[int, bool]:
        where = "environment_id = {environment:UInt32}"
        sql = f"""SELECT toUnixTimestamp64Milli(max(time)),
                         (SELECT count() FROM {DATABASE}.user_map WHERE {where}) > 0
                  FROM {DATABASE}.events WHERE {where}"""
        newest_ms, has_merges = self._read(sql, {"environment": environment_id})[0]
        return int(newest_ms), bool(has_merges)

    def _stored_refusals(self, refusals: Sequence[Refused]) -> set[int]:
        """The log positions among them that a load before a crash has stored."""
        if not refusals:
            return set()
        times = [refusal.received_ms for refusal in refusals]
        sql = f"""
            SELECT log_id, log_position FROM {DATABASE}.refusals
            WHERE environment_id IN {{environments:Array(UInt32)}}
              AND received_at >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC')
              AND received_at <= fromUnixTimestamp64Milli({{last:Int64}}, 'UTC')
              AND log_position IN {{positions:Array(UInt64)}}
        """
        parameters = {
            "environments": sorted({refusal.environment_id for refusal in refusals}),
            "first": min(times),
            "last": max(times),
            "positions": [order_of(refusal.log_position) for refusal in refusals],
        }
        return {position_of(*row) for row in self._read(sql, parameters)}

    def _stored_elements(self, elements: Sequence[SeenElement]) -> set[Row]:
        if not elements:
            return set()
        sql = f"""
            SELECT environment_id, element_id FROM {DATABASE}.elements
            WHERE environment_id IN {{environments:Array(UInt32)}} AND element_id IN {{ids:Array(UInt64)}}
        """
        environments = sorted({one.environment_id for one in elements})
        ids = [one.element_id for one in elements]
        return set(self._read(sql, {"environments": environments, "ids": ids}))

    def _refresh_map(self) -> None:
        with self._map_lock:
            if not self._map_is_stale:
                return
            self._map_is_stale = False  # before the reload: a change during it must cause another one
            try:
                self._writing().command(f"SYSTEM RELOAD DICTIONARY {MERGED_USERS}")
            except Error as error:
                self._map_is_stale = True
                raise StoreBusy(f"the user map cannot be read: {error}") from error

    def _fill_ids(self) -> None:
        """Read every stored id once, 10 M in a second or two, while until its end `known` looks all ids up.

        Ids stored meanwhile are added by `insert_events`.
        """
        rows.prepare()
        try:
            with self._writing().raw_stream(_ALL_KNOWN, fmt="RowBinary") as stream:
                while block := stream.read(_IDS_PER_BLOCK * _KNOWN_ROW.itemsize):
                    if self._is_closed:
                        return
                    known = np.frombuffer(block, dtype=_KNOWN_ROW)
                    for number, known_ids in enumerate((self._ids, self._seen_users, self._waiting_visitors)):
                        known_ids.add(known["id"][known["filter"] == number])
        except (Error, StoreBusy):
            if not self._is_closed:
                logger.exception("known_ids_not_read")
            return
        self._ids_are_filled = True


def _hashes(users: Sequence[tuple[int, int]]) -> Ids:
    return np.array([user_id ^ (environment_id << 32) for environment_id, user_id in users], dtype=np.uint64)
