"""The event store in ClickHouse's SQL, over an engine that may be embedded or a server."""

from collections.abc import Sequence

from cairn.event import Draft, Refused
from cairn.log_position import order_of, position_of
from cairn.store import arrow_tables
from cairn.store.data_state import DataState, DataStates
from cairn.store.engine import Engine
from cairn.store.erase import Erased, UserErasure, erase
from cairn.store.merged_users import MergedUsers
from cairn.store.migrations import migrate
from cairn.store.running import Running
from cairn.store.schema import DATABASE, FIRST_SEEN_KEY, IDENTITY_KEY
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import AccountChange, MapChange, PropertyChange, Row, SeenElement, VisitorRow
from cairn.store.stored_ids import StoredIds
from cairn.store.visitors import identities_behind, name_identities, stored_visitors, waiting_environments


class ClickHouseStore:
    """Implements Store, for one process that alone writes: `StoredIds`, `DataStates` and `MergedUsers` rest on that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._merged_users = MergedUsers(engine)
        self._states = DataStates(self._read_state)
        self._ids = StoredIds(engine)

    def start(self) -> None:
        """Begin to read the stored ids into memory, after the migrations."""
        self._ids.start()

    def migrate(self) -> list[str]:
        """Apply missing migrations; return their names."""
        return migrate(self._engine.command, lambda sql: int(self._engine.read(sql)[0][0]))

    def wait_for_ids(self) -> bool:
        """Wait until the stored ids are in memory. False: they could not be read, and every look-up asks the engine."""
        return self._ids.wait()

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        if statement.reads_user_map:
            self._merged_users.refresh()
        return self._engine.ask(statement, limits, running)

    def insert_events(self, events: Sequence[Draft]) -> None:
        if not events:
            return
        table = arrow_tables.events_table(events)
        # Before the insert: an id must never be in the store and not in the filter.
        self._ids.add_events(table.column("event_id").to_numpy())
        newest_ms: dict[int, int] = {}
        for event in events:
            if event.time_ms > newest_ms.get(event.environment_id, -1):
                newest_ms[event.environment_id] = event.time_ms
        with self._states.changing(newest_ms, newest_ms=newest_ms):
            self._engine.insert("events", table)

    def insert_properties(self, changes: Sequence[PropertyChange]) -> None:
        if not changes:
            return
        table = arrow_tables.properties_table(changes)
        self._ids.add_seen(
            [(change.environment_id, change.user_id) for change in changes if change.key == FIRST_SEEN_KEY]
        )
        with self._states.changing(change.environment_id for change in changes):
            self._engine.insert("user_properties", table)

    def insert_account_properties(self, changes: Sequence[AccountChange]) -> None:
        if changes:
            with self._states.changing(change.environment_id for change in changes):
                self._engine.insert("account_properties", arrow_tables.account_properties_table(changes))

    def insert_user_map(self, changes: Sequence[MapChange]) -> None:
        if changes:
            environments = [change.environment_id for change in changes]
            with self._states.changing(environments, is_merge=True), self._merged_users.changing():
                self._engine.insert("user_map", arrow_tables.user_map_table(changes))

    def insert_visitors(self, visitors: Sequence[VisitorRow]) -> None:
        if not visitors:
            return
        self._ids.add_waiting([(row.environment_id, row.visitor_id) for row in visitors if not row.rank])
        with self._states.changing(row.environment_id for row in visitors):
            self._engine.insert("visitors", arrow_tables.visitors_table(visitors))

    def insert_elements(self, elements: Sequence[SeenElement]) -> None:
        stored = self._stored_elements(elements)
        missing = [
            element for element in elements if (element.environment_id, element.element_id) not in stored
        ]
        if missing:
            with self._states.changing(element.environment_id for element in missing):
                self._engine.insert("elements", arrow_tables.elements_table(missing))

    def insert_refusals(self, refusals: Sequence[Refused]) -> None:
        stored = self._stored_refusals([r for r in refusals if r.log_position])
        missing = [r for r in refusals if r.log_position not in stored]
        if missing:
            with self._states.changing(refusal.environment_id for refusal in missing):
                self._engine.insert("refusals", arrow_tables.refusals_table(missing))

    def known(self, event_ids: Sequence[int]) -> dict[int, int]:
        maybes = self._ids.maybe_events(event_ids)
        if not maybes:
            return {}
        sql = f"""SELECT event_id, log_id, log_position FROM {DATABASE}.events
                  WHERE event_id IN {{ids:Array(UInt64)}}"""
        return {row[0]: position_of(row[1], row[2]) for row in self._engine.read(sql, {"ids": maybes})}

    def erase_users(self, erasures: Sequence[UserErasure]) -> list[Erased]:
        with self._states.changing_all(), self._merged_users.changing():
            return erase(self._engine.command, self._engine.read, erasures)

    def scrub(self) -> bool:
        return self._engine.scrub()

    def first_seen(self, users: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        maybes = self._ids.maybe_seen(users)
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
        return {(row[0], row[1]): row[2] for row in self._engine.read(sql, parameters)}

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
        return set(self._engine.read(sql, parameters)) & set(users)

    def visitors(self, keys: Sequence[tuple[int, int]]) -> list[VisitorRow]:
        return stored_visitors(self._engine.read, keys) if keys else []

    def waiting_visitors(self, keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        maybes = self._ids.maybe_waiting(keys)
        return {(row.environment_id, row.visitor_id) for row in self.visitors(maybes) if not row.rank}

    def state(self, environment_id: int) -> DataState:
        return self._states.of(environment_id)

    def waiting_environments(self) -> set[int]:
        return waiting_environments(self._engine.read)

    def identities_behind(
        self, environment_id: int, account_id: int, visitor_ids: Sequence[int]
    ) -> list[VisitorRow]:
        return identities_behind(self._engine.read, environment_id, account_id, visitor_ids)

    def name_identities(self, environment_id: int, account_id: int) -> None:
        self._engine.check_space()
        with self._states.changing([environment_id]):
            name_identities(self._engine.read, self._engine.command, environment_id, account_id)

    def newest_received_ms(self) -> int:
        sql = f"SELECT toUnixTimestamp64Milli(max(received_at)) FROM {DATABASE}.events"
        return int(self._engine.read(sql)[0][0])

    def user_map_version(self) -> int:
        return int(self._engine.read(f"SELECT max(version) FROM {DATABASE}.user_map")[0][0])

    def close(self) -> None:
        self._ids.close()
        self._engine.close()

    def _read_state(self, environment_id: int) -> tuple[int, bool]:
        where = "environment_id = {environment:UInt32}"
        sql = f"""SELECT toUnixTimestamp64Milli(max(time)),
                         (SELECT count() FROM {DATABASE}.user_map WHERE {where}) > 0
                  FROM {DATABASE}.events WHERE {where}"""
        newest_ms, has_merges = self._engine.read(sql, {"environment": environment_id})[0]
        return int(newest_ms), bool(has_merges)

    def _stored_refusals(self, refusals: Sequence[Refused]) -> set[int]:
        """Those of these log positions that a load before a crash has stored."""
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
        return {position_of(*row) for row in self._engine.read(sql, parameters)}

    def _stored_elements(self, elements: Sequence[SeenElement]) -> set[Row]:
        if not elements:
            return set()
        sql = f"""
            SELECT environment_id, element_id FROM {DATABASE}.elements
            WHERE environment_id IN {{environments:Array(UInt32)}} AND element_id IN {{ids:Array(UInt64)}}
        """
        environments = sorted({element.environment_id for element in elements})
        ids = [element.element_id for element in elements]
        return set(self._engine.read(sql, {"environments": environments, "ids": ids}))
