"""A flag's rules in one environment, in the order they are tried."""

import sqlalchemy as sa

from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, Edited, record
from cairn.flags import rule_definition
from cairn.flags.model import Rule
from cairn.flags.rule_definition import NewRule, RuleChanges, RuleNotFound
from cairn.workspace.edits import check_edition, check_edition_in, differences, edition_of
from cairn.workspace.environment import Environment

EDITED = ("name", "is_on", "condition", "traffic", "allocations", "salt", "whitelist")


def list_rules(call: Call, flag_id: int, environment: Environment) -> list[Rule]:
    """Raises EnvironmentNotFound for an environment of another project."""
    with call.reading() as connection:
        return rule_definition.list_rules(connection, call.workspace_id, flag_id, environment.id)


def read_order(call: Call, flag_id: int, environment: Environment) -> Edited[list[Rule]]:
    """The rules with the edition of their order. Raises as `list_rules`."""
    with call.reading() as connection:
        rules = rule_definition.list_rules(connection, call.workspace_id, flag_id, environment.id)
        return Edited(rules, edition_of(connection, "rule order", flag_id))


def order_edition(call: Call, flag_id: int) -> int:
    """Of the order of a flag's rules, whatever the environment."""
    with call.reading() as connection:
        return edition_of(connection, "rule order", flag_id)


def get_rule(call: Call, flag_id: int, environment: Environment, rule_id: int) -> Rule:
    """Raises RuleNotFound, also for a rule of another flag or environment."""
    return read_rule(call, flag_id, environment, rule_id).value


def read_rule(call: Call, flag_id: int, environment: Environment, rule_id: int) -> Edited[Rule]:
    """With its edition. Raises as `get_rule`."""
    with call.reading() as connection:
        edition = edition_of(connection, "rule", rule_id)
        rule, of_flag, environment_id = rule_definition.get_rule(connection, call.workspace_id, rule_id)
    if (of_flag, environment_id) != (flag_id, environment.id):
        raise RuleNotFound(f"this flag has no rule {rule_id} in this environment", field="rule_id")
    return Edited(rule, edition)


def add_rule(call: Call, flag_id: int, environment: Environment, new: NewRule) -> Edited[Rule]:
    """After the others. Raises RuleInvalid, RuleKeyTaken, and errors of a condition flags cannot ask."""
    with call.writing() as connection:
        rule = rule_definition.add_rule(connection, call.workspace_id, flag_id, environment.id, new, call.now)
        edition = record(call, connection, "rule", rule.id, [CREATED])
        _record_order(call, connection, flag_id, environment, rule, "added")
    call.changed([environment.id])
    return Edited(rule, edition)


def change_rule(
    call: Call,
    flag_id: int,
    environment: Environment,
    rule_id: int,
    changes: RuleChanges,
    *,
    expected: int | None = None,
) -> Edited[Rule]:
    """`expected`: the edition the caller has seen. Raises RuleNotFound, RuleInvalid, FlagArchived and StaleVersion."""
    get_rule(call, flag_id, environment, rule_id)
    with call.writing() as connection:
        before = rule_definition.get_rule(connection, call.workspace_id, rule_id)[0]
        check_edition(connection, "rule", rule_id, expected)
        rule = rule_definition.update_rule(connection, call.workspace_id, rule_id, changes, call.now)
        edition = record(call, connection, "rule", rule_id, differences(before, rule, EDITED))
    call.changed([environment.id])
    return Edited(rule, edition)


def switch_rule(
    call: Call,
    flag_id: int,
    environment: Environment,
    rule_id: int,
    *,
    is_on: bool,
    expected: int | None = None,
) -> Edited[Rule]:
    """Raises RuleNotFound, FlagArchived and StaleVersion."""
    return change_rule(call, flag_id, environment, rule_id, RuleChanges(is_on=is_on), expected=expected)


def move_rule(
    call: Call,
    flag_id: int,
    environment: Environment,
    rule_id: int,
    position: int,
    *,
    expected: int | None = None,
) -> Edited[list[Rule]]:
    """To a position counted from 0 (beyond the end: last); the rules in their new order.

    `expected`: the edition of the order that the caller has seen. Raises RuleNotFound, FlagArchived and StaleVersion.
    """
    get_rule(call, flag_id, environment, rule_id)
    with call.writing() as connection:
        check_edition_in(connection, "rule order", flag_id, environment.name, expected)
        before = rule_definition.list_rules(connection, call.workspace_id, flag_id, environment.id)
        ordered = rule_definition.move_rule(connection, call.workspace_id, rule_id, position)
        edition = edition_of(connection, "rule order", flag_id)
        if ordered != before:
            number, rule = next((at, rule) for at, rule in enumerate(ordered, 1) if rule.id == rule_id)
            edition = _record_order(call, connection, flag_id, environment, rule, f"to place {number}")
    call.changed([environment.id])
    return Edited(ordered, edition)


def shift_rule(
    call: Call,
    flag_id: int,
    environment: Environment,
    rule_id: int,
    step: int,
    *,
    expected: int | None = None,
) -> None:
    """Earlier by a negative step, later by a positive one. Raises RuleNotFound and StaleVersion."""
    order = [rule.id for rule in list_rules(call, flag_id, environment)]
    if rule_id in order:
        position = max(0, order.index(rule_id) + step)
        move_rule(call, flag_id, environment, rule_id, position, expected=expected)


def delete_rule(
    call: Call, flag_id: int, environment: Environment, rule_id: int, *, expected: int | None = None
) -> None:
    """What was seen of it stays countable. Raises RuleNotFound and StaleVersion."""
    get_rule(call, flag_id, environment, rule_id)
    with call.writing() as connection:
        check_edition(connection, "rule", rule_id, expected)
        rule = rule_definition.get_rule(connection, call.workspace_id, rule_id)[0]
        rule_definition.delete_rule(connection, call.workspace_id, rule_id)
        record(call, connection, "rule", rule_id, [DELETED])
        _record_order(call, connection, flag_id, environment, rule, "deleted")
    call.changed([environment.id])


def _record_order(
    call: Call, connection: sa.Connection, flag_id: int, environment: Environment, rule: Rule, became: str
) -> int:
    """The new edition of the order. The environment's name ends the text: other environments have their own order."""
    what = f"rule order: {rule.name or rule.key} {became} in {environment.name}"
    return record(call, connection, "rule order", flag_id, [what])
