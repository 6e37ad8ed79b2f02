"""Taking erased rows off the disk of one machine: parts that hold masked rows are rewritten, old ones deleted.

It reads `system.parts`, which lists the parts of the machine it is asked on; a cluster is scrubbed machine by machine.
"""

import time
from collections.abc import Callable
from typing import Any

from cairn.store.schema import DATABASE

Run = Callable[[str], Any]  # Any: what the engine says of a statement is not read
Read = Callable[..., list[tuple[Any, ...]]]  # Any: the columns' own types

_TABLES = ("events", "user_properties", "user_map", "refusals", "elements", "visitors")
_LET_GO = (
    "old_parts_lifetime = 0, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1"
)
_SETTINGS = "old_parts_lifetime, min_rows_to_fsync_after_merge, min_compressed_bytes_to_fsync_after_merge"
OLD_PARTS_S = 60.0  # s; how long to wait for the engine to let go of old parts; it looks every 5 s
_PAUSE_S = 1.0  # s; between looks


def scrub(run: Run, read: Read) -> bool:
    """Rewrite what held masked rows, and delete the old files. False: some are still there after a while.

    The engine keeps old parts for some minutes because it does not sync the new ones; here it does sync them.
    """
    for table in _TABLES:
        run(f"ALTER TABLE {DATABASE}.{table} MODIFY SETTING {_LET_GO}")
    try:
        for table in _TABLES:
            if _has_masks(read, table):
                run(f"ALTER TABLE {DATABASE}.{table} APPLY DELETED MASK SETTINGS mutations_sync = 2")
        old, deadline = _old_parts(read), time.monotonic() + OLD_PARTS_S
        while old & _old_parts(read):
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_S)
        return True
    finally:
        for table in _TABLES:
            run(f"ALTER TABLE {DATABASE}.{table} RESET SETTING {_SETTINGS}")


def _has_masks(read: Read, table: str) -> bool:
    sql = (
        "SELECT count() FROM system.parts WHERE database = {database:String} AND table = {table:String} "
        "AND active AND has_lightweight_delete"
    )
    return bool(read(sql, {"database": DATABASE, "table": table})[0][0])


def _old_parts(read: Read) -> set[tuple[str, str]]:
    """Shape: (table, part)."""
    sql = (
        "SELECT table, name FROM system.parts WHERE database = {database:String} AND NOT active "
        "AND table IN {tables:Array(String)}"
    )
    return {(row[0], row[1]) for row in read(sql, {"database": DATABASE, "tables": list(_TABLES)})}
