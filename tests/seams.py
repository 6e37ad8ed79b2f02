"""How tests open what stands behind the seams: with another line here the whole suite runs over another implementation.

Tests of one implementation's own doings (`tests/store`, `tests/eventlog`, `tests/members`) open that one.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from cairn.eventlog import sqlite
from cairn.eventlog.log import EventLog
from cairn.members import lmdb
from cairn.members.sets import MembersAndDocuments
from cairn.store import embedded
from cairn.store.store import Store


def open_log(path: Path, log_id: int = 0) -> EventLog:
    return sqlite.open_log(path, log_id)


def open_members(folder: Path) -> MembersAndDocuments:
    return lmdb.open_members(folder)


def open_store(folder: Path, *, memory_mb: int = 512) -> Store:
    """A new one is a copy: making its tables is half the work of opening it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        shutil.copytree(_new_store(), folder, symlinks=True, dirs_exist_ok=True)
    return embedded.open_embedded(folder, memory_mb=memory_mb)


@functools.cache
def _new_store() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cairn-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    embedded.open_embedded(folder, memory_mb=512).close()
    return folder
