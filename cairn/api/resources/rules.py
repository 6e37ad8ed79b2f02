"""A flag's rules in one environment, in the order they are tried."""

from typing import Annotated

from msgspec import Meta, Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Key, Versioned
from cairn.api.resources.flags import Switch
from cairn.app import rules
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.flags import get_flag
from cairn.flags.definition import NewRule, RuleChanges
from cairn.flags.model import Rule
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb


class RuleList(Struct, frozen=True):
    rules: list[Rule]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    position: Annotated[int, Meta(ge=0, le=100_000, description="Counted from 0; beyond the end: last.")]


def read_rules(call: Call, key: Key, environment: EnvironmentName) -> RuleList:
    """List the rules in the order they are tried."""
    return RuleList(rules.list_rules(call, *_of(call, key, environment)))


def create_rule(call: Call, key: Key, environment: EnvironmentName, body: NewRule) -> Versioned[Rule]:
    """Add a rule after the others."""
    return _versioned(rules.add_rule(call, *_of(call, key, environment), body))


def read_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id) -> Versioned[Rule]:
    """Read a rule."""
    return _versioned(rules.read_rule(call, *_of(call, key, environment), rule_id))


def change_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: RuleChanges, expected: int | None
) -> Versioned[Rule]:
    """Change a rule. What is left out stays."""
    flag_id, here = _of(call, key, environment)
    return _versioned(rules.change_rule(call, flag_id, here, rule_id, body, expected=expected))


def remove_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, expected: int | None
) -> None:
    """Delete a rule. What was seen of it stays countable."""
    rules.delete_rule(call, *_of(call, key, environment), rule_id, expected=expected)


def switch_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: Switch, expected: int | None
) -> Versioned[Rule]:
    """Switch a rule on or off."""
    flag_id, here = _of(call, key, environment)
    return _versioned(rules.switch_rule(call, flag_id, here, rule_id, is_on=body.is_on, expected=expected))


def place_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: Place) -> RuleList:
    """Move a rule to another place in the order."""
    return RuleList(rules.move_rule(call, *_of(call, key, environment), rule_id, body.position))


def _versioned(edited: Edited[Rule]) -> Versioned[Rule]:
    return Versioned(edited.value, edited.edition)


def _of(call: Call, key: str, environment: str) -> tuple[int, Environment]:
    """The flag's id and the environment that a path names."""
    return get_flag(call, key).flag.id, call.environment(environment)


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
    Endpoint("GET", _RULE, Verb.SEE, read_rule),
    Endpoint("PATCH", _RULE, Verb.DEFINE, change_rule, example={"traffic": 80}),
    Endpoint("DELETE", _RULE, Verb.DEFINE, remove_rule),
    Endpoint("PUT", _RULE + "/state", Verb.DEFINE, switch_rule, example={"is_on": False}),
    Endpoint("PUT", _RULE + "/position", Verb.DEFINE, place_rule, example={"position": 0}),
)
