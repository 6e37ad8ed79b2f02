"""What the store knows of an environment's data without asking the engine: enough to tell that an answer is still true.

Every insert passes by here, before the engine sees it and after. Before, so that a limit (the newest time) is never
lower than what a question can read; after, so that an answer of before is not taken for one of now.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from msgspec import Struct


class DataState(Struct, frozen=True):
    # Changes with every change of what a question can read; equal: nothing was changed in between.
    version: int
    # No event has a later time. Epoch milliseconds; 0: there are none.
    newest_ms: int
    # False: every raw user is a canonical one.
    has_merges: bool


class DataStates:
    """Of all environments of a store that this process alone writes. Safe from several threads."""

    def __init__(self, read: Callable[[int], tuple[int, bool]]) -> None:
        """`read`: the newest time of an environment's events, and whether it has merges, by what is stored."""
        self._read = read
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._of_all = 0  # the newest change that concerned every environment
        self._versions: dict[int, int] = {}
        self._newest_ms: dict[int, int] = {}
        self._merged: set[int] = set()
        self._are_read: set[int] = set()

    def of(self, environment_id: int) -> DataState:
        if environment_id not in self._are_read:
            newest_ms, has_merges = self._read(environment_id)
            with self._lock:
                self._raise({environment_id: newest_ms}, {environment_id} if has_merges else ())
                self._are_read.add(environment_id)
        with self._lock:
            return DataState(
                max(self._versions.get(environment_id, 0), self._of_all),
                self._newest_ms.get(environment_id, 0),
                environment_id in self._merged,
            )

    @contextmanager
    def changing(
        self,
        environments: Iterable[int],
        *,
        newest_ms: Mapping[int, int] | None = None,
        is_merge: bool = False,
    ) -> Iterator[None]:
        """Around an insert, whether it succeeds or not. `newest_ms`: of the events inserted, by environment."""
        concerned = set(environments)
        with self._lock:
            self._raise(newest_ms or {}, concerned if is_merge else ())
        try:
            yield
        finally:
            with self._lock:
                self._versions.update(dict.fromkeys(concerned, next(self._numbers)))

    @contextmanager
    def changing_all(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._of_all = next(self._numbers)

    def _raise(self, newest_ms: Mapping[int, int], merged: Iterable[int]) -> None:
        for environment_id, time_ms in newest_ms.items():
            self._newest_ms[environment_id] = max(self._newest_ms.get(environment_id, 0), time_ms)
        self._merged.update(merged)
