"""Groups of rules that exclude each other, and holdouts: both belong to one environment.

Every call is bound to a workspace. The caller opens the transaction.
"""

from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.conditions.tree import EVERYBODY, Condition
from cairn.db.tables import environments, flag_groups, flags, holdouts, rules
from cairn.errors import NotFound
from cairn.flags.checks import GroupInvalid, check_group, check_holdout
from cairn.flags.definition import project_of
from cairn.flags.model import Group, Holdout, Metric
from cairn.flags.records import group_of, holdout_of, rule_of
from cairn.flags.rule_definition import check_references
from cairn.workspace.naming import clean_name


class GroupNotFound(NotFound):
    """There is no such group in this workspace."""

    code = "group_not_found"


class HoldoutNotFound(NotFound):
    """There is no such holdout in this workspace."""

    code = "holdout_not_found"


class NewGroup(Struct, frozen=True, forbid_unknown_fields=True):
    """What a group is made from."""

    name: str
    rule_ids: tuple[int, ...]
    kind: Literal["random", "advanced"] = "random"
    priority: tuple[int, ...] = ()
    weights: dict[int, float] = {}


class GroupChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a group; what is unset stays."""

    name: str | UnsetType = UNSET
    rule_ids: tuple[int, ...] | UnsetType = UNSET
    kind: Literal["random", "advanced"] | UnsetType = UNSET
    priority: tuple[int, ...] | UnsetType = UNSET
    weights: dict[int, float] | UnsetType = UNSET


class NewHoldout(Struct, frozen=True, forbid_unknown_fields=True):
    """What a holdout is made from. Without flags it is global."""

    name: str
    traffic: float
    condition: Condition = EVERYBODY
    flag_ids: tuple[int, ...] = ()
    metrics: tuple[Metric, ...] = ()


class HoldoutChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a holdout; what is unset stays."""

    name: str | UnsetType = UNSET
    traffic: float | UnsetType = UNSET
    condition: Condition | UnsetType = UNSET
    flag_ids: tuple[int, ...] | UnsetType = UNSET
    metrics: tuple[Metric, ...] | UnsetType = UNSET


def list_groups(connection: sa.Connection, workspace_id: int, environment_id: int) -> list[Group]:
    project_of(connection, workspace_id, environment_id)
    query = sa.select(flag_groups).where(flag_groups.c.environment_id == environment_id)
    return [group_of(row) for row in connection.execute(query.order_by(flag_groups.c.id))]


def get_group(connection: sa.Connection, workspace_id: int, group_id: int) -> tuple[Group, int]:
    """A group and its environment's id. Raises GroupNotFound."""
    row = _row(connection, flag_groups, workspace_id, group_id)
    if row is None:
        raise GroupNotFound(f"this workspace has no group {group_id}", field="group")
    return group_of(row), row.environment_id


def add_group(connection: sa.Connection, workspace_id: int, environment_id: int, new: NewGroup) -> Group:
    """Raises GroupInvalid."""
    project_of(connection, workspace_id, environment_id)
    group = Group(0, clean_name(new.name), new.kind, new.rule_ids, new.priority, new.weights)
    _check_group(connection, environment_id, group)
    values = {"environment_id": environment_id, **_group_columns(group)}
    group_id = connection.execute(
        sa.insert(flag_groups).values(**values).returning(flag_groups.c.id)
    ).scalar_one()
    return msgspec.structs.replace(group, id=group_id)


def update_group(connection: sa.Connection, workspace_id: int, group_id: int, changes: GroupChanges) -> Group:
    group, environment_id = get_group(connection, workspace_id, group_id)
    group = msgspec.structs.replace(group, **_set(changes))
    _check_group(connection, environment_id, group)
    connection.execute(
        sa.update(flag_groups).where(flag_groups.c.id == group_id).values(**_group_columns(group))
    )
    return group


def delete_group(connection: sa.Connection, workspace_id: int, group_id: int) -> None:
    get_group(connection, workspace_id, group_id)
    connection.execute(sa.delete(flag_groups).where(flag_groups.c.id == group_id))


