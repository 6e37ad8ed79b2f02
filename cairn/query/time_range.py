"""Which times of events a question is about, as SQL over the columns of `events`: the one place of the day pruning.

The table is ordered by day before time, so a range says its days as well as its times: with the days the engine skips
the rest, which the times alone do not achieve (half the work at 20 M events, bench/segments.py). Pure.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from cairn.calendar import Days
from cairn.clock import to_ms
from cairn.query.bindings import Bindings

TIME_MS = "toUnixTimestamp64Milli(time)"
DAY_MS = 86_400_000
MILLISECOND = timedelta(milliseconds=1)


class TimeRange(Struct, frozen=True):
    """From one moment to another, both within. Units: epoch milliseconds. None: no end on this side."""

    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def is_empty(self) -> bool:
        return self.since_ms is not None and self.until_ms is not None and self.since_ms > self.until_ms

    def clause(self, bindings: Bindings, *, says_days: bool = True) -> str:
        """A boolean: is the event's time in the range? `says_days`: its day as well, which skips other days' events."""
        days = self._ends("toDate(time)", bindings.day) if says_days else []
        parts = [*self.tests(bindings), *days]
        return f"({' AND '.join(parts)})" if parts else "1"

    def tests(self, bindings: Bindings) -> list[str]:
        """Each end by itself, without the days, so that a statement can say once what several ranges have in common."""
        return self._ends("time", bindings.moment)

    def _ends(self, expression: str, bind: Callable[[int], str]) -> list[str]:
        ends = ((">=", self.since_ms), ("<=", self.until_ms))
        return [f"{expression} {operator} {bind(ms)}" for operator, ms in ends if ms is not None]


def after(after_ms: int, until_ms: int) -> TimeRange:
    """What lies after one moment, up to another with it."""
    return TimeRange(after_ms + 1, until_ms)


def of_days(days: Days) -> TimeRange:
    """Whole calendar days until now."""
    return TimeRange(days.since_ms, days.now_ms)


def until(now: datetime) -> TimeRange:
    """All history, without the events that senders with a fast clock put into the future."""
    return TimeRange(None, to_ms(now))


def last(span: timedelta, now: datetime) -> TimeRange:
    """A rolling span that ends now."""
    now_ms = to_ms(now)
    return after(now_ms - span // MILLISECOND, now_ms)


def since_day_of(moment: datetime) -> TimeRange:
    """From the beginning of the day (UTC) that a moment lies in: the same range the whole day long."""
    return TimeRange(max(0, to_ms(moment) // DAY_MS * DAY_MS))


def month_before(now: datetime) -> TimeRange:
    """The last 30 days, from the beginning of the first."""
    return since_day_of(now - timedelta(days=30))


def start_of_day(days: Days, time_ms: str = TIME_MS) -> str:
    """The beginning of the day that a time lies in, which must not be before the first. Units: epoch milliseconds.

    The store is given the beginnings, so that its copy of the time zones does not have to agree with ours. `roundDown`
    finds one among them by halving.
    """
    return f"roundDown({time_ms}, {list(days.starts_ms)!r})"
