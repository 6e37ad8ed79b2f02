"""Work between whole sets, in pieces: what one has over another, one changed by two others, one taken over by another.

None of it holds more than a piece of each set in memory, however large the sets are, and others can read and write in
between.
"""

from collections.abc import Iterator
from functools import partial

from cairn.errors import Unavailable
from cairn.members import feed
from cairn.members.encoding import (
    GENERATION_BYTES,
    Head,
    new_generation,
    page_of,
    read_head,
    stored_page,
    write_head,
)
from cairn.members.environment import Environment, Tables, Transaction
from cairn.members.replacement import PIECE, build, collect_garbage, discard

KeyAndRow = tuple[bytes, bytes]  # a value's key and row
Rows = dict[bytes, bytes]  # in the order of their keys
_ATTEMPTS = 3  # against writers in other processes


class SetBusy(Unavailable):
    """Another process changes the set at the same time. Try again."""

    code = "set_busy"


def _side_by_side(environment: Environment, *names: str, is_led: bool = False) -> Iterator[list[Rows]]:
    """The rows of some sets, in order: of each the same range of keys at a time, all of one moment.

    `is_led`: as far as the first set goes, or a little further.
    """
    after: bytes | None = b""
    while after is not None:
        look = partial(_beside, tables=environment.tables, names=names, after=after, is_led=is_led)
        pieces, after = environment.read(look)
        yield pieces


def _beside(
    transaction: Transaction, tables: Tables, names: tuple[str, ...], after: bytes, *, is_led: bool
) -> tuple[list[Rows], bytes | None]:
    """The rows after a key, and up to which key these are all; None: there are no more."""
    pieces: list[Rows] = []
    for name in names:
        head = read_head(transaction, tables, name)
        is_needed = head is not None and head.size and not (is_led and pieces and not pieces[0])
        pieces.append(
            page_of(transaction, tables, head.generation, after, PIECE) if head and is_needed else {}
        )
    ends = [_end(piece) for piece in pieces if len(piece) == PIECE]
    if is_led:
        last, is_last = _end(pieces[0]), len(pieces[0]) < PIECE
        ends = [end for end in ends if end < last or (end == last and not is_last)]
    if not ends:
        return pieces, None
    until = min(ends)
    return [_up_to(piece, until) for piece in pieces], until


def _end(rows: Rows) -> bytes:
    return next(reversed(rows), b"")


def _up_to(rows: Rows, until: bytes) -> Rows:
    if _end(rows) <= until:
        return rows
    return {key: row for key, row in rows.items() if key <= until}


def fill_difference(environment: Environment, target: str, name: str, other: str) -> int:
    """Make a set of what one has over another; return how many. Readers see it before or after. Raises: SetBusy."""
    seen = _head(environment, target)
    second = _head(environment, other)
    if second is None or not second.size:
        size = build(environment, target, _stored(environment, name), seen=seen, skip=GENERATION_BYTES)
    else:
        size = build(environment, target, _only_in(environment, name, other), seen=seen)
    if size is None:
        raise _busy(target)
    collect_garbage(environment)
    return size


def _only_in(environment: Environment, name: str, other: str) -> Iterator[list[KeyAndRow]]:
    """In order, in pieces. Each piece is of one moment."""
    for here, there in _side_by_side(environment, name, other, is_led=True):
        yield [row for row in here.items() if row[0] not in there] if there else list(here.items())


def _stored(environment: Environment, name: str) -> Iterator[list[KeyAndRow]]:
    """All rows of a set, keys with their generation, which takes half the time."""
    after, is_end = b"", False

    def look(transaction: Transaction) -> list[KeyAndRow]:
        head = read_head(transaction, environment.tables, name)
        return stored_page(transaction, environment.tables, head.generation, after, PIECE) if head else []

    while not is_end:
        piece = environment.read(look)
        is_end = len(piece) < PIECE
        if piece:
            after = piece[-1][0][GENERATION_BYTES:]
            yield piece


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
        pieces = (
            _combined(held, coming, going, counts)
            for held, coming, going in _side_by_side(environment, name, add, remove)
        )
        if build(environment, name, pieces, seen=seen) is not None:
            collect_garbage(environment)
            return counts.added, counts.removed
    raise _busy(name)


class _Counts:
    added = 0
    removed = 0


def _combined(held: Rows, coming: Rows, going: Rows, counts: _Counts) -> list[KeyAndRow]:
    """Of one range of keys."""
    removed = (held.keys() & going.keys()) - coming.keys()
    for key in removed:
        del held[key]
    new = coming.keys() - held.keys()
    counts.added += len(new)
    counts.removed += len(removed)
    if new:
        held |= {key: coming[key] for key in new}
        return [(key, held[key]) for key in sorted(held)]
    return list(held.items())


def replace_by(environment: Environment, name: str, source: str) -> tuple[int, int]:
    """Let a set have what another one holds, which is empty then; what both hold keeps its since.

    Return how many were really added and removed. Readers see the set before or after. Raises: SetBusy.
    """
    tables = environment.tables
    for _ in range(_ATTEMPTS):
        seen, stay = _head(environment, name), 0
        for held, coming in _side_by_side(environment, name, source):
            both = [row for row in held.items() if row[0] in coming]
            stay += len(both)
            environment.write(partial(_put, tables=tables, name=source, rows=both))
        taken = environment.write(partial(_adopt_seen, tables=tables, name=name, source=source, seen=seen))
        if taken is not None:
            collect_garbage(environment)
            return taken - stay, (seen.size if seen else 0) - stay
    raise _busy(name)


def _put(transaction: Transaction, tables: Tables, name: str, rows: list[KeyAndRow]) -> None:
    head = read_head(transaction, tables, name)
    if head is not None and rows:
        with transaction.cursor(db=tables["values"]) as cursor:
            cursor.putmulti((head.generation + key, row) for key, row in rows)


def _adopt_seen(
    transaction: Transaction, tables: Tables, name: str, source: str, seen: Head | None
) -> int | None:
    """None: the set was changed since it was seen."""
    return adopt(transaction, tables, name, source) if read_head(transaction, tables, name) == seen else None


def _busy(name: str) -> SetBusy:
    return SetBusy(f"set {name!r} is being changed by another process; try again", field="name")


def _head(environment: Environment, name: str) -> Head | None:
    return environment.read(lambda transaction: read_head(transaction, environment.tables, name))
