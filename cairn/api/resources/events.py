"""What arrived, and what became of it."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cairn.analysis.events import MAX_EVENTS, Filter
from cairn.api.endpoint import Endpoint, EnvironmentName, Query
from cairn.app.call import Call
from cairn.app.events import latest_events
from cairn.clock import from_ms
from cairn.outcomes import Outcome
from cairn.workspace.permission import Verb

Text = Annotated[str, Meta(max_length=200)]


class LatestQuery(Query, frozen=True):
    environment: EnvironmentName
    after: Annotated[str, Meta(pattern="^[0-9]{0,15}$", description="A previous answer's `next`.")] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = 50
    search: Text = ""  # in the name or any property's value
    user: Text = ""  # an identity, an e-mail, or a user id
    source: Text = ""
    outcome: Outcome | None = None


class EventAnswer(Struct, frozen=True):
    event_id: str | None  # null: it was refused
    received_at: datetime
    time: datetime
    outcome: str
    reason: str
    detail: (
        str  # of a refused one: the field and the fix; of a stored one what was left out, empty for nothing
    )
    kind: str
    name: str
    user: str  # identity; of a refused one what the sender said
    user_id: int | None
    source: str
    library: str
    properties: dict[str, str]  # the first hundred
    more_properties: int  # left out
    payload: str  # of a refused one, as received


class EventList(Struct, frozen=True):
    events: list[EventAnswer]
    next: str


def read_events(call: Call, query: LatestQuery) -> EventList:
    """List what was received last, newest first, with its outcome. `next` is for asking again for what came since."""
    environment = call.environment(query.environment)
    only = Filter(query.search, query.user, query.source, query.outcome or "")
    found = latest_events(call, environment, only, limit=query.limit, after_ms=int(query.after or 0))
    events = [
        EventAnswer(
            event_id=str(seen.event_id) if seen.outcome == Outcome.ACCEPTED else None,
            received_at=from_ms(seen.received_ms),
            time=from_ms(seen.time_ms),
            outcome=seen.outcome,
            reason=seen.reason,
            detail=seen.detail,
            kind=seen.kind,
            name=seen.name,
            user=seen.user,
            user_id=seen.user_id or None,
            source=seen.source,
            library=seen.library,
            properties=seen.properties,
            more_properties=seen.more_properties,
            payload=seen.payload,
        )
        for seen in found
    ]
    # Limit: events of the newest millisecond come again, so that none that shares it is missed.
    return EventList(events, str(found[0].received_ms) if found else query.after)


ENDPOINTS = (Endpoint("GET", "/events", Verb.SEE, read_events),)
