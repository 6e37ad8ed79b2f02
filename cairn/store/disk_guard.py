"""Watches the disk under the store: no merges while it is nearly full, and an alarm when a write was cut off."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cairn.disk_space import disk_space_of
from cairn.store.cut_off import cut_off_parts

logger = logging.getLogger(__name__)

LOOK_S = 0.05  # how often the space is looked at; a merge takes many times as long to fill what is kept free


class DiskGuard:
    """`run` is given one statement, in the guard's thread; `on_cut_off` is called there at most once."""

    def __init__(self, folder: Path, run: Callable[[str], None], on_cut_off: Callable[[], None]) -> None:
        self._folder, self._run, self._on_cut_off = folder, run, on_cut_off
        self._is_held = self._has_alarmed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="disk guard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def has_cut_off(self) -> bool:
        """Was a part cut off? Looked up only while the disk is nearly full."""
        if not disk_space_of(self._folder).is_short or next(cut_off_parts(self._folder), None) is None:
            return False
        if not self._has_alarmed:
            self._has_alarmed = True
            logger.error("store_cut_off")
            self._on_cut_off()
        return True

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._look()
            except Exception:  # a thread's boundary: the next look tries again
                logger.exception("disk_guard_failed")

    def _look(self) -> None:
        is_short = disk_space_of(self._folder).is_short
        if is_short != self._is_held:
            self._run("SYSTEM STOP MERGES" if is_short else "SYSTEM START MERGES")
            self._is_held = is_short
            logger.warning("merges_held" if is_short else "merges_go_on")
        if is_short:
            self.has_cut_off()
