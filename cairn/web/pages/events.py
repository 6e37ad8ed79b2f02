"""Defined events: the list with volume and health, one event, and the editor that counts before it saves."""

from collections.abc import Mapping

from msgspec import Struct, structs
from starlette.responses import Response

from cairn.analysis import volume
from cairn.analysis.event_health import NEW_DAYS
from cairn.analysis.volume import DAY_MS, Example, Total
from cairn.app import defined_events
from cairn.app.editions import Edited
from cairn.clock import to_ms
from cairn.conditions.describe import Phrase, describe_test
from cairn.definitions.model import Changes, DefinedEvent, NewDefinedEvent, Part
from cairn.web import event_form
from cairn.web.editor.editing import Addresses, Editor
from cairn.web.editor.refusal import Stored
from cairn.web.english import Words, sentence
from cairn.web.event_form import DefinedEventDraft
from cairn.web.portion import MOST_CHOICES, choices, left_out, portion
from cairn.web.render import count
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

MOST_NAMES = 20  # unplanned ones shown
MOST_FINDINGS = 20
MOST_USES = 20  # of one event, named
BADGES = {
    "good": ("good", "good"),
    "broken": ("stopped", "bad"),
    "new": ("new", ""),
    "silent": ("nothing yet", ""),
    "unreadable": ("cannot be read", "bad"),
}


class MatchedEvent(Struct, frozen=True):
    """An event that counts, as a sentence."""

    event: Example
    words: Words
    user: str  # identity; empty: anonymous


class Tried(Struct, frozen=True):
    """What a definition matches now, before it is kept."""

    total: Total
    matched: list[MatchedEvent]


def part_words(part: Part) -> list[Phrase]:
    """One part of a definition in words."""
    kind = dict(event_form.KINDS)[part.kind]
    words = [Phrase("event "), Phrase(part.name, True)] if part.name else [Phrase(kind)]
    if part.selector:
        words += [Phrase(" on "), Phrase(part.selector, True)]
    for number, test in enumerate(part.tests):
        words += [Phrase(" and " if number else " where "), *describe_test(test)]
    return words


def events_page(visit: Visit) -> Response:
    plan = defined_events.read_plan(visit.call, visit.here)
    text, category = visit.ask("q").lower(), visit.ask("category")
    fitting = [
        event
        for event in plan.active
        if text in f"{event.name} {event.category}".lower() and category in ("", event.category)
    ]
    page = portion(fitting, visit.ask("from"))
    categories = sorted({event.category for event in plan.active if event.category})
    return visit.page(
        "events.html",
        total=len(plan.active),
        text=visit.ask("q"),
        category=category,
        badges=BADGES,
        part_words=part_words,
        findings=plan.findings[:MOST_FINDINGS],
        more_findings=len(plan.findings[MOST_FINDINGS:]),
        watched=len(plan.reports),
        page=page,
        shown=defined_events.reports_of(visit.call, visit.here, page.items, plan.reports),
        categories=[name for name, _ in choices([(name, name) for name in categories], [category])],
        archived=portion(plan.archived, visit.ask("archived"), parameter="archived"),
        expected=portion(plan.expected, visit.ask("expected"), parameter="expected"),
        unplanned=plan.unplanned,
        most_names=MOST_NAMES,
        has_all_names=len(plan.unplanned) < volume.MOST_NAMES,
        fresh_ms=to_ms(visit.now) - NEW_DAYS * DAY_MS,
    )


def event_page(visit: Visit) -> Response:
    found = _find(visit)
    event = found.value
    uses = defined_events.users_of(visit.call, event)
    report, matched = defined_events.report_on(visit.call, visit.here, event)
    return visit.page(
        "events_one.html",
        event=event,
        edition=found.edition,
        days=report.volume.days,
        used=uses[:MOST_USES],
        more_uses=len(uses[MOST_USES:]),
        names=defined_events.event_names(visit.call, visit.here),
        part_words=part_words,
        badges=BADGES,
        state=report.state,
        starts=defined_events.shown_days(visit.call, visit.here).starts_ms,
        total=matched.total,
        matched=_matched(visit, matched.latest),
    )


def _matched(visit: Visit, examples: list[Example]) -> list[MatchedEvent]:
    names = defined_events.identities(visit.call, visit.here, {example.user_id for example in examples})
    return [MatchedEvent(example, sentence(example), names.get(example.user_id, "")) for example in examples]


def _event_here(visit: Visit) -> DefinedEvent:
    """The event of the address. Raises DefinedEventNotFound."""
    return defined_events.get_defined_event(
        visit.call, visit.number("event_id"), project_id=visit.here.project_id
    )


def _find(visit: Visit) -> Edited[DefinedEvent]:
    return defined_events.read_defined_event(
        visit.call, visit.number("event_id"), project_id=visit.here.project_id
    )


def _draft_of(visit: Visit, event: DefinedEvent) -> DefinedEventDraft:
    draft, selector = event_form.draft_of(event), visit.ask("selector")
    if not (selector and draft.parts):
        return draft
    first = structs.replace(draft.parts[0], selector=selector)
    return structs.replace(draft, parts=(first, *draft.parts[1:]))


