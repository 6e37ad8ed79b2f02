"""Defined events: names for what was captured, counted over all history at once."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cairn.analysis.event_health import Finding
from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Page, ProjectQuery, Query, Versioned
from cairn.api.endpoint import Next as NextPage
from cairn.api.page import page_of
from cairn.app import defined_events
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.sources import find_project
from cairn.clock import from_ms
from cairn.definitions.model import Changes, DefinedEvent, Definition, NewDefinedEvent
from cairn.workspace.permission import Verb


class UsedIn(Struct, frozen=True):
    what: str  # segment, or defined event
    id: Id
    name: str


class DefinedEventAnswer(Struct, frozen=True):
    id: Id
    name: str
    category: str
    description: str
    definition: Definition
    version: int
    state: str  # active, archived
    verified: bool
    used_in: list[UsedIn]
    created_by: str
    created_at: datetime
    updated_at: datetime
    unreadable: str = ""  # why the stored definition cannot be read; send a new one. Empty: it can


class DefinedEventsQuery(Page, frozen=True):
    with_archived: bool = False


class DefinedEventList(Struct, frozen=True):
    defined_events: list[DefinedEventAnswer]
    next: NextPage = None


class DefinedEventChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    definition: Definition | UnsetType = UNSET
    verified: bool | UnsetType = UNSET


class InEnvironment(Query, frozen=True):
    environment: EnvironmentName


class CountsQuery(InEnvironment, frozen=True):
    days: Annotated[int, Meta(ge=1, le=366)] = 30


class EventCounts(Struct, frozen=True):
    name: str
    events: int  # over all history
    users: int
    first_at: datetime | None
    last_at: datetime | None
    time_zone: str  # of the project, in which the days begin
    since: datetime  # the beginning of the first day
    days: list[int]  # events on each calendar day, oldest first; the last is today, so far


class DefinitionTest(Struct, frozen=True, forbid_unknown_fields=True):
    definition: Definition


class Matched(Struct, frozen=True):
    event_id: str
    time: datetime
    kind: str
    name: str
    user_id: int
    path: str
    text: str  # of the element
    hierarchy: str


class TriedAnswer(Struct, frozen=True):
    events: int
    users: int
    latest: list[Matched]


class FoundAnswer(Struct, frozen=True):
    findings: list[Finding]


def read_defined_events(call: Call, query: DefinedEventsQuery) -> DefinedEventList:
    """List the defined events by name."""
    events = defined_events.list_defined_events(call, with_archived=query.with_archived)
    page, rest = page_of(events, query, key=lambda event: (event.name, event.id))
    return DefinedEventList([_answer(call, event) for event in page], rest)


def create_a_defined_event(
    call: Call, query: ProjectQuery, body: NewDefinedEvent
) -> Versioned[DefinedEventAnswer]:
    """Define an event. It counts everything that was ever captured."""
    project = find_project(call, query.project)
    return _versioned(call, defined_events.create_defined_event(call, project.id, body))


def read_defined_event(call: Call, event_id: Id) -> Versioned[DefinedEventAnswer]:
    """Read a defined event, and where it is used."""
    return _versioned(call, defined_events.read_defined_event(call, event_id))


def change_defined_event(
    call: Call, event_id: Id, body: DefinedEventChanges, expected: int | None
) -> Versioned[DefinedEventAnswer]:
    """Change a defined event. Segments that count it are counted again."""
    changed = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    event = defined_events.change_defined_event(call, event_id, Changes(**changed), expected=expected)
    return _versioned(call, event)


def archive_a_defined_event(call: Call, event_id: Id, expected: int | None) -> None:
    """Archive a defined event that nothing uses."""
    defined_events.archive_defined_event(call, event_id, expected=expected)


def restore_a_defined_event(call: Call, event_id: Id, expected: int | None) -> Versioned[DefinedEventAnswer]:
    """Bring an archived defined event back as it was."""
    return _versioned(call, defined_events.restore_defined_event(call, event_id, expected=expected))


def count_defined_event(call: Call, event_id: Id, query: CountsQuery) -> EventCounts:
    """Count a defined event over all history, and per day."""
    environment = call.environment(query.environment)
    event = defined_events.get_defined_event(call, event_id)
    counted = defined_events.count_defined_event(call, environment, event, days=query.days)
    total = counted.total
    return EventCounts(
        name=event.name,
        events=total.events,
        users=total.users,
        first_at=from_ms(total.first_ms) if total.events else None,
        last_at=from_ms(total.last_ms) if total.events else None,
        time_zone=environment.time_zone,
        since=from_ms(counted.days.since_ms).astimezone(environment.zone),
        days=counted.counts,
    )


def try_definition(call: Call, query: InEnvironment, body: DefinitionTest) -> TriedAnswer:
    """Count what a definition would match, and show the latest, without keeping it."""
    tried = defined_events.try_definition(call, call.environment(query.environment), body.definition)
    return TriedAnswer(
        tried.total.events,
        tried.total.users,
        [
            Matched(
                event_id=str(example.event_id),
                time=from_ms(example.time_ms),
                kind=example.kind,
                name=example.name,
                user_id=example.user_id,
                path=example.facts.get("path", ""),
                text=example.element.text if example.element else "",
                hierarchy=example.element.hierarchy if example.element else "",
            )
            for example in tried.latest
        ],
    )


def read_event_findings(call: Call, query: InEnvironment) -> FoundAnswer:
    """List defined events that stopped counting, with selectors that would match again, and duplicates."""
    return FoundAnswer(defined_events.findings(call, call.environment(query.environment)))


def _versioned(call: Call, edited: Edited[DefinedEvent]) -> Versioned[DefinedEventAnswer]:
    return Versioned(_answer(call, edited.value), edited.edition)


def _answer(call: Call, event: DefinedEvent) -> DefinedEventAnswer:
    return DefinedEventAnswer(
        id=event.id,
        name=event.name,
        category=event.category,
        description=event.description,
        definition=event.definition,
        version=event.version,
        state=event.state,
        verified=event.verified,
        used_in=[UsedIn(use.what, use.id, use.name) for use in defined_events.users_of(call, event)],
        created_by=event.created_by,
        created_at=event.created_at,
        updated_at=event.updated_at,
        unreadable=event.unreadable,
    )


EXAMPLE = {
    "name": "Add to cart",
    "category": "Shop",
    "definition": {
        "parts": [
            {
                "kind": "click",
                "selector": ".product button.add",
                "tests": [{"key": "path", "operator": "starts_with", "value": "/shop"}],
            }
        ]
    },
}
_EVENT = "/defined-events/{event_id}"
ENDPOINTS = (
    Endpoint("GET", "/defined-events", Verb.SEE, read_defined_events),
    Endpoint("POST", "/defined-events", Verb.DEFINE, create_a_defined_event, example=EXAMPLE, status=201),
    Endpoint("GET", "/defined-events/findings", Verb.SEE, read_event_findings),
    Endpoint(
        "POST",
        "/defined-events/test",
        Verb.SEE,
        try_definition,
        example={"definition": EXAMPLE["definition"]},
    ),
    Endpoint("GET", _EVENT, Verb.SEE, read_defined_event),
    Endpoint("PATCH", _EVENT, Verb.DEFINE, change_defined_event, example={"verified": True}),
    Endpoint("DELETE", _EVENT, Verb.DEFINE, archive_a_defined_event),
    Endpoint("POST", _EVENT + "/restore", Verb.DEFINE, restore_a_defined_event),
    Endpoint("GET", _EVENT + "/counts", Verb.SEE, count_defined_event),
)
