"""What one user did, newest first, over all its raw ids."""

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, events
from cairn.analysis.user_questions import of_users
from cairn.analysis.users import PAGE, raw_ids
from cairn.event import Element
from cairn.query.captured import FACTS_MAP, MORE_PROPERTIES, PROPERTIES_MAP, with_element
from cairn.query.cursor import Cursor, older_events
from cairn.query.elements import read_elements
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS
from cairn.store.store import Row


class TimelineEvent(Struct, frozen=True):
    event_id: int
    time_ms: int
    received_ms: int
    kind: str
    name: str
    source: str
    library: str
    raw_user_id: int  # which of the merged ids did it
    session_id: int
    properties: dict[str, str]
    facts: dict[str, str]
    more_properties: int  # left out of `properties`
    detail: str  # what was left out when it was stored, and why; empty: nothing
    element: Element | None


class Timeline(Struct, frozen=True):
    events: list[TimelineEvent]
    next: Cursor | None = None


class _Page(Struct, frozen=True):
    """Rows as TimelineEvent, with the element's number at the end."""

    raw_ids: tuple[int, ...]
    after: Cursor | None
    limit: int

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT event_id, {TIME_MS} AS at, toUnixTimestamp64Milli(received_at), kind, name,
                   source, library, user_id, session_id, {PROPERTIES_MAP} AS shown, {FACTS_MAP},
                   {MORE_PROPERTIES}, detail, element
            FROM {events(plan, scope, of_users(self.raw_ids, scope), older_events(self.after, scope))}
            ORDER BY at DESC, log_position DESC, event_id DESC LIMIT {int(self.limit)}
        """

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def timeline(
    asker: Asker, connection: sa.Connection, user_id: int, *, after: Cursor | None = None, limit: int = PAGE
) -> Timeline:
    """What a canonical user did, newest first."""
    ids = raw_ids(connection, asker.environment_id, user_id)
    rows = asker.ask(_Page(tuple(ids), after, limit + 1))
    elements = read_elements(asker.store, asker.environment_id, (row[-1] for row in rows))
    shown = [TimelineEvent(*with_element(row, elements)) for row in rows]
    last = shown[limit - 1] if len(shown) > limit else None
    return Timeline(shown[:limit], Cursor(last.time_ms, last.event_id) if last else None)
