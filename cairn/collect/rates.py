"""Heap's documented rate limits in fixed windows, for each path alone. Source: contracts/heap.md 2.2 and 2.3."""

from collections import Counter
from collections.abc import Iterable

SINGLE_REQUESTS, SINGLE_WINDOW_S = 30, 30  # per identity and app
IDENTITY_EVENTS, APP_EVENTS, BULK_WINDOW_S = 1_000, 15_000, 60  # per identity and app, and per app
_MOST_KEYS = 200_000  # counted apart in one window; a flood of identities beyond it is only counted per app


class _Window:
    """Counts until its time is over, then starts from nothing."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._number = 0
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, key: tuple[str, str, str], now_ms: int) -> int:
        self._turn(now_ms)
        return self._counts[key]

    def add(self, key: tuple[str, str, str], events: int) -> None:
        if key in self._counts or len(self._counts) < _MOST_KEYS:
            self._counts[key] += events

    def seconds_left(self, now_ms: int) -> int:
        return self.seconds - now_ms // 1000 % self.seconds

    def _turn(self, now_ms: int) -> None:
        number = now_ms // 1000 // self.seconds
        if number != self._number:
            self._number = number
            self._counts.clear()


class HeapRates:
    """Asked before a request is accepted. Limit: each collector counts for itself."""

    def __init__(self) -> None:
        self._single = _Window(SINGLE_WINDOW_S)
        self._bulk = _Window(BULK_WINDOW_S)

    def wait_for_single(self, path: str, app_id: str, user: str, now_ms: int) -> int:
        """Seconds until the request may come again; 0: it is counted, go on."""
        key = (path, app_id, user)
        if self._single.count(key, now_ms) >= SINGLE_REQUESTS:
            return self._single.seconds_left(now_ms)
        self._single.add(key, 1)
        return 0

    def wait_for_bulk(self, path: str, app_id: str, users: Iterable[str], now_ms: int) -> int:
        """The whole request counts or none of it."""
        events = Counter(users)
        app = (path, app_id, "")
        full = self._bulk.count(app, now_ms) + events.total() > APP_EVENTS or any(
            self._bulk.count((path, app_id, user), now_ms) + number > IDENTITY_EVENTS
            for user, number in events.items()
            if user
        )
        if full:
            return self._bulk.seconds_left(now_ms)
        self._bulk.add(app, events.total())
        for user, number in events.items():
            if user:
                self._bulk.add((path, app_id, user), number)
        return 0
