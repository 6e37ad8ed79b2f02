"""Who uses the product: the list, and one user with everything known of her."""

from itertools import groupby

import sqlalchemy as sa
from msgspec import Struct
from starlette.responses import Response

from cairn.analysis import accounts
from cairn.analysis import users as users_of
from cairn.analysis.accounts import Account
from cairn.analysis.merged import merged_ids
from cairn.analysis.sessions import LEAST_GAP_MIN, MINUTE_MS, MOST_GAP_MIN, Session, user_sessions
from cairn.analysis.timeline_sessions import TimelineSessions, timeline_sessions
from cairn.analysis.users import TimelineEvent, User, read_cursor
from cairn.conditions.tree import EventMatch
from cairn.db.tables import segment_states, segments
from cairn.definitions.defined_event import list_defined_events
from cairn.errors import NotFound
from cairn.identity.merges import HistoryItem, history, raw_ids, unmerge
from cairn.ingest.loaded import Loaded
from cairn.members.sets import users_set
from cairn.store.schema import IDENTITY_KEY
from cairn.web.english import Words, sentence, short
from cairn.web.playground import flags_for
from cairn.web.render import day
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.account_key import read_account_key
from cairn.workspace.permission import Verb

KEY_PROPERTIES = 3  # shown in the list, after e-mail and name
PLAIN_KEYS = (IDENTITY_KEY, "email", "_email", "name")
SHOWN_SESSIONS = 20  # on the user's page; the API has all
GAPS = ("5", "15", "30", "60", "240")  # minutes, offered
UNMERGE_CAUSE = "taken back by a member"


class Belongs(Struct, frozen=True):
    """A segment the user is in."""

    segment_id: int
    name: str
    since_ms: int


class Told(Struct, frozen=True):
    event: TimelineEvent
    words: Words


class Stretch(Struct, frozen=True):
    """Events that follow each other in one session, or outside of any, on one day."""

    day: str
    told: list[Told]
    number: int = 0  # the session's, from the user's first; 0: none
    session: Session | None = None
    about: list[str] = []  # whence, with what, where


