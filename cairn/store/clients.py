"""Clients of a ClickHouse, two for each thread: one asks questions within limits, one does the store's own work."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from cairn.store.asking import Asking
from cairn.store.engine import Stream
from cairn.store.errors import StoreBusy, of_insert, of_question
from cairn.store.running import Running
from cairn.store.schema import DATABASE
from cairn.store.statement import Limits, Parameters, Statement
from cairn.store.store import Row

_WRITING = {"max_partitions_per_insert_block": 0}  # a batch of late events may span any number of months


class Clients:
    """Safe from several threads: a client's session is not to be shared. All that an Engine does with statements."""

    def __init__(self, connect: Callable[[], Client], *, memory_mb: int) -> None:
        """`memory_mb`: most memory one question may use."""
        self._new, self._memory_mb = connect, memory_mb
        self._local = threading.local()
        # Of finished threads they close themselves.
        self._clients: weakref.WeakSet[Client] = weakref.WeakSet()
        self._is_closed = False

    def ask(self, statement: Statement, limits: Limits, running: Running | None) -> list[Row]:
        asking = self._asking()
        try:
            return asking.ask(statement, limits, running, self._writing)
        except Error as error:
            del self._local.asking  # a client that failed is not trusted with the next tenant's question
            asking.client.close()
            raise of_question(error) from error

    def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        try:
            return list(self._writing().query(sql, parameters=dict(parameters or {})).result_rows)
        except Error as error:
            raise StoreBusy(f"the event store did not answer: {error}") from error

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        try:
            self._writing().command(sql, parameters=dict(parameters or {}))
        except Error as error:
            raise StoreBusy(f"the event store did not do it: {error}") from error

    def insert(self, table: str, rows: Any) -> None:  # Any: pyarrow.Table
        try:
            self._writing().insert_arrow(table, rows, database=DATABASE)
        except Error as error:
            raise of_insert(error) from error
        except OSError as error:  # rows may pass through a file
            raise StoreBusy(f"the event store did not take the rows: {error}") from error

    @contextmanager
    def stream(self, sql: str) -> Iterator[Stream]:
        try:
            with self._writing().raw_stream(sql, fmt="RowBinary") as stream:
                yield stream
        except Error as error:
            raise StoreBusy(f"the event store did not answer: {error}") from error

    def connect(self) -> Client:
        if self._is_closed:
            raise StoreBusy("the event store is closed")
        client = self._new()
        self._clients.add(client)
        return client

    def close(self) -> None:
        self._is_closed = True
        for client in list(self._clients):
            client.close()

    def _asking(self) -> Asking:
        asking: Asking | None = None if self._is_closed else getattr(self._local, "asking", None)
        if asking is None:
            asking = self._local.asking = Asking(self.connect(), memory_mb=self._memory_mb)
        return asking

    def _writing(self) -> Client:
        client: Client | None = None if self._is_closed else getattr(self._local, "writing", None)
        if client is None:
            client = self.connect()
            for name, value in _WRITING.items():
                client.set_client_setting(name, value)
            self._local.writing = client
        return client
