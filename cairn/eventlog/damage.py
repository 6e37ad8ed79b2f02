"""What to do about a damaged SQLite file: tell damage from bad weather, and move the file out of the way.

A file is never deleted and never repaired in place: the operator finds it beside the new one.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cairn.errors import Unavailable

_SIDE_FILES = ("", "-wal", "-shm")

# These pass, or are the operator's: a full disk, another process writing, rights. Everything else is damage.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
# What reading a file may raise: a damaged one can make SQLite complain in text that is not UTF-8.
SqliteTrouble = (sqlite3.Error, UnicodeDecodeError)
_IOERR_SHORT_READ = 522  # the file ends in the middle of a page: cut off


class LogUnavailable(Unavailable):
    """The event log cannot be written or read for the moment: the disk is full, away, or not ours to write."""

    code = "log_unavailable"

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            f"event log {path.name} cannot be used: {error}; free or repair its disk", field="data_dir"
        )


class NotALog(sqlite3.DatabaseError):
    """The file opens, but does not hold what we wrote."""


def is_damage(error: Exception, path: Path | None = None) -> bool:
    """True when the file is at fault. The path, when given, tells a missing right from a flipped byte."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, NotALog | UnicodeDecodeError) or code == _IOERR_SHORT_READ:
        return True
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return False
    if code is None:
        return True  # raised by the driver, for instance for text that is no longer UTF-8
    if code & 0xFF == sqlite3.SQLITE_READONLY:
        # A flipped format byte also makes a file read-only; the rights tell which it is.
        return path is not None and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code & 0xFF not in _PASSING


@contextmanager
def file_lock(path: Path, *, exclusive: bool) -> Iterator[None]:
    """Held while a file is used (shared) or moved aside (exclusive), over all processes and threads."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def move_aside(path: Path) -> Path:
    """Rename the file and its side files to the first free `.damaged-<n>` name. The caller holds the exclusive lock."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # The database goes last: a crash in between leaves it to be found damaged again.
    for suffix in reversed(_SIDE_FILES):
        source = path.with_name(path.name + suffix)
        if source.exists():
            os.rename(source, aside.with_name(aside.name + suffix))
    return aside


def moved_aside(path: Path) -> list[Path]:
    copies = path.parent.glob(f"{path.name}.damaged-*")
    return sorted(file for file in copies if not file.name.endswith(_SIDE_FILES[1:]))


def inode(path: Path) -> int:
    """Names the file behind a path; 0 when there is none. Tells an open connection that its file was moved."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
