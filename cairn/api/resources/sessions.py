"""Sessions, of one user and by day: as clients captured them, or split anew by any gap."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis import sessions
from cairn.analysis.sessions import LEAST_GAP_MIN, MINUTE_MS, MOST_GAP_MIN
from cairn.api.endpoint import Call, Endpoint, Next
from cairn.api.resources.users import EnvironmentQuery, UserName, find_user
from cairn.clock import from_ms
from cairn.workspace.environment import get_environment
from cairn.workspace.permission import Verb

Gap = Annotated[
    int,
    Meta(
        ge=LEAST_GAP_MIN,
        le=MOST_GAP_MIN,
        description="Minutes of silence that end a session; left out: sessions as the clients captured them.",
    ),
]
MOST_DAYS = 366


class SessionAnswer(Struct, frozen=True):
    start: datetime
    end: datetime  # of the last event
    events: int
    pageviews: int
    entry: str  # path of the first page; empty: none
    exit: str


class UserSessions(Struct, frozen=True):
    gap_minutes: int | None  # null: as captured
    sessions: list[SessionAnswer]
    next: Next = None


class SessionDay(Struct, frozen=True):
    day: datetime  # UTC
    sessions: int
    users: int
    events: int
    median_seconds: float  # from first to last event


class SessionDays(Struct, frozen=True):
    environment: str
    gap_minutes: int | None
    days: list[SessionDay]


class UserSessionsQuery(EnvironmentQuery, frozen=True):
    gap_minutes: Gap | None = None
    after: Annotated[str, Meta(pattern="^[0-9]{0,15}$", description="The previous answer's `next`.")] = ""


class SessionDaysQuery(EnvironmentQuery, frozen=True):
    gap_minutes: Gap | None = None
    days: Annotated[int, Meta(ge=1, le=MOST_DAYS, description="How many days back.")] = 30


def read_user_sessions(call: Call, user: UserName, query: UserSessionsQuery) -> UserSessions:
    """List a user's sessions, newest first, over all merged ids. Pages of 50."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    found = find_user(call, environment, user)
    page = sessions.user_sessions(
        call.core.store, call.connection, environment.id, found.user_id,
        gap_ms=query.gap_minutes * MINUTE_MS if query.gap_minutes else None,
        before_ms=int(query.after) if query.after else None,
    )  # fmt: skip
    answers = [
        SessionAnswer(
            from_ms(one.start_ms), from_ms(one.end_ms), one.events, one.pageviews, one.entry, one.exit
        )
        for one in page.sessions
    ]
    return UserSessions(query.gap_minutes, answers, None if page.next is None else str(page.next))


def read_sessions(call: Call, query: SessionDaysQuery) -> SessionDays:
    """Count sessions by the day they began on, and the users and events in them."""
    environment = get_environment(call.connection, call.workspace_id, query.environment)
    days = sessions.session_days(
        call.core.store, environment.id, since=call.now - timedelta(days=query.days), until=call.now,
        gap_ms=query.gap_minutes * MINUTE_MS if query.gap_minutes else None,
    )  # fmt: skip
    return SessionDays(
        environment.name,
        query.gap_minutes,
        [
            SessionDay(from_ms(one.start_ms), one.sessions, one.users, one.events, one.median_s)
            for one in days
        ],
    )


ENDPOINTS = (
    Endpoint("GET", "/sessions", Verb.SEE, read_sessions),
    Endpoint("GET", "/users/{user}/sessions", Verb.SEE, read_user_sessions),
)
