"""Who serves a data directory. Each process has its own lock file there, so that any may be served alone;
the process that serves holds the locks of what it serves, and its children inherit them: a directory is free
when the last of them has ended.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from time import monotonic, sleep

from cairn.errors import Conflict

# Longest wait for processes of a killed supervisor, whose memory the system is taking back.
LEFT_BEHIND_S = 15.0
LOOK_EVERY_S = 0.02


class AlreadyServed(Conflict):
    """Another `cairn serve` owns this data directory. Stop it first, or choose another --data-dir."""

    code = "already_served"


class Ownership:
    """The locks of some processes, taken. Raises AlreadyServed naming the owner."""

    def __init__(self, data_dir: Path, roles: tuple[str, ...]) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.locks: tuple[int, ...] = ()
        try:
            for role in roles:
                self.locks += (_own(_lock_file(data_dir, role), data_dir),)
        except AlreadyServed:
            self.close()
            raise

    def note(self, url: str) -> None:
        """Say who and where, for those who find the directory taken."""
        for lock in self.locks:
            with contextlib.suppress(OSError):  # a full disk: then the second process is told no name
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"process {os.getpid()} at {url}\n".encode(), 0)

    def close(self) -> None:
        for lock in self.locks:
            os.close(lock)


def served_at(data_dir: Path) -> str | None:
    """The address of the edge that serves this directory now."""
    try:
        with _lock_file(data_dir, "edge").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().split()[-1]
    except FileNotFoundError:
        pass  # never served yet
    return None


def _lock_file(data_dir: Path, role: str) -> Path:
    return data_dir / f"{role}.lock"


def _own(file: Path, data_dir: Path) -> int:
    """Processes of a killed supervisor end a moment after it and hold its locks until then. A new start
    waits for them.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = monotonic()
    while not _take(lock):
        owner = os.pread(lock, 1000, 0).decode(errors="replace").strip()
        if monotonic() - began > LEFT_BEHIND_S or not _is_gone(owner):
            os.close(lock)
            raise AlreadyServed(
                f"{data_dir} is served by {owner or 'another process'}; stop it first, or choose another --data-dir",
                field="data_dir",
            )
        sleep(LOOK_EVERY_S)
    return lock


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_gone(owner: str) -> bool:
    """Whether the process that the file names runs no more."""
    pid = owner.removeprefix("process ").partition(" ")[0]
    return pid.isdigit() and not Path(f"/proc/{pid}").exists()
