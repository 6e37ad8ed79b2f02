"""The latest events with what became of each: stored ones and refused ones in one stream, newest first."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct, structs

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, canonical_user, events
from cairn.analysis.user_questions import Named
from cairn.analysis.users import canonical_of, raw_ids
from cairn.clock import to_ms
from cairn.conditions.clause import event_clause
from cairn.conditions.tree import EventMatch
from cairn.event import Element
from cairn.identity import merges
from cairn.ids import identified_user_id
from cairn.outcomes import Outcome, Reason
from cairn.query.captured import FACTS_MAP, MORE_PROPERTIES, PROPERTIES_MAP, with_element
from cairn.query.elements import read_elements
from cairn.query.newest import identities
from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Row, Store

RECENT = timedelta(hours=1)  # looked at first; the minmax index on received_at keeps it cheap
LOOK_BACK = timedelta(days=7)  # then this far, when the hour did not fill the page
MAX_EVENTS = 200
SEARCHED_FACTS = ("path", "title")
NAMING_KEYS = (IDENTITY_KEY, "email", "_email")  # user properties that a filter by user looks into
MOST_MEANT = 100  # users that one text may mean


class Filter(Struct, frozen=True):
    """What the reader wants to see. Empty: everything."""

    text: str = ""  # in the name, a property's value, the page's path or title, or the element's text
    user: str = ""  # an identity, an e-mail, or a user id
    source: str = ""
    outcome: str = ""  # one of Outcome
    kind: str = ""  # one of Kind
    match: EventMatch | None = None  # a defined event, resolved

    @property
    def says_what(self) -> bool:
        """It asks for what happened, which is not known of a refused request."""
        return bool(self.kind) or self.match is not None


class LiveEvent(Struct, frozen=True):
    """One event, or refused request, as the Live page shows it."""

    received_ms: int
    time_ms: int
    outcome: str
    reason: str
    kind: str
    name: str
    user: str  # identity; or what the sender said, of a refused one; or empty
    user_id: int  # canonical; 0 of a refused one
    source: str
    library: str
    detail: str  # of a refused one the field and the fix; of a stored one what was left out
    properties: dict[str, str]
    payload: str  # of a refused one, as received
    event_id: int  # 0 of a refused one
    session_id: int = 0
    facts: dict[str, str] = {}
    more_properties: int = 0  # left out of `properties`
    element: Element | None = None


def latest(
    asker: Asker,
    connection: sa.Connection,
    *,
    now: datetime,
    only: Filter = Filter(),  # noqa: B008 - a frozen value
    limit: int = 50,
    after_ms: int = 0,
) -> list[LiveEvent]:
    """The events received last. `after_ms`: only those received at or after this."""
    meant = raw_users_meant(asker, connection, only.user) if only.user else None
    events: list[LiveEvent] = []
    for span in (RECENT, LOOK_BACK):
        since_ms = max(to_ms(now - span), after_ms, 0)
        question = Received(since_ms, min(limit, MAX_EVENTS), only, None if meant is None else tuple(meant))
        events = _received(asker, question)
        if len(events) >= limit or after_ms >= to_ms(now - RECENT):
            break
    return _with_identities(asker.store, asker.environment_id, events)


def owned(
    store: Store, connection: sa.Connection, environment_id: int, streamed: Sequence[LiveEvent]
) -> list[LiveEvent]:
    """Events of the feed with their users after merges and by identity, as the store has them."""
    raw = {event.user_id for event in streamed if event.user_id}
    owners = merges.canonical(connection, environment_id, list(raw)) if raw else {}
    found = [
        structs.replace(event, user_id=owners.get(event.user_id, event.user_id), user="")
        if event.user_id
        else event
        for event in streamed
    ]
    return _with_identities(store, environment_id, found)


def refused(asker: Asker, *, now: datetime, limit: int = 50) -> list[LiveEvent]:
    """Only what was refused. Environment 0 holds what came with an unknown key."""
    return _received(asker, Received(max(to_ms(now - LOOK_BACK), 0), limit, is_stored=False))


class Received(Struct, frozen=True):
    """What was received last, of stored and of refused ones. Rows as `LiveEvent`; the element's number last."""

    since_ms: int
    limit: int
    only: Filter = Filter()
    users: tuple[int, ...] | None = None  # raw ids of those that the filter means
    is_stored: bool = True  # stored ones are looked for too

    def plan(self) -> Plan:
        is_nothing = not self._wants_stored and self.only.says_what
        return Plan(can_be_kept=False, is_empty=is_nothing)

    @property
    def _wants_stored(self) -> bool:
        return self.is_stored and self.only.outcome in ("", Outcome.ACCEPTED)

    def select(self, plan: Plan, scope: Scope) -> str:
        within = f"received_at >= {scope.bindings.moment(self.since_ms)}"
        order = f"ORDER BY received DESC, log_position DESC, event_id LIMIT {int(self.limit)}"
        parts = []
        if self._wants_stored:
            tests = _stored_tests(scope, self.only, self.users)
            parts.append(_stored_sql(plan, scope, within, tests, self.limit))
        if not self.only.says_what:
            # Also of account properties, which are accepted but no event.
            parts.append(_refused_sql(scope, [within, *_refused_tests(scope, self.only)]))
        # What arrived last comes first; each part is cut before they are put together.
        together = " UNION ALL ".join(f"({part} {order})" for part in parts)
        return f"SELECT * EXCEPT (log_position) FROM ({together}) {order}"

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def _received(asker: Asker, question: Received) -> list[LiveEvent]:
    rows = asker.ask(question)
    elements = read_elements(asker.store, asker.environment_id, (row[-1] for row in rows))
    return [LiveEvent(*with_element(row, elements)) for row in rows]


