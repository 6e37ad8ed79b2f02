"""Who uses the product: the list, and one user with everything known of them."""

from itertools import groupby

from msgspec import Struct
from starlette.responses import Response

from cairn.analysis.sessions import LEAST_GAP_MIN, MOST_GAP_MIN, Session
from cairn.analysis.timeline import TimelineEvent
from cairn.analysis.timeline_sessions import TimelineSessions
from cairn.analysis.users import User
from cairn.app import sessions, users
from cairn.app.defined_events import list_defined_events
from cairn.app.playground import flags_for
from cairn.errors import NotFound
from cairn.event import Kind
from cairn.query.captured import MOST_SHOWN
from cairn.query.cursor import read_cursor
from cairn.store.schema import IDENTITY_KEY
from cairn.web.english import Words, sentence, short
from cairn.web.portion import PAGE, choices, left_out
from cairn.web.render import day, escaped_length
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

KEY_PROPERTIES = 3  # shown in the list, after e-mail and name
PLAIN_KEYS = (IDENTITY_KEY, "email", "_email", "name")
# Characters of a property or fact on a user's page, and bytes of all of them, as HTML, before they are cut.
LONGEST_TEXT, LEAST_TEXT, MOST_TEXT = 1_000, 20, 300_000
MOST_LINES = 3_000  # of properties on a page whose texts are cut
SHOWN_SESSIONS = 20  # on the user's page; the API has all
GAPS = ("5", "15", "30", "60", "240")  # minutes, offered
UNMERGE_CAUSE = "taken back by a member"


class TimelineLine(Struct, frozen=True):
    event: TimelineEvent
    words: Words


class Stretch(Struct, frozen=True):
    """Events that follow each other in one session, or outside of any, on one day."""

    day: str
    lines: list[TimelineLine]
    number: int = 0  # the session's, from the user's first; 0: not known
    session: Session | None = None
    about: list[str] = []  # from where, with what, where


def users_page(visit: Visit) -> Response:
    call, text, cursor = visit.call, visit.ask("q"), read_cursor(visit.ask("after"))
    defined_events = list_defined_events(call, visit.here)
    did = _number(visit.ask("did"))
    event = next((defined for defined in defined_events if defined.id == did), None)
    if event is not None:
        found = users.list_doers(call, visit.here, event.id, after=cursor)
    elif text:
        found = users.search_users(call, visit.here, text, after=cursor)
    else:
        found = users.list_users(call, visit.here, after=cursor)
    return visit.page(
        "users.html",
        found=found,
        text="" if event else text,
        cursor=cursor,
        shown=_shown,
        event=event,
        known=choices([(defined.id, defined.name) for defined in defined_events], [did]),
        more_known=left_out(defined_events),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _shown(user: User) -> list[tuple[str, str]]:
    """The properties that the list shows."""
    rest = [(key, current.value) for key, current in user.properties.items() if key not in PLAIN_KEYS]
    # Where somebody came from says less than who they are.
    rest.sort(key=lambda pair: pair[0].startswith("initial_"))
    return rest[:KEY_PROPERTIES]


def user_page(visit: Visit) -> Response:
    call, here, user_id = visit.call, visit.here, visit.number("user_id")
    user = users.get_user(call, here, user_id)
    if user.user_id != user_id:
        return visit.go(
            visit.url(f"/users/{user.user_id}"), "This id belongs to the following user by a merge."
        )
    after, gap = read_cursor(visit.ask("after")), _gap(visit)
    line, details = users.timeline(call, here, user, after=after), users.user_details(call, here, user)
    decided, more_flags = flags_for(call, here, user.identity or str(user.user_id), limit=PAGE)
    split = sessions.sessions_of_timeline(
        call, here, users.raw_ids(call, here, user), gap_min=gap, around_ms=after.time_ms if after else None
    )
    return visit.page(
        "user.html",
        amount=_amount_of(line.events),
        user=user,
        stretches=_stretches(visit, line.events, split),
        split=split,
        next=line.next,
        after=after,
        ids=details.ids,
        more_ids=details.more_ids,
        more_merges=details.more_merges,
        flags=decided,
        more_flags=more_flags,
        past=list(reversed(details.merges)),
        belongs=details.segments[:PAGE],
        more_belongs=len(details.segments[PAGE:]),
        sessions=sessions.user_sessions(call, here, user, gap_min=gap).sessions[:SHOWN_SESSIONS],
        gap=gap,
        gaps=GAPS,
        account=details.account,
        may_unmerge=visit.may(Verb.CORRECT_USERS),
    )


class Amount(Struct, frozen=True):
    """How much of its events the page shows."""

    properties: int = MOST_SHOWN  # of each
    longest: int = LONGEST_TEXT  # characters of each text


def _amount_of(events: list[TimelineEvent]) -> Amount:
    """Fewer where senders made more than a browser shows without delay."""
    pairs = [pair for event in events for pair in (*event.properties.items(), *event.facts.items())]
    length = sum(escaped_length(text) for pair in pairs for text in pair)
    if length <= MOST_TEXT:
        return Amount()
    return Amount(
        min(MOST_SHOWN, MOST_LINES // len(events)), max(LEAST_TEXT, LONGEST_TEXT * MOST_TEXT // (2 * length))
    )


def _gap(visit: Visit) -> int:
    """Minutes of silence that end a session; 0: as captured."""
    text = visit.ask("gap")
    minutes = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    return minutes if LEAST_GAP_MIN <= minutes <= MOST_GAP_MIN else 0


def _session_of(event: TimelineEvent, sessions: TimelineSessions) -> int | None:
    """Clients send an identification without a session; it must not tear the one it happens in apart."""
    index = sessions.index_of(event.session_id, event.time_ms)
    return sessions.around(event.time_ms) if index is None and event.kind == Kind.IDENTIFY else index


def _stretches(visit: Visit, events: list[TimelineEvent], sessions: TimelineSessions) -> list[Stretch]:
    lines = [TimelineLine(event, sentence(event, event.library)) for event in events]
    grouped = groupby(
        lines,
        lambda line: (
            _session_of(line.event, sessions),
            day(line.event.time_ms, visit.zone, visit.now),
        ),
    )
    return [_stretch(index, title, list(group), sessions) for (index, title), group in grouped]


def _stretch(index: int | None, title: str, lines: list[TimelineLine], sessions: TimelineSessions) -> Stretch:
    if index is None:
        return Stretch(title, lines)
    facts: dict[str, str] = {}
    for line in lines:
        facts = {**line.event.facts, **facts}
    device = " on ".join(filter(None, (facts.get("browser", ""), facts.get("os", ""))))
    origin = facts.get("utm_source") or facts.get("referrer") or facts.get("channel", "")
    about = [f"from {short(origin, 40)}" if origin else "", device, facts.get("country", "")]
    number = 0 if sessions.is_cut else index + 1
    return Stretch(title, lines, number, sessions.sessions[index], [fact for fact in about if fact])


def unmerge_user(visit: Visit) -> Response:
    raw = visit.form.line("raw")
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 18):
        raise NotFound(f"{raw[:40]!r} is not a user id")
    user = users.get_user(visit.call, visit.here, visit.number("user_id"))
    users.unmerge_user(visit.call, visit.here, user, int(raw), cause=UNMERGE_CAUSE)
    return visit.go(
        visit.url(f"/users/{user.user_id}"), f"User {raw} is a user of its own again. Nothing was lost."
    )


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/users", users_page),
    get("/env/{environment}/users/{user_id}", user_page),
    post("/env/{environment}/users/{user_id}/unmerge", unmerge_user, Verb.CORRECT_USERS),
)
