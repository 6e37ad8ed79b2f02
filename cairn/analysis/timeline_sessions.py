"""Which session each event of a user's timeline belongs to: the one the client sent, or one split by another gap."""

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, events
from cairn.analysis.sessions import MINUTE_MS, MOST_EVENTS, Session, sessions_of
from cairn.analysis.user_questions import of_users
from cairn.query.behaviour import IN_SESSION
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS
from cairn.store.store import Row

SILENCE_MS = 30 * MINUTE_MS  # that ends a captured session


class TimelineSessions(Struct, frozen=True):
    """`ids`: of captured ones. `gap_ms`: that split them; 0 of captured ones. `is_cut`: there are more."""

    sessions: list[Session]  # oldest first
    ids: list[int] = []
    gap_ms: int = 0
    is_cut: bool = False

    def index_of(self, session_id: int, time_ms: int) -> int | None:
        """Which of the sessions an event belongs to; None: it was sent outside of any."""
        if self.gap_ms:
            index = bisect_right(self.sessions, time_ms, key=lambda session: session.start_ms) - 1
            near = (
                at for at in (index, index + 1) if 0 <= at < len(self.sessions) and self._reaches(at, time_ms)
            )
            return next(near, None)
        return self.ids.index(session_id) if session_id in self.ids else None

    def around(self, time_ms: int) -> int | None:
        """The session that something without one of its own, an identification, happened in; None: there is none."""
        index = bisect_right(self.sessions, time_ms, key=lambda session: session.start_ms) - 1
        is_within = index >= 0 and time_ms <= self.sessions[index].end_ms + SILENCE_MS
        return index if is_within else None

    def _reaches(self, index: int, time_ms: int) -> bool:
        """What is not counted, an identification say, belongs to the session it stands beside."""
        session = self.sessions[index]
        return session.start_ms - self.gap_ms <= time_ms <= session.end_ms + self.gap_ms


class _Times(Struct, frozen=True):
    """When these raw users did something, at most `MOST_EVENTS` times: half of them on each side of a time."""

    raw_ids: tuple[int, ...]
    around_ms: int | None  # None: the newest

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        own = of_users(self.raw_ids, scope)
        if self.around_ms is None:
            newest = events(plan, scope, own, IN_SESSION)
            return f"SELECT {TIME_MS} AS at FROM {newest} ORDER BY at DESC LIMIT {MOST_EVENTS}"
        half, around = MOST_EVENTS // 2, scope.bindings.whole(self.around_ms)
        before = events(plan, scope, own, IN_SESSION, f"{TIME_MS} <= {around}")
        later = events(plan, scope, own, IN_SESSION, f"{TIME_MS} > {around}")
        return f"""
            SELECT at FROM (SELECT {TIME_MS} AS at FROM {before} ORDER BY at DESC LIMIT {half})
            UNION ALL SELECT at FROM (SELECT {TIME_MS} AS at FROM {later} ORDER BY at LIMIT {half})
        """

    def answer(self, rows: list[Row]) -> list[int]:
        return [int(row[0]) for row in rows]


class _Captured(Struct, frozen=True):
    """The newest sessions that clients sent of these raw users and in which something was done, oldest first."""

    raw_ids: tuple[int, ...]

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT session_id, toUnixTimestamp64Milli(min(time)) AS start, toUnixTimestamp64Milli(max(time)),
                   countIf({IN_SESSION})
            FROM {events(plan, scope, of_users(self.raw_ids, scope), "session_id != 0")}
            GROUP BY session_id HAVING countIf({IN_SESSION}) > 0
            ORDER BY start DESC, session_id DESC LIMIT {MOST_EVENTS}
        """

    def answer(self, rows: list[Row]) -> TimelineSessions:
        oldest_first = rows[::-1]
        return TimelineSessions(
            [Session(*map(int, row[1:])) for row in oldest_first],
            [int(row[0]) for row in oldest_first],
            is_cut=len(rows) >= MOST_EVENTS,
        )


def timeline_sessions(
    asker: Asker, raw_ids: Sequence[int], *, gap_ms: int, around_ms: int | None = None
) -> TimelineSessions:
    """`gap_ms` 0: as captured. Otherwise a session ends with a silence longer than that.

    Limits: of those split by a gap, what the events near a time make, the newest ones without it; of captured ones the
    newest. One in which nothing was done, as when an SDK only asked for flags, is none.
    """
    if not gap_ms:
        return asker.ask(_Captured(tuple(raw_ids)))
    times = asker.ask(_Times(tuple(raw_ids), around_ms))
    return TimelineSessions(
        sessions_of(times, gap_ms=gap_ms), gap_ms=gap_ms, is_cut=len(times) >= MOST_EVENTS
    )
