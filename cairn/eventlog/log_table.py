"""The table of the SQLite event log: its rows, and how to walk them when some of them are damaged."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from cairn.eventlog.damage import NotALog
from cairn.eventlog.log import START, Entry
from cairn.log_position import LARGEST_ENTRY

SCHEMA = (
    "CREATE TABLE entries"
    " (position INTEGER PRIMARY KEY AUTOINCREMENT, checksum INTEGER NOT NULL, items BLOB NOT NULL)"
)
PAGE_BYTES = 4096
# After a file is lost together with the note of its end nobody knows how far it went, so its successor starts far
# beyond what readers have seen.
GAP_AFTER_LOSS = 2**28

_items = msgspec.msgpack.Decoder(tuple[bytes, ...])


class Hole(Struct, frozen=True):
    """Positions, both ends included, that were given to entries and cannot be read back."""

    first: int
    last: int
    reason: str

    def covers(self, other: "Hole") -> bool:
        return self.first <= other.first and other.last <= self.last


MISSING = "missing from the file"  # the reason of a hole whose rows SQLite does not find


def holes_between(first: int, last: int, present: Iterable[int]) -> Iterator[Hole]:
    """What is missing between two positions, both included. `present` rises."""
    for position in (*present, last + 1):
        if position > first:
            yield Hole(first, position - 1, MISSING)
        first = position + 1


def check_schema(connection: sqlite3.Connection) -> None:
    """Raises NotALog when the file holds something else."""
    row = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'entries'").fetchone()
    if row is None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise NotALog("it holds other tables")
        connection.execute(SCHEMA)
    elif row[0] != SCHEMA:
        raise NotALog("its schema is not ours")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert(connection: sqlite3.Connection, body: bytes) -> int:
    with _transaction(connection):
        position = last_given(connection) + 1
        if position > LARGEST_ENTRY:
            raise NotALog(f"position {position} was never given")
        _add(connection, position, body)
    return position


def put(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Add entries under their own positions, in one transaction. Those there already stay as they are."""
    with _transaction(connection):
        for entry in entries:
            body = msgspec.msgpack.encode(entry.items)
            connection.execute(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?)",
                (entry.position, _checksum(entry.position, body), body),
            )


def _add(connection: sqlite3.Connection, position: int, body: bytes) -> None:
    connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (position, _checksum(position, body), body))


def positions(connection: sqlite3.Connection, after: int) -> list[int]:
    """Of all entries after a position, in order."""
    rows = connection.execute("SELECT position FROM entries WHERE position > ? ORDER BY position", (after,))
    return [row[0] for row in rows]


def forget(connection: sqlite3.Connection, before: int, *, rows: int) -> int:
    return connection.execute(
        "DELETE FROM entries WHERE position IN"
        " (SELECT position FROM entries WHERE position < ? ORDER BY position LIMIT ?)",
        (before, rows),
    ).rowcount


def erase(connection: sqlite3.Connection, position: int, kept: bytes) -> None:
    """Delete an entry and add what stays of it, in one transaction. Without the entry nothing is added."""
    with _transaction(connection):
        if connection.execute("DELETE FROM entries WHERE position = ?", (position,)).rowcount:
            _add(connection, position, kept)


def newest(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(position) FROM entries").fetchone()[0] or START)


def last_given(connection: sqlite3.Connection) -> int:
    """The greatest position ever given, also when its entry was lost."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    sequence = row[0] if row else START
    if not isinstance(sequence, int) or not START <= sequence <= LARGEST_ENTRY:
        sequence = START
    return max(newest(connection), sequence)


def set_last_given(connection: sqlite3.Connection, position: int) -> None:
    with _transaction(connection):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (position,))


def walk(connection: sqlite3.Connection, after: int) -> Iterator[Entry | Hole]:
    """Entries after a position in order, with the holes between them. Raises what reading raises.

    A row's position is believed only when its checksum, which covers it, fits. To be called within one transaction:
    a hole at the end must not reach over an entry that is appended meanwhile.
    """
    expected = after + 1
    reason = ""
    for row in connection.execute(
        "SELECT position, checksum, items FROM entries WHERE position > ? ORDER BY position", (after,)
    ):
        entry = entry_of(*row)
        if entry is None:
            reason = "its checksum does not fit"
        elif entry.position >= expected:
            # Before the oldest entry nothing is missing: that was forgotten.
            if entry.position > expected and (reason or _oldest(connection) != entry.position):
                yield Hole(expected, entry.position - 1, reason or MISSING)
            yield entry
            expected, reason = entry.position + 1, ""
    if expected <= (last := last_given(connection)) and (reason or after > START or expected > START + 1):
        yield Hole(expected, last, reason or MISSING)


def entry_of(position: int, checksum: object, body: object) -> Entry | None:
    """None when the checksum does not fit."""
    if isinstance(body, bytes) and _checksum(position, body) == checksum:
        try:
            return Entry(position, _items.decode(body))
        except msgspec.MsgspecError:
            return None
    return None


def _oldest(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT min(position) FROM entries").fetchone()[0] or START)


def _checksum(position: int, body: bytes) -> int:
    return zlib.crc32(body, position & 0xFFFFFFFF)
