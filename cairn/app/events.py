"""Events as they arrive: the latest stored and refused ones, and those that the feed got since."""

from msgspec import Struct, structs

from cairn.analysis import events
from cairn.analysis.events import SEARCHED_FACTS, Filter, LiveEvent
from cairn.app.call import Call
from cairn.app.defined_events import resolve
from cairn.app.exposures import with_names
from cairn.definitions.matching import happened_as
from cairn.definitions.model import Part
from cairn.ingest.feed import FeedItem
from cairn.outcomes import Outcome
from cairn.store.arrow_tables import text_of
from cairn.workspace.environment import Environment

UNKNOWN = 0  # the environment of what came with a key of no environment


class EventQuery(Struct, frozen=True):
    """What a reader of events wants to see. `parts`: of a defined event, to compare new events with."""

    environment_id: int
    only: Filter = Filter()
    parts: tuple[Part, ...] | None = None
    users: frozenset[int] = frozenset()  # raw ids that `only.user` means


def latest_events(
    call: Call, environment: Environment, only: Filter, *, limit: int, after_ms: int = 0
) -> list[LiveEvent]:
    """What was received last, newest first, with its outcome. `after_ms`: only what was received then or after."""
    with call.reading() as connection:
        latest = events.latest(
            call.asker(environment.id),
            connection,
            now=call.now,
            only=only,
            limit=limit,
            after_ms=after_ms,
        )
    return with_names(call, environment.id, latest)


def query_of(call: Call, environment: Environment, only: Filter, *, defined: int = 0) -> EventQuery:
    """`defined`: a defined event's id; 0: whatever happened. Raises NotFound for one the project does not have."""
    core, parts = call.core, None
    if defined:
        only = structs.replace(only, match=resolve(call, environment, defined))
    with call.reading() as connection:
        if defined:
            parts = core.definitions.parts_of(connection, environment.id, defined)
        users = events.raw_users_meant(call.asker(environment.id), connection, only.user) if only.user else []
    return EventQuery(environment.id, only, parts, frozenset(users))


def stored_events(call: Call, query: EventQuery, *, limit: int) -> list[LiveEvent]:
    """What was received last of what is wanted, newest first."""
    asker = call.asker(query.environment_id)
    if query.environment_id == UNKNOWN:
        return events.refused(asker, now=call.now, limit=limit)
    with call.reading() as connection:
        latest = events.latest(asker, connection, now=call.now, only=query.only, limit=limit)
    return with_names(call, query.environment_id, latest)


def newest_number(call: Call, query: EventQuery) -> int:
    """The feed's number of the newest event."""
    return call.core.feed.newest(query.environment_id)


def new_events(call: Call, query: EventQuery, *, after: int, limit: int) -> list[LiveEvent]:
    """What the feed got after a number, as far as it is wanted, newest first."""
    items = call.core.feed.recent(query.environment_id, limit, after=after)
    fitting = [_live_event(item) for item in items if fits(item, query)]
    with call.reading() as connection:
        owned = events.owned(call.core.store, connection, query.environment_id, fitting)
    return with_names(call, query.environment_id, owned)


def fits(item: FeedItem, query: EventQuery) -> bool:
    """The same meaning as the question to the store (analysis.events)."""
    only, parts = query.only, query.parts
    if only.source and item.source != only.source:
        return False
    if only.outcome and item.outcome != only.outcome:
        return False
    if only.kind and item.kind != only.kind:
        return False
    if parts is not None and not (item.outcome == Outcome.ACCEPTED and happened_as(parts, item)):
        return False
    if only.user and item.user_id not in query.users and only.user.lower() not in item.user.lower():
        return False
    return not only.text or any(only.text.lower() in value.lower() for value in _searched(item))


def _searched(item: FeedItem) -> list[str]:
    facts = [item.facts.get(key, "") for key in SEARCHED_FACTS]
    text = item.element.text if item.element else ""
    return [item.name, item.payload, item.reason, text, *facts, *map(text_of, item.properties.values())]


def _live_event(item: FeedItem) -> LiveEvent:
    return LiveEvent(
        item.received_ms,
        item.time_ms,
        item.outcome,
        item.reason,
        item.kind,
        item.name,
        item.user,
        item.user_id,
        item.source,
        item.library,
        item.detail,
        {key: text_of(value) for key, value in item.properties.items()},
        item.payload,
        item.event_id,
        item.session_id,
        {key: value for key, value in item.facts.items() if value},
        item.more_properties,
        item.element,
    )
