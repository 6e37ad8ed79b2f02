"""What changed in followed sets, so that somebody can be kept in line with a set without looking at all of it.

Each change of a followed set's version has a row: the keys of the values that came or went, or a mark that says
"anything". A feed is short, because a reader that is far behind compares the sets instead.
"""

import struct
from collections.abc import Collection, Iterable

import msgspec

from cairn.members.encoding import is_short, name_key, read_head, value_of
from cairn.members.environment import Tables, Transaction

KEPT_VALUES = 200_000  # of one set's feed; older changes are forgotten
_MOST_AT_ONCE = 50_000  # values of one change; a larger one is noted as "anything"
_STATE = struct.Struct(">8sQQ")  # the feed's id, the version before its oldest row, how many values are kept
_VERSION = struct.Struct(">Q")
_ANYTHING = b"\xc0"  # msgpack's nil


def follow(transaction: Transaction, tables: Tables, name: str) -> int:
    """Keep a feed from now on; return the set's version, from which its changes are known."""
    head = read_head(transaction, tables, name)
    version = head.version if head else 0
    if transaction.get(name_key(name), db=tables["feeds"]) is None:
        number = int(transaction.get(b"feeds", db=tables["meta"]) or 0) + 1
        transaction.put(b"feeds", b"%d" % number, db=tables["meta"])
        _write_state(transaction, tables, name, _VERSION.pack(number), version, 0)
    return version


def unfollow(transaction: Transaction, tables: Tables, name: str) -> None:
    state = _state(transaction, tables, name)
    if state is not None:
        feed, oldest, _ = state
        _forget(transaction, tables, feed, oldest, until=None)
        transaction.delete(name_key(name), db=tables["feeds"])


def forget(transaction: Transaction, tables: Tables, name: str) -> None:
    """Keep nothing of what has changed until now: readers compare."""
    state, head = _state(transaction, tables, name), read_head(transaction, tables, name)
    if state is not None:
        feed, oldest, _ = state
        _forget(transaction, tables, feed, oldest, until=None)
        _write_state(transaction, tables, name, feed, head.version if head else 0, 0)


def note(
    transaction: Transaction, tables: Tables, name: str, version: int, keys: Collection[bytes] | None
) -> None:
    """The change that made this version, in the transaction that makes it. None: anything may have changed."""
    state = _state(transaction, tables, name)
    if state is None:
        return
    feed, oldest, kept = state
    changed_keys = (
        keys if keys is not None and len(keys) <= _MOST_AT_ONCE and all(map(is_short, keys)) else None
    )
    row = _ANYTHING if changed_keys is None else msgspec.msgpack.encode(list(changed_keys))
    transaction.put(feed + _VERSION.pack(version), row, db=tables["feed"])
    kept += 1 + len(changed_keys or ())
    if kept > KEPT_VALUES:
        oldest, forgotten = _forget(transaction, tables, feed, oldest, until=kept - KEPT_VALUES // 2)
        kept -= forgotten
    _write_state(transaction, tables, name, feed, oldest, kept)


def changed_since(
    transaction: Transaction, tables: Tables, name: str, version: int, most: int
) -> tuple[set[str] | None, int]:
    """The values whose membership changed after a version, and the version up to which; None: anything may have."""
    state, head = _state(transaction, tables, name), read_head(transaction, tables, name)
    now = head.version if head else 0
    if version == now:
        return set(), now
    if state is None or version < state[1] or version > now:
        return None, now
    values: set[str] = set()
    with transaction.cursor(db=tables["feed"]) as cursor:
        if not cursor.set_range(state[0] + _VERSION.pack(version + 1)):
            return None, now
        for key, row in cursor.iternext():
            if key[:8] != state[0]:
                break
            if row == _ANYTHING:
                return None, now
            values |= _texts(msgspec.msgpack.decode(row, type=list[bytes]))
            version = _VERSION.unpack(key[8:])[0]
            if len(values) >= most:
                return values, version
    return (values, version) if version == now else (None, now)


def _texts(keys: Iterable[bytes]) -> set[str]:
    return {value_of(key, b"") for key in keys}


def _state(transaction: Transaction, tables: Tables, name: str) -> tuple[bytes, int, int] | None:
    row = transaction.get(name_key(name), db=tables["feeds"])
    if row is None:
        return None
    feed, oldest, kept = _STATE.unpack(row)
    return feed, oldest, kept


def _write_state(
    transaction: Transaction, tables: Tables, name: str, feed: bytes, oldest: int, kept: int
) -> None:
    transaction.put(name_key(name), _STATE.pack(feed, oldest, kept), db=tables["feeds"])


def _forget(
    transaction: Transaction, tables: Tables, feed: bytes, oldest: int, *, until: int | None
) -> tuple[int, int]:
    """Delete the oldest rows, until so many values are gone; None: all. Return what is forgotten now, and how much."""
    forgotten = 0
    with transaction.cursor(db=tables["feed"]) as cursor:
        cursor.set_range(feed)
        while (until is None or forgotten < until) and cursor.key()[:8] == feed:
            row = cursor.value()
            forgotten += 1 + (0 if row == _ANYTHING else len(msgspec.msgpack.decode(row, type=list[bytes])))
            oldest = _VERSION.unpack(cursor.key()[8:])[0]
            cursor.delete()
    return oldest, forgotten
