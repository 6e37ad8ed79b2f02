"""The split in Python and in the store, against a third way: silences drawn on a line."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.analysis import sessions as sessions_module
from cairn.analysis.sessions import (
    MINUTE_MS,
    SESSION_NUMBERS,
    Session,
    SessionDays,
    UserSession,
    sessions_of,
    user_sessions,
)
from cairn.calendar import last_days
from cairn.clock import to_ms
from cairn.event import Draft, Kind
from cairn.ids import identified_user_id
from cairn.store.question import ad_hoc
from tests.analysis.conftest import ELSEWHERE, HERE, NOW, Past
from tests.seams import open_store

TIMES = st.lists(st.integers(0, 60), max_size=25)

DAY_MS = 86_400_000


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
    store = open_store(tmp_path / "store", memory_mb=300)
    draw = random.Random(5)
    try:
        for _ in range(50):
            times = sorted(draw.randrange(60) for _ in range(draw.randrange(1, 20)))
            gap = draw.randrange(1, 10)
            split = SESSION_NUMBERS.format(gap="{gap_ms:Int64}")
            sql = f"WITH {{times:Array(Int64)}} AS times SELECT {split} WHERE {{environment:UInt32}} = 1"
            [(numbers,)] = store.query(ad_hoc(1, sql, {"times": times, "gap_ms": gap}))
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


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Past, list[Draft]]]:
    """Six raw users, two of them one, with events at random moments of four days and in random captured sessions."""
    past, draw = Past(tmp_path_factory.mktemp("visited")), random.Random(7)
    past.identified("ann", 1, 2)
    drafts = []
    for number in range(400):
        kind = draw.choice([Kind.PAGEVIEW, Kind.CLICK, Kind.CUSTOM, Kind.SESSION, Kind.IDENTIFY])
        at = to_ms(NOW) - draw.randrange(4 * 24 * 60) * MINUTE_MS - number  # no two at once
        facts = {"path": f"/{draw.randrange(5)}"} if kind in (Kind.PAGEVIEW, Kind.CLICK) else {}
        drafts.append(
            Draft(
                HERE,
                kind,
                kind,
                at,
                at,
                user_id=draw.randrange(1, 7),
                event_id=number + 1,
                session_id=draw.choice([0, 71, 72, 73]),
                facts=facts,
            )
        )
    past.store.insert_events(drafts)
    yield past, drafts
    past.close()


def counted(drafts: list[Draft], users: set[int]) -> list[Draft]:
    did = [
        draft
        for draft in drafts
        if draft.user_id in users and draft.kind not in (Kind.IDENTIFY, Kind.SESSION)
    ]
    return sorted(did, key=lambda one: one.time_ms)


def groups(drafts: list[Draft], gap_minutes: int | None) -> list[list[Draft]]:
    """The sessions of one user's events, by hand."""
    if gap_minutes is None:
        named = sorted({draft.session_id for draft in drafts} - {0})
        return [[draft for draft in drafts if draft.session_id == number] for number in named]
    found: list[list[Draft]] = []
    for draft in drafts:
        if found and draft.time_ms - found[-1][-1].time_ms <= gap_minutes * MINUTE_MS:
            found[-1].append(draft)
        else:
            found.append([draft])
    return found


def all_sessions(past: Past, environment_id: int, user_id: int, gap_ms: int | None) -> list[UserSession]:
    """Page after page."""
    sessions: list[UserSession] = []
    before = None
    with past.reading() as connection:
        while True:
            asker = past.asker(environment_id)
            page = user_sessions(asker, connection, user_id, gap_ms=gap_ms, before_ms=before)
            sessions += page.sessions
            if (before := page.next) is None:
                return sessions


@pytest.mark.parametrize("gap", [None, 1, 30, 600])
def test_a_users_sessions_over_all_her_ids(visited: tuple[Past, list[Draft]], gap: int | None) -> None:
    past, drafts = visited
    ann = identified_user_id(HERE, "ann")
    expected = []
    for session in groups(counted(drafts, {1, 2, ann}), gap):
        paths = [one.facts["path"] for one in session if "path" in one.facts]
        pages = sum(one.kind == Kind.PAGEVIEW for one in session)
        ends = (paths[0], paths[-1]) if paths else ("", "")
        expected.append(UserSession(session[0].time_ms, session[-1].time_ms, len(session), pages, *ends))
    expected.sort(key=lambda session: -session.start_ms)
    gap_ms = gap * MINUTE_MS if gap else None
    assert all_sessions(past, HERE, ann, gap_ms) == expected
    assert all_sessions(past, ELSEWHERE, ann, gap_ms) == []


def test_sessions_split_anew_are_the_same_however_many_events_are_looked_at_at_once(
    visited: tuple[Past, list[Draft]], monkeypatch: pytest.MonkeyPatch
) -> None:
    past, drafts = visited
    ann, gap_ms = identified_user_id(HERE, "ann"), 30 * MINUTE_MS
    sessions = groups(counted(drafts, {1, 2, ann}), 30)
    expected = sorted(((session[0].time_ms, len(session)) for session in sessions), reverse=True)
    assert len(expected) > 40
    for most in (max(len(session) for session in sessions) + 1, 40):
        monkeypatch.setattr(sessions_module, "MOST_EVENTS", most)
        found = all_sessions(past, HERE, ann, gap_ms)
        assert [(session.start_ms, session.events) for session in found] == expected


@pytest.mark.parametrize("gap", [None, 1, 30, 600])
def test_the_sessions_of_each_day(visited: tuple[Past, list[Draft]], gap: int | None) -> None:
    past, drafts = visited
    by_day: dict[int, list[tuple[int, list[Draft]]]] = {}
    for owner, users in enumerate([{1, 2}, {3}, {4}, {5}, {6}]):
        for session in groups(counted(drafts, users), gap):
            by_day.setdefault(session[0].time_ms // DAY_MS * DAY_MS, []).append((owner, session))
    days = last_days(NOW + timedelta(hours=1), UTC, 6)
    found = past.ask(HERE, SessionDays(days, gap * MINUTE_MS if gap else None))
    assert [(one.start_ms, one.sessions, one.users, one.events) for one in found] == [
        (day, len(some), len({owner for owner, _ in some}), sum(len(session) for _, session in some))
        for day, some in sorted(by_day.items())
    ]
    for one in found:
        lengths = sorted(some[-1].time_ms - some[0].time_ms for _, some in by_day[one.start_ms])
        assert lengths[(len(lengths) - 1) // 2] <= one.median_s * 1000 <= lengths[len(lengths) // 2]
