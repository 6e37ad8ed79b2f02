"""A flag's rules in one environment, in the order they are tried."""

from typing import Annotated

from msgspec import Meta, Struct, structs

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Key, Versioned
from cairn.api.resources.flags import Switch
from cairn.app import rules
from cairn.app.call import Call
from cairn.app.editions import Edited
from cairn.app.flag_warnings import FlagWarnings, warnings_of
from cairn.app.flags import get_flag
from cairn.flags.model import Rule
from cairn.flags.rule_definition import NewRule, RuleChanges
from cairn.workspace.environment import Environment
from cairn.workspace.permission import Verb


class RuleAnswer(Rule, frozen=True):
    warnings: tuple[str, ...] = ()  # what is accepted and SDKs will not decide as written


class RuleList(Struct, frozen=True):
    rules: list[RuleAnswer]


class RulePosition(Struct, frozen=True, forbid_unknown_fields=True):
    position: Annotated[int, Meta(ge=0, le=100_000, description="Counted from 0; beyond the end: last.")]


def read_rules(call: Call, key: Key, environment: EnvironmentName) -> Versioned[RuleList]:
    """List the rules in the order they are tried. The version is that of the order."""
    at = _at(call, key, environment)
    return _ordered(at, rules.read_order(call, at.flag_id, at.environment))


def create_rule(call: Call, key: Key, environment: EnvironmentName, body: NewRule) -> Versioned[RuleAnswer]:
    """Add a rule after the others."""
    at = _at(call, key, environment)
    return _versioned(at, rules.add_rule(call, at.flag_id, at.environment, body))


def read_rule(call: Call, key: Key, environment: EnvironmentName, rule_id: Id) -> Versioned[RuleAnswer]:
    """Read a rule."""
    at = _at(call, key, environment)
    return _versioned(at, rules.read_rule(call, at.flag_id, at.environment, rule_id))


def change_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: RuleChanges, expected: int | None
) -> Versioned[RuleAnswer]:
    """Change a rule. What is left out stays."""
    at = _at(call, key, environment)
    changed = rules.change_rule(call, at.flag_id, at.environment, rule_id, body, expected=expected)
    return _versioned(at, changed)


def remove_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, expected: int | None
) -> None:
    """Delete a rule. What was seen of it stays countable."""
    at = _at(call, key, environment)
    rules.delete_rule(call, at.flag_id, at.environment, rule_id, expected=expected)


def switch_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: Switch, expected: int | None
) -> Versioned[RuleAnswer]:
    """Switch a rule on or off."""
    at = _at(call, key, environment)
    switched = rules.switch_rule(
        call, at.flag_id, at.environment, rule_id, is_on=body.is_on, expected=expected
    )
    return _versioned(at, switched)


def place_rule(
    call: Call, key: Key, environment: EnvironmentName, rule_id: Id, body: RulePosition, expected: int | None
) -> Versioned[RuleList]:
    """Move a rule to another place in the order. The version is that of the list of rules."""
    at = _at(call, key, environment)
    moved = rules.move_rule(call, at.flag_id, at.environment, rule_id, body.position, expected=expected)
    return _ordered(at, moved)


class _At(Struct, frozen=True):
    """The flag and the environment that a path names."""

    call: Call
    flag_id: int
    flag_key: str
    environment: Environment

    @property
    def warnings(self) -> FlagWarnings:
        return warnings_of(self.call, self.environment, self.flag_key)


def _at(call: Call, key: str, environment: str) -> _At:
    return _At(call, get_flag(call, key).flag.id, key, call.environment(environment))


def _versioned(at: _At, edited: Edited[Rule]) -> Versioned[RuleAnswer]:
    return Versioned(_answer(edited.value, at.warnings), edited.edition)


def _ordered(at: _At, edited: Edited[list[Rule]]) -> Versioned[RuleList]:
    warnings = at.warnings
    return Versioned(RuleList([_answer(rule, warnings) for rule in edited.value]), edited.edition)


def _answer(rule: Rule, warnings: FlagWarnings) -> RuleAnswer:
    return RuleAnswer(**structs.asdict(rule), warnings=warnings.of_rule(rule.id))


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
