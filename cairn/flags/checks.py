"""What a flag, rule, group or holdout may look like. Pure; every refusal names the field and the accepted form."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cairn.conditions import operand
from cairn.conditions.to_wingify import NEVER, to_wingify
from cairn.conditions.tree import EVERYBODY, And, Attribute, Condition, Location, Not, Or, Visitor
from cairn.conditions.walk import leaves
from cairn.errors import InvalidInput
from cairn.flags.model import (
    Allocation,
    Flag,
    Forced,
    Group,
    Holdout,
    Metric,
    Rule,
    Value,
    Variable,
    Variation,
)

# Names that every flag SDK sends as they are. They put the event's name into an address unencoded: the Node SDK sends
# nothing for a name with a space and answers true all the same, and what follows a `#` or `&` is lost.
_SENDABLE = re.compile(r"[A-Za-z0-9_.:~-]+")
MAX_KEY = 255  # characters
MAX_VARIATIONS = 100  # of one flag; a draw has 10,000 places
MAX_DEPTH = 32  # nodes of a condition; the SDKs descend recursively
_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_EXACT = 2**53  # larger integers change on their way through JavaScript
_WEIGHT_SLACK = 0.011  # percent; three times 33.33 is meant as 100


class FlagInvalid(InvalidInput):
    """A flag's key, variables, variations or metrics cannot be accepted. The message names the field."""

    code = "flag_invalid"


class RuleInvalid(InvalidInput):
    """A rule's traffic, variations or condition cannot be accepted. The message names the field."""

    code = "rule_invalid"


class WeightsDoNotSum(RuleInvalid):
    """A testing rule's weights must add up to 100 percent, so that everybody in its traffic gets a variation."""

    code = "weights_do_not_sum"

    def __init__(self, total: float) -> None:
        super().__init__(
            f"allocations: weights add up to {total:g} percent, expected 100; change one by {100 - total:+g}",
            field="allocations",
        )


class GroupInvalid(InvalidInput):
    """A group's rules, priorities or weights cannot be accepted. The message names the field."""

    code = "group_invalid"


class HoldoutInvalid(InvalidInput):
    """A holdout's traffic, flags or condition cannot be accepted. The message names the field."""

    code = "holdout_invalid"


def check_key(key: str, *, field: str = "key") -> None:
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY:
        raise FlagInvalid(
            f"{field}: {key[:50]!r} is not accepted; use 1 to {MAX_KEY} letters, digits, '_', '-' or '.'",
            field=field,
        )


def check_flag(flag: Flag) -> None:
    check_key(flag.key)
    _check_distinct("variables", [item.id for item in flag.variables], [item.key for item in flag.variables])
    _check_distinct(
        "variations",
        [variation.id for variation in flag.variations],
        [variation.key for variation in flag.variations],
    )
    for variable in flag.variables:
        check_key(variable.key, field="variables")
        _check_value(variable, variable.value, field=f"variables.{variable.key}")
    if not 1 <= len(flag.variations) <= MAX_VARIATIONS:
        raise FlagInvalid(f"variations: expected 1 to {MAX_VARIATIONS}", field="variations")
    for variation in flag.variations:
        _check_variation(flag, variation)
    check_metrics(flag.metrics)


def _check_distinct(field: str, ids: Sequence[int], keys: Sequence[str]) -> None:
    if any(number < 1 for number in ids) or len(set(ids)) < len(ids):
        raise FlagInvalid(f"{field}: ids must be different whole numbers from 1 on", field=field)
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise FlagInvalid(f"{field}: the key {twice!r} is used twice; rename one", field=field)


