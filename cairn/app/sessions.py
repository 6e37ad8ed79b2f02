"""Sessions: as clients captured them, or split by any gap."""

from collections.abc import Sequence

from cairn.analysis import sessions, timeline_sessions
from cairn.analysis.sessions import MINUTE_MS, DayOfSessions, SessionDays, SessionPage
from cairn.analysis.timeline_sessions import TimelineSessions
from cairn.analysis.users import User
from cairn.app.call import Call
from cairn.calendar import last_days
from cairn.workspace.environment import Environment


def user_sessions(
    call: Call, environment: Environment, user: User, *, gap_min: int = 0, before_ms: int | None = None
) -> SessionPage:
    """One user's sessions, newest first, over all merged ids. `gap_min` 0: as captured."""
    with call.reading() as connection:
        return sessions.user_sessions(
            call.asker(environment.id),
            connection,
            user.user_id,
            gap_ms=gap_min * MINUTE_MS if gap_min else None,
            before_ms=before_ms,
        )


def sessions_of_timeline(
    call: Call,
    environment: Environment,
    raw_ids: Sequence[int],
    *,
    gap_min: int = 0,
    around_ms: int | None = None,
) -> TimelineSessions:
    """Of one user's raw ids, to group a timeline by that starts at a time. `gap_min` 0: as captured."""
    return timeline_sessions.timeline_sessions(
        call.asker(environment.id), raw_ids, gap_ms=gap_min * MINUTE_MS, around_ms=around_ms
    )


def session_days(call: Call, environment: Environment, *, days: int, gap_min: int = 0) -> list[DayOfSessions]:
    """Sessions by the day they began on, and the users and events in them."""
    gap_ms = gap_min * MINUTE_MS if gap_min else None
    return call.ask(environment.id, SessionDays(last_days(call.now, environment.zone, days), gap_ms))
