"""Flags: listing, making, changing, switching and archiving them, and everything a flag's page tells."""

from datetime import datetime

from msgspec import Struct

from cairn.app.call import Call
from cairn.flags import definition, overview
from cairn.flags.definition import FlagChanges, NewFlag, StoredFlag
from cairn.flags.model import Rule
from cairn.flags.overview import Glance
from cairn.segments import definition as segments
from cairn.segments.definition import SegmentName
from cairn.workspace.environment import Environment, list_projects


class ListedFlag(Struct, frozen=True):
    stored: StoredFlag
    glance: Glance


class FlagDetails(Struct, frozen=True):
    """One flag in one environment."""

    stored: StoredFlag
    rules: list[Rule]  # in the order they are tried
    on_since: datetime | None  # None: it is off
    segments: list[SegmentName]  # of the project, which audiences may name
    flags: dict[int, str]  # those of the project by id: their keys
    sizes: dict[int, int]  # segment -> its identified members here, for those that were counted


def list_flags(call: Call, *, with_archived: bool = False) -> list[StoredFlag]:
    """Of every project of the workspace, by key within each."""
    with call.reading() as connection:
        return [
            stored
            for project in list_projects(connection, call.workspace_id)
            for stored in definition.list_flags(
                connection, call.workspace_id, project.id, with_archived=with_archived
            )
        ]


def list_flags_of(call: Call, environment: Environment, *, with_archived: bool = False) -> list[ListedFlag]:
    """Of the environment's project, by key."""
    with call.reading() as connection:
        found = definition.list_flags(
            connection, call.workspace_id, environment.project_id, with_archived=with_archived
        )
        glances = overview.glances(connection, environment.project_id, environment.id)
    return [ListedFlag(stored, glances[stored.flag.id]) for stored in found]


def get_flag(call: Call, key: str, *, project_id: int | None = None) -> StoredFlag:
    """With several projects a key needs its project. Raises FlagNotFound."""
    with call.reading() as connection:
        return definition.get_flag(connection, call.workspace_id, key, project_id=project_id)


def on_since(call: Call, environment: Environment, stored: StoredFlag) -> datetime | None:
    """None: the flag is off here."""
    with call.reading() as connection:
        return overview.on_since(connection, stored.flag.id, environment.id)


def read_flag(call: Call, environment: Environment, key: str) -> FlagDetails:
    """Raises FlagNotFound."""
    workspace_id, project_id = call.workspace_id, environment.project_id
    with call.reading() as connection:
        stored = definition.get_flag(connection, workspace_id, key, project_id=project_id)
        others = definition.list_flags(connection, workspace_id, project_id)
        states = segments.states_in(connection, environment.id)
        return FlagDetails(
            stored=stored,
            rules=definition.list_rules(connection, workspace_id, stored.flag.id, environment.id),
            on_since=overview.on_since(connection, stored.flag.id, environment.id),
            segments=segments.name_segments(connection, workspace_id, project_id),
            flags={other.flag.id: other.flag.key for other in others},
            sizes={known: state.identified for known, state in states.items() if state.version > 0},
        )


def create_flag(call: Call, project_id: int, new: NewFlag) -> StoredFlag:
    """It is off everywhere and has no rules yet. Raises FlagInvalid, FlagKeyTaken and ProjectNotFound."""
    with call.writing() as connection:
        stored = definition.create_flag(connection, call.workspace_id, project_id, new, call.now)
    call.changed(stored.states)
    return stored


def change_flag(call: Call, flag_id: int, changes: FlagChanges) -> StoredFlag:
    """Raises FlagInvalid, FlagNotFound, FlagArchived and RuleInvalid."""
    with call.writing() as connection:
        stored = definition.update_flag(connection, call.workspace_id, flag_id, changes, call.now)
    call.changed(stored.states)
    return stored


def switch_flag(call: Call, flag_id: int, environment: Environment, *, is_on: bool) -> StoredFlag:
    """Raises FlagNotFound, FlagArchived and EnvironmentNotFound."""
    with call.writing() as connection:
        stored = definition.set_flag_state(
            connection, call.workspace_id, flag_id, environment.id, is_on, call.now
        )
    call.changed([environment.id])
    return stored


def archive_flag(call: Call, flag_id: int) -> StoredFlag:
    """Applications get their defaults; the key stays taken. Idempotent. Raises FlagNotFound."""
    with call.writing() as connection:
        stored = definition.archive_flag(connection, call.workspace_id, flag_id, call.now)
    call.changed(stored.states)
    return stored


def restore_flag(call: Call, flag_id: int) -> StoredFlag:
    """As it was. Idempotent. Raises FlagNotFound."""
    with call.writing() as connection:
        stored = definition.restore_flag(connection, call.workspace_id, flag_id, call.now)
    call.changed(stored.states)
    return stored
