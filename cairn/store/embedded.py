"""ClickHouse inside the process, in one folder that one process owns, and the store on it."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from cairn.disk_space import disk_space_of
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.clients import Clients
from cairn.store.cut_off import set_aside
from cairn.store.disk_guard import DiskGuard
from cairn.store.engine import Stream
from cairn.store.engine_config import write_engine_config
from cairn.store.errors import StoreBusy, StoreInUse
from cairn.store.running import Running
from cairn.store.scrub import scrub
from cairn.store.statement import Limits, Parameters, Statement
from cairn.store.store import Row

logger = logging.getLogger(__name__)


def open_embedded(
    path: Path, *, memory_mb: int, on_cut_off: Callable[[], None] = lambda: None
) -> ClickHouseStore:
    """Open the store in a folder, making or migrating it as needed. `memory_mb`: most memory one question may use.

    `on_cut_off` is called, in any thread, when a full disk has cut off a part: only opening again repairs it.

    Raises StoreInUse when another process has it open, StoreTooNew when a newer Cairn wrote it.
    """
    folder = path.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    config = write_engine_config(folder, memory_mb=memory_mb)
    try:
        if names := set_aside(folder):
            logger.error("parts_set_aside", extra={"parts": names})
        store = ClickHouseStore(EmbeddedEngine(folder, config, memory_mb=memory_mb, on_cut_off=on_cut_off))
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


class EmbeddedEngine:
    """Implements Engine. A full disk is noticed before a write, where it can be, and after it."""

    def __init__(self, folder: Path, config: Path, *, memory_mb: int, on_cut_off: Callable[[], None]) -> None:
        self._folder, self._config = folder, config
        self._clients = Clients(self._connect, memory_mb=memory_mb)
        self._keeping_open = self._clients.connect()  # the engine ends with its last client
        self._disk_guard = DiskGuard(folder, self.command, on_cut_off)
        self._disk_guard.start()

    def ask(self, statement: Statement, limits: Limits, running: Running | None) -> list[Row]:
        return self._clients.ask(statement, limits, running)

    def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        return self._clients.read(sql, parameters)

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        self._clients.command(sql, parameters)

    def insert(self, table: str, rows: Any) -> None:  # Any: pyarrow.Table
        self.check_space()
        self._clients.insert(table, rows)
        if self._disk_guard.has_cut_off():
            raise StoreBusy(
                "the disk was full before the rows were on it; they are written again after a restart"
            )

    def stream(self, sql: str) -> AbstractContextManager[Stream]:
        return self._clients.stream(sql)

    def check_space(self) -> None:
        if (space := disk_space_of(self._folder)).is_spent:
            raise StoreBusy(f"the event store takes no rows: {space.text}")

    def scrub(self) -> bool:
        return scrub(self.command, self.read)

    def close(self) -> None:
        self._disk_guard.close()
        self._clients.close()

    def _connect(self) -> Client:
        return get_client(
            interface="chdb",
            path=str(self._folder),
            chdb_options={"config-file": str(self._config)},
            tz_mode="aware",
        )
