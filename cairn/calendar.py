"""Calendar days of a time zone: where each begins, so that all counts of a project mean the same days.

A day has 23 or 25 hours when daylight saving begins or ends; what is counted by days is given their beginnings.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

from cairn.clock import to_ms
from cairn.errors import InvalidInput

LONGEST_NAME = 64  # characters
# Clocks of all zones are set forward and back by multiples of this.
CHANGES_BY = timedelta(minutes=15)


class UnknownTimeZone(InvalidInput):
    """A time zone is named as in the IANA database, for example Europe/Berlin or UTC."""

    code = "unknown_time_zone"


class Days(Struct, frozen=True):
    """Consecutive calendar days, the last of them running. Units: epoch milliseconds."""

    starts_ms: list[int]  # oldest first
    now_ms: int

    @property
    def since_ms(self) -> int:
        return self.starts_ms[0]

    def index_of(self, time_ms: int) -> int:
        """Which of the days it lies in; -1: before the first."""
        return bisect_right(self.starts_ms, time_ms) - 1


def last_days(now: datetime, zone: tzinfo, number: int) -> Days:
    """Today and the days before it, `number` in all."""
    today = now.astimezone(zone).date()
    cities = [day_start(today - timedelta(days=back), zone) for back in reversed(range(number))]
    return Days([to_ms(start) for start in cities], to_ms(now))


def day_start(day: date, zone: tzinfo) -> datetime:
    """Its first moment. Where the clock goes forward over midnight, the day begins when it does."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    # A midnight that the clock leaves out or repeats may be read as a moment beside the one at which the date changes.
    while midnight.astimezone(zone).date() < day:
        midnight += CHANGES_BY
    while (midnight - CHANGES_BY).astimezone(zone).date() == day:
        midnight -= CHANGES_BY
    return midnight


def zone_of(name: str) -> tzinfo:
    """UTC for a zone that this machine does not know, as browsers may name one."""
    if not name or len(name) > LONGEST_NAME:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def check_zone(name: str) -> str:
    """Raises UnknownTimeZone."""
    if name not in zone_names():
        raise UnknownTimeZone(
            f"time_zone: {name[:LONGEST_NAME]!r} is not a time zone; name one as Europe/Berlin, or UTC",
            field="time_zone",
        )
    return name


@cache
def zone_names() -> Sequence[str]:
    """Those that are named by a city or region, and UTC."""
    cities = (
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/"))
    )
    return ("UTC", *sorted(cities))
