"""The split in Python and in the store, against a third way: silences drawn on a line."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.analysis.sessions import SESSION_NUMBERS, Session, sessions_of
from cairn.store.embedded import open_embedded

MINUTE_MS = 60_000
TIMES = st.lists(st.integers(0, 60), max_size=25)


def drawn(times: list[int], gap: int) -> list[Session]:
    """Paint the gap behind every event; events belong together while the paint between them does not break."""
    painted = {moment for time in times for moment in range(time, time + gap)}
    found: list[Session] = []
    for time in sorted(times):
        start = time
        while start - 1 in painted:
            start -= 1
        if found and found[-1].start_ms == start:
            found[-1] = Session(start, time, found[-1].events + 1)
        else:
            found.append(Session(start, time, 1))
    return found


@given(TIMES, st.integers(1, 10))
def test_the_split(times: list[int], gap: int) -> None:
    assert sessions_of(times, gap_ms=gap) == drawn(times, gap)


def test_the_store_splits_alike(tmp_path: Path) -> None:
    store = open_embedded(tmp_path / "store", memory_mb=300)
    draw = random.Random(5)
    try:
        for _ in range(50):
            times = sorted(draw.randrange(60) for _ in range(draw.randrange(1, 20)))
            gap = draw.randrange(1, 10)
            sql = f"WITH {{times:Array(Int64)}} AS times SELECT {SESSION_NUMBERS} WHERE {{environment:UInt32}} = 1"
            [(numbers,)] = store.query(1, sql, {"times": times, "gap_ms": gap})
            counts = [events for _, events in sorted(Counter(numbers).items())]
            assert counts == [session.events for session in sessions_of(times, gap_ms=gap)]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], []),
        ([5], [Session(5, 5, 1)]),
        ([0, 30 * MINUTE_MS], [Session(0, 30 * MINUTE_MS, 2)]),
        ([0, 30 * MINUTE_MS + 1], [Session(0, 0, 1), Session(30 * MINUTE_MS + 1, 30 * MINUTE_MS + 1, 1)]),
        ([7, 7, 7], [Session(7, 7, 3)]),
        ([9, 3], [Session(3, 9, 2)]),
    ],
    ids=["none", "one", "just within", "just beyond", "at once", "any order"],
)
def test_the_gap_itself_is_no_end(times: list[int], expected: list[Session]) -> None:
    assert sessions_of(times, gap_ms=30 * MINUTE_MS) == expected
