"""Bringing an event store to the newest form.

Forward only; each step may be run again, as there are no transactions.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from cairn.store.errors import StoreTooNew
from cairn.store.schema import (
    ACCOUNTS,
    CAPTURED,
    DATABASE,
    DETAILS,
    DICTIONARY,
    ELEMENTS,
    LOG_IDS,
    MORE_CAPTURED,
    ORDERED_PROPERTIES,
    TABLES,
    VISITORS,
)


class Migration(Struct, frozen=True):
    number: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "first tables", (*TABLES, DICTIONARY)),
    Migration(2, "captured facts and elements", (CAPTURED, ELEMENTS)),
    Migration(3, "account properties", (ACCOUNTS,)),
    Migration(4, "landing hash and device id", (MORE_CAPTURED,)),
    Migration(5, "properties in the order of arrival", ORDERED_PROPERTIES),
    Migration(6, "users behind flag visitors", VISITORS),
    Migration(7, "what was left out of events", (DETAILS,)),
    Migration(8, "which log an event came from", LOG_IDS),
)

_VERSIONS = f"""
    CREATE TABLE IF NOT EXISTS {DATABASE}.versions (number UInt32, name String, applied_at DateTime64(3, 'UTC'))
    ENGINE = MergeTree ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


def migrate(
    run: Callable[[str], Any],  # Any: what the engine says of a statement is not read
    newest: Callable[[str], int],
    *,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> list[str]:
    """Apply what is missing, in order; return the names. Raises StoreTooNew.

    `run` runs a statement, `newest` a SELECT of one number.
    """
    run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    run(_VERSIONS)
    current = newest(f"SELECT max(number) FROM {DATABASE}.versions")
    if current > migrations[-1].number:
        raise StoreTooNew(
            f"the event store has version {current}, this Cairn knows up to {migrations[-1].number}; "
            "start the newer Cairn, or restore the backup made before the upgrade"
        )
    applied = []
    for migration in migrations:
        if migration.number <= current:
            continue
        for statement in migration.statements:
            run(statement)
        run(f"INSERT INTO {DATABASE}.versions VALUES ({migration.number}, '{migration.name}', now64(3))")
        applied.append(migration.name)
    return applied
