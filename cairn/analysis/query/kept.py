"""Rows of earlier statements, for as long as nothing they were read from has changed."""

import threading
from collections import OrderedDict

from msgspec import Struct

from cairn.store.statement import Statement
from cairn.store.store import Row

MOST_ENTRIES = 500
# Of one answer that is kept, as text; and of all together with their statements. Senders decide how long a value is.
MOST_CHARACTERS, MOST_CHARACTERS_IN_ALL = 500_000, 20_000_000
# Of one answer; more are not even measured.
MOST_ROWS = 5_000
# Values of one statement's parameters; comparing longer lists costs as much as asking.
MOST_VALUES = 1_000
# Rows of these vanish by age, which no version tells.
AGEING = frozenset({"refusals"})

Key = tuple[object, ...]


class _Entry(Struct, frozen=True):
    version: int
    rows: list[Row]
    size: int


class KeptRows:
    """Exact: rows are given out only at the version they were read at. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._size = 0

    def get(self, statement: Statement, version: int) -> list[Row] | None:
        key = _key(statement)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.version != version:
                return None
            self._entries.move_to_end(key)
            return list(entry.rows)

    def put(self, statement: Statement, version: int, rows: list[Row]) -> None:
        """`version`: of before the rows were read, so that what came meanwhile makes them old."""
        if len(rows) > MOST_ROWS or not _is_keepable(statement):
            return
        key = _key(statement)
        entry = _Entry(version, list(rows), len(repr(rows)) + len(repr(key)))
        if entry.size > MOST_CHARACTERS:
            return
        with self._lock:
            self._forget(key)
            self._entries[key] = entry
            self._size += entry.size
            while len(self._entries) > MOST_ENTRIES or self._size > MOST_CHARACTERS_IN_ALL:
                self._forget(next(iter(self._entries)))

    def _forget(self, key: Key) -> None:
        if entry := self._entries.pop(key, None):
            self._size -= entry.size


def _is_keepable(statement: Statement) -> bool:
    sizes = (len(value) for value in statement.parameters.values() if isinstance(value, list))
    return not statement.tables & AGEING and sum(sizes) <= MOST_VALUES


def _key(statement: Statement) -> Key:
    if not _is_keepable(statement):
        return ()
    parameters = (
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in sorted(statement.parameters.items())
    )
    return statement.environment_id, statement.sql, *parameters
