"""Users touched since the last evaluation, gathered from the loader's thread for the one that evaluates."""

import threading
import time
from collections.abc import Iterable

from cairn.ingest.loaded import Loaded


class Pending:
    """What is known to have changed, one `Loaded` per environment. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._by_environment: dict[int, Loaded] = {}
        self._since: float | None = None  # when the oldest of them was named
        self.waited_ms = 0.0  # how long the oldest of those last taken had waited

    def add(self, batch: Iterable[Loaded]) -> None:
        with self._lock:
            self._since = self._since or time.perf_counter()
            for loaded in batch:
                waiting = self._by_environment.get(loaded.environment_id)
                if waiting is None:
                    waiting = self._by_environment[loaded.environment_id] = Loaded(loaded.environment_id)
                _merge(waiting, loaded)
        self._arrived.set()

    def take(self) -> list[Loaded]:
        """Everything so far; what comes later is for the next time."""
        self._arrived.clear()
        with self._lock:
            taken, self._by_environment = self._by_environment, {}
            self.waited_ms = (time.perf_counter() - self._since) * 1000 if self._since else 0.0
            self._since = None
        return list(taken.values())

    def wait(self, timeout_s: float) -> bool:
        return self._arrived.wait(timeout_s)

    def users(self) -> int:
        with self._lock:
            return sum(len(touched(loaded)) for loaded in self._by_environment.values())


def touched(loaded: Loaded) -> set[int]:
    """Every raw user that was named, for whatever reason."""
    return loaded.merged.union(*loaded.by_event.values(), *loaded.by_property.values())


def _merge(earlier: Loaded, loaded: Loaded) -> None:
    # Copied, never shared: the loader may go on using its sets.
    for event, users in loaded.by_event.items():
        earlier.by_event.setdefault(event, set()).update(users)
    for key, users in loaded.by_property.items():
        earlier.by_property.setdefault(key, set()).update(users)
    earlier.merged.update(loaded.merged)
