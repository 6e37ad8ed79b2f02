"""Which session each event of a user's timeline belongs to: the one the client sent, or one split anew by a gap."""

from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from cairn.analysis.sessions import MINUTE_MS, Session, sessions_of
from cairn.query.behaviour import IN_SESSION
from cairn.query.scope import Scope
from cairn.store.store import Store

SILENCE_MS = 30 * MINUTE_MS  # that ends a captured session
_OF_USER = "user_id IN {users:Array(UInt64)}"


class TimelineSessions(Struct, frozen=True):
    """Over all history. `ids`: of captured ones. `gap_ms`: that split them; 0 of captured ones."""

    sessions: list[Session]  # oldest first
    ids: list[int] = []
    gap_ms: int = 0

    def place_of(self, session_id: int, time_ms: int) -> int | None:
        """Which of the sessions an event belongs to; None: it was sent outside of any."""
        if self.gap_ms:
            place = bisect_right(self.sessions, time_ms, key=lambda one: one.start_ms) - 1
            near = (
                at for at in (place, place + 1) if 0 <= at < len(self.sessions) and self._reaches(at, time_ms)
            )
            return next(near, None)
        return self.ids.index(session_id) if session_id in self.ids else None

    def around(self, time_ms: int) -> int | None:
        """The session that something without one of its own, an identification, happened in; None: there is none."""
        place = bisect_right(self.sessions, time_ms, key=lambda session: session.start_ms) - 1
        is_within = place >= 0 and time_ms <= self.sessions[place].end_ms + SILENCE_MS
        return place if is_within else None

    def _reaches(self, place: int, time_ms: int) -> bool:
        """What is not counted, an identification say, belongs to the session it stands beside."""
        session = self.sessions[place]
        return session.start_ms - self.gap_ms <= time_ms <= session.end_ms + self.gap_ms


def timeline_sessions(
    store: Store, environment_id: int, raw_ids: Sequence[int], *, gap_ms: int
) -> TimelineSessions:
    """`gap_ms` 0: as captured. Otherwise a session ends with a silence longer than that."""
    scope = Scope(environment_id)
    if gap_ms:
        sql = f"SELECT toUnixTimestamp64Milli(time) FROM {scope.events(_OF_USER, IN_SESSION)}"
        rows = store.query(scope.statement(sql, users=list(raw_ids)))
        return TimelineSessions(sessions_of((int(row[0]) for row in rows), gap_ms=gap_ms), gap_ms=gap_ms)
    sql = f"""SELECT session_id, toUnixTimestamp64Milli(min(time)) AS start, toUnixTimestamp64Milli(max(time)),
                     countIf({IN_SESSION})
              FROM {scope.events(_OF_USER, "session_id != 0")} GROUP BY session_id ORDER BY start, session_id"""
    rows = store.query(scope.statement(sql, users=list(raw_ids)))
    return TimelineSessions([Session(*map(int, row[1:])) for row in rows], [int(row[0]) for row in rows])
