"""What a ClickHouse has to do for the store, whether it runs in this process or is a server."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from cairn.store.running import Running
from cairn.store.statement import Limits, Parameters, Statement
from cairn.store.store import Row


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Engine(Protocol):
    """Safe from several threads. Whatever fails raises one of `store.errors`."""

    def ask(self, statement: Statement, limits: Limits, running: Running | None) -> list[Row]:
        """A question of one environment, which sees no other's rows, within limits. See `Store.query`."""

    def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Across environments, for the store's own needs."""

    def command(self, sql: str, parameters: Parameters | None = None) -> None: ...

    def insert(self, table: str, rows: Any) -> None:  # Any: pyarrow.Table
        """Durable when it returns. Raises RowsNotStorable when none of the rows was taken, because of one of them."""

    def stream(self, sql: str) -> AbstractContextManager[Stream]:
        """An answer too large to be held, in the format RowBinary."""

    def check_space(self) -> None:
        """Raises StoreBusy when it takes no rows for now."""

    def scrub(self) -> bool:
        """Leave nothing of erased rows on the disk; False when some files are still there."""

    def close(self) -> None: ...
