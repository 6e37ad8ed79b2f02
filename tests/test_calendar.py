"""Days begin at midnight of a zone, whatever its clock does that night."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cairn.calendar import UnknownTimeZone, check_zone, day_start, last_days, zone_names, zone_of
from cairn.clock import from_ms


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        pytest.param("UTC", date(2026, 11, 22), "2026-11-22T00:00", id="UTC"),
        pytest.param("America/New_York", date(2026, 11, 22), "2026-11-22T05:00", id="west"),
        pytest.param("Asia/Kathmandu", date(2026, 11, 22), "2026-11-21T18:15", id="quarter of an hour"),
        pytest.param("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00", id="no midnight"),
        pytest.param(
            "America/Sao_Paulo", date(2018, 2, 18), "2018-02-18T03:00", id="the hour before is twice"
        ),
        pytest.param("America/Havana", date(2026, 11, 1), "2026-11-01T04:00", id="midnight is twice"),
        pytest.param(
            "America/Toronto", date(1919, 3, 31), "1919-03-31T04:30", id="the clock skips over midnight"
        ),
    ],
)
def test_a_day_begins_with_the_first_moment_of_its_date(zone: str, day: date, start: str) -> None:
    begun = day_start(day, ZoneInfo(zone))
    assert begun == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert begun.astimezone(ZoneInfo(zone)).date() == day
    assert (begun - timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).date() < day


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        pytest.param(datetime(2026, 3, 30, 12, tzinfo=UTC), [24, 23], id="daylight saving begins"),
        pytest.param(datetime(2026, 10, 26, 12, tzinfo=UTC), [24, 25], id="daylight saving ends"),
    ],
)
def test_days_follow_daylight_saving(now: datetime, hours: list[int]) -> None:
    days = last_days(now, ZoneInfo("Europe/Berlin"), 3)
    starts = [from_ms(start) for start in days.starts_ms]
    assert [(b - a) / timedelta(hours=1) for a, b in pairwise(starts)] == hours
    assert days.index_of(days.now_ms) == 2 and days.index_of(days.since_ms - 1) == -1


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../etc/passwd", "a\0b", "x" * 500, "europe/berlin\n"]
)
def test_a_zone_that_is_none_is_utc_for_browsers_and_refused_in_settings(name: str) -> None:
    assert zone_of(name) is UTC
    with pytest.raises(UnknownTimeZone, match="time_zone"):
        check_zone(name)


def test_browsers_zones_are_known() -> None:
    assert {"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Argentina/Salta"} <= set(
        zone_names()
    )
