"""Rewriting the members store, value by value, because LMDB leaves deleted data in its pages.

Copying the pages would copy that too. It needs the store to itself, so it is asked for and done at the next start.
"""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import lmdb

logger = logging.getLogger(__name__)

_FILE = "data.mdb"
_ROWS_PER_TRANSACTION = 20_000


def ask_rewrite(path: Path) -> None:
    """Have the store in this folder rewritten at the next start."""
    _marker(path).touch()


def is_rewrite_asked(path: Path) -> bool:
    return _marker(path).exists()


def rewrite_if_asked(path: Path, *, map_bytes: int) -> bool:
    """Rewrite the store if that was asked for. Nobody may have it open. A kill leaves the old store in force."""
    if not is_rewrite_asked(path):
        return False
    fresh = path.with_name(f"{path.name}.rewriting")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    old = lmdb.open(str(path), map_size=map_bytes, max_dbs=64, max_readers=1024, readonly=False)
    new = lmdb.open(str(fresh), map_size=map_bytes, max_dbs=64)
    try:
        for name in _tables(old):
            _copy(old, new, name)
        new.sync(True)
    finally:
        new.close()
        old.close()
    os.replace(fresh / _FILE, path / _FILE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _marker(path).unlink()
    shutil.rmtree(fresh, ignore_errors=True)
    logger.info("members_rewritten")
    return True


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.rewrite")


def _tables(environment: Any) -> list[bytes]:  # Any: lmdb has no type information
    with environment.begin() as transaction, transaction.cursor() as cursor:
        return [bytes(key) for key in cursor.iternext(values=False)]


def _copy(old: Any, new: Any, name: bytes) -> None:  # Any: lmdb has no type information
    source, target = old.open_db(name, create=False), new.open_db(name)
    with old.begin(db=source) as reading, reading.cursor() as cursor:
        rows = iter(cursor)
        while True:
            with new.begin(db=target, write=True) as writing:
                count = 0
                for key, value in rows:
                    writing.put(key, value, append=True)
                    count += 1
                    if count == _ROWS_PER_TRANSACTION:
                        break
            if count < _ROWS_PER_TRANSACTION:
                return
