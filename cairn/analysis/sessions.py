"""Sessions: as the clients captured them, or split anew by a gap of one's own choosing.

Captured events carry the session the client knew; server events carry none, and Heap's rules (30 minutes without a
pageview on the web, 5 in the background of an app) cannot be changed there. With a gap a session ends with a silence
longer than it, whatever the events are.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.users import raw_ids
from cairn.calendar import Days
from cairn.query.behaviour import IN_SESSION, PAGEVIEW
from cairn.query.bindings import MOST
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS, TimeRange, start_of_day
from cairn.store.statement import Limits
from cairn.store.store import Store

PAGE = 50  # sessions on a page
MINUTE_MS = 60_000
LEAST_GAP_MIN, MOST_GAP_MIN = 1, 24 * 60  # minutes

# The same in the store: the session's number, from 0, of each of a user's `times` (sorted epoch milliseconds).
SESSION_NUMBERS = "arrayCumSum(arrayMap(silence -> silence > {gap}, arrayDifference(times)))"


class Session(Struct, frozen=True):
    start_ms: int
    end_ms: int  # of the last event; a session of one event takes no time
    events: int


class UserSession(Struct, frozen=True):
    """One session of a user, and where it led."""

    start_ms: int
    end_ms: int
    events: int
    pageviews: int
    entry: str  # path of the first page, empty for none
    exit: str


class SessionPage(Struct, frozen=True):
    sessions: list[UserSession]
    next: int | None = None  # the last one's start


class DayOfSessions(Struct, frozen=True):
    """The sessions that began on one day."""

    start_ms: int
    sessions: int
    users: int
    events: int
    median_s: float  # from first to last event


def sessions_of(times_ms: Iterable[int], *, gap_ms: int) -> list[Session]:
    """Split one user's events, in any order, where the silence between two is longer than the gap. Oldest first."""
    found: list[Session] = []
    for time_ms in sorted(times_ms):
        last = found[-1] if found else None
        if last is None or time_ms - last.end_ms > gap_ms:
            found.append(Session(time_ms, time_ms, 1))
        else:
            found[-1] = Session(last.start_ms, time_ms, last.events + 1)
    return found


def user_sessions(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    user_id: int,
    *,
    gap_ms: int | None = None,
    before_ms: int | None = None,
) -> SessionPage:
    """A canonical user's sessions over all raw ids, newest first: as captured, or by a gap."""
    scope = Scope(environment_id)
    users = scope.bindings.bind(tuple(raw_ids(connection, environment_id, user_id)), "Array(UInt64)")
    before = scope.bindings.whole(MOST if before_ms is None else before_ms)
    sql = f"""
        SELECT min(at), max(at) AS last, count(), countIf({PAGEVIEW}),
               argMinIf(path, (at, log_position), path != ''), argMaxIf(path, (at, log_position), path != '')
        FROM ({_events_of_sessions(scope, "1", f"user_id IN {users}", gap_ms)})
        GROUP BY session HAVING min(at) < {before}
        ORDER BY min(at) DESC, session DESC LIMIT {PAGE + 1}
    """
    rows = store.query(scope.statement(sql))
    sessions = [UserSession(*row) for row in rows]
    return SessionPage(sessions[:PAGE], sessions[PAGE - 1].start_ms if len(sessions) > PAGE else None)


def session_days(
    store: Store, environment_id: int, days: Days, *, gap_ms: int | None = None
) -> list[DayOfSessions]:
    """Sessions by the day they began on, oldest first, days without any left out.

    Limit: what lies outside of these days is not looked at, so a session that began before it is cut.
    """
    scope = Scope(environment_id)
    within = TimeRange(days.since_ms, days.now_ms - 1).clause(scope.bindings)
    sql = f"""
        SELECT {start_of_day(days, "first")} AS day, count(), uniqExact(owner), sum(events),
               quantileExact(0.5)(last - first) / 1000
        FROM (
            SELECT owner, session, min(at) AS first, max(at) AS last, count() AS events
            FROM ({_events_of_sessions(scope, scope.canonical(), within, gap_ms)})
            GROUP BY owner, session)
        GROUP BY day ORDER BY day
    """
    rows = store.query(scope.statement(sql), Limits(timeout_s=30.0))
    return [
        DayOfSessions(int(day), int(sessions), int(users), int(events), float(median))
        for day, sessions, users, events, median in rows
    ]


def _events_of_sessions(scope: Scope, owner: str, where: str, gap_ms: int | None) -> str:
    """Shape: owner, session, at, log_position, kind, path."""
    if gap_ms is None:
        return _captured(scope, owner, where)
    return _split(scope, owner, where, gap_ms)


def _captured(scope: Scope, owner: str, where: str) -> str:
    """Events that have a session."""
    return f"""
        SELECT {owner} AS owner, session_id AS session, {TIME_MS} AS at, log_position, kind, path
        FROM {scope.events("session_id != 0", IN_SESSION, where)}"""


def _split(scope: Scope, owner: str, where: str, gap_ms: int) -> str:
    """All events, their sessions numbered anew."""
    gap = scope.bindings.whole(gap_ms)
    return f"""
        SELECT owner, session, one.1 AS at, one.2 AS log_position, one.3 AS kind, one.4 AS path
        FROM (
            SELECT {owner} AS owner,
                   arraySort(groupArray(({TIME_MS}, log_position, toString(kind), toString(path)))) AS some,
                   arrayMap(one -> one.1, some) AS times, {SESSION_NUMBERS.format(gap=gap)} AS numbers
            FROM {scope.events(IN_SESSION, where)}
            GROUP BY owner)
        ARRAY JOIN some AS one, numbers AS session"""
