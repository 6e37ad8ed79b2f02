"""Where each reader stands, in its own small file, so that a reader's commit never waits for the collector's.

Not synced on every commit: after a power failure a reader may read again what it had read, and repeats are the
same events. Losing the file has the same effect. The holes that were found in the log are noted here too, because
a reader that passed one never comes back to it.
"""

import sqlite3
import threading
from pathlib import Path
from typing import Any

from cairn.eventlog.damage import LogUnavailable, SqliteTrouble, file_lock, inode, is_damage, move_aside
from cairn.eventlog.log import START
from cairn.eventlog.log_table import Hole

_WAIT_S = 5.0  # for another process's commit; they take well under a millisecond
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS cursors (reader TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS holes"
    " (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID",
)


class Cursors:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._inode = 0
        self._connection: sqlite3.Connection | None = None

    def position(self, reader: str) -> int:
        return self.all().get(reader, START)

    def all(self) -> dict[str, int]:
        rows = self._run("SELECT reader, position FROM cursors", ())
        return {reader: position for reader, position in rows if isinstance(position, int)}

    def advance(self, reader: str, position: int) -> None:
        self._run(
            "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (reader)"
            " DO UPDATE SET position = excluded.position WHERE excluded.position > position",
            (reader, position),
        )

    def holes(self) -> list[Hole]:
        """In order."""
        rows = self._run("SELECT first, last, reason FROM holes ORDER BY first", ())
        return [Hole(first, last, reason) for first, last, reason in rows]

    def note_hole(self, hole: Hole) -> None:
        self._run(
            "INSERT INTO holes VALUES (?, ?, ?) ON CONFLICT (first)"
            " DO UPDATE SET last = excluded.last, reason = excluded.reason WHERE excluded.last > last",
            (hole.first, hole.last, hole.reason),
        )

    def forget_holes(self, before: int) -> None:
        self._run("DELETE FROM holes WHERE last < ?", (before,))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(
        self, statement: str, parameters: tuple[object, ...]
    ) -> list[Any]:  # Any: rows of the statement's own columns
        with self._lock:
            try:
                try:
                    return self._open().execute(statement, parameters).fetchall()
                except SqliteTrouble as error:
                    if not is_damage(error, self._path):
                        raise
                self._replace()
                return self._open().execute(statement, parameters).fetchall()
            except (*SqliteTrouble, OSError) as error:
                raise LogUnavailable(self._path, error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._inode == inode(self._path):
            return self._connection
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with file_lock(self._path, exclusive=True):
            connection = sqlite3.connect(
                self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                for statement in _SCHEMA:
                    connection.execute(statement)
            except SqliteTrouble:
                connection.close()
                raise
            self._connection, self._inode = connection, inode(self._path)
        return connection

    def _replace(self) -> None:
        damaged = self._inode or inode(self._path)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with file_lock(self._path, exclusive=True):
            if inode(self._path) == damaged:  # otherwise another process was quicker
                move_aside(self._path)
