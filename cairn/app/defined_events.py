"""Defined events: names for what was captured, counted over all history at once, and the plan of event names."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis import event_health, volume
from cairn.analysis.event_health import Finding, Report
from cairn.analysis.volume import Example, NameSeen, NamesSeen, Recent, Total, TotalOf, Volume
from cairn.app.call import Call, siblings
from cairn.app.editions import CREATED, Edited, record
from cairn.calendar import Days, last_days
from cairn.clock import to_ms
from cairn.conditions.check import ConditionNotAccepted
from cairn.conditions.tree import EventMatch
from cairn.definitions import defined_event as stored
from cairn.definitions import expected
from cairn.definitions.defined_event import DefinedEventNotFound, Use
from cairn.definitions.expected import ExpectedName
from cairn.definitions.model import (
    Changes,
    DefinedEvent,
    Definition,
    NewDefinedEvent,
    Part,
    check_definition,
)
from cairn.errors import InvalidInput
from cairn.query import newest
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment

EDITED = ("name", "category", "description", "definition", "verified")


class Matched(Struct, frozen=True):
    """What a definition matches now."""

    total: Total
    latest: list[Example]


class Counted(Struct, frozen=True):
    """What a defined event has counted."""

    total: Total
    days: Days
    counts: list[int]  # of each day


class Plan(Struct, frozen=True):
    """How the defined events of an environment do, and the names of custom events that nobody planned."""

    active: list[DefinedEvent]
    reports: dict[int, Report]  # by event, of those that are watched
    findings: list[Finding]
    archived: list[DefinedEvent]
    expected: list[ExpectedName]
    unplanned: list[NameSeen]


def list_defined_events(
    call: Call, environment: Environment | None = None, *, with_archived: bool = False
) -> list[DefinedEvent]:
    """By category, then name; of an environment's project, or of the whole workspace."""
    project_id = environment.project_id if environment else None
    with call.reading() as connection:
        return stored.list_defined_events(
            connection, call.workspace_id, project_id, with_archived=with_archived
        )


def event_names(call: Call, environment: Environment) -> dict[int, str]:
    """Defined events of the project by id, archived ones too."""
    return {event.id: event.name for event in list_defined_events(call, environment, with_archived=True)}


def get_defined_event(call: Call, event_id: int, *, project_id: int | None = None) -> DefinedEvent:
    """Raises DefinedEventNotFound, also for an event of another project than the one that is named."""
    return read_defined_event(call, event_id, project_id=project_id).value


def read_defined_event(call: Call, event_id: int, *, project_id: int | None = None) -> Edited[DefinedEvent]:
    """With its edition. Raises as `get_defined_event`."""
    with call.reading() as connection:
        event = stored.get_defined_event(connection, call.workspace_id, event_id)
        edition = edition_of(connection, "defined event", event_id)
    if project_id not in (None, event.project_id):
        raise DefinedEventNotFound(
            f"defined event {event.id} belongs to another project; switch the environment"
        )
    return Edited(event, edition)


def create_defined_event(call: Call, project_id: int, new: NewDefinedEvent) -> Edited[DefinedEvent]:
    """It counts everything that was ever captured. Raises InvalidInput, NotFound and DefinedEventNameTaken."""
    with call.writing() as connection:
        event = stored.create_defined_event(
            connection, call.workspace_id, project_id, new, call.now, by=call.by
        )
        edition = record(call, connection, "defined event", event.id, [CREATED])
    _changed(call, event)
    return Edited(event, edition)


def change_defined_event(
    call: Call, event_id: int, changes: Changes, *, expected: int | None = None
) -> Edited[DefinedEvent]:
    """Segments that count it are counted again. `expected`: the edition the caller has seen.

    Raises InvalidInput, DefinedEventNotFound, Conflict and StaleVersion.
    """
    with call.writing() as connection:
        before = stored.get_defined_event(connection, call.workspace_id, event_id)
        check_edition(connection, "defined event", event_id, expected)
        event = stored.update_defined_event(connection, call.workspace_id, event_id, changes, call.now)
        edition = record(call, connection, "defined event", event_id, differences(before, event, EDITED))
    _changed(call, event)
    return Edited(event, edition)


def archive_defined_event(call: Call, event_id: int, *, expected: int | None = None) -> Edited[DefinedEvent]:
    """Raises DefinedEventNotFound, StaleVersion, and DefinedEventInUse naming where."""
    return _change_state(call, event_id, stored.archive_defined_event, expected)


def restore_defined_event(call: Call, event_id: int, *, expected: int | None = None) -> Edited[DefinedEvent]:
    """Raises DefinedEventNotFound, DefinedEventNameTaken and StaleVersion."""
    return _change_state(call, event_id, stored.restore_defined_event, expected)


def _change_state(
    call: Call,
    event_id: int,
    change: Callable[[sa.Connection, int, int, datetime], DefinedEvent],
    expected: int | None,
) -> Edited[DefinedEvent]:
    with call.writing() as connection:
        check_edition(connection, "defined event", event_id, expected)
        before = stored.get_defined_event(connection, call.workspace_id, event_id)
        event = change(connection, call.workspace_id, event_id, call.now)
        edition = record(call, connection, "defined event", event_id, differences(before, event, ["state"]))
    _changed(call, event)
    return Edited(event, edition)


def _changed(call: Call, event: DefinedEvent) -> None:
    with call.reading() as connection:
        concerned = siblings(connection, call.workspace_id, event.project_id)
    call.changed(environment.id for environment in concerned)


def users_of(call: Call, event: DefinedEvent) -> list[Use]:
    """Segments and active combos that name it."""
    with call.reading() as connection:
        return stored.used_in(connection, event)


