"""A flag's rules in one environment, in the order they are tried."""

from typing import Annotated

from msgspec import Meta, Struct

from cairn.api.endpoint import Call, Endpoint, EnvironmentName, Id, Key
from cairn.api.resources.flags import Switch
from cairn.flags.definition import (
    NewRule,
    RuleChanges,
    RuleNotFound,
    add_rule,
    delete_rule,
    get_flag,
    get_rule,
    list_rules,
    move_rule,
    set_rule_state,
    update_rule,
)
from cairn.flags.model import Rule
from cairn.workspace.environment import get_environment
from cairn.workspace.permission import Verb


class RuleList(Struct, frozen=True):
    rules: list[Rule]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    position: Annotated[int, Meta(ge=0, le=100_000, description="Counted from 0; beyond the end: last.")]


def read_rules(call: Call, key: Key, environment: EnvironmentName) -> RuleList:
    """List the rules in the order they are tried."""
    flag_id, environment_id = _place(call, key, environment)
    return RuleList(list_rules(call.connection, call.workspace_id, flag_id, environment_id))


def create_rule(call: Call, key: Key, environment: EnvironmentName, body: NewRule) -> Rule:
    """Add a rule after the others."""
    flag_id, environment_id = _place(call, key, environment)
    call.publishing.add(environment_id)
    return add_rule(call.connection, call.workspace_id, flag_id, environment_id, body, call.now)


def change_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: RuleChanges) -> Rule:
    """Change a rule. What is left out stays."""
    _rule_at(call, key, environment, rule_id)
    return update_rule(call.connection, call.workspace_id, rule_id, body, call.now)


def remove_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id) -> None:
    """Delete a rule. What was seen of it stays countable."""
    _rule_at(call, key, environment, rule_id)
    delete_rule(call.connection, call.workspace_id, rule_id)


def switch_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: Switch) -> Rule:
    """Switch a rule on or off."""
    _rule_at(call, key, environment, rule_id)
    return set_rule_state(call.connection, call.workspace_id, rule_id, body.is_on, call.now)


def place_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: Place) -> RuleList:
    """Move a rule to another place in the order."""
    _rule_at(call, key, environment, rule_id)
    return RuleList(move_rule(call.connection, call.workspace_id, rule_id, body.position))


def _place(call: Call, key: str, environment: str) -> tuple[int, int]:
    found = get_environment(call.connection, call.workspace_id, environment)
    return get_flag(call.connection, call.workspace_id, key).flag.id, found.id


def _rule_at(call: Call, key: str, environment: str, rule_id: int) -> None:
    """That the path names one rule, not a flag and a rule of another. Raises RuleNotFound."""
    flag_id, environment_id = _place(call, key, environment)
    if get_rule(call.connection, call.workspace_id, rule_id)[1:] != (flag_id, environment_id):
        raise RuleNotFound(f"this flag has no rule {rule_id} in this environment", field="rule_id")
    call.publishing.add(environment_id)


EXAMPLE = {
    "kind": "rollout",
    "key": "half_of_premium",
    "condition": {"type": "attribute", "name": "plan", "operator": "is", "value": "premium"},
    "traffic": 50,
    "allocations": [{"variation_id": 2}],
}
_RULES = "/flags/{key}/environments/{environment}/rules"
_RULE = _RULES + "/{rule_id}"
ENDPOINTS = (
    Endpoint("GET", _RULES, Verb.SEE, read_rules),
    Endpoint("POST", _RULES, Verb.DEFINE, create_rule, example=EXAMPLE, status=201),
    Endpoint("PATCH", _RULE, Verb.DEFINE, change_rule, example={"traffic": 80}),
    Endpoint("DELETE", _RULE, Verb.DEFINE, remove_rule),
    Endpoint("PUT", _RULE + "/state", Verb.DEFINE, switch_rule, example={"is_on": False}),
    Endpoint("PUT", _RULE + "/position", Verb.DEFINE, place_rule, example={"position": 0}),
)
