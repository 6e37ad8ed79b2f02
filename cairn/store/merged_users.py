"""The dictionary of merges (`schema.DICTIONARY`), loaded again before a question that needs what was merged since.

The note that it is stale lives in this process, so it is right while this process alone merges.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cairn.store.engine import Engine
from cairn.store.schema import MERGED_USERS


class MergedUsers:
    """Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock, self._is_stale = threading.Lock(), True

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around an insert or a deletion, whether it succeeds or not."""
        try:
            yield
        finally:
            self._is_stale = True

    def refresh(self) -> None:
        """Raises StoreBusy."""
        with self._lock:
            if not self._is_stale:
                return
            self._is_stale = False  # before the reload: a change during it must cause another one
            try:
                self._engine.command(f"SYSTEM RELOAD DICTIONARY {MERGED_USERS}")
            except BaseException:
                self._is_stale = True
                raise
