"""Requests that stop the core: finding the one over which it dies, and taking it out of the way.

Before each load its first and its last request are noted in a small file, and the note is emptied after it. The note is
not synced: it must outlive the process, not the machine. After a death the requests it names are loaded one at a time,
each noted with the deaths so far, so that the second death names one request. That one is set aside: its bytes and the
reason go to a file, and a refusal takes its place. The others are loaded, and none is set aside with it.

People send SIGKILL too, and machines lose power. A death of unknown cause could hit the same innocent request twice by
chance, so three of those are needed.
"""

import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from cairn.ingest.batch import Item
from cairn.ingest.set_aside import SetAside, list_set_aside, set_aside
from cairn.log_position import log_position

logger = logging.getLogger(__name__)

# How the core before this one ended, from the supervisor: its exit status (negative: the signal), "hang" or "memory".
DIED_VARIABLE = "CAIRN_DIED"
_MOST_DEATHS, _MOST_UNEXPLAINED_DEATHS = 2, 3
# Loads after a death. Each takes some hundredths of a second and makes a part of the store, which slows down at a
# thousand. Of more requests, several are loaded together, each read by its parser alone before. Limit: a request that
# stops the core after it was read, among so many, takes a death more.
MOST_LOADS = 1_000

Position = tuple[int, int]  # entry of the log, and place in it


class Suspects(Struct, frozen=True):
    """The requests of one load, both ends included, and how often the core had died over them when it began."""

    first: Position
    last: Position
    deaths: int


class Load(Struct, frozen=True):
    """Requests to load together, and how often the core died over them."""

    items: Sequence[Item]
    deaths: int = 0

    @property
    def apart(self) -> "list[Load]":
        """Each request of a group that is suspected; empty when nobody is, or when it is one already."""
        if not self.deaths or len(self.items) == 1:
            return []
        return [Load([item], self.deaths) for item in self.items]


class Attempts:
    """For the loader's thread. `note` is the file, `folder` where requests are set aside."""

    def __init__(self, note: Path, folder: Path, died: str = "", *, most_loads: int = MOST_LOADS) -> None:
        self._note, self._folder, self._most_loads = note, folder, most_loads
        self._descriptor = -1
        self._cause = _cause(died)
        self._suspects = self._read_note()
        self._aside = {
            log_position(request.log_id, request.entry, request.index) for request in list_set_aside(folder)
        }

    def loads(self, items: Sequence[Item]) -> list[Load]:
        """These requests in order, without those set aside: all at once, unless the core died over some of them."""
        items = [item for item in items if not self.is_aside(item)]
        suspects = self._suspects
        if suspects is None:
            return [Load(items)] if items else []
        before = [item for item in items if _position(item) < suspects.first]
        after = [item for item in items if _position(item) > suspects.last]
        held = items[len(before) : len(items) - len(after)]
        size = -(-len(held) // self._most_loads) or 1
        parts = [Load(held[start : start + size], suspects.deaths) for start in range(0, len(held), size)]
        return [load for load in (Load(before), *parts, Load(after)) if load.items]

    def is_guilty(self, load: Load) -> bool:
        """Only who was alone when the core died: of a group, most are innocent."""
        suspects = self._suspects
        if suspects is None or suspects.first != suspects.last or not load.deaths:
            return False
        return load.deaths >= (_MOST_DEATHS if self._cause else _MOST_UNEXPLAINED_DEATHS)

    def is_aside(self, item: Item) -> bool:
        return item.log_position in self._aside

    def begin(self, load: Load) -> None:
        suspects = Suspects(_position(load.items[0]), _position(load.items[-1]), load.deaths)
        self._write(msgspec.json.encode(suspects))

    def end(self) -> None:
        self._write(b"")

    def clear(self) -> None:
        """All that was suspected is loaded."""
        self._suspects = None

    def set_aside(self, item: Item) -> None:
        """Keep it in a file, durably. The caller refuses it."""
        reason = f"the core ended each time it was loaded ({self._cause or 'killed, or cause unknown'})"
        set_aside(self._folder, SetAside(item.log_id, item.entry, item.index, reason), item.body)
        logger.error("request_set_aside", extra={"log_position": item.log_position, "reason": reason})
        self._aside.add(item.log_position)

    def _read_note(self) -> Suspects | None:
        try:
            noted = msgspec.json.decode(self._note.read_bytes(), type=Suspects)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        logger.warning(
            "core_died_loading", extra={"first": noted.first, "last": noted.last, "cause": self._cause}
        )
        return Suspects(noted.first, noted.last, noted.deaths + 1)

    def _write(self, text: bytes) -> None:
        if self._descriptor < 0:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._note, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


def _position(item: Item) -> Position:
    return item.entry, item.index


def _cause(died: str) -> str:
    """What ended the core, in words; empty where that says nothing about what it was loading."""
    if died == "hang":
        return "it did not come to an end"
    if died == "memory":
        return "the machine ran out of memory"
    status = int(died) if died.lstrip("-").isdigit() else 0
    if status in (0, -signal.SIGKILL, -signal.SIGTERM):
        return ""
    try:
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"
