"""The rules of flags in each environment, kept in the metadata database.

Every call is bound to a workspace: what belongs to another one does not exist. Nothing reaches an SDK from here;
`publish` does that. The caller opens the transaction.
"""

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType

from cairn.conditions.tree import EVERYBODY, Condition, InList, OtherFlag
from cairn.conditions.walk import leaves
from cairn.db.tables import attribute_lists, flags, rules, segments
from cairn.errors import Conflict, NotFound
from cairn.flags.checks import RuleInvalid, check_key, check_rule, with_settled_weights
from cairn.flags.definition import DefinitionDamaged, StoredFlag, changeable_flag, check_environment, get_flag
from cairn.flags.model import Allocation, Forced, Rule, RuleKind
from cairn.flags.records import rule_columns, rule_of
from cairn.lists.offered import may_be_asked
from cairn.workspace.naming import MAX_NAME, clean_name


class RuleNotFound(NotFound):
    """There is no such rule in this workspace."""

    code = "rule_not_found"


class RuleKeyTaken(Conflict):
    """The flag has a rule with this key in this environment. Choose another key."""

    code = "rule_key_taken"


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
    stored = changeable_flag(connection, workspace_id, flag_id)
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
    stored = changeable_flag(connection, workspace_id, flag_id)
    changed = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if "name" in changed:
        changed["name"] = clean_name(changed["name"])
    if rule.unreadable:
        rule = _repaired(rule, changed)
    rule = msgspec.structs.replace(rule, **changed)
    is_kept = not changed.keys() & {"condition", "whitelist"}
    _check_rule(connection, stored, environment_id, rule, is_kept=is_kept)
    rule = with_settled_weights(rule)
    connection.execute(
        sa.update(rules).where(rules.c.id == rule_id).values(updated_at=now, **rule_columns(rule))
    )
    return rule


def _repaired(rule: Rule, changed: dict[str, Any]) -> Rule:
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
    changeable_flag(connection, workspace_id, flag_id)
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
    changeable_flag(connection, workspace_id, flag_id)
    connection.execute(sa.delete(rules).where(rules.c.id == rule_id))


def check_references(
    connection: sa.Connection, condition: Condition, *, project_id: int, environment_id: int
) -> None:
    """That segments, lists and other flags the condition names are this project's. Raises RuleInvalid."""
    for leaf in leaves(condition):
        if isinstance(leaf, InList) and leaf.segment_id:
            referenced = sa.select(segments.c.id).where(
                segments.c.id == leaf.segment_id, segments.c.project_id == project_id
            )
            what = f"segment {leaf.segment_id}"
        elif isinstance(leaf, InList):
            referenced = sa.select(attribute_lists.c.id).where(
                attribute_lists.c.id == leaf.list_id,
                attribute_lists.c.environment_id == environment_id,
                may_be_asked(),
            )
            what = f"attribute list {leaf.list_id!r}"
        elif isinstance(leaf, OtherFlag):
            referenced = sa.select(flags.c.id).where(
                flags.c.id == leaf.flag_id, flags.c.project_id == project_id
            )
            what = f"flag {leaf.flag_id}"
        else:
            continue
        if connection.execute(referenced).first() is None:
            raise RuleInvalid(f"condition: there is no {what} here; choose another", field="condition")


def _rules_of(connection: sa.Connection, flag_id: int, environment_id: int) -> list[Rule]:
    query = sa.select(rules).where(rules.c.flag_id == flag_id, rules.c.environment_id == environment_id)
    return [rule_of(row) for row in connection.execute(query.order_by(rules.c.position, rules.c.id))]


def _check_rule(
    connection: sa.Connection, stored: StoredFlag, environment_id: int, rule: Rule, *, is_kept: bool = False
) -> None:
    check_rule(stored.flag, rule, is_kept=is_kept)
    for condition in (rule.condition, *(entry.condition for entry in rule.whitelist)):
        check_references(connection, condition, project_id=stored.project_id, environment_id=environment_id)
        if any(isinstance(leaf, OtherFlag) and leaf.flag_id == stored.flag.id for leaf in leaves(condition)):
            raise RuleInvalid("condition: a flag cannot depend on itself", field="condition")