def _addresses(visit: Visit, event: DefinedEvent | None) -> Addresses:
    return Addresses.below(visit, "/events", event.id if event else None)


def _values(visit: Visit, event: DefinedEvent | None, draft: DefinedEventDraft) -> Mapping[str, object]:
    events = defined_events.list_defined_events(visit.call, visit.here)
    others = [
        other for other in events if (event is None or other.id != event.id) and not other.definition.events
    ]
    return {
        "event": event,
        "choices": event_form,
        "tried": None,
        "is_try": visit.form("do") == "try",
        "others": others[:MOST_CHOICES]
        + [other for other in others[MOST_CHOICES:] if other.id in draft.events],
        "more_others": left_out(others),
        "categories": sorted({other.category for other in events if other.category}),
        "names": [seen.name for seen in defined_events.names_seen(visit.call, visit.here, limit=200)],
    }


def _save(
    visit: Visit, event: DefinedEvent | None, draft: DefinedEventDraft, expected: int | None
) -> Response:
    definition, verified = event_form.to_definition(draft), draft.verified == "1"
    if event is None:
        new = NewDefinedEvent(draft.name, definition, draft.category, draft.description, verified)
        saved = defined_events.create_defined_event(visit.call, visit.here.project_id, new).value
    else:
        changes = Changes(draft.name, draft.category, draft.description, definition, verified)
        saved = defined_events.change_defined_event(visit.call, event.id, changes, expected=expected).value
    return visit.leave(visit.url(f"/events/{saved.id}"), f"Event {saved.name} counts from the first day on.")


def _try(visit: Visit, event: DefinedEvent | None, draft: DefinedEventDraft) -> Mapping[str, object]:
    of = event.id if event else 0
    matched = defined_events.try_definition(visit.call, visit.here, event_form.to_definition(draft), of=of)
    return {"tried": Tried(matched.total, _matched(visit, matched.latest))}


def _stored(visit: Visit, event: DefinedEvent) -> Mapping[str, Stored]:
    names = defined_events.event_names(visit.call, visit.here)
    parts = ["".join(words.text for words in part_words(part)) for part in event.definition.parts]
    parts += [names.get(number, str(number)) for number in event.definition.events]
    return {
        "name": Stored("Name", event.name),
        "category": Stored("Category", event.category),
        "description": Stored("Description", event.description),
        "definition": Stored("What counts", " or ".join(parts)),
        "verified": Stored("Verified", "yes" if event.verified else "no"),
    }


EDITOR = Editor(
    "defined event",
    "events_edit.html",
    event_form.WORDING,
    DefinedEventDraft,
    find=_find,
    draft_of=_draft_of,
    addresses=_addresses,
    values=_values,
    save=_save,
    stored=_stored,
    parameter="event_id",
    read=lambda visit, _: event_form.read(visit.form),
    actions={"try": _try},
)


def new_event_page(visit: Visit) -> Response:
    draft = event_form.begun(visit.ask("kind"), visit.ask("name"), visit.ask("selector"), visit.ask("text"))
    return EDITOR.show(visit, None, draft)


def archive_event(visit: Visit) -> Response:
    event = defined_events.archive_defined_event(
        visit.call, _event_here(visit).id, expected=visit.seen_edition
    ).value
    return visit.go(visit.url("/events"), f"Event {event.name} is archived.")


def restore_event(visit: Visit) -> Response:
    event = defined_events.restore_defined_event(visit.call, _event_here(visit).id).value
    return visit.go(visit.url(f"/events/{event.id}"), f"Event {event.name} is back.")


def expect_name(visit: Visit) -> Response:
    """One name, or every unplanned one that the page has shown."""
    names = [value for name, value in visit.form if name == "name"]
    added = defined_events.expect_names(visit.call, visit.here, names)
    said = (
        f"{names[0]} is expected."
        if len(names) == 1
        else f"{count(added, 'name is', 'names are')} expected now."
    )
    return visit.go(visit.url("/events#names"), said)


def forget_name(visit: Visit) -> Response:
    name = visit.form("name")
    defined_events.no_longer_expect(visit.call, visit.here, name)
    return visit.go(visit.url("/events#names"), f"{name} is not expected any more.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/events", events_page),
    get("/env/{environment}/events/new", new_event_page, Verb.DEFINE),
    post("/env/{environment}/events/new", EDITOR.post_new),
    post("/env/{environment}/events/names/expect", expect_name),
    post("/env/{environment}/events/names/forget", forget_name),
    get("/env/{environment}/events/{event_id}", event_page),
    get("/env/{environment}/events/{event_id}/edit", EDITOR.open, Verb.DEFINE),
    post("/env/{environment}/events/{event_id}/edit", EDITOR.post),
    post("/env/{environment}/events/{event_id}/archive", archive_event),
    post("/env/{environment}/events/{event_id}/restore", restore_event),
)
