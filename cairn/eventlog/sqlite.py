"""The event log in one SQLite file: one row per group commit, synced before `append` returns.

WAL mode, so readers in other processes never block the collector. Each row carries a checksum over its position and
items, so damage is found when it is read, whatever part of the file it hit.

Limit: damage inside the WAL file (what was written last, 4 MB at most) ends the log there, as a crash would: SQLite
does not tell the two apart, so it is not reported. Positions that readers have committed are not given again even then.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from cairn.eventlog import rows
from cairn.eventlog.cursors import Cursors
from cairn.eventlog.damage import (
    LogUnavailable,
    SqliteTrouble,
    file_lock,
    inode,
    is_damage,
    move_aside,
    moved_aside,
)
from cairn.eventlog.log import START, Entry

_WAIT_S = 5.0  # for another process's commit; then Unavailable, and the client comes again
_FORGET_ROWS = 200  # per transaction: the collector waits for at most one of these

_Result = TypeVar("_Result")


def open_log(path: Path) -> "SqliteLog":
    """Open the log, making it if there is none. A file damaged beyond opening is moved aside and reported.

    Raises: Unavailable when the disk does not let us.
    """
    return SqliteLog(path)


class SqliteLog:
    """Implements EventLog. Any number of threads and processes may use the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogUnavailable(path, error) from error
        self._cursors = Cursors(path.with_name(path.name + ".cursors"))
        self._holes: dict[int, rows.Hole] = {}  # by first position
        self._writer = _Connection(path, self._cursors)
        self._reader = _Connection(path, self._cursors)
        self.end()

    def append(self, items: Sequence[bytes]) -> int:
        body = msgspec.msgpack.encode(items)
        return self._writer.use(lambda connection: rows.insert(connection, body))

    def read(self, after: int, *, limit_items: int) -> list[Entry]:
        return self._reader.use(lambda connection: self._entries(connection, after, limit_items))

    def end(self) -> int:
        return self._reader.use(rows.newest)

    def committed(self, reader: str) -> int:
        return self._cursors.position(reader)

    def commit(self, reader: str, position: int) -> None:
        self._cursors.advance(reader, position)

    def forget(self, before: int) -> int:
        """The caller knows which readers count. The newest entry stays, so `end` is known whatever was forgotten."""
        before = min(before, self.end())
        forgotten = 0
        while True:
            count = self._writer.use(lambda connection: rows.forget(connection, before, rows=_FORGET_ROWS))
            forgotten += count
            if count < _FORGET_ROWS:
                return forgotten

    def replace(self, position: int, items: Sequence[bytes]) -> None:
        body = msgspec.msgpack.encode(items)
        self._writer.use(lambda connection: rows.replace(connection, position, body))

    def scrub(self) -> bool:
        """Rows are overwritten as they go; what is left is in the write-ahead file, which this empties."""
        busy = self._writer.use(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        )
        return not busy

    def damaged(self) -> list[tuple[int, str]]:
        """Files moved aside come first, under START; then what this process met while reading."""
        files = [
            (START, f"the file was damaged and is kept as {file.name}") for file in moved_aside(self._path)
        ]
        return files + [_reported(hole) for _, hole in sorted(self._holes.copy().items())]

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._cursors.close()

    def _entries(self, connection: sqlite3.Connection, after: int, limit_items: int) -> list[Entry]:
        entries: list[Entry] = []
        count = 0
        connection.execute("BEGIN")
        try:
            for row in rows.walk(connection, self._past_holes(after)):
                if isinstance(row, rows.Hole):
                    self._holes[row.first] = row
                    continue
                entries.append(row)
                count += len(row.items)
                if count >= limit_items:
                    break
        finally:
            connection.execute("COMMIT")
        return entries

    def _past_holes(self, after: int) -> int:
        """Not into the same unreadable pages at every poll."""
        for hole in list(self._holes.values()):
            if hole.first <= after + 1 <= hole.last:
                return hole.last
        return after


def _reported(hole: rows.Hole) -> tuple[int, str]:
    if hole.first == hole.last:
        return hole.first, hole.reason
    return hole.first, f"positions {hole.first} to {hole.last}: {hole.reason}"


class _Connection:
    """One connection and its lock. Opens again after trouble, and when the file behind the path was moved aside."""

    def __init__(self, path: Path, cursors: Cursors) -> None:
        self._path = path
        self._cursors = cursors
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def use(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Raises: Unavailable. A file too damaged for the work is moved aside, and the work done on its successor."""
        with self._lock:
            try:
                try:
                    return self._attempt(work)
                except SqliteTrouble as error:
                    if not is_damage(error, self._path):
                        raise
                self._replace()
                return self._attempt(work)
            except (*SqliteTrouble, OSError) as error:
                self._drop()
                raise LogUnavailable(self._path, error) from error

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _attempt(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        # Shared: nobody moves the file aside while we use it.
        with file_lock(self._path, exclusive=False):
            if self._connection is not None and self._inode == inode(self._path):
                return work(self._connection)
        self._drop()
        with file_lock(self._path, exclusive=True):
            return work(self._open())

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Requests name people: what is deleted is overwritten.
            connection.execute("PRAGMA secure_delete = ON")
            rows.check_schema(connection)
            self._go_on_rising(connection)
        except SqliteTrouble:
            connection.close()
            raise
        self._connection, self._inode = connection, inode(self._path)
        return connection

    def _go_on_rising(self, connection: sqlite3.Connection) -> None:
        """No position is given twice, even where the file, or its end, was lost."""
        last = rows.last_given(connection)
        committed = max(self._cursors.all().values(), default=START)
        is_successor = last == START and bool(moved_aside(self._path))
        if last < committed or is_successor:
            losses = max(1, len(moved_aside(self._path)))
            rows.set_last_given(connection, max(last, committed) + losses * rows.GAP_AFTER_LOSS)

    def _replace(self) -> None:
        damaged = self._inode or inode(self._path)
        self._drop()
        with file_lock(self._path, exclusive=True):
            if inode(self._path) != damaged:
                return  # another thread or process was quicker
            aside = move_aside(self._path)
            successor = self._open()
            try:
                with closing(_connect(aside)) as source:
                    rows.copy(source, successor, after=min(self._cursors.all().values(), default=START))
            except SqliteTrouble:
                if successor.in_transaction:
                    successor.execute("COMMIT")  # what was carried over before the source gave up

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._inode = None, 0


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
