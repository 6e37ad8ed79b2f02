from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.calendar import last_days
from cairn.clock import to_ms
from cairn.query.bindings import END_MS, FIRST_MS, Bindings
from cairn.query.time_range import TimeRange, after, last, of_days, until
from cairn.store.question import ad_hoc
from cairn.store.store import Store
from tests.query.events import event

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_MS = to_ms(NOON)
DAY_MS = 86_400_000
moments = st.one_of(st.none(), st.integers(NOON_MS - 3 * DAY_MS, NOON_MS + 3 * DAY_MS))


def times_in(store: Store, environment_id: int, within: TimeRange, *, says_days: bool = True) -> list[int]:
    bindings = Bindings()
    clause = within.clause(bindings, says_days=says_days)
    sql = f"""SELECT toUnixTimestamp64Milli(time) AS at FROM cairn.events
              WHERE environment_id = {{environment:UInt32}} AND {clause} ORDER BY at"""
    return [row[0] for row in store.query(ad_hoc(environment_id, sql, bindings.values))]


@pytest.fixture(scope="module")
def edges(store: Store) -> list[int]:
    """Events at and beside every midnight of a week."""
    midnight = NOON_MS - DAY_MS // 2
    times = [midnight + day * DAY_MS + off for day in range(-3, 4) for off in (-1, 0, 1)]
    store.insert_events([event(7, time_ms) for time_ms in times])
    return sorted(times)


@given(since=moments, until_ms=moments)
@settings(max_examples=40, deadline=None)
def test_the_days_leave_nothing_out_that_the_times_let_in(
    store: Store, edges: list[int], since: int | None, until_ms: int | None
) -> None:
    within = TimeRange(since, until_ms)
    expected = [
        time_ms
        for time_ms in edges
        if (since is None or time_ms >= since) and (until_ms is None or time_ms <= until_ms)
    ]
    assert times_in(store, 7, within) == expected
    assert times_in(store, 7, within, says_days=False) == expected


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (after(10, 20), TimeRange(11, 20)),
        (until(NOON), TimeRange(None, NOON_MS)),
        (last(timedelta(hours=1), NOON), TimeRange(NOON_MS - 3_600_000 + 1, NOON_MS)),
        (of_days(last_days(NOON, UTC, 2)), TimeRange(NOON_MS - DAY_MS * 3 // 2, NOON_MS)),
    ],
    ids=["after one moment", "all history", "a rolling span", "calendar days"],
)
def test_both_ends_are_within(within: TimeRange, expected: TimeRange) -> None:
    assert within == expected


@pytest.mark.parametrize(
    ("within", "is_empty"),
    [(TimeRange(2, 1), True), (TimeRange(1, 1), False), (TimeRange(None, 1), False), (TimeRange(), False)],
)
def test_whether_any_moment_is_within(within: TimeRange, is_empty: bool) -> None:
    assert within.is_empty is is_empty


@pytest.mark.parametrize("far_ms", [-(10**18), -1, END_MS + 1, 2**62, 2**80])
def test_a_moment_that_the_stores_times_do_not_hold_is_moved_to_one_that_they_do(
    store: Store, here: int, far_ms: int
) -> None:
    store.insert_events([event(here, NOON_MS)])
    is_before = far_ms < FIRST_MS
    assert times_in(store, here, TimeRange(far_ms, None)) == ([NOON_MS] if is_before else [])
    assert times_in(store, here, TimeRange(None, far_ms)) == ([] if is_before else [NOON_MS])
