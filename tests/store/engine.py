"""The engine behind an open store, for what no method of the store does: merges, and forms of earlier versions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickhouse_connect import get_client

from cairn.store.engine_config import FILE


class Engine:
    """One more client of the engine that this process has open."""

    def __init__(self, folder: Path) -> None:
        options = {"config-file": str(folder / FILE)}
        self.client = get_client(interface="chdb", path=str(folder), chdb_options=options, tz_mode="aware")

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        self.client.command(sql, parameters=parameters)

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return list(self.client.query(sql, parameters=parameters).result_rows)

    def number(self, sql: str) -> int:
        return int(self.rows(sql)[0][0])


@contextmanager
def engine_of(folder: Path) -> Iterator[Engine]:
    """Of the store in this folder; it may end before the store or after it."""
    engine = Engine(folder)
    yield engine
    engine.client.close()