def _check_variation(flag: Flag, variation: Variation) -> None:
    check_key(variation.key, field="variations")
    variables = {variable.key: variable for variable in flag.variables}
    for key, value in variation.values.items():
        field = f"variations.{variation.key}.{key}"
        if key not in variables:
            raise FlagInvalid(
                f"{field}: the flag has no variable {key!r}; add it or leave the value out", field=field
            )
        _check_value(variables[key], value, field=field)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_TYPES: dict[str, tuple[Callable[[Value], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "text"),
    "integer": (
        lambda value: _is_number(value) and isinstance(value, int) and abs(value) <= _EXACT,
        "a whole number of at most 9007199254740992",
    ),
    "double": (_is_number, "a finite number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    # The Python SDK rejects a whole settings file over one array.
    "json": (lambda value: isinstance(value, dict), "a JSON object"),
}


def _check_value(variable: Variable, value: Value, *, field: str) -> None:
    fits, accepted = _TYPES[variable.type]
    if not fits(value):
        raise FlagInvalid(
            f"{field}: expected {accepted} for type {variable.type}, got {value!r}", field=field
        )


def warnings_of_metrics(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """One sentence for each event that flag SDKs cannot send by this name. Accepted all the same: imports have them."""
    return tuple(
        f"metric {metric.identifier!r}: flag SDKs cannot send an event of this name; "
        "use letters, digits and _ - . : ~ only"
        for metric in metrics
        if not _SENDABLE.fullmatch(metric.identifier)
    )


def check_metrics(metrics: Iterable[Metric]) -> None:
    metrics = list(metrics)
    for metric in metrics:
        if not metric.identifier.strip():
            raise FlagInvalid("metrics: each needs the name of the event it counts", field="metrics")
    if len({metric.id for metric in metrics}) < len(metrics) or any(metric.id < 1 for metric in metrics):
        raise FlagInvalid("metrics: ids must be different whole numbers from 1 on", field="metrics")


def check_rule(flag: Flag, rule: Rule, *, is_kept: bool = False) -> None:
    """Raises RuleInvalid or an error of the condition that flags cannot ask.

    `is_kept`: its conditions were accepted before; patterns that are refused now do not prevent other changes.
    """
    check_key(rule.key)
    if not (_is_number(rule.traffic) and 0 <= rule.traffic <= 100):
        raise RuleInvalid(
            f"traffic: expected a percentage from 0 to 100, got {rule.traffic!r}", field="traffic"
        )
    _check_allocations(flag, rule)
    check_condition(rule.condition, is_kept=is_kept)
    if rule.whitelist and rule.kind != "testing":
        raise RuleInvalid(
            "whitelist: only a testing rule has one; use a condition instead", field="whitelist"
        )
    allocated = [allocation.variation_id for allocation in rule.allocations]
    forced = [entry.variation_id for entry in rule.whitelist]
    if len(set(forced)) < len(forced):
        raise RuleInvalid("whitelist: one condition per variation; join them with or", field="whitelist")
    for forced_entry in rule.whitelist:
        if forced_entry.variation_id not in allocated:
            raise RuleInvalid(
                f"whitelist: variation {forced_entry.variation_id} is not one of the rule's allocations",
                field="whitelist",
            )
        check_condition(forced_entry.condition, field="whitelist", is_kept=is_kept)
        if forced_entry.condition == EVERYBODY:
            raise RuleInvalid(
                "whitelist: a condition for everybody cannot force a variation; name users", field="whitelist"
            )
    _check_named_once(rule.whitelist)


def _check_named_once(whitelist: Sequence[Forced]) -> None:
    """Some Node SDKs switch the flag off for somebody forced into two variations."""
    named: set[str] = set()
    for forced in whitelist:
        nodes = forced.condition.nodes if isinstance(forced.condition, Or) else (forced.condition,)
        visitors = [node for node in nodes if isinstance(node, Visitor)]
        ids = {visitor_id.strip() for visitor in visitors for visitor_id in visitor.ids.split(",")}
        if twice := named & ids:
            raise RuleInvalid(
                f"whitelist: {min(twice)!r} is forced into two variations; keep one", field="whitelist"
            )
        named |= ids


def _check_allocations(flag: Flag, rule: Rule) -> None:
    ids = [allocation.variation_id for allocation in rule.allocations]
    for variation_id in ids:
        if flag.variation(variation_id) is None:
            raise RuleInvalid(
                f"allocations: flag {flag.key!r} has no variation {variation_id}; it has "
                f"{', '.join(str(variation.id) for variation in flag.variations)}",
                field="allocations",
            )
    if len(set(ids)) < len(ids):
        raise RuleInvalid("allocations: each variation may be listed once", field="allocations")
    if rule.kind == "testing":
        _check_weights(rule.allocations)
    elif len(ids) != 1:
        raise RuleInvalid(
            f"allocations: a {rule.kind} rule gives exactly one variation, got {len(ids)}",
            field="allocations",
        )


def _check_weights(allocations: Sequence[Allocation]) -> None:
    if len(allocations) < 2:
        raise RuleInvalid("allocations: a testing rule compares at least two variations", field="allocations")
    if any(not _is_number(allocation.weight) or allocation.weight < 0 for allocation in allocations):
        raise RuleInvalid("allocations: a weight is a percentage of at least 0", field="allocations")
    total = sum(allocation.weight for allocation in allocations)
    if abs(total - 100) > _WEIGHT_SLACK:
        raise WeightsDoNotSum(round(total, 4))


def with_settled_weights(rule: Rule) -> Rule:
    """Three times 33.33 is meant as 100: the last variation takes the rest, or one in 10,000 users would get none."""
    rest = round(100 - sum(allocation.weight for allocation in rule.allocations), 4)
    if rule.kind != "testing" or rest == 0 or abs(rest) > _WEIGHT_SLACK:
        return rule
    *others, last = rule.allocations
    settled = msgspec.structs.replace(last, weight=round(last.weight + rest, 4))
    return msgspec.structs.replace(rule, allocations=(*others, settled))


def check_condition(condition: Condition, *, field: str = "condition", is_kept: bool = False) -> None:
    """Raises InvalidInput for what no flag SDK can ask, naming the leaf."""
    _check_shape(condition, MAX_DEPTH, field)
    to_wingify(condition, in_list=lambda _leaf: NEVER)  # whether lists exist is the database's to say
    for leaf in leaves(condition):
        if isinstance(leaf, Attribute) and not is_kept:
            operand.check(leaf)


def _check_shape(condition: Condition, depth: int, field: str) -> None:
    if depth == 0:
        raise RuleInvalid(f"{field}: nested over {MAX_DEPTH} levels; write it flatter", field=field)
    match condition:
        case And() | Or():
            for node in condition.nodes:
                _check_shape(node, depth - 1, field)
        case Not():
            _check_shape(condition.node, depth - 1, field)
        case Visitor() if not condition.ids.strip():
            raise RuleInvalid(f"{field}: name at least one visitor id", field=field)
        case Location() if not condition.value.strip():
            raise RuleInvalid(f"{field}: name a {condition.key}", field=field)
        case _:
            pass


def check_group(group: Group, members: Sequence[Rule]) -> None:
    """`members`: the rules that exist of `group.rule_ids`."""
    member_ids = {rule.id for rule in members}
    if missing := [rule_id for rule_id in group.rule_ids if rule_id not in member_ids]:
        raise GroupInvalid(f"rule_ids: this environment has no rule {missing[0]}", field="rule_ids")
    if len(set(group.rule_ids)) < len(group.rule_ids) or len(group.rule_ids) < 2:
        raise GroupInvalid("rule_ids: a group needs at least two different rules", field="rule_ids")
    for rule in members:
        if rule.kind == "rollout":
            raise GroupInvalid(
                f"rule_ids: {rule.key!r} is a rollout; only testing and personalise rules exclude each other",
                field="rule_ids",
            )
    _check_chances(group, member_ids)


def _check_chances(group: Group, member_ids: set[int]) -> None:
    for field, ids in (("priority", list(group.priority)), ("weights", list(group.weights))):
        if any(rule_id not in member_ids for rule_id in ids) or len(set(ids)) < len(ids):
            raise GroupInvalid(f"{field}: only rules of the group, each once", field=field)
    if any(not _is_number(weight) or weight <= 0 for weight in group.weights.values()):
        raise GroupInvalid("weights: a weight is a percentage above 0", field="weights")
    if group.kind == "random" and (group.priority or group.weights):
        raise GroupInvalid("kind: priority and weights need an advanced group", field="kind")
    if group.kind == "advanced" and set(group.priority) | set(group.weights) != member_ids:
        raise GroupInvalid(
            "priority: each rule needs a priority or a weight, or it could never win", field="priority"
        )
    if group.weights and abs(sum(group.weights.values()) - 100) > _WEIGHT_SLACK:
        raise GroupInvalid(
            f"weights: they add up to {sum(group.weights.values()):g}, expected 100", field="weights"
        )


def check_holdout(holdout: Holdout, flag_ids: set[int]) -> None:
    if not (_is_number(holdout.traffic) and 0 <= holdout.traffic <= 100):
        raise HoldoutInvalid("traffic: expected a percentage from 0 to 100", field="traffic")
    if holdout.is_global == bool(holdout.flag_ids):
        raise HoldoutInvalid("flag_ids: name flags, or make the holdout global", field="flag_ids")
    if missing := [flag_id for flag_id in holdout.flag_ids if flag_id not in flag_ids]:
        raise HoldoutInvalid(f"flag_ids: this project has no flag {missing[0]}", field="flag_ids")
    check_condition(holdout.condition)
    check_metrics(holdout.metrics)
