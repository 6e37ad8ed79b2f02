"""Sessions: as the clients captured them, or split by another gap.

Captured events carry the session the client knew; server events carry none, and Heap's rules (30 minutes without a
pageview on the web, 5 in the background of an app) cannot be changed there. With a gap a session ends with a silence
longer than it, whatever the events are.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, canonical_user, events
from cairn.analysis.user_questions import of_users
from cairn.analysis.users import raw_ids
from cairn.calendar import Days
from cairn.query.behaviour import IN_SESSION, PAGEVIEW
from cairn.query.bindings import MOST
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS, TimeRange, start_of_day
from cairn.store.statement import Limits
from cairn.store.store import Row

PAGE = 50  # sessions on a page
# Of a question over all users' events.
LONG = Limits(timeout_s=30.0)
MINUTE_MS = 60_000
# Of one user, split by another gap in one answer: what the engine holds must not follow how much somebody did.
MOST_EVENTS = 20_000
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
    sessions: list[Session] = []
    for time_ms in sorted(times_ms):
        last = sessions[-1] if sessions else None
        if last is None or time_ms - last.end_ms > gap_ms:
            sessions.append(Session(time_ms, time_ms, 1))
        else:
            sessions[-1] = Session(last.start_ms, time_ms, last.events + 1)
    return sessions


class SessionsOfUser(Struct, frozen=True):
    """Of the user whose raw ids these are, newest first: as captured, or by a gap. One more than a page holds."""

    raw_ids: tuple[int, ...]
    gap_ms: int | None = None
    before_ms: int | None = None

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        before = scope.bindings.whole(MOST if self.before_ms is None else self.before_ms)
        own = of_users(self.raw_ids, scope)
        rows = (
            _captured(plan, scope, "1", own)
            if self.gap_ms is None
            else _split_newest(plan, scope, self.gap_ms, own, f"{TIME_MS} < {before}")
        )
        return f"""
            SELECT min(at), max(at) AS last, count(), countIf({PAGEVIEW}),
                   argMinIf(path, (at, log_position), path != ''), argMaxIf(path, (at, log_position), path != '')
            FROM ({rows})
            GROUP BY session HAVING min(at) < {before}
            ORDER BY min(at) DESC, session DESC LIMIT {PAGE + 1}
        """

    def answer(self, rows: list[Row]) -> list[UserSession]:
        return [UserSession(*row) for row in rows]


class SessionDays(Struct, frozen=True):
    """Sessions by the day they began on, oldest first, days without any left out.

    Limit: what lies outside of these days is not looked at, so a session that began before it is cut.
    """

    days: Days
    gap_ms: int | None = None

    def plan(self) -> Plan:
        return Plan(TimeRange(self.days.since_ms, self.days.now_ms - 1), limits=LONG)

    def select(self, plan: Plan, scope: Scope) -> str:
        owner = canonical_user(plan, scope)
        rows = (
            _captured(plan, scope, owner)
            if self.gap_ms is None
            else _split_times(plan, scope, owner, self.gap_ms)
        )
        return f"""
            SELECT {start_of_day(self.days, "first")} AS day, count(), uniqExact(owner), sum(events),
                   quantileExact(0.5)(last - first) / 1000
            FROM (
                SELECT owner, session, min(at) AS first, max(at) AS last, count() AS events
                FROM ({rows})
                GROUP BY owner, session)
            GROUP BY day ORDER BY day
        """

    def answer(self, rows: list[Row]) -> list[DayOfSessions]:
        return [
            DayOfSessions(int(day), int(sessions), int(users), int(number), float(median))
            for day, sessions, users, number, median in rows
        ]


def user_sessions(
    asker: Asker,
    connection: sa.Connection,
    user_id: int,
    *,
    gap_ms: int | None = None,
    before_ms: int | None = None,
) -> SessionPage:
    """A canonical user's sessions over all raw ids, newest first: as captured, or by a gap.

    Limit: split by a gap, a session of more than `MOST_EVENTS` events comes in pieces.
    """
    ids = raw_ids(connection, asker.environment_id, user_id)
    sessions = asker.ask(SessionsOfUser(tuple(ids), gap_ms, before_ms))
    has_more = len(sessions) > PAGE
    if gap_ms is not None and sum(session.events for session in sessions) >= MOST_EVENTS:
        has_more = True
        sessions = sessions[:-1] or sessions  # the oldest may have begun before what was looked at
    shown = sessions[:PAGE]
    return SessionPage(shown, shown[-1].start_ms if has_more else None)


def _captured(plan: Plan, scope: Scope, owner: str, *clauses: str) -> str:
    """Events that have a session."""
    return f"""
        SELECT {owner} AS owner, session_id AS session, {TIME_MS} AS at, log_position, kind, path
        FROM {events(plan, scope, "session_id != 0", IN_SESSION, *clauses)}"""


def _split_newest(plan: Plan, scope: Scope, gap_ms: int, *clauses: str) -> str:
    """A user's newest events, numbered by the new sessions."""
    gap = scope.bindings.whole(gap_ms)
    return f"""
        SELECT session, one.1 AS at, one.2 AS log_position, one.3 AS kind, one.4 AS path
        FROM (
            SELECT arraySort(groupArray((at, log_position, kind, path))) AS some, arrayMap(one -> one.1, some) AS times,
                   {SESSION_NUMBERS.format(gap=gap)} AS numbers
            FROM (
                SELECT {TIME_MS} AS at, log_position, toString(kind) AS kind, toString(path) AS path
                FROM {events(plan, scope, IN_SESSION, *clauses)}
                ORDER BY at DESC, log_position DESC LIMIT {MOST_EVENTS}))
        ARRAY JOIN some AS one, numbers AS session"""


def _split_times(plan: Plan, scope: Scope, owner: str, gap_ms: int) -> str:
    """When something was done, by new session. Shape: owner, session, at. Eight bytes an event, no more."""
    gap = scope.bindings.whole(gap_ms)
    return f"""
        SELECT owner, session, at
        FROM (
            SELECT {owner} AS owner, arraySort(groupArray({TIME_MS})) AS times,
                   {SESSION_NUMBERS.format(gap=gap)} AS numbers
            FROM {events(plan, scope, IN_SESSION)}
            GROUP BY owner)
        ARRAY JOIN times AS at, numbers AS session"""
