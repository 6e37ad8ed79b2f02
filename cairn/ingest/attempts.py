"""Requests that stop the core: which were being loaded when it died, and those set aside so that it can go on.

Before each load the range of its requests is noted in a small file, and the note is emptied after it. The note is not
synced: it must outlive the process, not the machine. What a dead core left there is loaded again in parts, down to one
request at a time, each noted again, so that the next death names it. A request that has stopped the core twice is set
aside: its bytes and the reason go to files, and a refusal takes its place. A SIGKILL says less, as people send it too:
after it a request gets a third try.
"""

import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from cairn.ingest.batch import Item

logger = logging.getLogger(__name__)

DIED_VARIABLE = (
    "CAIRN_DIED"  # the exit status of the core before this one, from the supervisor; negative: the
    # signal; or "hang"
)
MOST_PARTS = 256  # of what was being loaded; few enough to load apart, and from 256 requests on it takes one death more
_CRASH, _KILL = 3, 2  # weights of a death
_SET_ASIDE = 6

Place = tuple[int, int]  # entry of the log, and place in it


class Suspects(Struct, frozen=True):
    """Requests of which one may stop the core: both ends included."""

    first: Place
    last: Place
    weight: int

    def holds(self, item: Item) -> bool:
        return self.first <= (item.entry, item.place) <= self.last


class Load(Struct, frozen=True):
    """Requests to load together, and how much speaks against them."""

    items: Sequence[Item]
    weight: int = 0

    @property
    def is_guilty(self) -> bool:
        return self.weight >= _SET_ASIDE and len(self.items) == 1


class Attempts:
    """For the loader's thread. `note` is the file, `folder` where requests are set aside."""

    def __init__(self, note: Path, folder: Path, died: str | None = None) -> None:
        self._note, self._folder = note, folder
        self._descriptor = -1
        self._cause = _cause(died)
        self._suspects = self._left(_CRASH if self._cause and "SIGKILL" not in self._cause else _KILL)
        self._aside = {
            tuple(map(int, file.stem.split("-")))
            for file in folder.glob("*-*.request")
            if file.stem[0].isdigit()
        }

    def loads(self, items: Sequence[Item]) -> list[Load]:
        """The same requests in order: all at once, unless the core died over some of them."""
        suspects = self._suspects
        if suspects is None:
            return [Load(items)]
        before = [item for item in items if (item.entry, item.place) < suspects.first]
        held = [item for item in items if suspects.holds(item)]
        after = items[len(before) + len(held) :]
        size = -(-len(held) // MOST_PARTS) or 1
        parts = [Load(held[start : start + size], suspects.weight) for start in range(0, len(held), size)]
        return [load for load in (Load(before), *parts, Load(after)) if load.items]

    def is_aside(self, item: Item) -> bool:
        return bool(self._aside) and (item.entry, item.place) in self._aside

    def begin(self, load: Load) -> None:
        first, last = load.items[0], load.items[-1]
        suspects = Suspects((first.entry, first.place), (last.entry, last.place), load.weight)
        self._write(msgspec.json.encode(suspects))

    def end(self) -> None:
        self._write(b"")

    def clear(self) -> None:
        """All that was suspected is loaded."""
        self._suspects = None

    def set_aside(self, item: Item) -> str:
        """Keep it in a file, durably; return the reason. The caller refuses it."""
        reason = (
            f"it stopped the core again and again ({self._cause or 'the core ended while it was loaded'})"
        )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{item.entry}-{item.place}"
        _write_durably(
            self._folder / f"{name}.txt", f"position {item.entry}.{item.place}: {reason}\n".encode()
        )
        _write_durably(self._folder / f"{name}.request", item.body)
        logger.error("request_set_aside", extra={"log_position": item.log_position, "reason": reason})
        self._aside.add((item.entry, item.place))
        return reason

    def _left(self, weight: int) -> Suspects | None:
        try:
            left = msgspec.json.decode(self._note.read_bytes(), type=Suspects)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        logger.warning(
            "core_died_loading", extra={"first": left.first, "last": left.last, "cause": self._cause}
        )
        return Suspects(left.first, left.last, left.weight + weight)

    def _write(self, text: bytes) -> None:
        if self._descriptor < 0:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._note, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


def set_aside_in(folder: Path) -> list[str]:
    """The reason of each request that was set aside, in order."""
    return [file.read_text().strip() for file in sorted(folder.glob("*.txt"))]


def _cause(died: str | None) -> str:
    if died == "hang":
        return "it did not come to an end"
    status = int(died) if died and died.lstrip("-").isdigit() else 0
    try:
        return signal.Signals(-status).name if status < 0 else f"status {status}" if status else ""
    except ValueError:
        return f"signal {-status}"


def _write_durably(path: Path, body: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
