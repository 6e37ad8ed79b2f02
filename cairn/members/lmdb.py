"""Members and published documents in LMDB: memory-mapped reads in any process, synced writes.

A set's row names its current generation; its values lie under that generation's number. So a set of a million values
is exchanged by writing a new generation in pieces and changing one row (replacement.py).
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from cairn.errors import InvalidInput, NotAllowed
from cairn.members import between, feed
from cairn.members.due import DueTimes
from cairn.members.encoding import (
    Head,
    entries,
    name_key,
    new_generation,
    read_head,
    rows_of,
    since_of,
    texts_of,
    value_key,
    value_of,
    write_head,
)
from cairn.members.environment import MAP_BYTES, Transaction, acquire, release
from cairn.members.replacement import PIECE, collect_garbage, discard, exchange
from cairn.members.sets import Changed, SetChange

_ANY_SHORT = name_key("a")[:1]  # what the rows of sets with names of usual length begin with
_DOCUMENT_NAME_BYTES = 500  # a document's name is its key, so that names can be listed by prefix


class ReadOnlyMembers(NotAllowed):
    """The members store was opened for reading; open it without `read_only` to change it."""

    code = "members_read_only"

    def __init__(self) -> None:
        super().__init__(
            "the members store was opened for reading; open it without read_only", field="read_only"
        )


class DocumentNameTooLong(InvalidInput):
    """A published document's name may have 500 bytes."""

    code = "document_name_too_long"

    def __init__(self, name: str) -> None:
        super().__init__(f"document name {name[:50]!r}... has over 500 bytes; shorten it", field="name")


def open_members(path: Path, *, read_only: bool = False, map_bytes: int = MAP_BYTES) -> "LmdbMembers":
    """Open the store in a folder, making it if there is none, also for reading: the writer may start later.

    Raises: Unavailable when the disk does not let us.
    """
    return LmdbMembers(path, read_only=read_only, map_bytes=map_bytes)


