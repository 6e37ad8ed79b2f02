"""Segments: the list, one segment with its members, and the editor."""

from collections.abc import Mapping
from datetime import tzinfo
from itertools import groupby

from msgspec import Struct, structs
from starlette.responses import Response

from cairn.analysis.suggestions import EventNames, FrequentValues, PropertyKeys
from cairn.analysis.users import User
from cairn.app import segments, users
from cairn.app.defined_events import event_names
from cairn.app.editions import Edited
from cairn.app.segments import Explained, SegmentChanges
from cairn.conditions.describe import Names, Phrase, describe
from cairn.conditions.tree import And, Or
from cairn.errors import CairnError, Unavailable
from cairn.segments.definition import NewSegment, Segment, SegmentState
from cairn.segments.explain import CountedEvent, Why
from cairn.segments.used_by import Use
from cairn.web import segment_form
from cairn.web.editor.editing import Addresses, Editor
from cairn.web.editor.refusal import FormRefused, Stored
from cairn.web.english import Words, sentence
from cairn.web.pages.syncs import EVERY, integrations, mappings
from cairn.web.portion import choices, left_out, portion
from cairn.web.render import count
from cairn.web.segment_form import SegmentDraft
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

MEMBERS = 50  # on a page
COUNT_WITHIN_S = 3.0  # while somebody edits; each change asks again
SUGGEST_WITHIN_S = 1.0
SUGGESTED = 20  # values of a property
SUGGESTED_KEYS = 20  # properties of one form that get suggestions


class Listed(Struct, frozen=True):
    segment: Segment
    state: SegmentState | None
    sentence: list[Phrase]


class Learned(Struct, frozen=True):
    """What the editor learns of its draft: its size in words, and values by the row that may take them."""

    said: str
    values: dict[str, list[str]]


class Reasoned(Struct, frozen=True):
    """One node of the answer, in words."""

    why: Why
    words: list[Phrase]  # of a leaf
    joined: str  # of a group
    nodes: list["Reasoned"]
    events: list[tuple[CountedEvent, Words]]


class MembershipAnswer(Struct, frozen=True):
    """Whether somebody is in, and why. `since_ms` None: not in by the live count."""

    user: User
    since_ms: int | None
    reason: Reasoned


def segments_page(visit: Visit) -> Response:
    all_segments, text = segments.list_segments(visit.call, visit.here.project_id), visit.ask("q").lower()
    fitting = [segment for segment in all_segments if text in f"{segment.name} {segment.key}".lower()]
    page = portion(fitting, visit.ask("from"))
    states, names = segments.states_in(visit.call, visit.here), event_names(visit.call, visit.here)
    shown = [
        Listed(segment, states.get(segment.id), _condition_words(visit, segment, names))
        for segment in page.items
    ]
    return visit.page("segments.html", shown=shown, page=page, total=len(all_segments), text=visit.ask("q"))


def _condition_words(visit: Visit, segment: Segment, names: Mapping[int, str]) -> list[Phrase]:
    if segment.unreadable:
        return [Phrase(segment.unreadable)]
    return describe(segment.condition, Names(events=names, zone=visit.zone))


def segment_page(visit: Visit) -> Response:
    call, here, typed, after = visit.call, visit.here, visit.ask("user"), visit.ask("after")
    found, names = _find(visit), event_names(call, here)
    segment = found.value
    state = next(
        (state for state in segments.list_states(call, segment) if state.environment_id == here.id), None
    )
    page = segments.list_members(call, here, segment, after=after, limit=MEMBERS)
    candidates = users.candidates(call, here, typed)
    why = None
    if len(candidates) == 1 and not segment.unreadable:
        why = _answer(segments.explain_member(call, here, segment, candidates[0]), names, visit.zone)
    return visit.page(
        "segment.html",
        segment=segment,
        edition=found.edition,
        state=state,
        members=users.described(call, here, page.since_ms),
        sentence=_condition_words(visit, segment, names),
        since=page.since_ms,
        after=after,
        next=page.next or "",
        size=page.size,
        typed_user=typed,
        candidates=candidates,
        why=why,
        askers=_askers(segments.users_of(call, segment)),
        integrations=integrations(visit, segment),
        mappings=mappings(visit),
        everies=EVERY,
        may_sync=visit.may(Verb.DEFINE),
    )


def _askers(uses: list[Use]) -> list[list[Use]]:
    """The flags and holdouts that ask, each with its environments."""
    return [list(uses_of_flag) for _, uses_of_flag in groupby(uses, lambda use: (use.what, use.key))]


def _segment_here(visit: Visit) -> Segment:
    """The segment of the address. Raises SegmentNotFound."""
    return segments.get_segment(visit.call, visit.number("segment_id"), project_id=visit.here.project_id)


def _answer(explained: Explained, names: Mapping[int, str], zone: tzinfo) -> MembershipAnswer:
    return MembershipAnswer(explained.user, explained.since_ms, _reasoned(explained.why, names, zone))


def _reasoned(why: Why, names: Mapping[int, str], zone: tzinfo) -> Reasoned:
    match why.condition:
        case And():
            joined = "all of"
        case Or():
            joined = "any of"
        case _:
            joined = "not"
    words = [] if why.nodes else describe(why.condition, Names(events=names, zone=zone))
    events = [(event, sentence(event)) for event in why.latest]
    return Reasoned(why, words, joined, [_reasoned(node, names, zone) for node in why.nodes], events)


