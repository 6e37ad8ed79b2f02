"""Work between whole sets, in pieces: what one has over another, one changed by two others, one taken over by another.

None of it holds more than a piece in memory, however large the sets are, and others can read and write in between.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from cairn.errors import Unavailable
from cairn.members import feed
from cairn.members.environment import Environment, Tables, Transaction
from cairn.members.replacement import PIECE, build, collect_garbage, discard
from cairn.members.rows import Head, new_generation, read_head, rows_of, with_since, write_head

Row = tuple[bytes, bytes]  # a value's key and row
_SCANNED = 50_000  # rows read in one look, found or not
_ATTEMPTS = 3  # against writers in other processes


class SetBusy(Unavailable):
    """Another process changes the set at the same time. Try again."""

    code = "set_busy"


def only_in(environment: Environment, name: str, other: str) -> Iterator[list[Row]]:
    """The rows of a set that another one lacks, in order, in pieces. Each piece is of one moment."""
    tables, after, is_end = environment.tables, b"", False
    while not is_end:
        look = partial(_only_in, tables=tables, name=name, other=other, after=after)
        piece, after, is_end = environment.read(look)
        if piece:
            yield piece


def _only_in(
    transaction: Transaction, tables: Tables, name: str, other: str, after: bytes
) -> tuple[list[Row], bytes, bool]:
    """What was found, the last key that was read, and whether it was the last there is."""
    head, second = read_head(transaction, tables, name), read_head(transaction, tables, other)
    if head is None:
        return [], after, True
    rows = rows_of(transaction, tables, head.generation, after)
    if second is None or not second.size:
        found = list(islice(rows, PIECE))
        return found, found[-1][0] if found else after, len(found) < PIECE
    found = []
    others = (key for key, _ in rows_of(transaction, tables, second.generation, after))
    there = next(others, None)
    for number, (key, row) in enumerate(rows, 1):
        while there is not None and there < key:
            there = next(others, None)
        if there != key:
            found.append((key, row))
        after = key
        if number == _SCANNED or len(found) == PIECE:
            return found, after, False
    return found, after, True


def fill(environment: Environment, name: str, pieces: Iterable[list[Row]]) -> int:
    """Make a set of these rows, which come in order; return how many. Readers see it before or after.

    Raises: SetBusy.
    """
    size = build(environment, name, pieces, seen=_head(environment, name))
    if size is None:
        raise SetBusy(f"set {name!r} is being changed by another process; try again", field="name")
    collect_garbage(environment)
    return size


def adopt(transaction: Transaction, tables: Tables, name: str, source: str) -> int:
    """Let a set have what another one holds, which is empty then; return how many."""
    head, given = read_head(transaction, tables, name), read_head(transaction, tables, source)
    if given is None:
        given = Head(new_generation(transaction, tables), 0, 0)
    if head is not None:
        discard(transaction, tables, head.generation)
    version = (head.version if head else 0) + 1
    write_head(transaction, tables, name, Head(given.generation, given.size, version))
    feed.note(transaction, tables, name, version, None)
    empty = Head(new_generation(transaction, tables), 0, given.version + 1)
    write_head(transaction, tables, source, empty)
    feed.note(transaction, tables, source, empty.version, None)
    return given.size


def combine(environment: Environment, name: str, add: str, remove: str) -> tuple[int, int]:
    """Take the values of one set in, and those of another out; a value of both comes, or stays, in.

    Return how many were really added and removed. Readers see the set before or after. Raises: SetBusy.
    """
    for _ in range(_ATTEMPTS):
        seen = _head(environment, name)
        counts = _Counts()
        pieces = _in_pieces(_combined(environment, name, add, remove, counts))
        if build(environment, name, pieces, seen=seen) is not None:
            collect_garbage(environment)
            return counts.added, counts.removed
    raise SetBusy(f"set {name!r} is being changed by another process; try again", field="name")


class _Counts:
    added = 0
    removed = 0


def _combined(environment: Environment, name: str, add: str, remove: str, counts: _Counts) -> Iterator[Row]:
    """Three sorted walks, merged."""
    added, removed = _rows(environment, add), (key for key, _ in _rows(environment, remove))
    coming, going = next(added, None), next(removed, None)
    for key, row in _rows(environment, name):
        while coming is not None and coming[0] < key:
            counts.added += 1
            yield coming
            coming = next(added, None)
        while going is not None and going < key:
            going = next(removed, None)
        if coming is not None and coming[0] == key:
            yield key, with_since(coming[1], row)
            coming = next(added, None)
        elif going == key:
            counts.removed += 1
        else:
            yield key, row
    while coming is not None:
        counts.added += 1
        yield coming
        coming = next(added, None)


def _rows(environment: Environment, name: str) -> Iterator[Row]:
    for piece in only_in(environment, name, ""):
        yield from piece


def _in_pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _head(environment: Environment, name: str) -> Head | None:
    return environment.read(lambda transaction: read_head(transaction, environment.tables, name))
