"""The event log in one SQLite file: one row per group commit, synced before `append` returns.

WAL mode, so readers in other processes never block the collector. Each row carries a checksum over its position and
items, so damage is found when it is read, whatever part of the file it hit. A damaged file is moved aside and every
row that is whole is carried over to its successor (salvage.py). Damage to what was written last looks to SQLite like
the end of the log, so the end is noted beside it (tail.py). What is lost is noted with the cursors and reported.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from cairn.eventlog import log_table
from cairn.eventlog.cursors import Cursors
from cairn.eventlog.damage import (
    LogUnavailable,
    NotALog,
    SqliteTrouble,
    file_lock,
    inode,
    is_damage,
    move_aside,
    moved_aside,
)
from cairn.eventlog.log import MOST_READ_BYTES, START, Entry
from cairn.eventlog.salvage import salvaged, salvaged_end
from cairn.eventlog.tail import Tail

logger = logging.getLogger(__name__)

_WAIT_S = 5.0  # for another process's commit; then Unavailable, and the client comes again
_FORGET_ROWS = 200  # per transaction: the collector waits for at most one of these

_Result = TypeVar("_Result")


def open_log(path: Path, log_id: int = 0) -> "SqliteLog":
    """Open the log, making it if there is none. A file damaged beyond opening is moved aside and reported.

    Raises: Unavailable when the disk does not let us.
    """
    log = SqliteLog(path, log_id)
    try:
        log.end()
    except LogUnavailable:
        log.close()
        raise
    return log


class SqliteLog:
    """Implements EventLog. Any number of threads and processes may use the same file, under the same id.

    It opens the file when it is first used, and again after a failure: a full disk does not prevent a start.
    """

    def __init__(self, path: Path, log_id: int = 0) -> None:
        self._path = path
        self.id = log_id
        with contextlib.suppress(OSError):  # its users get the error
            path.parent.mkdir(parents=True, exist_ok=True)
        self._cursors = Cursors(path.with_name(path.name + ".cursors"))
        self._tail = Tail(path.with_name(path.name + ".tail"))
        self._writer = _Connection(path, self._cursors, self._tail)
        self._reader = _Connection(path, self._cursors, self._tail)

    def append(self, items: Sequence[bytes]) -> int:
        body = msgspec.msgpack.encode(items)

        def insert(connection: sqlite3.Connection) -> int:
            position = log_table.insert(connection, body)
            self._tail.note(position)  # before another process may look
            return position

        return self._writer.use(insert)

    def read(self, after: int, *, limit_items: int, limit_bytes: int = MOST_READ_BYTES) -> list[Entry]:
        return self._reader.use(lambda connection: self._entries(connection, after, limit_items, limit_bytes))

    def end(self) -> int:
        return self._reader.use(log_table.newest)

    def committed(self, reader: str) -> int:
        return self._cursors.position(reader)

    def commit(self, reader: str, position: int) -> None:
        self._cursors.advance(reader, position)

    def forget(self, before: int) -> int:
        """The caller knows which readers count. The newest entry stays, so `end` is known whatever was forgotten."""
        before = min(before, self.end())
        forgotten = 0
        while True:
            count = self._writer.use(
                lambda connection: log_table.forget(connection, before, rows=_FORGET_ROWS)
            )
            forgotten += count
            if count < _FORGET_ROWS:
                self._cursors.forget_holes(before)
                return forgotten

    def erase(self, position: int, kept: Sequence[bytes]) -> None:
        body = msgspec.msgpack.encode(kept)
        self._writer.use(lambda connection: log_table.erase(connection, position, body))

    def scrub(self) -> bool:
        """Rows are overwritten as they go; what is left is in the write-ahead file, which this empties."""
        busy = self._writer.use(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        )
        return not busy

    def damaged(self) -> list[tuple[int, str]]:
        """Files moved aside come first, under START; then the holes among what is not yet forgotten."""
        files = [
            (START, f"the file was damaged and is kept as {file.name}") for file in moved_aside(self._path)
        ]
        return files + [_reported(hole) for hole in self._cursors.holes()]

    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._cursors.close()
        self._tail.close()

    def _entries(
        self, connection: sqlite3.Connection, after: int, limit_items: int, limit_bytes: int
    ) -> list[Entry]:
        entries: list[Entry] = []
        count = size_bytes = 0
        connection.execute("BEGIN")
        try:
            for row in log_table.walk(connection, after):
                if isinstance(row, log_table.Hole):
                    self._met(row)
                    continue
                entries.append(row)
                count += len(row.items)
                size_bytes += sum(map(len, row.items))
                if count >= limit_items or size_bytes >= limit_bytes:
                    break
        finally:
            connection.execute("COMMIT")
        return entries

    def _met(self, hole: log_table.Hole) -> None:
        """Raises NotALog when rows are missing that may still lie somewhere in the file."""
        if any(noted.covers(hole) for noted in self._cursors.holes()):
            return
        if hole.reason == log_table.MISSING:
            raise NotALog(f"positions {hole.first} to {hole.last} are {hole.reason}")
        self._cursors.note_hole(hole)


def _reported(hole: log_table.Hole) -> tuple[int, str]:
    if hole.first == hole.last:
        return hole.first, hole.reason
    return hole.first, f"positions {hole.first} to {hole.last}: {hole.reason}"


class _Connection:
    """One connection and its lock. Opens again after a failure, and when the file behind the path was moved aside."""

    def __init__(self, path: Path, cursors: Cursors, tail: Tail) -> None:
        self._path = path
        self._cursors, self._tail = cursors, tail
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
            connection = self._open()
            self._recover_end(connection)
            self._go_on_rising(connection)
            return work(connection)

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Requests name people: what is deleted is overwritten.
            connection.execute("PRAGMA secure_delete = ON")
            log_table.check_schema(connection)
        except SqliteTrouble:
            connection.close()
            raise
        self._connection, self._inode = connection, inode(self._path)
        return connection

    def _recover_end(self, connection: sqlite3.Connection) -> None:
        """When the log went further than SQLite sees: bring back what the write-ahead file holds, note the rest."""
        last, end = log_table.last_given(connection), self._tail.position()
        if last >= end or self._is_successor(last):
            return
        entries = salvaged_end(self._path.with_name(self._path.name + "-wal"), after=last)
        log_table.put(connection, [entry for entry in entries if entry.position <= end])
        self._note_missing(connection, after=last, end=end)

    def _go_on_rising(self, connection: sqlite3.Connection) -> None:
        """No position is given twice, even where the file, or its end, was lost."""
        last, end = log_table.last_given(connection), self._tail.position()
        committed = max(self._cursors.all().values(), default=START)
        if last < committed or self._is_successor(last):
            start = max(last, committed, end)
            if end < committed or end == START:
                start += max(1, len(moved_aside(self._path))) * log_table.GAP_AFTER_LOSS
            log_table.set_last_given(connection, start)
            if start > end:
                self._cursors.note_hole(
                    log_table.Hole(max(last, committed, end) + 1, start, "left free after a loss")
                )

    def _is_successor(self, last_given: int) -> bool:
        return last_given == START and bool(moved_aside(self._path))

    def _replace(self) -> None:
        damaged = self._inode or inode(self._path)
        self._drop()
        with file_lock(self._path, exclusive=True):
            if inode(self._path) != damaged:
                return  # another thread or process was quicker
            aside = move_aside(self._path)
            logger.error("log_damaged", extra={"kept_as": aside.name})
            successor = self._open()
            after = min(self._cursors.all().values(), default=START)
            log_table.put(successor, salvaged(aside, after=after))
            self._note_missing(successor, after=after, end=self._tail.position())
            self._go_on_rising(successor)

    def _note_missing(self, connection: sqlite3.Connection, *, after: int, end: int) -> None:
        """Up to the known end: what no longer is there, so that nobody looks for it again."""
        log_table.set_last_given(connection, max(end, log_table.last_given(connection)))
        present = log_table.positions(connection, after)
        for hole in log_table.holes_between(after + 1, max(end, *present[-1:], START), present):
            logger.error("log_entries_lost", extra={"first": hole.first, "last": hole.last})
            self._cursors.note_hole(hole)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._inode = None, 0


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
