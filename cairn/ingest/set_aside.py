"""Requests that stopped the core, each in a file: the reason in the first line, then the request as received.

The file is named by the request's position in the event log. It may hold personal data, so log retention and the
deletion of users know this folder.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from cairn.errors import NotFound
from cairn.eventlog.log import EventLog

_SUFFIX = ".request"


class NotSetAside(NotFound):
    """No request with this position is set aside. `cairn set-aside` lists them."""

    code = "not_set_aside"


class SetAside(Struct, frozen=True, order=True):
    log_id: int
    entry: int
    index: int
    reason: str

    @property
    def position(self) -> str:
        """Such as 12.0, or 3.12.0 where it came from another log than number 0."""
        numbers = (self.log_id, self.entry, self.index)
        return ".".join(map(str, numbers if self.log_id else numbers[1:]))


def set_aside(folder: Path, request: SetAside, body: bytes) -> None:
    """Durable when it returns, and whole or not there at all."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _path(folder, request.position)
    unfinished = path.with_suffix(".unfinished")
    descriptor = os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(request.reason.encode() + b"\n" + body)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)
    _sync(folder)


def list_set_aside(folder: Path) -> list[SetAside]:
    """In the order of the log."""
    return sorted(_described(path) for path in folder.glob(f"*{_SUFFIX}"))


def load_again(folder: Path, log: EventLog, position: str) -> None:
    """Put it at the end of the log, as if it had just been received. Raises NotSetAside.

    Guarantee: at least once; after a crash between the two writes it is in the log and here.
    """
    path = _path(folder, position)
    if path not in folder.glob(f"*{_SUFFIX}"):
        raise NotSetAside(f"no request {position} is set aside; `cairn set-aside` lists them")
    log.append([_body(path)])
    path.unlink()


def forget_old(folder: Path, *, keep: timedelta, now: datetime) -> int:
    """Delete what was set aside longer ago; return how many. The requests themselves are not read."""
    return _delete(folder, lambda path: path.stat().st_mtime < (now - keep).timestamp())


def forget_where(folder: Path, is_theirs: Callable[[bytes], bool]) -> int:
    """Delete the requests of which it holds; return how many."""
    return _delete(folder, lambda path: is_theirs(_body(path)))


def _delete(folder: Path, is_over: Callable[[Path], bool]) -> int:
    over = [path for path in folder.glob(f"*{_SUFFIX}") if is_over(path)]
    for path in over:
        path.unlink()
    if over:
        _sync(folder)
    return len(over)


def _described(path: Path) -> SetAside:
    numbers = [int(number) for number in path.stem.split("-")]
    entry, index = numbers[-2:]
    with path.open("rb") as file:
        reason = file.readline().decode(errors="replace").strip()
    return SetAside(numbers[0] if len(numbers) == 3 else 0, entry, index, reason)


def _body(path: Path) -> bytes:
    return path.read_bytes().partition(b"\n")[2]


def _path(folder: Path, position: str) -> Path:
    return folder / f"{position.replace('.', '-')}{_SUFFIX}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
