"""How far the log went, noted beside it after every append, so that a lost end is noticed.

Damage to what SQLite wrote last looks to it like the end of the log. Not synced: a process that is killed loses nothing
of it, and after a power failure it lags behind the log, never ahead.
"""

import contextlib
import os
import struct
import zlib
from pathlib import Path

from cairn.eventlog.log import START

_NOTE = struct.Struct(">QI")  # position, checksum


class Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def position(self) -> int:
        """The position noted last; START when there is none, or it cannot be read."""
        try:
            note = self._path.read_bytes()[: _NOTE.size]
        except OSError:
            return START
        if len(note) < _NOTE.size:
            return START
        position, checksum = _NOTE.unpack(note)
        return position if checksum == _checksum(position) else START

    def note(self, position: int) -> None:
        # Without it a damaged end goes unnoticed, which must not fail what is on the disk already.
        with contextlib.suppress(OSError):
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            os.pwrite(self._descriptor, _NOTE.pack(position, _checksum(position)), 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _checksum(position: int) -> int:
    return zlib.crc32(position.to_bytes(8, "big"))