def _stored_sql(plan: Plan, scope: Scope, within: str, tests: Sequence[str], limit: int) -> str:
    # The newest are found first by two columns, so that the other forty are read of them alone.
    newest = f"""
        SELECT event_id FROM {events(plan, scope, within, *tests)}
        ORDER BY received_at DESC, log_position DESC LIMIT {int(limit)}"""
    return f"""
        SELECT toUnixTimestamp64Milli(received_at) AS received, toUnixTimestamp64Milli(time) AS at,
               '{Outcome.ACCEPTED}' AS outcome, '{Reason.STORED}' AS reason, toString(kind) AS kind,
               toString(name) AS name, '' AS user, {canonical_user(plan, scope)} AS canonical,
               toString(source) AS source, toString(library) AS library, detail,
               {PROPERTIES_MAP} AS shown, '' AS payload, event_id, session_id,
               {FACTS_MAP} AS facts, {MORE_PROPERTIES} AS more, element, log_position
        FROM {events(plan, scope, within, scope.contains("event_id", newest))}"""


def _refused_sql(scope: Scope, tests: Sequence[str]) -> str:
    return f"""
        SELECT toUnixTimestamp64Milli(received_at) AS received, toUnixTimestamp64Milli(received_at) AS at,
               toString(outcome) AS outcome, toString(reason) AS reason, '' AS kind, name, user,
               toUInt64(0) AS canonical, toString(source) AS source, '' AS library, detail,
               CAST(map(), 'Map(String, String)') AS shown, payload, toUInt64(0) AS event_id,
               toUInt64(0) AS session_id, CAST(map(), 'Map(String, String)') AS facts, toUInt64(0) AS more,
               toUInt64(0) AS element, log_position
        FROM {scope.refusals(*tests)}"""


def _stored_tests(scope: Scope, only: Filter, users: Sequence[int] | None) -> list[str]:
    """The filter over the columns of `events`. `users`: raw ids of those the filter means."""
    bindings, tests = scope.bindings, []
    if only.text:
        in_values = f"arrayExists(v -> {_contains('v', only.text, scope)}, mapValues(properties))"
        in_page = [_contains(column, only.text, scope) for column in SEARCHED_FACTS]
        elements = scope.elements(_contains("text", only.text, scope))
        in_element = scope.contains("element", f"SELECT element_id FROM {elements}")
        tests.append(" OR ".join((_contains("name", only.text, scope), in_values, *in_page, in_element)))
    if only.source:
        tests.append(f"source = {bindings.text(only.source)}")
    if only.kind:
        tests.append(f"kind = {bindings.text(only.kind)}")
    if only.match is not None:
        tests.append(event_clause(only.match, bindings))
    if users is not None:
        tests.append(f"user_id IN {bindings.bind(tuple(users), 'Array(UInt64)')}")
    return tests


def _refused_tests(scope: Scope, only: Filter) -> list[str]:
    """The filter over the columns of `refusals`."""
    bindings, tests = scope.bindings, []
    if only.text:
        tests.append(" OR ".join(_contains(name, only.text, scope) for name in ("name", "payload", "reason")))
    if only.source:
        tests.append(f"source = {bindings.text(only.source)}")
    if only.outcome:
        tests.append(f"outcome = {bindings.text(only.outcome)}")
    if only.user:
        tests.append(_contains("user", only.user, scope))
    return tests


def _contains(expression: str, text: str, scope: Scope) -> str:
    return f"positionCaseInsensitiveUTF8({expression}, {scope.bindings.text(text)}) > 0"


def raw_users_meant(asker: Asker, connection: sa.Connection, text: str) -> list[int]:
    """The raw ids of the users somebody means by an identity, an e-mail or an id."""
    here = asker.environment_id
    candidates = {identified_user_id(here, text)}
    if text.isascii() and text.isdigit() and len(text) < 20:
        candidates.add(canonical_of(connection, here, int(text)))
    candidates.update(asker.ask(Named(text, NAMING_KEYS, MOST_MEANT)))
    return sorted({raw for user_id in candidates for raw in raw_ids(connection, here, user_id)})


def _with_identities(store: Store, environment_id: int, events: list[LiveEvent]) -> list[LiveEvent]:
    names = identities(store, environment_id, {event.user_id for event in events if event.user_id})
    return [
        structs.replace(event, user=names[event.user_id]) if event.user_id in names else event
        for event in events
    ]
