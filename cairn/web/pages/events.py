"""Defined events: the list with volume and health, one event, and the editor that counts before it saves."""

from datetime import timedelta

import sqlalchemy as sa
from msgspec import Struct, structs
from starlette.responses import Response

from cairn.analysis.users import identities_of
from cairn.clock import to_ms
from cairn.conditions.describe import Part as Words
from cairn.conditions.describe import describe_test
from cairn.conditions.tree import EventMatch
from cairn.definitions.defined_event import (
    archive_defined_event,
    check_known,
    create_defined_event,
    get_defined_event,
    list_defined_events,
    restore_defined_event,
    update_defined_event,
    used_in,
)
from cairn.definitions.expected import expect_names, list_expected, no_longer_expect, planned_names
from cairn.definitions.health import NEW_DAYS, Finding, Report, findings, judged, reports, unplanned
from cairn.definitions.model import Changes, DefinedEvent, Definition, NewDefinedEvent, Part
from cairn.definitions.volume import (
    DAY_MS,
    DAYS,
    Example,
    Total,
    behaviour,
    latest,
    measured,
    names_seen,
    total,
)
from cairn.errors import CairnError, InvalidInput, NotFound
from cairn.web import event_form
from cairn.web.english import Words as EventWords
from cairn.web.english import sentence
from cairn.web.event_form import Draft
from cairn.web.render import count
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

MOST_NAMES = 20  # unplanned ones shown
BADGES = {
    "good": ("good", "good"),
    "broken": ("stopped", "bad"),
    "new": ("new", ""),
    "silent": ("nothing yet", ""),
}


class Matched(Struct, frozen=True):
    """An event that counts, as a sentence."""

    event: Example
    words: EventWords
    user: str  # identity; empty: anonymous


class Tried(Struct, frozen=True):
    """What a definition matches now, before it is kept."""

    total: Total
    matched: list[Matched]


def told(part: Part) -> list[Words]:
    """One part of a definition in words."""
    kind = dict(event_form.KINDS)[part.kind]
    words = [Words("event "), Words(part.name, True)] if part.name else [Words(kind)]
    if part.selector:
        words += [Words(" on "), Words(part.selector, True)]
    for number, test in enumerate(part.tests):
        words += [Words(" and " if number else " where "), *describe_test(test)]
    return words


def events_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        known = _reports(visit, connection)
        found = _findings(visit, connection, known)
        everything = list_defined_events(
            connection, visit.workspace_id, visit.here.project_id, with_archived=True
        )
        expected = list_expected(connection, visit.here.project_id)
    text, category = visit.ask("q").lower(), visit.ask("category")
    planned = planned_names([each.event for each in known], expected)
    return visit.page(
        "events.html", total=len(known), text=visit.ask("q"), category=category, findings=found, badges=BADGES,
        told=told,
        shown=[
            each for each in known
            if text in f"{each.event.name} {each.event.category}".lower() and category in ("", each.event.category)
        ],
        categories=sorted({each.event.category for each in known if each.event.category}),
        archived=[event for event in everything if event.state == "archived"],
        unplanned=unplanned(names_seen(visit.core.store, visit.here.id), planned), expected=expected,
        most_names=MOST_NAMES, fresh_ms=to_ms(visit.now) - NEW_DAYS * DAY_MS,
    )  # fmt: skip


def _reports(visit: Visit, connection: sa.Connection) -> list[Report]:
    return reports(
        visit.core.store, connection, visit.core.definitions, visit.workspace_id, visit.here.project_id,
        visit.here.id, visit.now,
    )  # fmt: skip


def _findings(visit: Visit, connection: sa.Connection, known: list[Report] | None = None) -> list[Finding]:
    return findings(
        visit.core.store, connection, visit.core.definitions, visit.workspace_id, visit.here.project_id,
        visit.here.id, visit.now, known=known,
    )  # fmt: skip


def concerns_of(visit: Visit) -> list[Finding]:
    """What Home shows of defined events."""
    with visit.reading() as connection:
        return _findings(visit, connection)


def event_page(visit: Visit) -> Response:
    store, environment_id = visit.core.store, visit.here.id
    with visit.reading() as connection:
        event = _here(visit, connection)
        asked = [EventMatch(defined=event.id)]
        match = visit.core.definitions.resolve_events(connection, environment_id, asked)[0]
        used = used_in(connection, event)
        names = {
            each.id: each.name
            for each in list_defined_events(
                connection, visit.workspace_id, event.project_id, with_archived=True
            )
        }
    volume = measured(store, environment_id, [match], visit.now)[0]
    return visit.page(
        "events_one.html", event=event, days=volume.days, used=used, names=names, told=told, badges=BADGES,
        state=judged(volume.days, behaviour(store, environment_id, visit.now)),
        starts=[visit.now - timedelta(days=DAYS - place) for place in range(DAYS)],
        total=total(store, environment_id, match, visit.now),
        matched=_matched(visit, latest(store, environment_id, match, visit.now)),
    )  # fmt: skip


def _matched(visit: Visit, examples: list[Example]) -> list[Matched]:
    known = identities_of(visit.core.store, visit.here.id, {each.user_id for each in examples})
    return [Matched(each, sentence(each), known.get(each.user_id, "")) for each in examples]


def _here(visit: Visit, connection: sa.Connection) -> DefinedEvent:
    """The event of the address. Raises NotFound when it belongs to another project."""
    event = get_defined_event(connection, visit.workspace_id, visit.number("event_id"))
    if event.project_id != visit.here.project_id:
        raise NotFound(f"defined event {event.id} belongs to another project; switch the environment")
    return event


