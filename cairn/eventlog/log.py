"""The hand-over between collecting and everything after: append, wait for the disk, read with a cursor.

What an item holds is not this module's business: bytes in, bytes out.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

START = 0  # the position before the first entry
# Of one read. A group commit is one entry and is read whole; the collector keeps it below 16 MB.
MOST_READ_BYTES = 8 << 20


class Entry(Struct, frozen=True):
    """What one group commit made durable."""

    # Strictly rising, never used again. Within this log: with the log's id it names the entry among those of all logs.
    position: int
    items: tuple[bytes, ...]


class EventLog(Protocol):
    """Ordered and durable.

    - When `append` returns, its items survive a crash and a power failure, all or none of them.
    - A reader sees every entry at least once, in append order.
    - `commit` is idempotent, never moves a cursor back, and one reader's cursor never moves another's.
    - A damaged entry is skipped and reported by `damaged`, never returned and never fatal.
    """

    @property
    def id(self) -> int:
        """Names the log among all that fill one event store, as long as they exist. 0: it is the only one."""

    def append(self, items: Sequence[bytes]) -> int:
        """Return the position of the new entry, after the disk has it. Raises Unavailable when it cannot."""

    def read(self, after: int, *, limit_items: int, limit_bytes: int = MOST_READ_BYTES) -> list[Entry]:
        """Entries after a position, oldest first: at least one if there is any, then until a limit is reached."""

    def end(self) -> int:
        """The position of the newest entry, START when there is none."""

    def committed(self, reader: str) -> int: ...

    def commit(self, reader: str, position: int) -> None: ...

    def forget(self, before: int) -> int:
        """Delete entries before a position that every reader has passed; return how many."""

    def erase(self, position: int, kept: Sequence[bytes]) -> None:
        """Erase an entry for good and append what stays of it, under the position it had.

        Readers that passed the entry never see what stays; all others read it in the entry's place. After a crash it
        is done or not done at all. A position without an entry stays without one. A log that can only append at its
        end keeps what stays in a second log, by position, and reads the two as one.
        """

    def scrub(self) -> bool:
        """Leave nothing on the disk of what was forgotten or erased; False when a writer was in the way."""

    def damaged(self) -> list[tuple[int, str]]:
        """Positions that could not be read back, each with the reason, as long as their time in the log lasts."""

    def close(self) -> None: ...
