"""Files that uploads are received into: few at once, none longer than a limit, none left behind.

The file has no name, so it is gone with the process that received it.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from cairn.disk_space import DiskFull, disk_space_of
from cairn.errors import LimitExceeded, Unavailable

MOST_BYTES = 256 * 2**20  # of one upload
MOST_AT_ONCE = 4
_TURN_S = 30.0  # an upload waits so long for the one before it to be read


class UploadTooLarge(LimitExceeded):
    """An upload may have 256 MB. Send the rest with another request that adds it."""

    code = "upload_too_large"

    def __init__(self) -> None:
        super().__init__(f"an upload may have {MOST_BYTES // 2**20} MB; send the rest with another request")


class UploadsBusy(Unavailable):
    """Cairn receives four uploads at once and reads one after the other. Try again in a moment."""

    code = "uploads_busy"


class Spools:
    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._turn = threading.Lock()

    @contextmanager
    def open(self, folder: Path) -> Iterator[BinaryIO]:
        """A new file in the folder, to write to and read from. Raises UploadsBusy and DiskFull."""
        if not self._free.acquire(blocking=False):
            raise UploadsBusy(f"{MOST_AT_ONCE} uploads are being received; try again in a moment")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_space(folder)
            with tempfile.TemporaryFile(dir=folder) as file:
                yield cast(BinaryIO, file)
        finally:
            self._free.release()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """To read an upload: one after the other, so that they share neither memory nor disk. Raises UploadsBusy."""
        if not self._turn.acquire(timeout=_TURN_S):
            raise UploadsBusy("another upload is being read; try again in a moment")
        try:
            yield
        finally:
            self._turn.release()


def check_space(folder: Path) -> None:
    """Raises DiskFull."""
    space = disk_space_of(folder)
    if space.is_short:
        raise DiskFull(space)
