"""The table of the SQLite event log: its rows, and how to walk them when parts of the file are damaged."""

import sqlite3
import zlib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from cairn.eventlog.damage import NotALog, SqliteTrouble, is_damage
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
    except SqliteTrouble:
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


def replace(connection: sqlite3.Connection, position: int, body: bytes) -> None:
    connection.execute(
        "UPDATE entries SET checksum = ?, items = ? WHERE position = ?",
        (_checksum(position, body), body, position),
    )


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
    """Entries after a position in order, with the holes between them. Raises sqlite3.Error only for passing trouble.

    A row's position is believed only when its checksum, which covers it, fits. To be called within one transaction:
    a hole at the end must not reach over an entry that is appended meanwhile.
    """
    expected = after + 1
    while True:
        reason = ""
        try:
            for row in connection.execute(
                "SELECT position, checksum, items FROM entries WHERE position > ? ORDER BY position",
                (expected - 1,),
            ):
                entry = _entry(*row)
                if entry is None:
                    reason = "its checksum does not fit"
                elif entry.position >= expected:
                    yield from _hole_before(connection, entry, expected, reason)
                    yield entry
                    expected, reason = entry.position + 1, ""
            if reason and expected <= (last := _end_of_search(connection, START)):
                yield Hole(expected, last, reason)
            return
        except SqliteTrouble as error:
            if not is_damage(error):
                raise
            reason = f"cannot be read: {error}"
        last = _end_of_search(connection, expected)
        entry = _next_by_lookup(connection, expected, last)
        end = last if entry is None else entry.position - 1
        if end >= expected:
            yield Hole(expected, end, reason)
        if entry is None:
            return
        yield entry
        expected = entry.position + 1


def _hole_before(connection: sqlite3.Connection, entry: Entry, expected: int, reason: str) -> Iterator[Hole]:
    # Before the oldest entry nothing is missing: that was forgotten.
    if entry.position > expected and (reason or not _is_oldest(connection, entry.position)):
        yield Hole(expected, entry.position - 1, reason or "missing from the file")


def _next_by_lookup(connection: sqlite3.Connection, first: int, last: int) -> Entry | None:
    """Each position finds its own way down the tree, so it may be readable where walking is not."""
    for position in range(first, min(last, first + _LOOKUPS) + 1):
        try:
            row = connection.execute(
                "SELECT position, checksum, items FROM entries WHERE position = ?", (position,)
            ).fetchone()
        except SqliteTrouble as error:
            if not is_damage(error):
                raise
            continue
        if row is not None and (entry := _entry(*row)) is not None:
            return entry
    return None


def _end_of_search(connection: sqlite3.Connection, first: int) -> int:
    for known in (last_given, newest):
        try:
            return max(known(connection), first)
        except SqliteTrouble as error:
            if not is_damage(error):
                raise
    try:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    except SqliteTrouble as error:
        if not is_damage(error):
            raise
        return first
    return max(row[0], first) if row and isinstance(row[0], int) else first


def _is_oldest(connection: sqlite3.Connection, position: int) -> bool:
    try:
        return bool(connection.execute("SELECT min(position) FROM entries").fetchone()[0] == position)
    except SqliteTrouble as error:
        if not is_damage(error):
            raise
        return False


def _entry(position: int, checksum: object, body: object) -> Entry | None:
    if isinstance(body, bytes) and _checksum(position, body) == checksum:
        try:
            return Entry(position, _items.decode(body))
        except msgspec.MsgspecError:
            return None
    return None


def _checksum(position: int, body: bytes) -> int:
    return zlib.crc32(body, position & 0xFFFFFFFF)
