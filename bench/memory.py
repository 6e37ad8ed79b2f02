"""How much memory a process takes while something is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_S = 0.02


@contextmanager
def grown(pid: int) -> Iterator[list[float]]:
    """By how many megabytes a process's own memory is above what it was, looked at all the time."""
    before, seen, is_over = own_mb(pid), [0.0], threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            seen.append(own_mb(pid) - before)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        is_over.set()
        watching.join()


def own_mb(pid: int) -> float:
    """Without the pages of files, which the members store maps: the system takes those back when it likes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024