def list_holdouts(connection: sa.Connection, workspace_id: int, environment_id: int) -> list[Holdout]:
    project_of(connection, workspace_id, environment_id)
    query = sa.select(holdouts).where(holdouts.c.environment_id == environment_id)
    return [holdout_of(row) for row in connection.execute(query.order_by(holdouts.c.id))]


def get_holdout(connection: sa.Connection, workspace_id: int, holdout_id: int) -> tuple[Holdout, int]:
    """A holdout and its environment's id. Raises HoldoutNotFound."""
    row = _row(connection, holdouts, workspace_id, holdout_id)
    if row is None:
        raise HoldoutNotFound(f"this workspace has no holdout {holdout_id}", field="holdout")
    return holdout_of(row), row.environment_id


def add_holdout(
    connection: sa.Connection, workspace_id: int, environment_id: int, new: NewHoldout
) -> Holdout:
    """Raises HoldoutInvalid, and errors of a condition flags cannot ask."""
    holdout = Holdout(
        0, clean_name(new.name), new.condition, new.traffic, not new.flag_ids, new.flag_ids, new.metrics
    )
    _check_holdout(connection, workspace_id, environment_id, holdout)
    values = {"environment_id": environment_id, **_holdout_columns(holdout)}
    holdout_id = connection.execute(
        sa.insert(holdouts).values(**values).returning(holdouts.c.id)
    ).scalar_one()
    return msgspec.structs.replace(holdout, id=holdout_id)


def update_holdout(
    connection: sa.Connection, workspace_id: int, holdout_id: int, changes: HoldoutChanges
) -> Holdout:
    holdout, environment_id = get_holdout(connection, workspace_id, holdout_id)
    holdout = msgspec.structs.replace(holdout, **_set(changes))
    holdout = msgspec.structs.replace(holdout, is_global=not holdout.flag_ids)
    _check_holdout(connection, workspace_id, environment_id, holdout)
    connection.execute(
        sa.update(holdouts).where(holdouts.c.id == holdout_id).values(**_holdout_columns(holdout))
    )
    return holdout


def delete_holdout(connection: sa.Connection, workspace_id: int, holdout_id: int) -> None:
    get_holdout(connection, workspace_id, holdout_id)
    connection.execute(sa.delete(holdouts).where(holdouts.c.id == holdout_id))


def _row(connection: sa.Connection, table: sa.Table, workspace_id: int, row_id: int) -> sa.Row[Any] | None:
    query = (
        sa.select(table)
        .join(environments, environments.c.id == table.c.environment_id)
        .where(table.c.id == row_id, environments.c.workspace_id == workspace_id)
    )
    return connection.execute(query).one_or_none()


def _set(changes: GroupChanges | HoldoutChanges) -> dict[str, Any]:
    changed = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if "name" in changed:
        changed["name"] = clean_name(changed["name"])
    return changed


def _without(value: Group | Holdout) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(value, str_keys=True)
    return {key: content for key, content in body.items() if key not in ("id", "name")}


def _group_columns(group: Group) -> dict[str, Any]:
    return {"name": group.name, "body": _without(group)}


def _holdout_columns(holdout: Holdout) -> dict[str, Any]:
    return {"name": holdout.name, "body": _without(holdout)}


def _check_group(connection: sa.Connection, environment_id: int, group: Group) -> None:
    query = sa.select(rules).where(rules.c.environment_id == environment_id, rules.c.id.in_(group.rule_ids))
    check_group(group, [rule_of(row) for row in connection.execute(query)])
    others = sa.select(flag_groups).where(
        flag_groups.c.environment_id == environment_id, flag_groups.c.id != group.id
    )
    for row in connection.execute(others):
        if shared := set(group_of(row).rule_ids) & set(group.rule_ids):
            raise GroupInvalid(
                f"rule_ids: rule {min(shared)} is in group {row.name!r} already; a rule has one group",
                field="rule_ids",
            )


def _check_holdout(
    connection: sa.Connection, workspace_id: int, environment_id: int, holdout: Holdout
) -> None:
    project_id = project_of(connection, workspace_id, environment_id)
    query = sa.select(flags.c.id).where(flags.c.project_id == project_id)
    check_holdout(holdout, set(connection.execute(query).scalars()))
    check_references(connection, holdout.condition, project_id=project_id, environment_id=environment_id)