class LmdbMembers:
    """Implements Members and Published. Any number of threads and processes may use the same folder."""

    def __init__(self, path: Path, *, read_only: bool, map_bytes: int) -> None:
        self._environment = acquire(path, map_bytes)
        self._tables = self._environment.tables
        self.due = DueTimes(self._environment)
        self._read_only = read_only
        self._is_open = True
        self._being_changed: dict[
            str, threading.Lock
        ] = {}  # by set: an exchange and an apply wait for each other

    def contains(self, name: str, value: str) -> bool:
        return self.since(name, value) is not None

    def since(self, name: str, value: str) -> int | None:
        key, name_row = value_key(value), name_key(name)
        sets, values = self._tables["sets"], self._tables["values"]

        def look(transaction: Transaction) -> bytes | None:
            head: bytes | None = transaction.get(name_row, db=sets)
            return transaction.get(head[:8] + key, db=values) if head else None

        row = self._environment.read(look)
        return since_of(row) if row else None

    def which(self, name: str, values: Iterable[str]) -> set[str]:
        return self.which_all({name: values})[name]

    def which_all(self, values_by_set: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
        keyed = {
            name: [(value, value_key(value)) for value in values] for name, values in values_by_set.items()
        }

        def look(transaction: Transaction) -> dict[str, set[str]]:
            rows, found = self._tables["values"], {}
            for name, pairs in keyed.items():
                head = read_head(transaction, self._tables, name)
                found[name] = {
                    value
                    for value, key in (pairs if head else ())
                    if head and transaction.get(head.generation + key, db=rows) is not None
                }
            return found

        return self._environment.read(look)

    def size(self, name: str) -> int:
        head = self._head(name)
        return head.size if head else 0

    def version(self, name: str) -> int:
        head = self._head(name)
        return head.version if head else 0

    def values(self, name: str, *, after: str = "", limit: int | None = None) -> list[tuple[str, int]]:
        """Ordered by UTF-8 bytes, then those over 480 bytes by their digest, then the empty text."""
        rows = self._rows(name, after, limit)
        return [(value_of(key, row), since_of(row)) for key, row in rows]

    def texts(self, name: str, *, after: str = "", limit: int | None = None) -> list[str]:
        if limit is None:
            return [value_of(key, row) for key, row in self._rows(name, after, None)]
        start = value_key(after) if after else b""

        def look(transaction: Transaction) -> list[str]:
            head = read_head(transaction, self._tables, name)
            return texts_of(transaction, self._tables, head.generation, start, limit) if head else []

        return self._environment.read(look)

    def _rows(self, name: str, after: str, limit: int | None) -> list[tuple[bytes, bytes]]:
        start = value_key(after) if after else b""

        def look(transaction: Transaction) -> list[tuple[bytes, bytes]]:
            head = read_head(transaction, self._tables, name)
            if head is None:
                return []
            return list(islice(rows_of(transaction, self._tables, head.generation, start), limit))

        return self._environment.read(look)

    def apply(self, name: str, *, add: Mapping[str, int], remove: Iterable[str]) -> tuple[int, int]:
        """A value named in both stays, or comes, in."""
        return self.apply_all({name: SetChange(add, remove)})[name]

    def apply_all(self, changes: Mapping[str, SetChange]) -> dict[str, tuple[int, int]]:
        self._check_writable()
        prepared = {name: _prepared(change) for name, change in changes.items()}
        real = {name: rows for name, rows in prepared.items() if any(rows)}

        def change(transaction: Transaction) -> dict[str, tuple[int, int]]:
            return {name: self._change(transaction, name, *rows) for name, rows in real.items()}

        with self._changing_all(*real):
            changed = self._environment.write(change) if real else {}
        return {name: changed.get(name, (0, 0)) for name in changes}

    def _change(
        self, transaction: Transaction, name: str, added: list[tuple[bytes, bytes]], removed: set[bytes]
    ) -> tuple[int, int]:
        values = self._tables["values"]
        head = read_head(transaction, self._tables, name) or Head(
            new_generation(transaction, self._tables), 0, 0
        )
        gone = [key for key in removed if transaction.delete(head.generation + key, db=values)]
        come = [
            key
            for key, row in added
            if transaction.put(head.generation + key, row, db=values, overwrite=False)
        ]
        if come or gone:
            head = Head(head.generation, head.size + len(come) - len(gone), head.version + 1)
            write_head(transaction, self._tables, name, head)
            feed.note(transaction, self._tables, name, head.version, [*come, *gone])
        return len(come), len(gone)

    def replace(self, name: str, values: Mapping[str, int]) -> tuple[int, int]:
        self._check_writable()
        with self._changing(name):
            return exchange(self._environment, name, values)

    def drop(self, name: str) -> None:
        """The version stays and rises, so nobody takes a later set of this name for the old one."""
        self._check_writable()

        def change(transaction: Transaction) -> None:
            head = read_head(transaction, self._tables, name)
            if head is not None and head.size:
                discard(transaction, self._tables, head.generation)
                head = Head(new_generation(transaction, self._tables), 0, head.version + 1)
                write_head(transaction, self._tables, name, head)
                feed.note(transaction, self._tables, name, head.version, None)

        with self._changing(name):
            self._environment.write(change)
        collect_garbage(self._environment)

    def follow(self, name: str) -> int:
        self._check_writable()
        return self._environment.write(lambda transaction: feed.follow(transaction, self._tables, name))

    def unfollow(self, name: str) -> None:
        self._check_writable()
        self._environment.write(lambda transaction: feed.unfollow(transaction, self._tables, name))

    def forget_changes(self, name: str) -> None:
        self._check_writable()
        self._environment.write(lambda transaction: feed.forget(transaction, self._tables, name))

    def changed_since(self, name: str, version: int, *, most: int) -> Changed:
        values, until = self._environment.read(
            lambda transaction: feed.changed_since(transaction, self._tables, name, version, most)
        )
        return Changed(None if values is None else frozenset(values), until)

    def fill_difference(self, target: str, name: str, other: str) -> int:
        self._check_writable()
        with self._changing(target):
            return between.fill_difference(self._environment, target, name, other)

    def adopt(self, name: str, source: str) -> int:
        self._check_writable()
        with self._changing_all(name, source):
            size = self._environment.write(
                lambda transaction: between.adopt(transaction, self._tables, name, source)
            )
        collect_garbage(self._environment)
        return size

    def replace_by(self, name: str, source: str) -> tuple[int, int]:
        self._check_writable()
        with self._changing_all(name, source):
            return between.replace_by(self._environment, name, source)

    def combine(self, name: str, *, add: str, remove: str) -> tuple[int, int]:
        self._check_writable()
        if self.size(add) + self.size(remove) <= PIECE:
            return self.apply(
                name, add=dict(self.values(add)), remove=[value for value, _ in self.values(remove)]
            )
        with self._changing(name):
            return between.combine(self._environment, name, add, remove)

    def forget(self, name: str) -> None:
        self._check_writable()

        def change(transaction: Transaction) -> None:
            head = read_head(transaction, self._tables, name)
            if head is not None:
                discard(transaction, self._tables, head.generation)
                transaction.delete(name_key(name), db=self._tables["sets"])

        with self._changing(name):
            self._environment.write(change)
        self._being_changed.pop(name, None)
        collect_garbage(self._environment)

    def publish(self, documents: Mapping[str, bytes | None]) -> None:
        self._check_writable()
        keyed = {_document_key(name): body for name, body in documents.items()}

        def change(transaction: Transaction) -> None:
            table = self._tables["documents"]
            is_changed = False
            for key, body in keyed.items():
                if transaction.get(key, db=table) == body:
                    continue
                is_changed = True
                if body is None:
                    transaction.delete(key, db=table)
                else:
                    transaction.put(key, body, db=table)
            if is_changed:
                changes = _changes(transaction, self._tables["meta"]) + 1
                transaction.put(b"changes", b"%d" % changes, db=self._tables["meta"])

        self._environment.write(change)

    def document(self, name: str) -> bytes | None:
        key = _document_key(name)
        table = self._tables["documents"]
        body: bytes | None = self._environment.read(lambda transaction: transaction.get(key, db=table))
        return body

    def names(self, prefix: str) -> Iterator[str]:
        """In order of their UTF-8 bytes; the names of one moment."""
        start = b"n" + prefix.encode("utf-8", "surrogatepass")

        def look(transaction: Transaction) -> list[str]:
            names: list[str] = []
            with transaction.cursor(db=self._tables["documents"]) as cursor:
                if cursor.set_range(start):
                    for key in cursor.iternext(values=False):
                        if not key.startswith(start):
                            break
                        names.append(key[1:].decode("utf-8", "surrogatepass"))
            return names

        return iter(self._environment.read(look))

    def changes(self) -> int:
        return self._environment.read(lambda transaction: _changes(transaction, self._tables["meta"]))

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            release(self._environment)

    def sets(self, prefix: str) -> list[str]:
        return self._names("sets", prefix)

    def followed(self) -> list[str]:
        return self._names("feeds", "")

    def _names(self, table: str, prefix: str) -> list[str]:
        start = name_key(prefix) if prefix else _ANY_SHORT

        def look(transaction: Transaction) -> list[str]:
            values: list[str] = []
            with transaction.cursor(db=self._tables[table]) as cursor:
                if cursor.set_range(start):
                    for key in cursor.iternext(values=False):
                        if not key.startswith(start):
                            break
                        values.append(value_of(key, b""))
            return values

        return self._environment.read(look)

    def _head(self, name: str) -> Head | None:
        return self._environment.read(lambda transaction: read_head(transaction, self._tables, name))

    def _changing(self, name: str) -> threading.Lock:
        return self._being_changed.setdefault(name, threading.Lock())

    @contextmanager
    def _changing_all(self, *names: str) -> Iterator[None]:
        with ExitStack() as locks:
            for name in sorted(names):  # in one order, so that two never wait for each other
                locks.enter_context(self._changing(name))
            yield

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyMembers


def _prepared(change: SetChange) -> tuple[list[tuple[bytes, bytes]], set[bytes]]:
    """Rows to put and keys to delete."""
    return entries(change.add), {value_key(value) for value in change.remove if value not in change.add}


def _document_key(name: str) -> bytes:
    key = b"n" + name.encode("utf-8", "surrogatepass")  # a key may not be empty, a name may
    if len(key) > _DOCUMENT_NAME_BYTES:
        raise DocumentNameTooLong(name)
    return key


def _changes(transaction: Transaction, meta: object) -> int:
    return int(transaction.get(b"changes", db=meta) or 0)