def users_page(visit: Visit) -> Response:
    text, cursor, did = visit.ask("q"), read_cursor(visit.ask("after")), _number(visit.ask("did"))
    store = visit.core.store
    with visit.reading() as connection:
        known = list_defined_events(connection, visit.workspace_id, visit.here.project_id)
        event = next((each for each in known if each.id == did), None)
        if event is not None:
            asked = [EventMatch(defined=event.id)]
            match = visit.core.definitions.resolve_events(connection, visit.here.id, asked)[0]
            found = users_of.list_doers(store, connection, visit.here.id, match, now=visit.now, after=cursor)
        elif text:
            after_id = cursor.id if cursor else 0
            found = users_of.search_users(
                store, connection, visit.here.id, text, now=visit.now, after_id=after_id
            )
        else:
            found = users_of.list_users(store, connection, visit.here.id, now=visit.now, after=cursor)
    return visit.page(
        "users.html",
        found=found,
        text="" if event else text,
        cursor=cursor,
        shown=_shown,
        event=event,
        known=known,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _shown(user: User) -> list[tuple[str, str]]:
    """The properties told in the list."""
    rest = [(key, each.value) for key, each in user.properties.items() if key not in PLAIN_KEYS]
    # Where somebody came from says less than who they are.
    rest.sort(key=lambda told: told[0].startswith("initial_"))
    return rest[:KEY_PROPERTIES]


def user_page(visit: Visit) -> Response:
    store, wanted = visit.core.store, visit.number("user_id")
    after = read_cursor(visit.ask("after"))
    with visit.reading() as connection:
        user = users_of.one_user(store, connection, visit.here.id, wanted, now=visit.now)
        if user is None:
            raise NotFound(f"nothing is known of a user {wanted} in {visit.here.name}")
        if user.user_id != wanted:
            return visit.go(
                visit.url(f"/users/{user.user_id}"), "This id belongs to the following user by a merge."
            )
        line = users_of.timeline(store, connection, visit.here.id, user.user_id, after=after)
        ids = merged_ids(store, connection, visit.here.id, user.user_id)
        past = history(connection, visit.here.id, [user.user_id])
        belongs = _segments_of(visit, connection, user.user_id)
        account_key = read_account_key(connection, visit.here.project_id)
        gap = _gap(visit)
        seen = user_sessions(
            store, connection, visit.here.id, user.user_id, gap_ms=gap * MINUTE_MS if gap else None
        )
        flags = flags_for(
            visit.core, connection, visit.here.id, user.identity or str(user.user_id), now=visit.now
        )
    split = timeline_sessions(store, visit.here.id, [each.user_id for each in ids], gap_ms=gap * MINUTE_MS)
    return visit.page(
        "user.html", user=user, stretches=_stretches(visit, line.events, split), split=split, next=line.next,
        after=after, ids=ids, flags=flags, past=_newest_first(past),
        belongs=belongs, sessions=seen.sessions[:SHOWN_SESSIONS], gap=gap, gaps=GAPS,
        account=_account_of(visit, account_key, user), may_unmerge=visit.may(Verb.CORRECT_USERS),
    )  # fmt: skip


def _gap(visit: Visit) -> int:
    """Minutes of silence that end a session; 0: as captured."""
    text = visit.ask("gap")
    minutes = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    return minutes if LEAST_GAP_MIN <= minutes <= MOST_GAP_MIN else 0


def _account_of(visit: Visit, key: str, user: User) -> Account | None:
    account_id = user.properties[key].value if key in user.properties else ""
    if not account_id:
        return None
    return accounts.read_account(visit.core.store, visit.here.id, key, account_id)


def _stretches(visit: Visit, events: list[TimelineEvent], sessions: TimelineSessions) -> list[Stretch]:
    told = [Told(event, sentence(event)) for event in events]
    grouped = groupby(
        told,
        lambda one: (
            sessions.place_of(one.event.session_id, one.event.time_ms),
            day(one.event.time_ms, visit.zone, visit.now),
        ),
    )
    return [_stretch(place, title, list(group), sessions) for (place, title), group in grouped]


def _stretch(place: int | None, title: str, told: list[Told], sessions: TimelineSessions) -> Stretch:
    if place is None:
        return Stretch(title, told)
    facts: dict[str, str] = {}
    for one in told:
        facts = {**one.event.facts, **facts}
    device = " on ".join(filter(None, (facts.get("browser", ""), facts.get("os", ""))))
    whence = facts.get("utm_source") or facts.get("referrer") or facts.get("channel", "")
    about = [f"from {short(whence, 40)}" if whence else "", device, facts.get("country", "")]
    return Stretch(title, told, place + 1, sessions.sessions[place], [each for each in about if each])


def _newest_first(past: list[HistoryItem]) -> list[HistoryItem]:
    return list(reversed(past))


def _segments_of(visit: Visit, connection: sa.Connection, user_id: int) -> list[Belongs]:
    rows = connection.execute(
        sa.select(segments.c.id, segments.c.name)
        .join(segment_states, segment_states.c.segment_id == segments.c.id)
        .where(
            segments.c.workspace_id == visit.workspace_id, segment_states.c.environment_id == visit.here.id
        )
        .order_by(segments.c.name)
    )
    found = []
    for segment_id, name in rows:
        since = visit.core.members.since(users_set(visit.here.id, segment_id), str(user_id))
        if since is not None:
            found.append(Belongs(segment_id, name, since))
    return found


def unmerge_user(visit: Visit) -> Response:
    """Let one id stand for itself again: map and store first, then the segments are told whom it concerns."""
    canonical, raw = visit.number("user_id"), visit.form.line("raw")
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 18):
        raise NotFound(f"{raw[:40]!r} is not a user id")
    with visit.core.engine.begin() as connection:
        mine = raw_ids(connection, visit.here.id, [canonical])[canonical]
        if int(raw) not in mine[1:]:
            raise NotFound(
                f"user {raw} is not merged into user {canonical}; it may have been taken back already"
            )
        change = unmerge(connection, visit.here.id, int(raw), UNMERGE_CAUSE, visit.now)
    if change is not None:
        visit.core.store.insert_user_map([change])
    if visit.core.live is not None:
        visit.core.live.touched([Loaded(visit.here.id, merged={canonical, int(raw)})])
    return visit.go(
        visit.url(f"/users/{canonical}"), f"User {raw} stands for itself again. Nothing was lost."
    )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/users", users_page),
    get("/env/{environment}/users/{user_id}", user_page),
    post("/env/{environment}/users/{user_id}/unmerge", unmerge_user, Verb.CORRECT_USERS),
)
