"""Segments: listing, previewing, saving and deleting them, who is in, why, and who asks about them."""

from msgspec import UNSET, Struct, UnsetType, structs

from cairn.analysis.preview import Preview, PreviewOf
from cairn.analysis.users import User
from cairn.app.call import Call, siblings
from cairn.app.editions import CREATED, DELETED, Edited, record
from cairn.app.exposures import with_names
from cairn.conditions.check import check
from cairn.conditions.tree import Condition
from cairn.members.sets import users_set
from cairn.segments import definition, explain, used_by
from cairn.segments.definition import NewSegment, Segment, SegmentNotFound, SegmentState
from cairn.segments.explain import Why
from cairn.segments.used_by import Use
from cairn.sync.syncs import check_not_synced
from cairn.workspace.edits import check_edition, differences, edition_of
from cairn.workspace.environment import Environment

EDITED = ("name", "description", "condition")


class SegmentChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    condition: Condition | UnsetType = UNSET


class MembersPage(Struct, frozen=True):
    size: int  # of the whole segment
    since_ms: dict[int, int]  # user id -> since when, in order
    next: str | None = None


class Explained(Struct, frozen=True):
    """Whether a user is in, and why. `since_ms` None: not in by the live count."""

    user: User
    since_ms: int | None
    why: Why


def list_segments(call: Call, project_id: int | None = None) -> list[Segment]:
    """By name; of one project, or of the whole workspace."""
    with call.reading() as connection:
        return definition.list_segments(connection, call.workspace_id, project_id)


def get_segment(call: Call, segment_id: int, *, project_id: int | None = None) -> Segment:
    """Raises SegmentNotFound, also for a segment of another project than the one that is named."""
    return read_segment(call, segment_id, project_id=project_id).value


def read_segment(call: Call, segment_id: int, *, project_id: int | None = None) -> Edited[Segment]:
    """With its edition. Raises as `get_segment`."""
    with call.reading() as connection:
        segment = definition.get_segment(connection, call.workspace_id, segment_id)
        edition = edition_of(connection, "segment", segment_id)
    if project_id not in (None, segment.project_id):
        raise SegmentNotFound(f"segment {segment.id} belongs to another project; switch the environment")
    return Edited(segment, edition)


def list_states(call: Call, segment: Segment) -> list[SegmentState]:
    """One for each environment of the segment's project that the caller may know of."""
    with call.reading() as connection:
        states = definition.states(connection, call.workspace_id, segment.id)
    return [state for state in states if call.reaches(state.environment_id)]


def states_in(call: Call, environment: Environment) -> dict[int, SegmentState]:
    """Segment -> its state in one environment."""
    with call.reading() as connection:
        return definition.states_in(connection, environment.id)


def create_segment(call: Call, project_id: int, new: NewSegment) -> Edited[Segment]:
    """It is counted at once, over all history, in every environment. Raises InvalidInput and SegmentKeyTaken."""
    with call.writing() as connection:
        segment = definition.create_segment(connection, call.workspace_id, project_id, new, call.now)
        edition = record(call, connection, "segment", segment.id, [CREATED])
    _changed(call, segment)
    return Edited(segment, edition)


def change_segment(
    call: Call, segment_id: int, changes: SegmentChanges, *, expected: int | None = None
) -> Edited[Segment]:
    """The old membership stays in force until the new one is counted. `expected`: the edition the caller has seen.

    Raises InvalidInput, SegmentNotFound and StaleVersion.
    """
    with call.writing() as connection:
        before = definition.get_segment(connection, call.workspace_id, segment_id)
        check_edition(connection, "segment", segment_id, expected)
        segment = definition.update_segment(
            connection,
            call.workspace_id,
            segment_id,
            name=None if changes.name is UNSET else changes.name,
            description=None if changes.description is UNSET else changes.description,
            condition=None if changes.condition is UNSET else changes.condition,
            now=call.now,
        )
        edition = record(call, connection, "segment", segment_id, differences(before, segment, EDITED))
    _changed(call, segment)
    return Edited(segment, edition)


def delete_segment(call: Call, segment: Segment, *, expected: int | None = None) -> None:
    """Raises SegmentNotFound, StaleVersion, SegmentInUse naming who asks about it, and SegmentSynced."""
    with call.writing() as connection:
        check_edition(connection, "segment", segment.id, expected)
        check_not_synced(connection, segment.id)
        definition.delete_segment(connection, call.workspace_id, segment.id)
        record(call, connection, "segment", segment.id, [DELETED])
    _changed(call, segment)


def _changed(call: Call, segment: Segment) -> None:
    with call.reading() as connection:
        concerned = siblings(connection, call.workspace_id, segment.project_id)
    call.changed(environment.id for environment in concerned)


def users_of(call: Call, segment: Segment) -> list[Use]:
    """The flags and holdouts that ask about a segment, archived ones too."""
    with call.reading() as connection:
        uses = used_by.used_by(connection, call.workspace_id, [segment.id])[segment.id]
    return [use for use in uses if call.reaches(use.environment_id)]


def list_members(
    call: Call, environment: Environment, segment: Segment, *, after: str = "", limit: int = 50
) -> MembersPage:
    name, members = users_set(environment.id, segment.id), call.core.members
    values = members.values(name, after=after, limit=limit + 1)
    page = {int(user_id): since_ms for user_id, since_ms in values[:limit]}
    return MembersPage(members.size(name), page, values[limit - 1][0] if len(values) > limit else None)


def explain_member(call: Call, environment: Environment, segment: Segment, user: User) -> Explained:
    core = call.core
    with call.reading() as connection:
        why = explain.explain(
            core.store,
            connection,
            environment.id,
            user.user_id,
            segment.condition,
            call.now,
            core.definitions,
        )
    since_ms = core.members.since(users_set(environment.id, segment.id), str(user.user_id))
    return Explained(user, since_ms, _with_names(call, environment.id, why))


def _with_names(call: Call, environment_id: int, why: Why) -> Why:
    latest = tuple(with_names(call, environment_id, why.latest))
    nodes = tuple(_with_names(call, environment_id, node) for node in why.nodes)
    return structs.replace(why, latest=latest, nodes=nodes)


def preview_condition(
    call: Call, environment: Environment, condition: Condition, *, timeout_s: float = 10.0
) -> Preview:
    """Count for how many users it holds now. Raises ConditionNotAccepted, and Unavailable at the time limit."""
    check(condition)
    with call.reading() as connection:
        resolved = call.core.definitions.resolve(connection, environment.id, condition)
    return call.ask(environment.id, PreviewOf(resolved, call.now), timeout_s=timeout_s)