def resolve(call: Call, environment: Environment, event_id: int) -> EventMatch:
    """What a defined event means in an environment at this moment. Raises NotFound for another project's."""
    with call.reading() as connection:
        events = [EventMatch(defined=event_id)]
        return call.core.definitions.resolve_events(connection, environment.id, events)[0]


def count_defined_event(
    call: Call, environment: Environment, event: DefinedEvent, *, days: int = volume.DAYS
) -> Counted:
    """Over all history, and per day."""
    asker, match = call.asker(environment.id), resolve(call, environment, event.id)
    span = last_days(call.now, environment.zone, days)
    return Counted(
        asker.ask(TotalOf(match, call.now)),
        span,
        volume.measured(asker, [match], span)[0].days,
    )


def shown_days(call: Call, environment: Environment) -> Days:
    """The last 30 days where the project is, today among them."""
    return last_days(call.now, environment.zone, volume.DAYS)


def report_on(call: Call, environment: Environment, event: DefinedEvent) -> tuple[Report, Matched]:
    """One event with its last 30 days, whether it does well, and what it matched last."""
    asker, days = call.asker(environment.id), shown_days(call, environment)
    try:
        match = resolve(call, environment, event.id)
    except ConditionNotAccepted:
        return event_health.unread(event, days), Matched(Total(0, 0, 0, 0), [])
    counted: Volume = volume.measured(asker, [match], days)[0]
    state = event_health.judged(counted.days, volume.behaviour(asker, days))
    return Report(event, match, counted, state), _matched(call, environment, match)


def try_definition(call: Call, environment: Environment, definition: Definition, *, of: int = 0) -> Matched:
    """What it would match, without keeping it. `of`: the event that is being edited. Raises InvalidInput."""
    with call.reading() as connection:
        stored.check_known(connection, environment.project_id, definition, of=of)
        match = call.core.definitions.matches_of(connection, environment.id, definition)
    return _matched(call, environment, match)


def _matched(call: Call, environment: Environment, match: EventMatch) -> Matched:
    asker = call.asker(environment.id)
    return Matched(asker.ask(TotalOf(match, call.now)), volume.latest(asker, match, call.now))


def identities(call: Call, environment: Environment, user_ids: Iterable[int]) -> dict[int, str]:
    """Canonical user -> identity, for those that have one."""
    return newest.identities(call.core.store, environment.id, user_ids)


def findings(call: Call, environment: Environment, reports: Sequence[Report] | None = None) -> list[Finding]:
    """Events that stopped counting, duplicates, and new names. `known`: the reports, when the caller has them."""
    with call.reading() as connection:
        return event_health.findings(
            call.asker(environment.id),
            connection,
            call.core.definitions,
            call.workspace_id,
            environment.project_id,
            shown_days(call, environment),
            known=reports,
        )


def read_plan(call: Call, environment: Environment) -> Plan:
    everything = list_defined_events(call, environment, with_archived=True)
    active = [event for event in everything if event.state == "active"]
    reports = reports_of(call, environment, event_health.watched(active))
    with call.reading() as connection:
        names = expected.list_expected(connection, environment.project_id)
    planned = expected.planned_names(active, names)
    return Plan(
        active=active,
        reports={report.event.id: report for report in reports},
        findings=findings(call, environment, reports),
        archived=[event for event in everything if event.state == "archived"],
        expected=names,
        unplanned=event_health.unplanned(names_seen(call, environment), planned),
    )


def reports_of(
    call: Call,
    environment: Environment,
    events: Sequence[DefinedEvent],
    reports: Mapping[int, Report] | None = None,
) -> list[Report]:
    """How these do, in the given order. `known`: reports that the caller has."""
    had = reports or {}
    missing = [event for event in events if event.id not in had]
    with call.reading() as connection:
        counted = event_health.reports(
            call.asker(environment.id),
            connection,
            call.core.definitions,
            missing,
            shown_days(call, environment),
        )
    new = {report.event.id: report for report in counted}
    return [had.get(event.id) or new[event.id] for event in events]


def names_seen(call: Call, environment: Environment, *, limit: int = volume.MOST_NAMES) -> list[NameSeen]:
    """Names of custom events of the last 90 days, newest first."""
    return call.ask(environment.id, NamesSeen(to_ms(call.now), limit))


def expect_names(call: Call, environment: Environment, names: Sequence[str]) -> int:
    """How many were not expected before. Raises InvalidInput."""
    with call.writing() as connection:
        return expected.expect_names(connection, environment.project_id, names, by=call.by, now=call.now)


def no_longer_expect(call: Call, environment: Environment, name: str) -> None:
    with call.writing() as connection:
        expected.no_longer_expect(connection, environment.project_id, name)


def count_parts(call: Call, environment: Environment, parts: tuple[Part, ...]) -> list[Recent]:
    """Each part by itself within the last days, for the labeller. Raises InvalidInput."""
    if not parts:
        return []
    check_definition(Definition(parts))
    matches = call.core.definitions.matches_of_parts(environment.id, parts)
    return volume.recents(call.asker(environment.id), matches, shown_days(call, environment))


def label_event(call: Call, environment: Environment, new: NewDefinedEvent) -> tuple[DefinedEvent, Recent]:
    """Define an event by its elements, and say how much of it there was. Raises as `create_defined_event`."""
    if new.definition.events:
        raise InvalidInput(
            "definition.events: the labeller defines events by elements; make a combo in Cairn",
            field="definition.events",
        )
    event = create_defined_event(call, environment.project_id, new).value
    with call.reading() as connection:
        match = call.core.definitions.matches_of(connection, environment.id, event.definition)
    return event, volume.recents(call.asker(environment.id), [match], shown_days(call, environment))[0]
