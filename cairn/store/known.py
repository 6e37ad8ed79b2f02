"""A first answer to "is this event stored already?" from memory: no, or maybe. Only the maybes are looked up.

A Bloom filter over 64-bit ids, one machine word per id, in generations that grow as ids arrive. It may say maybe
for an id that is not stored, never the reverse, provided that every id is added before its event is stored.
"""

import threading

import numpy as np
from numpy.typing import NDArray

_FIRST_CAPACITY = 1 << 20  # ids; 2 MB
_BITS_PER_ID = 16  # with four bits set in one word: 0.5 % false maybes when a generation is full
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd; spreads ids that are not hashes themselves

Ids = NDArray[np.uint64]


class KnownIds:
    """Thread-safe. Memory: 2 to 4 bytes an id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generations: list[_Generation] = [_Generation(_FIRST_CAPACITY)]

    def add(self, ids: Ids) -> None:
        with self._lock:
            newest = self._generations[-1]
            if newest.size + len(ids) > newest.capacity:
                newest = _Generation(max(newest.capacity * 2, len(ids)))
                self._generations.append(newest)
            newest.add(ids)

    def maybe(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of the ids may be known."""
        present = np.zeros(len(ids), dtype=np.bool_)
        with self._lock:
            for generation in self._generations:
                present |= generation.maybe(ids)
        return present

    def reserve(self, count: int) -> None:
        """Allocate for so many ids at once, so that they share one generation."""
        with self._lock:
            if count > self._generations[-1].capacity and not self._generations[-1].size:
                self._generations = [_Generation(count + count // 4)]


class _Generation:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._words = np.zeros(max(1, capacity * _BITS_PER_ID // 64), dtype=np.uint64)

    def add(self, ids: Ids) -> None:
        words, masks = self._placed(ids)
        np.bitwise_or.at(self._words, words, masks)
        self.size += len(ids)

    def maybe(self, ids: Ids) -> NDArray[np.bool_]:
        words, masks = self._placed(ids)
        answer: NDArray[np.bool_] = (self._words[words] & masks) == masks
        return answer

    def _placed(self, ids: Ids) -> tuple[NDArray[np.int64], Ids]:
        mixed = ids * _MIX
        words = ((mixed >> np.uint64(32)) * np.uint64(len(self._words)) >> np.uint64(32)).astype(np.int64)
        low = mixed ^ (mixed >> np.uint64(29))
        masks = np.zeros(len(ids), dtype=np.uint64)
        for shift in (0, 6, 12, 18):
            masks |= np.uint64(1) << ((low >> np.uint64(shift)) & np.uint64(63))
        return words, masks