def new_event_page(visit: Visit) -> Response:
    return _editor(
        visit, None, event_form.begun(visit.ask("kind"), visit.ask("name"), visit.ask("selector"), visit.ask("text"))
    )  # fmt: skip


def edit_event_page(visit: Visit) -> Response:
    with visit.reading() as connection:
        event = _here(visit, connection)
    draft = event_form.from_definition(event.definition)
    selector = visit.ask("selector")
    if selector and draft.parts:
        first = structs.replace(draft.parts[0], selector=selector)
        draft = structs.replace(draft, parts=(first, *draft.parts[1:]))
    return _editor(visit, event, draft)


def _editor(
    visit: Visit,
    event: DefinedEvent | None,
    draft: Draft,
    *,
    error: CairnError | None = None,
    tried: Tried | None = None,
) -> Response:
    with visit.reading() as connection:
        known = list_defined_events(connection, visit.workspace_id, visit.here.project_id)
    others = [each for each in known if (event is None or each.id != event.id) and not each.definition.events]
    invalid = error if isinstance(error, InvalidInput) else None
    return visit.page(
        "events_edit.html", event=event, draft=draft, error=error, tried=tried, choices=event_form, form=visit.form,
        others=others, categories=sorted({each.category for each in known if each.category}),
        wrong_part=event_form.place_of(invalid), status=422 if error else 200,
        names=[each.name for each in names_seen(visit.core.store, visit.here.id, limit=200)],
    )  # fmt: skip


def save_new_event(visit: Visit) -> Response:
    return _save(visit, None)


def save_event(visit: Visit) -> Response:
    with visit.reading() as connection:
        event = _here(visit, connection)
    return _save(visit, event)


def _save(visit: Visit, event: DefinedEvent | None) -> Response:
    draft, action = event_form.read(visit.form), visit.form("do", "save")
    if action not in ("save", "try"):
        return _editor(visit, event, event_form.change(draft, action))
    try:
        definition = event_form.to_definition(draft)
        if action == "try":
            return _editor(visit, event, draft, tried=_tried(visit, event, definition))
        saved = _saved(visit, event, definition)
    except CairnError as error:
        return _editor(visit, event, draft, error=error)
    visit.changed_everywhere()
    return visit.leave(visit.url(f"/events/{saved.id}"), f"Event {saved.name} counts from the first day on.")


def _tried(visit: Visit, event: DefinedEvent | None, definition: Definition) -> Tried:
    with visit.reading() as connection:
        check_known(connection, visit.here.project_id, definition, of=event.id if event else 0)
        match = visit.core.definitions.matches_of(connection, visit.here.id, definition)
    store = visit.core.store
    return Tried(
        total(store, visit.here.id, match, visit.now),
        _matched(visit, latest(store, visit.here.id, match, visit.now)),
    )


def _saved(visit: Visit, event: DefinedEvent | None, definition: Definition) -> DefinedEvent:
    form = visit.form
    name, category, description = form.line("name"), form.line("category"), form.line("description")
    verified = form("verified") == "1"
    with visit.core.writing() as connection:
        if event is None:
            new = NewDefinedEvent(name, definition, category, description, verified)
            return create_defined_event(
                connection, visit.workspace_id, visit.here.project_id, new, visit.now, by=_member(visit)
            )
        changes = Changes(name, category, description, definition, verified)
        return update_defined_event(connection, visit.workspace_id, event.id, changes, visit.now)


def _member(visit: Visit) -> str:
    return visit.signed_in.member.email


def archive_event(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        event = _here(visit, connection)
        archive_defined_event(connection, visit.workspace_id, event.id, visit.now)
    return visit.go(visit.url("/events"), f"Event {event.name} is archived.")


def restore_event(visit: Visit) -> Response:
    with visit.core.writing() as connection:
        event = _here(visit, connection)
        restore_defined_event(connection, visit.workspace_id, event.id, visit.now)
    return visit.go(visit.url(f"/events/{event.id}"), f"Event {event.name} is back.")


def expect_name(visit: Visit) -> Response:
    """One name, or every unplanned one that the page has shown."""
    names = [value for name, value in visit.form if name == "name"]
    with visit.core.writing() as connection:
        added = expect_names(connection, visit.here.project_id, names, by=_member(visit), now=visit.now)
    told = (
        f"{names[0]} is expected."
        if len(names) == 1
        else f"{count(added, 'name is', 'names are')} expected now."
    )
    return visit.go(visit.url("/events#names"), told)


def forget_name(visit: Visit) -> Response:
    name = visit.form("name")
    with visit.core.writing() as connection:
        no_longer_expect(connection, visit.here.project_id, name)
    return visit.go(visit.url("/events#names"), f"{name} is not expected any more.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/events", events_page),
    get("/env/{environment}/events/new", new_event_page, Verb.DEFINE),
    post("/env/{environment}/events/new", save_new_event),
    post("/env/{environment}/events/names/expect", expect_name),
    post("/env/{environment}/events/names/forget", forget_name),
    get("/env/{environment}/events/{event_id}", event_page),
    get("/env/{environment}/events/{event_id}/edit", edit_event_page, Verb.DEFINE),
    post("/env/{environment}/events/{event_id}/edit", save_event),
    post("/env/{environment}/events/{event_id}/archive", archive_event),
    post("/env/{environment}/events/{event_id}/restore", restore_event),
)
