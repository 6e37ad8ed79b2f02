"""Keeps what Cairn holds to its own user: the mode of new files, and that of files an earlier start left wider."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cairn.paths import Paths

logger = logging.getLogger(__name__)

UMASK = 0o077
SOCKET_MODE = 0o600
_OTHERS = 0o077


def set_private_umask() -> None:
    """From here on, files and folders of this process and its children are their owner's alone."""
    os.umask(UMASK)


def narrow(data_dir: Path) -> int:
    """Take away what others may do with the data directory; return how many entries were too open.

    Guarantee: a folder that holds anything but Cairn's files (`--data-dir /tmp`) is not touched.
    """
    if not _is_ours(data_dir):
        logger.warning("data_dir_shared", extra={"data_dir": str(data_dir)})
        return 0
    narrowed = 0
    for path, mode in _open_to_others(data_dir):
        try:
            os.chmod(path, mode & ~_OTHERS)
            narrowed += 1
        except OSError as error:
            logger.warning("file_not_narrowed", extra={"path": path, "why": str(error)})
    return narrowed


def _is_ours(data_dir: Path) -> bool:
    """Whether Cairn made it: new, or with Cairn's lock or database in it, and not a folder everybody writes to."""
    if data_dir.stat().st_mode & stat.S_ISVTX:
        return False
    names = {entry.name for entry in os.scandir(data_dir)}
    return (
        not names - _LOCKS
        or Paths(data_dir).metadata.name in names
        or Paths(data_dir).log.parent.name in names
    )


_LOCKS = {"edge.lock", "core.lock"}


def _open_to_others(folder: Path) -> Iterator[tuple[str, int]]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS:
        yield str(folder), mode
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue  # gone meanwhile
            if not stat.S_ISLNK(status.st_mode) and status.st_mode & _OTHERS:
                yield path, stat.S_IMODE(status.st_mode)
