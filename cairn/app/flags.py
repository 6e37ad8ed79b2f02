"""Flags: listing, making, changing, switching and archiving them, and everything a flag's page tells."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from cairn.analysis.exposures import LastExposure
from cairn.app.call import Call
from cairn.app.editions import CREATED, Edited, list_edits, record
from cairn.conditions.tree import InList
from cairn.conditions.walk import leaves
from cairn.flags import definition, overview, rule_definition
from cairn.flags.definition import FlagChanges, NewFlag, StoredFlag
from cairn.flags.model import Rule
from cairn.flags.overview import FlagName, Glance
from cairn.lists.offered import OfferedList, offered_lists
from cairn.members.sets import list_set
from cairn.segments import definition as segments
from cairn.segments.definition import SegmentName
from cairn.segments.used_by import Use, who_asks_about_flag
from cairn.workspace.edits import check_edition, check_edition_in, differences, edition_of, newest_edits
from cairn.workspace.environment import Environment, list_projects

EDITS_SHOWN = 20
EDITED = ("name", "description", "lifetime", "variables", "variations", "metrics")


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
    lists: list[OfferedList]  # those that audiences may name beside segments


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


def name_flags(call: Call, environment: Environment, *, with_archived: bool = False) -> list[FlagName]:
    """Of the environment's project, by key."""
    with call.reading() as connection:
        return overview.name_flags(
            connection, call.workspace_id, environment.project_id, with_archived=with_archived
        )


def list_flags_of(call: Call, environment: Environment, names: Sequence[FlagName]) -> list[ListedFlag]:
    """These flags of the environment's project, archived ones too, by key."""
    only = [name.id for name in names]
    with call.reading() as connection:
        stored_flags = definition.list_flags(
            connection, call.workspace_id, environment.project_id, with_archived=True, only=only
        )
        glances = overview.glances(connection, environment.project_id, environment.id, only)
    return [ListedFlag(stored, glances[stored.flag.id]) for stored in stored_flags]


def get_flag(call: Call, key: str, *, project_id: int | None = None) -> StoredFlag:
    """With several projects a key needs its project. Raises FlagNotFound."""
    return read_definition(call, key, project_id=project_id).value


def read_definition(call: Call, key: str, *, project_id: int | None = None) -> Edited[StoredFlag]:
    """With its edition. Raises as `get_flag`."""
    with call.reading() as connection:
        stored = definition.get_flag(connection, call.workspace_id, key, project_id=project_id)
        return Edited(stored, edition_of(connection, "flag", stored.flag.id))


def read_switch(call: Call, environment: Environment, key: str) -> Edited[StoredFlag]:
    """With the edition of its switches. Raises FlagNotFound, and EnvironmentNotFound for one of another project."""
    with call.reading() as connection:
        stored = definition.get_flag(connection, call.workspace_id, key)
        definition.check_environment(stored, environment.id)
        return Edited(stored, edition_of(connection, "flag switch", stored.flag.id))


def on_since(call: Call, environment: Environment, stored: StoredFlag) -> datetime | None:
    """None: the flag is off here."""
    with call.reading() as connection:
        return overview.on_since(connection, stored.flag.id, environment.id)


def users_of(call: Call, stored: StoredFlag) -> list[Use]:
    """The flags and holdouts that ask about a flag, archived ones too; not its own rules."""
    with call.reading() as connection:
        uses = who_asks_about_flag(connection, call.workspace_id, stored.flag.id)
    others = [use for use in uses if (use.what, use.key) != ("flag", stored.flag.key)]
    return [use for use in others if call.reaches(use.environment_id)]


def read_flag(call: Call, environment: Environment, key: str) -> FlagDetails:
    """Raises FlagNotFound."""
    workspace_id, project_id = call.workspace_id, environment.project_id
    with call.reading() as connection:
        stored = definition.get_flag(connection, workspace_id, key, project_id=project_id)
        others = overview.name_flags(connection, workspace_id, project_id)
        states = segments.states_in(connection, environment.id)
        return FlagDetails(
            stored=stored,
            rules=rule_definition.list_rules(connection, workspace_id, stored.flag.id, environment.id),
            on_since=overview.on_since(connection, stored.flag.id, environment.id),
            segments=segments.name_segments(connection, workspace_id, project_id),
            flags={other.id: other.key for other in others},
            sizes={segment_id: state.identified for segment_id, state in states.items() if state.version > 0},
            lists=offered_lists(connection, environment.id),
        )


def list_offered(call: Call, environment: Environment) -> list[OfferedList]:
    """The lists, beside those of segments, that audiences may name."""
    with call.reading() as connection:
        return offered_lists(connection, environment.id)


def list_sizes(call: Call, rule: Rule) -> dict[int | str, int]:
    """List -> its members, of the lists that a rule names by their id."""
    named = {
        leaf.list_id for leaf in leaves(rule.condition) if isinstance(leaf, InList) and not leaf.segment_id
    }
    return {list_id: call.core.members.size(list_set(list_id)) for list_id in named if list_id}


