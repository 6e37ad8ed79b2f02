"""Time as a value. Everything that needs "now" takes a `Clock`, so that tests can hold it still."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

Clock = Callable[[], datetime]

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)  # of this version: the system's clock cannot be right before it


def utc_now() -> datetime:
    return datetime.now(UTC)


def is_possible(moment: datetime) -> bool:
    return moment >= RELEASED


class PossibleClock:
    """The system's clock, and while that shows a time that cannot be, the last one that could, counted on.

    A machine without a battery starts in 1970: every event would be refused as too old, and nobody would have done
    anything in the last 30 days. `witnesses` are files that were written lately, for such a start.
    """

    def __init__(
        self,
        witnesses: Iterable[Path] = (),
        *,
        system: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system, self._monotonic = system, monotonic
        written = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in witnesses if path.exists()]
        self._last = max([RELEASED, *written]), monotonic()

    def __call__(self) -> datetime:
        now = self._system()
        if is_possible(now):
            self._last = now, self._monotonic()
            return now
        last, at_s = self._last
        return last + timedelta(seconds=self._monotonic() - at_s)


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime, rounded down."""
    return int(moment.timestamp() * 1000 // 1)


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
