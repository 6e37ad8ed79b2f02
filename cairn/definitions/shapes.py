"""The element shapes an environment has seen, in memory, and which of them a part of a definition means.

Kept up to date from the store by what was first seen since; a count and a checksum of the ids prove that nothing was
missed. What a part matched is remembered, and only new shapes are looked at the next time.
"""

import threading
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from cairn.conditions.event_test import passing
from cairn.conditions.tree import PropertyFilter
from cairn.definitions.model import ELEMENT_KEYS
from cairn.definitions.path import Bools, Paths
from cairn.definitions.selector import read_selector
from cairn.event import Element
from cairn.query.elements import read_shapes, sum_of_shapes
from cairn.store.store import Store

OVERLAP_MS = 60_000  # the loader may write a shape a little after others that were seen later
REMEMBERED = 1_000  # parts whose matches are kept; then all are forgotten


class ShapeTest(Struct, frozen=True):
    """What a part asks of an element. The empty one holds for every event, with an element or without."""

    selector: str = ""
    tests: tuple[PropertyFilter, ...] = ()  # keys of ELEMENT_KEYS


def meant(test: ShapeTest, element: Element | None) -> bool:
    """Does one element, or its absence, pass?"""
    if element is None:
        return not test.selector and _passes_all(test.tests, [Element()])[0]
    if test.selector and not read_selector(test.selector).matches(element):
        return False
    return _passes_all(test.tests, [element])[0]


class EnvironmentShapes:
    """Of one environment. Safe from several threads."""

    def __init__(self, store: Store, environment_id: int) -> None:
        self._store, self._environment_id = store, environment_id
        self._lock = threading.Lock()
        self._sum = (0, 0)  # how many the store has, and the checksum of their ids
        self._forget()

    def _forget(self) -> None:
        self._paths = Paths()
        self._entries: list[int] = []
        self._elements: list[Element] = []
        self._ids: list[int] = []
        self._first_seen: list[int] = []
        self._known: set[int] = set()
        self._matches: dict[
            ShapeTest, tuple[int, tuple[int, ...]]
        ] = {}  # how many were looked at, and which match

    def refresh(self) -> None:
        """Take in what the store has. One small question when there is nothing new."""
        with self._lock:
            count, checksum = sum_of_shapes(self._store, self._environment_id)
            if (count, checksum) == self._sum:
                return
            if self._known:
                self._read(max(self._first_seen) - OVERLAP_MS)
            if self._checksum() != (count, checksum):
                self._forget()
                self._read(None)
            self._sum = (count, checksum)

    def ids(self, test: ShapeTest) -> tuple[int, ...]:
        """Numbers of the shapes that pass; 0, the absence of one, among them when that passes too. As of `refresh`."""
        with self._lock:
            seen, found = self._matches.get(test, (0, (0,) if meant(test, None) else ()))
            if seen < len(self._ids):
                hits = self._hits(test, seen)
                ids = np.array(self._ids[seen:], dtype=np.uint64)[hits]
                found = (*found, *ids.tolist())
                if len(self._matches) >= REMEMBERED:
                    self._matches.clear()
                self._matches[test] = (len(self._ids), found)
            return found

    def since(self, first_seen_ms: int) -> list[tuple[int, Element]]:
        """Shapes first seen at or after this, each with its number."""
        with self._lock:
            return [
                (number, element)
                for number, element, seen in zip(self._ids, self._elements, self._first_seen, strict=True)
                if seen >= first_seen_ms
            ]

    def element(self, number: int) -> Element | None:
        with self._lock:
            return self._elements[self._ids.index(number)] if number in self._known else None

    def __len__(self) -> int:
        return len(self._ids)

    def _hits(self, test: ShapeTest, start: int) -> Bools:
        elements = self._elements[start:]
        hits: Bools = np.ones(len(elements), dtype=np.bool_)
        if test.selector:
            entries = self._entries[start:]
            view = self._paths.view(entries if start else None)
            hits &= read_selector(test.selector).hits(view)[view.indexes_of(entries)]
        if test.tests and hits.any():
            indexes = np.flatnonzero(hits)
            hits[indexes] = _passes_all(test.tests, [elements[index] for index in indexes.tolist()])
        return hits

    def _read(self, since_ms: int | None) -> None:
        for number, element, first_seen_ms in read_shapes(self._store, self._environment_id, since_ms):
            if number in self._known:
                continue
            self._known.add(number)
            self._ids.append(number)
            self._elements.append(element)
            self._entries.append(self._paths.add(element))
            self._first_seen.append(first_seen_ms)

    def _checksum(self) -> tuple[int, int]:
        ids = np.array(self._ids, dtype=np.uint64)
        return len(ids), int(np.bitwise_xor.reduce(ids)) if len(ids) else 0


def _passes_all(tests: Sequence[PropertyFilter], elements: Sequence[Element]) -> list[bool]:
    held = [True] * len(elements)
    for test in tests:
        assert test.key in ELEMENT_KEYS
        values = [getattr(element, test.key) or None for element in elements]
        held = [before and now for before, now in zip(held, passing(test, values), strict=True)]
    return held