def create_flag(call: Call, project_id: int, new: NewFlag) -> Edited[StoredFlag]:
    """It is off everywhere and has no rules yet. Raises FlagInvalid, FlagKeyTaken and ProjectNotFound."""
    with call.writing() as connection:
        stored = definition.create_flag(connection, call.workspace_id, project_id, new, call.now)
        edition = record(call, connection, "flag", stored.flag.id, [CREATED])
    call.changed(stored.states)
    return Edited(stored, edition)


def change_flag(
    call: Call, flag_id: int, changes: FlagChanges, *, expected: int | None = None
) -> Edited[StoredFlag]:
    """`expected`: the edition the caller has seen.

    Raises FlagInvalid, FlagNotFound, FlagArchived, RuleInvalid and StaleVersion.
    """
    with call.writing() as connection:
        before = definition.get_flag(connection, call.workspace_id, flag_id)
        check_edition(connection, "flag", flag_id, expected)
        stored = definition.update_flag(connection, call.workspace_id, flag_id, changes, call.now)
        edition = record(call, connection, "flag", flag_id, differences(before.flag, stored.flag, EDITED))
    call.changed(stored.states)
    return Edited(stored, edition)


def switch_flag(
    call: Call, flag_id: int, environment: Environment, *, is_on: bool, expected: int | None = None
) -> Edited[StoredFlag]:
    """`expected`: the edition of the flag's switches that the caller has seen; so is the one that is answered.

    Raises FlagNotFound, FlagArchived, EnvironmentNotFound and StaleVersion.
    """
    with call.writing() as connection:
        check_edition_in(connection, "flag switch", flag_id, environment.name, expected)
        stored = definition.set_flag_state(
            connection, call.workspace_id, flag_id, environment.id, is_on, call.now
        )
        switched = f"switched {'on' if is_on else 'off'} in {environment.name}"
        edition = record(call, connection, "flag switch", flag_id, [switched])
    call.changed([environment.id])
    return Edited(stored, edition)


def archive_flag(call: Call, flag_id: int, *, expected: int | None = None) -> StoredFlag:
    """Applications get their defaults; the key stays taken. Idempotent. Raises FlagNotFound and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "flag", flag_id, expected)
        before = definition.get_flag(connection, call.workspace_id, flag_id)
        stored = definition.archive_flag(connection, call.workspace_id, flag_id, call.now)
        if before.archived_at is None:
            record(call, connection, "flag", flag_id, ["archived"])
    call.changed(stored.states)
    return stored


def restore_flag(call: Call, flag_id: int, *, expected: int | None = None) -> Edited[StoredFlag]:
    """As it was. Idempotent. Raises FlagNotFound and StaleVersion."""
    with call.writing() as connection:
        check_edition(connection, "flag", flag_id, expected)
        before = definition.get_flag(connection, call.workspace_id, flag_id)
        stored = definition.restore_flag(connection, call.workspace_id, flag_id, call.now)
        what = [] if before.archived_at is None else ["archived"]
        edition = record(call, connection, "flag", flag_id, what)
    call.changed(stored.states)
    return Edited(stored, edition)


class FlagEdit(Struct, frozen=True):
    """One change of a flag, or of a rule it has here."""

    by: str
    at: datetime
    what: tuple[str, ...]  # the fields
    rule: str  # its name; empty: of the flag itself

    @property
    def is_action(self) -> bool:
        """`what` says itself what was done, such as `created`; otherwise it names fields."""
        return self.what[0].split()[0] in ("created", "deleted", "archived", "switched")


def history(call: Call, flag: FlagDetails) -> list[FlagEdit]:
    """Who changed what, the newest first. Limit: changes of deleted rules are left out."""
    own = (
        *list_edits(call, "flag", flag.stored.flag.id),
        *list_edits(call, "flag switch", flag.stored.flag.id),
        *list_edits(call, "rule order", flag.stored.flag.id),
    )
    edits = [FlagEdit(edit.by, edit.at, edit.what, "") for edit in own]
    rules = {rule.id: rule.name or rule.key for rule in flag.rules}
    with call.reading() as connection:
        changes = newest_edits(connection, "rule", rules, limit=EDITS_SHOWN)
    edits += [FlagEdit(edit.by, edit.at, edit.what, rules[rule_id]) for rule_id, edit in changes]
    return sorted(edits, key=lambda edit: edit.at, reverse=True)[:EDITS_SHOWN]


def last_exposure(call: Call, environment: Environment, flag: FlagDetails) -> int:
    """When an SDK last reported that somebody got it, within 30 days. Units: epoch ms; 0: never."""
    campaigns = tuple(sorted({rule.campaign for rule in flag.rules}))
    return call.ask(environment.id, LastExposure(flag.stored.flag.id, campaigns, call.now))
