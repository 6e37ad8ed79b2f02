"""What the event store says of flag visitors, and how the engine names them for all identities of an environment.

The engine makes a visitor's id from an identity as `ids.visitor_id` does; a test holds the two together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cairn import ids
from cairn.store.schema import DATABASE, IDENTITY_KEY
from cairn.store.store import IDENTITY, WAITING, VisitorRow

Read = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]  # Any: bound values, and the columns' own types
Insert = Callable[[str, dict[str, Any]], None]
Visitor = tuple[int, int]  # environment, visitor id

PAGE = 500_000  # identities that one statement works on, so that its memory is bounded: some 40 MB

# Of `value`, with {account} for the hexadecimal digits of the account's UUID. SHA-1 of that UUID and the identity makes
# a UUID of version 5, written as 32 digits (the 13th is the version, of the 17th two bits are the variant); of the MD5
# of the digits an id has the first word, and 21 bits of the third.
_NAMED = """
    SHA1(concat(unhex('{account}'), value)) AS digest,
    hex(substring(digest, 1, 16)) AS digits,
    substring('89AB', bitAnd(bitShiftRight(reinterpretAsUInt8(substring(digest, 9, 1)), 4), 3) + 1, 1) AS variant,
    MD5(concat(substring(digits, 1, 12), '5', substring(digits, 14, 3), variant, substring(digits, 18))) AS named,
    bitOr(toUInt64(reinterpretAsUInt32(substring(named, 1, 4))),
        bitShiftLeft(toUInt64(bitAnd(reinterpretAsUInt32(substring(named, 9, 4)), 2097151)), 32)) AS visitor
"""
# Identities of a page that have no row.
_WITHOUT_ROW = f"""
    environment_id = {{here:UInt32}} AND key = {{key:String}} AND user_id BETWEEN {{first:UInt64}} AND {{last:UInt64}}
    AND user_id NOT IN (
        SELECT user_id FROM {DATABASE}.visitors WHERE environment_id = {{here:UInt32}} AND rank = {IDENTITY}
        AND user_id BETWEEN {{first:UInt64}} AND {{last:UInt64}})
"""


def stored_visitors(read: Read, keys: Sequence[Visitor]) -> list[VisitorRow]:
    sql = f"""
        SELECT environment_id, visitor_id, argMax(user_id, rank), max(rank) FROM {DATABASE}.visitors
        WHERE environment_id IN {{environments:Array(UInt32)}} AND visitor_id IN {{visitors:Array(UInt64)}}
        GROUP BY environment_id, visitor_id
    """
    parameters = {
        "environments": sorted({environment_id for environment_id, _ in keys}),
        "visitors": [visitor_id for _, visitor_id in keys],
    }
    requested = set(keys)
    return [VisitorRow(*row) for row in read(sql, parameters) if row[:2] in requested]


def waiting_environments(read: Read) -> set[int]:
    return {
        row[0] for row in read(f"SELECT DISTINCT environment_id FROM {DATABASE}.visitors WHERE rank = 0", {})
    }


def identities_behind(
    read: Read, environment_id: int, account_id: int, visitor_ids: Sequence[int]
) -> list[VisitorRow]:
    """Of the identities of an environment without a row those whose visitor is asked for, or waits for its user."""
    sql = f"""
        WITH {_named(account_id)}
        SELECT DISTINCT environment_id, visitor, user_id, {IDENTITY} FROM {DATABASE}.user_properties
        WHERE {_WITHOUT_ROW} AND (visitor IN {{visitor_ids:Array(UInt64)}} OR visitor IN (
            SELECT visitor_id FROM {DATABASE}.visitors WHERE environment_id = {{here:UInt32}} AND rank = {WAITING}))
    """
    pages = _pages(read, environment_id, PAGE)
    return [VisitorRow(*row) for bounds in pages for row in read(sql, {**bounds, "visitor_ids": visitor_ids})]


def name_identities(
    read: Read, insert: Insert, environment_id: int, account_id: int, *, page: int = PAGE
) -> None:
    """Store a row for each identity of an environment that has none. Idempotent; a second per million identities."""
    sql = f"""
        INSERT INTO {DATABASE}.visitors WITH {_named(account_id)}
        SELECT environment_id, visitor, user_id, {IDENTITY} FROM {DATABASE}.user_properties WHERE {_WITHOUT_ROW}
    """
    for bounds in _pages(read, environment_id, page):
        insert(sql, bounds)


def _pages(read: Read, environment_id: int, page: int) -> Iterator[dict[str, Any]]:
    """Ranges of ids that hold some `page` identities each, as these ids are evenly spread."""
    here = {"here": environment_id, "key": IDENTITY_KEY}
    [(count,)] = read(
        f"SELECT count() FROM {DATABASE}.user_properties "
        "WHERE environment_id = {here:UInt32} AND key = {key:String}",
        here,
    )
    width = ids.MAX_USER_ID // (int(count) // page + 1) + 1
    for first in range(0, ids.MAX_USER_ID + 1, width):
        yield {**here, "first": first, "last": first + width - 1}


def _named(account_id: int) -> str:
    return _NAMED.format(account=ids.account_uuid(account_id).hex())