def _find(visit: Visit) -> Edited[Segment]:
    return segments.read_segment(visit.call, visit.number("segment_id"), project_id=visit.here.project_id)


def _draft_of(visit: Visit, segment: Segment) -> SegmentDraft:
    draft = (
        SegmentDraft() if segment.unreadable else segment_form.from_condition(segment.condition, visit.zone)
    )
    return structs.replace(draft, name=segment.name, key=segment.key, description=segment.description)


def _addresses(visit: Visit, segment: Segment | None) -> Addresses:
    return Addresses.below(visit, "/segments", segment.id if segment else None)


def _values(visit: Visit, segment: Segment | None, draft: SegmentDraft) -> Mapping[str, object]:
    condition, _ = segment_form.to_condition(draft, visit.zone)
    events = event_names(visit.call, visit.here)
    defined = [(f"{segment_form.DEFINED}{number}", name) for number, name in events.items()]
    return {
        "segment": segment,
        "counted": None,
        "choices": segment_form,
        "defined": tuple(choices(defined, [row.kind for group in draft.groups for row in group.rows])),
        "more_defined": left_out(defined),
        "sentence": describe(condition, Names(events=events, zone=visit.zone))
        if condition is not None
        else [],
        "names": visit.call.ask(visit.here.id, EventNames(visit.now)),
        "keys": visit.call.ask(visit.here.id, PropertyKeys()),
    }


def _count(visit: Visit, _segment: Segment | None, draft: SegmentDraft) -> Mapping[str, object]:
    return {"counted": Learned(_size(visit, draft), _suggestions(visit, draft))}


def _size(visit: Visit, draft: SegmentDraft) -> str:
    if draft.groups == SegmentDraft().groups and not draft.json:
        return "Say who is in, and how many they are appears here."
    condition, problems = segment_form.to_condition(draft, visit.zone)
    if condition is None:
        return f"It cannot be counted yet: {next(iter(problems.values()))}"
    try:
        preview = segments.preview_condition(visit.call, visit.here, condition, timeout_s=COUNT_WITHIN_S)
    except Unavailable:
        return f"It takes longer than {COUNT_WITHIN_S:g} seconds to count; saved, it is counted in the background."
    except CairnError as error:
        return f"It cannot be counted yet: {error}"
    if not preview.users:
        return f"No users in {visit.here.name} now."
    return (
        f"{count(preview.users, 'user')} in {visit.here.name} now, {preview.identified:,} of them identified."
    )


def _suggestions(visit: Visit, draft: SegmentDraft) -> dict[str, list[str]]:
    """By row. None when they take too long: they are a convenience."""
    keys = {
        f"g{at}.r{number}": row.key
        for at, group in enumerate(draft.groups)
        for number, row in enumerate(group.rows)
        if row.what == "property" and row.key
    }
    property_keys = list(dict.fromkeys(keys.values()))[:SUGGESTED_KEYS]
    if not property_keys:
        return {}
    try:
        suggestions = visit.call.ask(
            visit.here.id, FrequentValues(tuple(property_keys), SUGGESTED), timeout_s=SUGGEST_WITHIN_S
        )
    except Unavailable:
        return {}
    return {row: suggestions[key] for row, key in keys.items() if key in suggestions}


def _save(visit: Visit, segment: Segment | None, draft: SegmentDraft, expected: int | None) -> Response:
    condition, problems = segment_form.to_condition(draft, visit.zone)
    if condition is None:
        raise FormRefused(problems)
    if segment is None:
        new = NewSegment(key=draft.key, name=draft.name, condition=condition, description=draft.description)
        saved, done = (
            segments.create_segment(visit.call, visit.here.project_id, new).value,
            "is being counted",
        )
    else:
        changes = SegmentChanges(draft.name, draft.description, condition)
        saved = segments.change_segment(visit.call, segment.id, changes, expected=expected).value
        done = "is saved"
    return visit.leave(visit.url(f"/segments/{saved.id}"), f"Segment {saved.name} {done}.")


def _stored(visit: Visit, segment: Segment) -> Mapping[str, Stored]:
    condition = _condition_words(visit, segment, event_names(visit.call, visit.here))
    return {
        "name": Stored("Name", segment.name),
        "description": Stored("Description", segment.description),
        "condition": Stored("Who is in", "".join(part.text for part in condition)),
    }


EDITOR = Editor(
    "segment",
    "segment_edit.html",
    segment_form.WORDING,
    SegmentDraft,
    find=_find,
    draft_of=_draft_of,
    addresses=_addresses,
    values=_values,
    save=_save,
    stored=_stored,
    parameter="segment_id",
    actions={"count": _count},
)


def new_segment_page(visit: Visit) -> Response:
    return EDITOR.show(visit, None, SegmentDraft())


def remove_segment(visit: Visit) -> Response:
    segment = _segment_here(visit)
    segments.delete_segment(visit.call, segment, expected=visit.seen_edition)
    return visit.go(visit.url("/segments"), f"Segment {segment.name} is deleted.")


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/segments", segments_page),
    get("/env/{environment}/segments/new", new_segment_page, Verb.DEFINE),
    post("/env/{environment}/segments/new", EDITOR.post_new),
    get("/env/{environment}/segments/{segment_id}", segment_page),
    get("/env/{environment}/segments/{segment_id}/edit", EDITOR.open, Verb.DEFINE),
    post("/env/{environment}/segments/{segment_id}/edit", EDITOR.post),
    post("/env/{environment}/segments/{segment_id}/delete", remove_segment),
)
