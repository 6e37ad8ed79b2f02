"""The table of the SQLite event log: its rows, and how to walk them when parts of the file are damaged."""

import sqlite3
import zlib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from cairn.eventlog.damage import NotALog, is_damage
from cairn.eventlog.log import START, Entry

SCHEMA = (
    "CREATE TABLE entries"
    " (position INTEGER PRIMARY KEY AUTOINCREMENT, checksum INTEGER NOT NULL, items BLOB NOT NULL)"
)
LARGEST_POSITION = 2**53  # a greater one is damage, not a position
# After a file is lost nobody knows how far it went, so its successor starts far beyond what readers have seen.
GAP_AFTER_LOSS = 2**32
_LOOKUPS = 1_000_000  # positions to try one by one behind damage, about two seconds; beyond it the rest counts as lost

_items = msgspec.msgpack.Decoder(tuple[bytes, ...])


class Hole(Struct, frozen=True):
    """Positions, both ends included, that were given to entries and cannot be read back."""

    first: int
    last: int
    reason: str


def check_schema(connection: sqlite3.Connection) -> None:
    """Raises NotALog when the file holds something else."""
    row = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'entries'").fetchone()
    if row is None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise NotALog("it holds other tables")
        connection.execute(SCHEMA)
    elif row[0] != SCHEMA:
        raise NotALog("its schema is not ours")


def insert(connection: sqlite3.Connection, body: bytes) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        position = last_given(connection) + 1
        if position > LARGEST_POSITION:
            raise NotALog(f"position {position} was never given")
        connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?)", (position, _checksum(position, body), body)
        )
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return position


def copy(source: sqlite3.Connection, target: sqlite3.Connection, *, after: int) -> None:
    """Carry over every entry that can still be read, under its own position."""
    target.execute("BEGIN IMMEDIATE")
    for row in walk(source, after):
        if isinstance(row, Entry):
            body = msgspec.msgpack.encode(row.items)
            target.execute(
                "INSERT OR IGNORE INTO entries VALUES (?, ?, ?)",
                (row.position, _checksum(row.position, body), body),
            )
    target.execute("COMMIT")


def forget(connection: sqlite3.Connection, before: int, *, rows: int) -> int:
    return connection.execute(
        "DELETE FROM entries WHERE position IN"
        " (SELECT position FROM entries WHERE position < ? ORDER BY position LIMIT ?)",
        (before, rows),
    ).rowcount


def newest(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(position) FROM entries").fetchone()[0] or START)


def last_given(connection: sqlite3.Connection) -> int:
    """The greatest position ever given, also when its entry was lost."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    sequence = row[0] if row else START
    if not isinstance(sequence, int) or not START <= sequence <= LARGEST_POSITION:
        sequence = START
    return max(newest(connection), sequence)


def set_last_given(connection: sqlite3.Connection, position: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (position,))
    connection.execute("COMMIT")


def walk(connection: sqlite3.Connection, after: int) -> Iterator[Entry | Hole]:
    """Entries after a position in order, with the holes between them. Raises sqlite3.Error only for passing trouble."""
    expected = after + 1
    while True:
        try:
            for position, checksum, body in connection.execute(
                "SELECT position, checksum, items FROM entries WHERE position > ? ORDER BY position",
                (expected - 1,),
            ):
                if position > expected and not _is_oldest(connection, position):
                    yield Hole(expected, position - 1, "missing from the file")
                expected = position + 1
                yield _entry(position, checksum, body)
            return
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            reason = f"cannot be read: {error}"
        found = _next_by_lookup(connection, expected)
        if found.position > expected:
            yield Hole(expected, found.position - 1, reason)
        if found.entry is None:
            return
        expected = found.position + 1
        yield found.entry


class _Lookup(Struct, frozen=True):
    position: int  # where the search ended
    entry: Entry | Hole | None


def _next_by_lookup(connection: sqlite3.Connection, first: int) -> _Lookup:
    """Each position finds its own way down the tree, so it may be readable where walking is not."""
    end = _end_of_search(connection, first)
    for position in range(first, min(end, first + _LOOKUPS) + 1):
        try:
            row = connection.execute(
                "SELECT checksum, items FROM entries WHERE position = ?", (position,)
            ).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            continue
        if row is not None:
            return _Lookup(position, _entry(position, *row))
    return _Lookup(end + 1, None)


def _end_of_search(connection: sqlite3.Connection, first: int) -> int:
    for known in (last_given, newest):
        try:
            return max(known(connection), first)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
    try:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return first
    return max(row[0], first) if row and isinstance(row[0], int) else first


def _is_oldest(connection: sqlite3.Connection, position: int) -> bool:
    """Nothing is missing before the oldest entry: that was forgotten."""
    try:
        return bool(connection.execute("SELECT min(position) FROM entries").fetchone()[0] == position)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return False


def _entry(position: int, checksum: object, body: object) -> Entry | Hole:
    if isinstance(body, bytes) and _checksum(position, body) == checksum:
        try:
            return Entry(position, _items.decode(body))
        except msgspec.MsgspecError:
            pass
    return Hole(position, position, "its checksum does not fit")


def _checksum(position: int, body: bytes) -> int:
    return zlib.crc32(body, position & 0xFFFFFFFF)
