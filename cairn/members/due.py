"""When the membership of a user may end, or begin, by the passing of time: kept beside the members, ordered by time.

Each row is stored twice: by time, from which what is due is taken, and by segment and user, where it is replaced. A
kept time is never later than the true one, and may be earlier: an event that only puts it off changes nothing here.
The user is then evaluated too early once, and gets the true time.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from msgspec import Struct

from cairn.members.environment import Environment, Transaction

_PIECE = 20_000  # rows per transaction, as of sets
_BY_TIME = struct.Struct(">QIIQ")  # due ms, environment, segment, user
_BY_USER = struct.Struct(">IIQ")  # environment, segment, user
_OF_SEGMENT = struct.Struct(">II")
_TIME = struct.Struct(">Q")


class Due(Struct, frozen=True, order=True):
    due_ms: int
    environment_id: int
    segment_id: int
    user_id: int


class DueTimes:
    """Of all segments. Written by one thread at a time; every change is synced and atomic, but for `replace`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._by_time, self._by_user = environment.tables["due"], environment.tables["due_of"]

    def first(self, until_ms: int, limit: int) -> list[Due]:
        """What is due until then, earliest first. It stays until it is replaced by `note` or dropped."""

        def look(transaction: Transaction) -> list[Due]:
            due_rows: list[Due] = []
            with transaction.cursor(db=self._by_time) as cursor:
                if cursor.first():
                    for key in islice(cursor.iternext(values=False), limit):
                        due = Due(*_BY_TIME.unpack(key))
                        if due.due_ms > until_ms:
                            break
                        due_rows.append(due)
            return due_rows

        return self._environment.read(look)

    def note(self, environment_id: int, changes: Mapping[int, Mapping[int, int | None]], now_ms: int) -> None:
        """Take in due times that were found at `now_ms`. Shape: segment -> user -> due ms, None: time changes nothing.

        An earlier time that is still to come is kept instead.
        """
        rows = [
            (_BY_USER.pack(environment_id, segment_id, user_id), due_ms)
            for segment_id, dues in changes.items()
            for user_id, due_ms in dues.items()
        ]

        def needed(transaction: Transaction) -> list[tuple[bytes, bytes | None, int | None]]:
            changes = []
            for user_key, due_ms in rows:
                known = transaction.get(user_key, db=self._by_user)
                if not _stays(known, due_ms, now_ms):
                    changes.append((user_key, known, due_ms))
            return changes

        stored = iter(self._environment.read(needed))
        while piece := list(islice(stored, _PIECE)):
            self._write(piece)

    def replace(self, environment_id: int, segment_id: int, dues: Mapping[int, int], now_ms: int) -> None:
        """Make these the due times of a segment, as `note`; nobody else has one."""
        new_dues: dict[int, int | None] = dict(dues)
        for user_id in self.users(environment_id, segment_id):
            new_dues.setdefault(user_id, None)
        self.note(environment_id, {segment_id: new_dues}, now_ms)

    def drop(self, environment_id: int, segment_id: int) -> None:
        gone: dict[int, int | None] = dict.fromkeys(self.users(environment_id, segment_id))
        self.note(environment_id, {segment_id: gone}, 0)

    def drop_rows(self, rows: Iterable[Due]) -> None:
        gone = [
            (_BY_USER.pack(row.environment_id, row.segment_id, row.user_id), _TIME.pack(row.due_ms), None)
            for row in rows
        ]
        if gone:
            self._write(gone)

    def forget(self, environment_id: int, segment_ids: Iterable[int], users: Iterable[int]) -> None:
        """Leave no due time of these users in these segments."""
        gone: dict[int, int | None] = dict.fromkeys(users)
        self.note(environment_id, dict.fromkeys(segment_ids, gone), 0)

    def users(self, environment_id: int, segment_id: int) -> list[int]:
        """Those with a due time in this segment."""
        prefix = _OF_SEGMENT.pack(environment_id, segment_id)

        def look(transaction: Transaction) -> list[int]:
            return [_BY_USER.unpack(key)[2] for key in _keys(transaction, self._by_user, prefix)]

        return self._environment.read(look)

    def of_segment(self, environment_id: int, segment_id: int) -> dict[int, int]:
        """Shape: user -> due ms."""
        prefix = _OF_SEGMENT.pack(environment_id, segment_id)

        def look(transaction: Transaction) -> dict[int, int]:
            keys = list(_keys(transaction, self._by_user, prefix))
            return {
                _BY_USER.unpack(key)[2]: _TIME.unpack(transaction.get(key, db=self._by_user))[0]
                for key in keys
            }

        return self._environment.read(look)

    def _write(self, changes: Iterable[tuple[bytes, bytes | None, int | None]]) -> None:
        def change(transaction: Transaction) -> None:
            for user_key, known, due_ms in changes:
                if known is not None:
                    transaction.delete(known + user_key, db=self._by_time)
                    transaction.delete(user_key, db=self._by_user)
                if due_ms is not None:
                    time = _TIME.pack(due_ms)
                    transaction.put(user_key, time, db=self._by_user)
                    transaction.put(time + user_key, b"", db=self._by_time)

        self._environment.write(change)


def _stays(stored: bytes | None, due_ms: int | None, now_ms: int) -> bool:
    if stored is None or due_ms is None:
        return stored is None and due_ms is None
    return bool(now_ms < _TIME.unpack(stored)[0] <= due_ms)


def _keys(transaction: Transaction, table: object, prefix: bytes) -> Iterator[bytes]:
    with transaction.cursor(db=table) as cursor:
        if cursor.set_range(prefix):
            for key in cursor.iternext(values=False):
                if not key.startswith(prefix):
                    return
                yield key
