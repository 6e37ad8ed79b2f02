"""Home: how it is going, and the facts behind what needs a look. Every number is counted when it is asked for."""

from datetime import timedelta

from msgspec import Struct

from cairn.analysis.event_health import Finding
from cairn.analysis.events import Filter, LiveEvent, latest
from cairn.analysis.overview import BehaviourByDay, BehaviourLately, Bucket, Heard, Refusals, RefusedByReason
from cairn.app import defined_events
from cairn.app.access import is_operator
from cairn.app.call import Call
from cairn.app.core import HealthProblem
from cairn.app.deliveries import list_troubled
from cairn.app.events import UNKNOWN, latest_events
from cairn.app.exposures import with_names
from cairn.app.heap_audiences import ShownAudience, needing_attention
from cairn.app.hooks import list_hooks
from cairn.app.python_lists import WithheldLists, withheld_lists
from cairn.app.sources import heard_from
from cairn.app.syncs import list_failing
from cairn.calendar import last_days
from cairn.event import Kind
from cairn.flags.overview import FlagCount, count_flags
from cairn.outcomes import Outcome
from cairn.routing.report import Troubled
from cairn.segments import definition as segments
from cairn.segments.definition import SegmentName, SegmentState
from cairn.segments.used_by import used_by
from cairn.sync.hooks import Hook
from cairn.sync.syncs import FailingSync
from cairn.workspace.environment import Environment


class CountedSegment(Struct, frozen=True):
    segment: SegmentName
    state: SegmentState | None  # None: of a new environment, not counted yet


class LongList(Struct, frozen=True):
    """A flag asks about a segment of more members than a settings file may hold: Python SDKs cannot be given it."""

    flag_key: str
    segment: SegmentName
    size: int


class Overview(Struct, frozen=True):
    days: list[Bucket]
    hour: Bucket
    today: Bucket
    segments: list[CountedSegment]
    flags: FlagCount
    heard: list[Heard]  # from whom, in 30 days
    latest: list[LiveEvent]
    refusals: list[Refusals]  # of the last hour
    unknown_keys: (
        int  # requests of the last hour that came with a key of no environment; 0 for all but operators
    )
    problems: list[HealthProblem]
    findings: list[Finding]  # of defined events
    long_lists: list[LongList]
    withheld_lists: list[WithheldLists]
    audiences: list[ShownAudience]  # of the Heap account, whose sync fails or has gone silent
    syncs: list[FailingSync]  # of segments to targets
    hooks: list[Hook]  # webhooks that fail
    connections: list[Troubled]  # that wait for their destination, or gave messages up


class FirstSteps(Struct, frozen=True):
    """How far a workspace has come on its first day: nothing arrived, a page was seen, something was clicked."""

    event: LiveEvent | None = None  # the newest one
    click: LiveEvent | None = None  # the newest one


WEB = "web"  # the library that the browser script names


def first_steps(call: Call, environment: Environment, heard: list[Heard] | None = None) -> FirstSteps | None:
    """None: it needs none, because something was named already or no page sends anything."""
    heard = heard_from(call, environment) if heard is None else heard
    if not heard:
        return FirstSteps()
    if all(sender.library != WEB for sender in heard) or defined_events.list_defined_events(
        call, environment
    ):
        return None
    event = latest_events(call, environment, Filter(outcome=Outcome.ACCEPTED), limit=1)
    click = latest_events(call, environment, Filter(kind=Kind.CLICK), limit=1)
    return FirstSteps(event[0] if event else None, click[0] if click else None)


def read_overview(call: Call, environment: Environment, *, days: int, latest_events: int) -> Overview:
    now = call.now
    hour, today = call.ask(environment.id, BehaviourLately(now, (timedelta(hours=1), timedelta(days=1))))
    counted = _counted_segments(call, environment)
    with call.reading() as connection:
        flags = count_flags(connection, environment.project_id, environment.id)
        events = latest(call.asker(environment.id), connection, now=now, limit=latest_events)
    return Overview(
        days=call.ask(environment.id, BehaviourByDay(last_days(now, environment.zone, days))),
        hour=hour,
        today=today,
        segments=counted,
        flags=flags,
        heard=heard_from(call, environment),
        latest=with_names(call, environment.id, events),
        refusals=call.ask(environment.id, RefusedByReason(now)),
        unknown_keys=_unknown_keys(call),
        problems=call.core.health(),
        findings=defined_events.findings(call, environment),
        long_lists=_long_lists(call, environment, counted),
        withheld_lists=withheld_lists(call, environment),
        audiences=needing_attention(call, environment),
        syncs=list_failing(call, environment),
        connections=list_troubled(call, environment),
        hooks=[hook for hook in list_hooks(call, environment) if hook.error],
    )


def _unknown_keys(call: Call) -> int:
    if not is_operator(call):
        return 0
    return sum(refusal.count for refusal in call.ask(UNKNOWN, RefusedByReason(call.now)))


def _counted_segments(call: Call, environment: Environment) -> list[CountedSegment]:
    with call.reading() as connection:
        states = segments.states_in(connection, environment.id)
        names = segments.name_segments(connection, call.workspace_id, environment.project_id)
    return [CountedSegment(segment, states.get(segment.id)) for segment in names]


def _long_lists(call: Call, environment: Environment, counted: list[CountedSegment]) -> list[LongList]:
    if not environment.inlines_lists:  # Python gets none, however short
        return []
    limit = call.core.settings.inline_limit
    long = {
        entry.segment.id: (entry.segment, entry.state.identified)
        for entry in counted
        if entry.state is not None and entry.state.identified > limit
    }
    if not long:
        return []
    with call.reading() as connection:
        uses = used_by(connection, call.workspace_id, list(long))
    return [
        LongList(use.key, *long[segment_id])
        for segment_id, askers in uses.items()
        for use in askers
        if use.what == "flag" and use.environment_id == environment.id and not use.is_archived
    ]
