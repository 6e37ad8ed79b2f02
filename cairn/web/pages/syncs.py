"""A segment's Integrations: syncs to targets, how they stand, their history, and who is left out."""

from typing import get_args

from msgspec import Struct
from starlette.responses import Response

from cairn.analysis.suggestions import PropertyKeys
from cairn.app import directory, segments, syncs
from cairn.app.syncs import SyncChanges, SyncView
from cairn.errors import InvalidInput, Unavailable
from cairn.segments.definition import Segment
from cairn.sync.syncs import EMAIL, IDENTITY, PROPERTY, Every, NewSync, Task
from cairn.sync.targets import Target
from cairn.web.portion import choices
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

HISTORY = 10  # tasks of each sync
KEYS_WITHIN_S = 1.0  # the mapping's choices are a convenience
EVERY: dict[Every, str] = {
    "continuous": "continuously",
    "15m": "every 15 minutes",
    "1h": "every hour",
    "4h": "every 4 hours",
    "1d": "every day",
}


class ShownSync(Struct, frozen=True):
    view: SyncView
    mapped: str  # what its members are named by, in words
    every: str
    history: list[Task]


class Integrations(Struct, frozen=True):
    """What the segment's page shows of syncs."""

    syncs: list[ShownSync]
    targets: list[Target]  # which the segment is not synced to yet
    is_moving: bool  # something is being sent, or is about to be


def integrations(visit: Visit, segment: Segment) -> Integrations:
    views = syncs.list_syncs(visit.call, visit.here, segment)
    taken = {view.target.id for view in views}
    free = [target for target in syncs.list_targets(visit.call, visit.here) if target.id not in taken]
    shown = [
        ShownSync(
            view,
            words_of(view.sync.mapping),
            EVERY.get(view.sync.every, "once"),
            syncs.list_tasks(visit.call, visit.here, view.sync.id, limit=HISTORY),
        )
        for view in views
    ]
    return Integrations(shown, [target for target in free if target.can_send], any(map(_is_moving, views)))


def _is_moving(view: SyncView) -> bool:
    sync = view.sync
    return sync.is_on and view.target.can_send and (view.task is not None or not sync.is_compared)


def words_of(mapping: str) -> str:
    """What a member is named by: `an identity`, `an e-mail address`, `a value of plan`."""
    if mapping == IDENTITY:
        return "an identity"
    return "an e-mail address" if mapping == EMAIL else f"a value of {mapping.removeprefix(PROPERTY)}"


def mappings(visit: Visit, chosen: str = "") -> list[tuple[str, str]]:
    """What members can be named by, for a select."""
    try:
        keys = visit.call.ask(visit.here.id, PropertyKeys(), timeout_s=KEYS_WITHIN_S)
    except Unavailable:
        keys = []
    properties = [(f"{PROPERTY}{key}", key) for key in keys if key not in ("identity", "email", "_email")]
    first = [(IDENTITY, "Identity"), (EMAIL, "E-mail")]
    return first + list(choices(properties, [chosen]))


def _segment(visit: Visit) -> Segment:
    return segments.get_segment(visit.call, visit.number("segment_id"), project_id=visit.here.project_id)


def _back(visit: Visit, notice: str) -> Response:
    return visit.go(visit.url(f"/segments/{visit.number('segment_id')}#integrations"), notice)


def _every(text: str) -> Every:
    """Raises InvalidInput."""
    for every in get_args(Every):
        if every == text:
            known: Every = every
            return known
    raise InvalidInput("every: choose one of the list", field="every")


def _here(visit: Visit) -> SyncView:
    """The sync of the address, which is of the segment there. Raises SyncNotFound."""
    view = syncs.get_sync(visit.call, visit.here, visit.number("sync_id"))
    if view.sync.segment_id != _segment(visit).id:
        raise InvalidInput("this sync is of another segment; open its page")
    return view


def enable(visit: Visit) -> Response:
    segment, form = _segment(visit), visit.form
    is_recurring = form("do") != "once"
    every: Every = _every(form("every")) if is_recurring else "once"
    new = NewSync(_number(form("target")), form("mapping", IDENTITY), every)
    target = syncs.get_target(visit.call, visit.here, new.target_id).value
    syncs.create_sync(visit.call, visit.here, segment, new)
    done = (
        f"is synced to {target.name} {EVERY[every]}"
        if every in EVERY
        else f"is being sent to {target.name} once"
    )
    return _back(visit, f"{segment.name} {done}.")


def _number(text: str) -> int:
    """Raises InvalidInput."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput("target: choose one of the list", field="target")
    return int(text)


def change(visit: Visit) -> Response:
    view, form = _here(visit), visit.form
    changes = SyncChanges(mapping=form("mapping"), every=_every(form("every")))
    syncs.change_sync(visit.call, visit.here, view.sync.id, changes, expected=visit.seen_edition)
    return _back(visit, f"The sync to {view.target.name} is saved.")


def switch(visit: Visit) -> Response:
    view, is_on = _here(visit), visit.form("on") == "1"
    changes = SyncChanges(is_on=is_on)
    syncs.change_sync(visit.call, visit.here, view.sync.id, changes, expected=visit.seen_edition)
    return _back(visit, f"The sync to {view.target.name} {'goes on' if is_on else 'is paused'}.")


def send_now(visit: Visit) -> Response:
    view = _here(visit)
    syncs.sync_now(visit.call, visit.here, view.sync.id, compare=visit.form("compare") == "1")
    return _back(visit, f"What has changed is being sent to {view.target.name}.")


def send_sample(visit: Visit) -> Response:
    view = _here(visit)
    syncs.send_sample(visit.call, visit.here, view.sync.id)
    return _back(visit, f"A sample is being sent to {view.target.name}; the result is in the history.")


def remove(visit: Visit) -> Response:
    view, empties = _here(visit), visit.form("empties") == "1"
    syncs.end_sync(visit.call, visit.here, view.sync.id, empties=empties, expected=visit.seen_edition)
    ending = " once it has been told that nobody is in any more" if empties else ""
    return _back(visit, f"The sync to {view.target.name} ends{ending}.")


def without_id_page(visit: Visit) -> Response:
    """Members of the segment that cannot be synced under a mapping, because they have no id by it."""
    segment, mapping = _segment(visit), visit.ask("by", IDENTITY, longest=1_100)
    found = directory.users_without(visit.call, visit.here, segment, mapping, after=visit.ask("after"))
    return visit.page(
        "segment_without.html",
        segment=segment,
        mapping=mapping,
        mapped=words_of(mapping),
        found=found,
        after=visit.ask("after"),
    )


_SYNC = "/env/{environment}/segments/{segment_id}/syncs/{sync_id}"
PAGES: tuple[Page, ...] = (
    get("/env/{environment}/segments/{segment_id}/without", without_id_page),
    post("/env/{environment}/segments/{segment_id}/syncs", enable, Verb.DEFINE),
    post(_SYNC, change, Verb.DEFINE),
    post(f"{_SYNC}/switch", switch, Verb.DEFINE),
    post(f"{_SYNC}/now", send_now, Verb.DEFINE),
    post(f"{_SYNC}/sample", send_sample, Verb.DEFINE),
    post(f"{_SYNC}/remove", remove, Verb.DEFINE),
)
