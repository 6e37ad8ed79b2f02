"""How much space is left on the disk under a folder, and when it is too little to accept events.

What was accepted must still be loaded, and people must still be able to sign in and see why nothing is accepted: so the
last of it is kept for that.
"""

import os
from pathlib import Path

from msgspec import Struct

from cairn.errors import Unavailable

MOST_RESERVED_BYTES = 256 << 20
RESERVED_SHARE = 0.05  # of a small disk


class DiskFull(Unavailable):
    """The disk under the data directory has too little space. Free some, or enlarge it; nothing else needs doing."""

    code = "disk_full"

    def __init__(self, space: "DiskSpace") -> None:
        super().__init__(space.text, field="data_dir")


class DiskSpace(Struct, frozen=True):
    free_bytes: int
    reserved_bytes: int

    @property
    def is_short(self) -> bool:
        return self.free_bytes < self.reserved_bytes

    @property
    def is_spent(self) -> bool:
        """Even what is kept for loading is half gone: a write might be cut off."""
        return self.free_bytes < self.reserved_bytes // 2

    @property
    def text(self) -> str:
        free, reserved = self.free_bytes / 2**20, self.reserved_bytes / 2**20
        return f"the disk has {free:.1f} MB left and {reserved:.1f} MB are kept free; free some of it"


def disk_space_of(folder: Path) -> DiskSpace:
    """Raises OSError when the folder is away."""
    space = os.statvfs(folder)
    size = space.f_blocks * space.f_frsize
    return DiskSpace(space.f_bavail * space.f_frsize, min(MOST_RESERVED_BYTES, int(size * RESERVED_SHARE)))


class DiskWatch:
    """The space as of the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.space = disk_space_of(folder)

    def look(self) -> None:
        self.space = disk_space_of(self._folder)

    def check(self) -> None:
        """Raises DiskFull."""
        if self.space.is_short:
            raise DiskFull(self.space)
