"""How sets and values are written as LMDB keys and rows. LMDB's keys have 511 bytes at most; texts have any length."""

import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any

from msgspec import Struct

from cairn.members.environment import Tables, Transaction

_SHORT, _LONG, _EMPTY = b"\0", b"\1", b"\2"  # empty last: paging starts "after the empty text"
_SHORT_BYTES = 480  # with the generation and the tag under 511
_HEAD = struct.Struct(">8sQQ")
_SINCE = struct.Struct(">q")
_GENERATION = struct.Struct(">Q")
GENERATION_BYTES = 8


class Head(Struct, frozen=True):
    """A set's own row."""

    generation: bytes
    size: int
    version: int


def name_key(name: str) -> bytes:
    return value_key(name)


def value_key(value: str) -> bytes:
    """Where a value lies within its generation. Long values lie under their digest and keep their text in the row."""
    # surrogatepass: Python texts from JSON may hold half a surrogate pair, and stay different from each other.
    text = value.encode("utf-8", "surrogatepass")
    if len(text) > _SHORT_BYTES:
        return _LONG + blake2b(text, digest_size=32).digest()
    return _SHORT + text if text else _EMPTY


def is_short(key: bytes) -> bool:
    """Whether the key alone says which value it is."""
    return key[:1] != _LONG


def value_row(value: str, since_ms: int) -> bytes:
    row = _SINCE.pack(since_ms)
    if len(value) <= _SHORT_BYTES // 4:
        return row
    text = value.encode("utf-8", "surrogatepass")
    return row + text if len(text) > _SHORT_BYTES else row


def entries(values: Mapping[str, int]) -> list[tuple[bytes, bytes]]:
    """`value_key` and `value_row` of many. Most are short and plain, and of few moments: their rows are shared."""
    plain_rows: dict[int, bytes] = {}
    rows = []
    for value, since_ms in values.items():
        if value and len(value) <= _SHORT_BYTES and value.isascii():
            row = plain_rows.get(since_ms)
            if row is None:
                row = plain_rows[since_ms] = _SINCE.pack(since_ms)
            rows.append((_SHORT + value.encode(), row))
        else:
            rows.append((value_key(value), value_row(value, since_ms)))
    return rows


def since_of(row: bytes) -> int:
    return int(_SINCE.unpack_from(row)[0])


def with_since(row: bytes, kept: bytes) -> bytes:
    """The row with the since of another row of the same value."""
    return kept[: _SINCE.size] + row[_SINCE.size :]


def value_of(key: bytes, row: bytes) -> str:
    """`key` without its generation."""
    text = row[_SINCE.size :] if key[:1] == _LONG else key[1:]
    return text.decode("utf-8", "surrogatepass")


def read_head(transaction: Transaction, tables: Tables, name: str) -> Head | None:
    row = transaction.get(name_key(name), db=tables["sets"])
    return Head(*_HEAD.unpack(row)) if row else None


def write_head(transaction: Transaction, tables: Tables, name: str, head: Head) -> None:
    transaction.put(name_key(name), _HEAD.pack(head.generation, head.size, head.version), db=tables["sets"])


def new_generation(transaction: Transaction, tables: Tables) -> bytes:
    row = transaction.get(b"generation", db=tables["meta"])
    generation = _GENERATION.pack(_GENERATION.unpack(row)[0] + 1 if row else 1)
    transaction.put(b"generation", generation, db=tables["meta"])
    return generation


def rows_of(
    transaction: Transaction, tables: Tables, generation: bytes, after: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """Keys (without generation) and rows of a generation in order, starting after a key."""
    with transaction.cursor(db=tables["values"]) as cursor:
        start = generation + after
        if not cursor.set_range(start):
            return
        for key, row in cursor.iternext():
            if key[:GENERATION_BYTES] != generation:
                return
            if key != start:
                yield key[GENERATION_BYTES:], row


def page_of(
    transaction: Transaction, tables: Tables, generation: bytes, after: bytes, limit: int
) -> dict[bytes, bytes]:
    """As `rows_of`, in order, the first `limit` at once, which takes less time."""
    rows = stored_page(transaction, tables, generation, after, limit)
    return {key[GENERATION_BYTES:]: row for key, row in rows}


def stored_page(
    transaction: Transaction, tables: Tables, generation: bytes, after: bytes, limit: int
) -> list[tuple[bytes, bytes]]:
    """As `page_of`, keys with their generation."""
    with transaction.cursor(db=tables["values"]) as cursor:
        if not _go_to(cursor, generation + after):
            return []
        rows = list(islice(cursor.iternext(), limit))
    if rows and rows[-1][0][:GENERATION_BYTES] != generation:
        return [row for row in rows if row[0][:GENERATION_BYTES] == generation]
    return rows


def texts_of(
    transaction: Transaction, tables: Tables, generation: bytes, after: bytes, limit: int
) -> list[str]:
    """The values of a page, as `page_of`. Most are in their keys, and short keys come before all others."""
    with transaction.cursor(db=tables["values"]) as cursor:
        if not _go_to(cursor, generation + after):
            return []
        keys = list(islice(cursor.iternext(values=False), limit))
    prefix = generation + _SHORT
    if keys and keys[-1].startswith(prefix):
        start = len(prefix)
        return [key[start:].decode("utf-8", "surrogatepass") for key in keys]
    page = page_of(transaction, tables, generation, after, limit)
    return [value_of(key, row) for key, row in page.items()]


def _go_to(cursor: Any, start: bytes) -> bool:  # Any: lmdb has no type information
    """To what follows a key; False: nothing does."""
    return bool(cursor.set_range(start) and (cursor.key() != start or cursor.next()))
