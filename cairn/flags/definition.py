"""What people define: flags and their rules per environment, kept in the metadata database.

Every call is bound to a workspace: what belongs to another one does not exist. Nothing reaches an SDK from here;
`publish` does that. The caller opens the transaction.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.conditions.tree import EVERYBODY, Condition, InList, OtherFlag
from cairn.conditions.walk import leaves
from cairn.db.tables import attribute_lists, environments, flag_states, flags, projects, rules, segments
from cairn.errors import Conflict, NotFound
from cairn.flags.checks import RuleInvalid, check_flag, check_key, check_rule, with_settled_weights
from cairn.flags.model import Allocation, Flag, Forced, Metric, Rule, RuleKind, Variable, Variation
from cairn.flags.records import flag_columns, flag_of, rule_columns, rule_of
from cairn.lists.offered import may_be_asked
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


class RuleNotFound(NotFound):
    """There is no such rule in this workspace."""

    code = "rule_not_found"


class RuleKeyTaken(Conflict):
    """The flag has a rule with this key in this environment. Choose another key."""

    code = "rule_key_taken"


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


class NewRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule is made from. Without a salt it gets one of its own."""

    kind: RuleKind
    key: str
    allocations: tuple[Allocation, ...]
    name: str = ""
    is_on: bool = True
    condition: Condition = EVERYBODY
    traffic: float = 100
    salt: str = ""
    whitelist: tuple[Forced, ...] = ()


class RuleChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a rule; what is unset stays. Its kind and key never change: exposures are counted by them."""

    name: str | UnsetType = UNSET
    is_on: bool | UnsetType = UNSET
    condition: Condition | UnsetType = UNSET
    traffic: float | UnsetType = UNSET
    allocations: tuple[Allocation, ...] | UnsetType = UNSET
    salt: str | UnsetType = UNSET
    whitelist: tuple[Forced, ...] | UnsetType = UNSET


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
    wanted = flags.c.id if isinstance(key_or_id, int) else flags.c.key
    query = sa.select(flags).where(flags.c.workspace_id == workspace_id, wanted == key_or_id)
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
    stored = _changeable(connection, workspace_id, flag_id)
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
    stored = _changeable(connection, workspace_id, flag_id)
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


def list_rules(connection: sa.Connection, workspace_id: int, flag_id: int, environment_id: int) -> list[Rule]:
    """In the order they are tried."""
    check_environment(get_flag(connection, workspace_id, flag_id), environment_id)
    return _rules_of(connection, flag_id, environment_id)


def get_rule(connection: sa.Connection, workspace_id: int, rule_id: int) -> tuple[Rule, int, int]:
    """A rule, its flag's id and its environment's id. Raises RuleNotFound."""
    query = (
        sa.select(rules)
        .join(flags, flags.c.id == rules.c.flag_id)
        .where(rules.c.id == rule_id, flags.c.workspace_id == workspace_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RuleNotFound(f"this workspace has no rule {rule_id}", field="rule")
    return rule_of(row), row.flag_id, row.environment_id


def add_rule(
    connection: sa.Connection,
    workspace_id: int,
    flag_id: int,
    environment_id: int,
    new: NewRule,
    now: datetime,
) -> Rule:
    """Add a rule after the others. Raises RuleInvalid, RuleKeyTaken, and errors of a condition flags cannot ask."""
    stored = _changeable(connection, workspace_id, flag_id)
    check_environment(stored, environment_id)
    check_key(new.key)
    others = _rules_of(connection, flag_id, environment_id)
    if new.key in {other.key for other in others}:
        raise RuleKeyTaken(f"the flag has a rule {new.key!r} here already; choose another key", field="key")
    rule = Rule(
        id=0,
        kind=new.kind,
        key=new.key,
        name=clean_name(new.name or new.key[:MAX_NAME]),
        is_on=new.is_on,
        condition=new.condition,
        traffic=new.traffic,
        allocations=new.allocations,
        salt=new.salt,
        whitelist=new.whitelist,
    )
    _check_rule(connection, stored, environment_id, rule)
    rule = with_settled_weights(rule)
    rule_id = connection.execute(
        sa.insert(rules)
        .values(
            flag_id=flag_id,
            environment_id=environment_id,
            position=len(others),
            created_at=now,
            updated_at=now,
            **rule_columns(rule),
        )
        .returning(rules.c.id)
    ).scalar_one()
    # A salt of its own: a group of the same number would otherwise split users as the rule's traffic does.
    rule = msgspec.structs.replace(rule, id=rule_id, salt=rule.salt or f"r{rule_id}")
    connection.execute(sa.update(rules).where(rules.c.id == rule_id).values(**rule_columns(rule)))
    return rule


def update_rule(
    connection: sa.Connection, workspace_id: int, rule_id: int, changes: RuleChanges, now: datetime
) -> Rule:
    rule, flag_id, environment_id = get_rule(connection, workspace_id, rule_id)
    stored = _changeable(connection, workspace_id, flag_id)
    changed = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if "name" in changed:
        changed["name"] = clean_name(changed["name"])
    if rule.unreadable:
        rule = _mended(rule, changed)
    rule = msgspec.structs.replace(rule, **changed)
    is_kept = not changed.keys() & {"condition", "whitelist"}
    _check_rule(connection, stored, environment_id, rule, is_kept=is_kept)
    rule = with_settled_weights(rule)
    connection.execute(
        sa.update(rules).where(rules.c.id == rule_id).values(updated_at=now, **rule_columns(rule))
    )
    return rule


def _mended(rule: Rule, changed: dict[str, Any]) -> Rule:
    """One that cannot be read, where the change says again what it needs. Raises DefinitionDamaged."""
    if lost := [name for name in ("condition", "traffic", "allocations") if name not in changed]:
        raise DefinitionDamaged(
            f"{lost[0]}: what is stored of this rule cannot be read; send {' and '.join(lost)} again, or delete it",
            field=lost[0],
        )
    return msgspec.structs.replace(rule, salt=f"r{rule.id}", unreadable="")


def set_rule_state(
    connection: sa.Connection, workspace_id: int, rule_id: int, is_on: bool, now: datetime
) -> Rule:
    return update_rule(connection, workspace_id, rule_id, RuleChanges(is_on=is_on), now)


def move_rule(connection: sa.Connection, workspace_id: int, rule_id: int, position: int) -> list[Rule]:
    """Put a rule at a place counted from 0 (beyond the end: last). Return the rules in their new order."""
    rule, flag_id, environment_id = get_rule(connection, workspace_id, rule_id)
    _changeable(connection, workspace_id, flag_id)
    others = [other for other in _rules_of(connection, flag_id, environment_id) if other.id != rule_id]
    others.insert(max(0, position), rule)
    for at, moved in enumerate(others):
        connection.execute(sa.update(rules).where(rules.c.id == moved.id).values(position=at))
    return others


def delete_rule(connection: sa.Connection, workspace_id: int, rule_id: int) -> None:
    """Its exposures stay countable: a deleted rule's number is never used again. Groups lose it by themselves.

    Raises RuleNotFound, FlagArchived.
    """
    _, flag_id, _ = get_rule(connection, workspace_id, rule_id)
    _changeable(connection, workspace_id, flag_id)
    connection.execute(sa.delete(rules).where(rules.c.id == rule_id))


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


def check_references(
    connection: sa.Connection, condition: Condition, *, project_id: int, environment_id: int
) -> None:
    """That segments, lists and other flags the condition names are this project's. Raises RuleInvalid."""
    for leaf in leaves(condition):
        if isinstance(leaf, InList) and leaf.segment_id:
            known = sa.select(segments.c.id).where(
                segments.c.id == leaf.segment_id, segments.c.project_id == project_id
            )
            what = f"segment {leaf.segment_id}"
        elif isinstance(leaf, InList):
            known = sa.select(attribute_lists.c.id).where(
                attribute_lists.c.id == leaf.list_id,
                attribute_lists.c.environment_id == environment_id,
                may_be_asked(),
            )
            what = f"attribute list {leaf.list_id!r}"
        elif isinstance(leaf, OtherFlag):
            known = sa.select(flags.c.id).where(flags.c.id == leaf.flag_id, flags.c.project_id == project_id)
            what = f"flag {leaf.flag_id}"
        else:
            continue
        if connection.execute(known).first() is None:
            raise RuleInvalid(f"condition: there is no {what} here; choose another", field="condition")


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


def _rules_of(connection: sa.Connection, flag_id: int, environment_id: int) -> list[Rule]:
    query = sa.select(rules).where(rules.c.flag_id == flag_id, rules.c.environment_id == environment_id)
    return [rule_of(row) for row in connection.execute(query.order_by(rules.c.position, rules.c.id))]


def _changeable(connection: sa.Connection, workspace_id: int, flag_id: int) -> StoredFlag:
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


def _check_rule(
    connection: sa.Connection, stored: StoredFlag, environment_id: int, rule: Rule, *, is_kept: bool = False
) -> None:
    check_rule(stored.flag, rule, is_kept=is_kept)
    for condition in (rule.condition, *(entry.condition for entry in rule.whitelist)):
        check_references(connection, condition, project_id=stored.project_id, environment_id=environment_id)
        if any(isinstance(leaf, OtherFlag) and leaf.flag_id == stored.flag.id for leaf in leaves(condition)):
            raise RuleInvalid("condition: a flag cannot depend on itself", field="condition")
