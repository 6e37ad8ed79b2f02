"""What people define: flags, kept in the metadata database. Their rules are in `rule_definition`.

Every call is bound to a workspace: what belongs to another one does not exist. Nothing reaches an SDK from here;
`publish` does that. The caller opens the transaction.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.db.tables import environments, flag_states, flags, projects, rules
from cairn.errors import Conflict, NotFound
from cairn.flags.checks import check_flag, check_key, check_rule
from cairn.flags.model import Flag, Metric, Variable, Variation
from cairn.flags.records import flag_columns, flag_of, rule_of
from cairn.workspace.environment import EnvironmentNotFound, ProjectNotFound
from cairn.workspace.naming import MAX_NAME, clean_name


class FlagNotFound(NotFound):
    """There is no such flag in this workspace."""

    code = "flag_not_found"


class FlagKeyTaken(Conflict):
    """The project has a flag with this key, perhaps an archived one. Choose another key."""

    code = "flag_key_taken"


class FlagArchived(Conflict):
    """An archived flag cannot be changed. Restore it first."""

    code = "flag_archived"


class DefinitionDamaged(Conflict):
    """What is stored of the flag or rule cannot be read. Send the named parts again with the change, or delete it."""

    code = "definition_damaged"


class NewFlag(Struct, frozen=True, forbid_unknown_fields=True):
    """What a flag is made from. Without variations it gets one, `default`, with the variables' defaults."""

    key: str
    name: str = ""
    description: str = ""
    lifetime: Literal["permanent", "temporary"] = "permanent"
    variables: tuple[Variable, ...] = ()
    variations: tuple[Variation, ...] = ()
    metrics: tuple[Metric, ...] = ()


class FlagChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a flag; what is unset stays. A key never changes: applications ask for it."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    lifetime: Literal["permanent", "temporary"] | UnsetType = UNSET
    variables: tuple[Variable, ...] | UnsetType = UNSET
    variations: tuple[Variation, ...] | UnsetType = UNSET
    metrics: tuple[Metric, ...] | UnsetType = UNSET


class StoredFlag(Struct, frozen=True):
    """A flag's definition and where it is on. `flag.rules` is empty here: rules are an environment's (`list_rules`)."""

    flag: Flag
    project_id: int
    states: dict[int, bool]  # environment id -> is on, for every environment of the project
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None


def list_flags(
    connection: sa.Connection,
    workspace_id: int,
    project_id: int,
    *,
    with_archived: bool = False,
    only: Collection[int] | None = None,
) -> list[StoredFlag]:
    """By key. `only`: of these ids."""
    query = sa.select(flags).where(flags.c.workspace_id == workspace_id, flags.c.project_id == project_id)
    if only is not None:
        query = query.where(flags.c.id.in_(only))
    if not with_archived:
        query = query.where(flags.c.archived_at.is_(None))
    return _stored(connection, list(connection.execute(query.order_by(flags.c.key))))


def get_flag(
    connection: sa.Connection, workspace_id: int, key_or_id: str | int, *, project_id: int | None = None
) -> StoredFlag:
    """By id, or by key; with several projects a key needs its project. Raises FlagNotFound."""
    column = flags.c.id if isinstance(key_or_id, int) else flags.c.key
    query = sa.select(flags).where(flags.c.workspace_id == workspace_id, column == key_or_id)
    if project_id is not None:
        query = query.where(flags.c.project_id == project_id)
    row = connection.execute(query.order_by(flags.c.project_id).limit(1)).one_or_none()
    if row is None:
        raise FlagNotFound(f"this workspace has no flag {key_or_id!r}", field="flag")
    return _stored(connection, [row])[0]


def create_flag(
    connection: sa.Connection, workspace_id: int, project_id: int, new: NewFlag, now: datetime
) -> StoredFlag:
    """A flag that is off in every environment of the project. Raises FlagInvalid, FlagKeyTaken, ProjectNotFound."""
    owner = sa.select(projects.c.id).where(
        projects.c.id == project_id, projects.c.workspace_id == workspace_id
    )
    if connection.execute(owner).one_or_none() is None:
        raise ProjectNotFound(f"this workspace has no project {project_id}", field="project_id")
    check_key(new.key)
    flag = Flag(
        id=0,
        key=new.key,
        name=clean_name(new.name or new.key[:MAX_NAME]),
        description=new.description,
        lifetime=new.lifetime,
        variables=new.variables,
        variations=new.variations or (Variation(1, "default", "Default"),),
        metrics=new.metrics,
    )
    check_flag(flag)
    taken = sa.select(flags.c.id).where(flags.c.project_id == project_id, flags.c.key == flag.key)
    if connection.execute(taken).first() is not None:
        raise FlagKeyTaken(f"the project has a flag {flag.key!r} already; choose another key", field="key")
    flag_id = connection.execute(
        sa.insert(flags)
        .values(
            workspace_id=workspace_id,
            project_id=project_id,
            created_at=now,
            updated_at=now,
            **flag_columns(flag),
        )
        .returning(flags.c.id)
    ).scalar_one()
    for environment_id in _environment_ids(connection, project_id):
        connection.execute(
            sa.insert(flag_states).values(
                flag_id=flag_id, environment_id=environment_id, is_on=False, changed_at=now
            )
        )
    return get_flag(connection, workspace_id, flag_id)


