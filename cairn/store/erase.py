"""Taking users out of every answer of the event store; `scrub` then takes them off the disk.

The ids to erase are in a table in memory while the statements run, because the engine keeps the text of the last
hundred mutations, and a text must not name anybody. The rows vanish at once (a mask). The table in memory is on one
machine, so a cluster needs another way to hand over what is to go.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cairn.store.schema import DATABASE

Run = Callable[..., Any]  # Any: what the engine says of a statement is not read
Read = Callable[..., list[tuple[Any, ...]]]  # Any: the columns' own types

ERASED_IDS = f"{DATABASE}.leaving"
_TABLE = (
    f"CREATE TABLE IF NOT EXISTS {ERASED_IDS} "
    "(what LowCardinality(String), environment_id UInt32, id UInt64) ENGINE = Memory"
)
_USERS = f"(SELECT environment_id, id FROM {ERASED_IDS} WHERE what = 'user')"
_ROWS_PER_INSERT = 5_000  # of the table in memory
_LONG_ENOUGH = 6  # characters; a shorter name is looked for in a refused payload only between quotes
_SYNC = "SETTINGS lightweight_deletes_sync = 2, mutations_sync = 2"


class UserErasure(Struct, frozen=True):
    """Users of one environment, by every raw id and every name their events may carry."""

    environment_id: int
    user_ids: tuple[int, ...]
    names: tuple[str, ...]


class Erased(Struct, frozen=True):
    """How many rows each kind lost."""

    events: int = 0
    properties: int = 0
    merges: int = 0
    refusals: int = 0
    elements: int = 0


def erase(run: Run, read: Read, erasures: Sequence[UserErasure]) -> list[Erased]:
    """Take these users out of every answer. Shape: one count for each user. Idempotent."""
    run(_TABLE)
    run(f"TRUNCATE TABLE {ERASED_IDS}")
    try:
        for erasure in erasures:
            _insert(run, "user", erasure.environment_id, erasure.user_ids)
            _insert(run, "refusal", erasure.environment_id, _refusals(read, erasure))
        for environment_id, element in _own_elements(read):
            _insert(run, "element", environment_id, (element,))
        counts = [_count(read, erasure.environment_id) for erasure in erasures]
        for table, where in _DELETIONS:
            run(f"DELETE FROM {DATABASE}.{table} WHERE {where} {_SYNC}")
        return counts
    finally:
        run(f"TRUNCATE TABLE {ERASED_IDS}")


_HASH = "cityHash64(received_at, reason, user, name, payload, log_position)"
_DELETIONS = (
    (
        "elements",
        f"(environment_id, element_id) IN (SELECT environment_id, id FROM {ERASED_IDS} WHERE what = 'element')",
    ),
    (
        "refusals",
        f"(environment_id, {_HASH}) IN (SELECT environment_id, id FROM {ERASED_IDS} WHERE what = 'refusal')",
    ),
    ("user_properties", f"(environment_id, user_id) IN {_USERS}"),
    ("events", f"(environment_id, user_id) IN {_USERS}"),
    ("user_map", f"(environment_id, user_id) IN {_USERS}"),
    ("visitors", f"((environment_id, user_id) IN {_USERS} OR (environment_id, visitor_id) IN {_USERS})"),
)


def _insert(run: Run, what: str, environment_id: int, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _ROWS_PER_INSERT):
        rows = ", ".join(
            f"('{what}', {environment_id}, {number})" for number in ids[start : start + _ROWS_PER_INSERT]
        )
        run(f"INSERT INTO {ERASED_IDS} VALUES {rows}")


def _refusals(read: Read, erasure: UserErasure) -> list[int]:
    """Refused events that these users sent, or that name them. A text goes as a parameter, never into a mutation."""
    if not erasure.names:
        return []
    contained = [_in_payload(name) for name in erasure.names]
    rows = read(
        f"""
        SELECT DISTINCT {_HASH} FROM {DATABASE}.refusals
        WHERE environment_id = {{one:UInt32}}
          AND (user IN {{names:Array(String)}}
               OR arrayExists(text -> position(payload, text) > 0 OR position(detail, text) > 0,
                              {{contained:Array(String)}}))
        """,
        {"one": erasure.environment_id, "names": list(erasure.names), "contained": contained},
    )
    return [int(row[0]) for row in rows]


def _in_payload(name: str) -> str:
    """As it stands in refused JSON; a short name only as a whole text, as it may be part of any word."""
    quoted = msgspec.json.encode(name).decode()
    return quoted[1:-1] if len(name) >= _LONG_ENOUGH else quoted


def _own_elements(read: Read) -> list[tuple[int, int]]:
    """Shapes that only these users acted on: their text may be about them."""
    shapes = (
        f"SELECT environment_id, element FROM {DATABASE}.events "
        f"WHERE element != 0 AND (environment_id, user_id) IN {_USERS}"
    )
    rows = read(
        f"""
        SELECT environment_id, element FROM {DATABASE}.events
        WHERE element != 0 AND (environment_id, element) IN ({shapes})
        GROUP BY environment_id, element HAVING countIf((environment_id, user_id) NOT IN {_USERS}) = 0
        """,
        {},
    )
    return [(int(environment_id), int(element)) for environment_id, element in rows]


def _count(read: Read, environment_id: int) -> Erased:
    def rows(table: str, where: str) -> int:
        sql = f"SELECT count() FROM {DATABASE}.{table} WHERE environment_id = {{one:UInt32}} AND {where}"
        return int(read(sql, {"one": environment_id})[0][0])

    counts = {table: rows(table, where) for table, where in _DELETIONS}
    return Erased(
        counts["events"],
        counts["user_properties"],
        counts["user_map"],
        counts["refusals"],
        counts["elements"],
    )
