"""Sessions, of one user and by day: as clients captured them, or split by any gap."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis.sessions import LEAST_GAP_MIN, MOST_GAP_MIN
from cairn.api.endpoint import Endpoint, Next
from cairn.api.resources.users import EnvironmentQuery, UserName
from cairn.app import sessions
from cairn.app.call import Call
from cairn.app.users import find_user
from cairn.clock import from_ms
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
    day: datetime  # its beginning in the time zone of the project
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
    days: Annotated[
        int, Meta(ge=1, le=MOST_DAYS, description="How many calendar days, today among them.")
    ] = 30


def read_user_sessions(call: Call, user: UserName, query: UserSessionsQuery) -> UserSessions:
    """List a user's sessions, newest first, over all merged ids. Pages of 50."""
    environment = call.environment(query.environment)
    page = sessions.user_sessions(
        call,
        environment,
        find_user(call, environment, user),
        gap_min=query.gap_minutes or 0,
        before_ms=int(query.after) if query.after else None,
    )
    answers = [
        SessionAnswer(
            from_ms(session.start_ms),
            from_ms(session.end_ms),
            session.events,
            session.pageviews,
            session.entry,
            session.exit,
        )
        for session in page.sessions
    ]
    return UserSessions(query.gap_minutes, answers, None if page.next is None else str(page.next))


def read_sessions(call: Call, query: SessionDaysQuery) -> SessionDays:
    """Count sessions by the day they began on, and the users and events in them."""
    environment = call.environment(query.environment)
    days = sessions.session_days(call, environment, days=query.days, gap_min=query.gap_minutes or 0)
    return SessionDays(
        environment.name,
        query.gap_minutes,
        [
            SessionDay(
                from_ms(day.start_ms).astimezone(environment.zone),
                day.sessions,
                day.users,
                day.events,
                day.median_s,
            )
            for day in days
        ],
    )


ENDPOINTS = (
    Endpoint("GET", "/sessions", Verb.SEE, read_sessions),
    Endpoint("GET", "/users/{user}/sessions", Verb.SEE, read_user_sessions),
)