def update_flag(
    connection: sa.Connection, workspace_id: int, flag_id: int, changes: FlagChanges, now: datetime
) -> StoredFlag:
    """Raises FlagInvalid, FlagNotFound, FlagArchived, and RuleInvalid when a rule still needs what was taken away."""
    stored = changeable_flag(connection, workspace_id, flag_id)
    changed = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if "name" in changed:
        changed["name"] = clean_name(changed["name"])
    if lost := sorted(stored.flag.unreadable.keys() - changed.keys()):
        raise DefinitionDamaged(
            f"{lost[0]}: what is stored cannot be read; send {' and '.join(lost)} again with this change",
            field=lost[0],
        )
    flag = msgspec.structs.replace(stored.flag, **changed, unreadable={})
    check_flag(flag)
    every_rule = sa.select(rules).where(rules.c.flag_id == flag_id)
    for rule in map(rule_of, connection.execute(every_rule)):
        if not rule.unreadable:
            check_rule(flag, rule, is_kept=True)
    connection.execute(
        sa.update(flags).where(flags.c.id == flag_id).values(updated_at=now, **flag_columns(flag))
    )
    return get_flag(connection, workspace_id, flag_id)


def archive_flag(connection: sa.Connection, workspace_id: int, flag_id: int, now: datetime) -> StoredFlag:
    """Take the flag out of every settings file; it keeps its key and rules. Idempotent."""
    return _set_archived(connection, workspace_id, flag_id, now, archived_at=now)


def restore_flag(connection: sa.Connection, workspace_id: int, flag_id: int, now: datetime) -> StoredFlag:
    """Bring an archived flag back as it was. Idempotent."""
    return _set_archived(connection, workspace_id, flag_id, now, archived_at=None)


def set_flag_state(
    connection: sa.Connection,
    workspace_id: int,
    flag_id: int,
    environment_id: int,
    is_on: bool,
    now: datetime,
) -> StoredFlag:
    stored = changeable_flag(connection, workspace_id, flag_id)
    check_environment(stored, environment_id)
    at = (flag_states.c.flag_id == flag_id) & (flag_states.c.environment_id == environment_id)
    changed = connection.execute(sa.update(flag_states).where(at).values(is_on=is_on, changed_at=now))
    if not changed.rowcount:  # the environment is younger than the flag
        connection.execute(
            sa.insert(flag_states).values(
                flag_id=flag_id, environment_id=environment_id, is_on=is_on, changed_at=now
            )
        )
    return get_flag(connection, workspace_id, flag_id)


def project_of(connection: sa.Connection, workspace_id: int, environment_id: int) -> int:
    """The project of an environment. Raises EnvironmentNotFound."""
    query = sa.select(environments.c.project_id).where(
        environments.c.id == environment_id, environments.c.workspace_id == workspace_id
    )
    project_id = connection.execute(query).scalar_one_or_none()
    if project_id is None:
        raise EnvironmentNotFound(
            f"this workspace has no environment {environment_id}", field="environment_id"
        )
    return int(project_id)


def _stored(connection: sa.Connection, rows: list[sa.Row[Any]]) -> list[StoredFlag]:
    of_project = {
        project_id: _environment_ids(connection, project_id)
        for project_id in {row.project_id for row in rows}
    }
    query = sa.select(flag_states).where(
        flag_states.c.flag_id.in_([row.id for row in rows]), flag_states.c.is_on
    )
    is_on = {(row.flag_id, row.environment_id) for row in connection.execute(query)}
    return [
        StoredFlag(
            flag=flag_of(row),
            project_id=row.project_id,
            states={
                environment_id: (row.id, environment_id) in is_on
                for environment_id in of_project[row.project_id]
            },
            created_at=row.created_at,
            updated_at=row.updated_at,
            archived_at=row.archived_at,
        )
        for row in rows
    ]


def _environment_ids(connection: sa.Connection, project_id: int) -> list[int]:
    query = sa.select(environments.c.id).where(environments.c.project_id == project_id)
    return list(connection.execute(query.order_by(environments.c.id)).scalars())


def changeable_flag(connection: sa.Connection, workspace_id: int, flag_id: int) -> StoredFlag:
    """Raises FlagNotFound, FlagArchived."""
    stored = get_flag(connection, workspace_id, flag_id)
    if stored.archived_at is not None:
        raise FlagArchived(f"flag {stored.flag.key!r} is archived; restore it first", field="flag")
    return stored


def _set_archived(
    connection: sa.Connection, workspace_id: int, flag_id: int, now: datetime, *, archived_at: datetime | None
) -> StoredFlag:
    stored = get_flag(connection, workspace_id, flag_id)
    if (stored.archived_at is None) == (archived_at is None):
        return stored
    connection.execute(
        sa.update(flags).where(flags.c.id == flag_id).values(archived_at=archived_at, updated_at=now)
    )
    return get_flag(connection, workspace_id, flag_id)


def check_environment(stored: StoredFlag, environment_id: int) -> None:
    """Raises EnvironmentNotFound for one of another project."""
    if environment_id not in stored.states:
        raise EnvironmentNotFound(
            f"the project of flag {stored.flag.key!r} has no environment {environment_id}",
            field="environment_id",
        )
