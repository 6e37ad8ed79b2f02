"""Reads a Wingify settings file into our model, keeping campaign and variation numbers, keys and salts. Pure.

Compiled again and decided by the SDKs, it gives the results of the original. As in the SDKs a `status` means nothing
and a rule whose campaign is missing is not a rule. Limit: a variation that lacks a variable gets the variable's
default, and impact campaigns are left out.
"""

from itertools import count
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from cairn.conditions.from_wingify import from_wingify
from cairn.errors import InvalidInput
from cairn.flags.model import (
    Allocation,
    Flag,
    Forced,
    Group,
    Holdout,
    Metric,
    Rule,
    RuleKind,
    Ruleset,
    Value,
    Variable,
    VariableType,
    Variation,
)

Item = TypeVar("Item")
_KINDS: dict[str, RuleKind] = {
    "FLAG_ROLLOUT": "rollout",
    "FLAG_TESTING": "testing",
    "FLAG_PERSONALIZE": "personalise",
}


class ImportImpossible(InvalidInput):
    """The document is not a Wingify settings file. The message names the place and the accepted form."""

    code = "import_impossible"


class _Nothing(Struct, forbid_unknown_fields=True):
    """`{}`: how the vendor writes an empty array."""


class _Variable(Struct):
    id: int
    key: str
    type: VariableType
    value: int | float | str | bool | dict[str, Any]  # Any: a JSON variable's content


class _Variation(Struct):
    id: int
    name: str
    weight: int | float = 0
    segments: dict[str, Any] = field(default_factory=dict)  # Any: DSL, read by from_wingify
    variables: list[_Variable] = field(default_factory=list)
    salt: str = ""


class _Campaign(Struct, rename="camel"):
    id: int
    key: str
    type: Literal["FLAG_ROLLOUT", "FLAG_TESTING", "FLAG_PERSONALIZE"]
    variations: list[_Variation]
    segments: dict[str, Any]
    percent_traffic: int | float = 100
    salt: str = ""
    is_forced_variation_enabled: bool = False
    is_user_list_enabled: bool = False


class _Rule(Struct, rename="camel"):
    type: str
    rule_key: str
    campaign_id: int
    variation_id: int = 0


class _Metric(Struct, rename="camel"):
    id: int
    identifier: str
    type: str = "CUSTOM_GOAL"
    has_props: bool = False
    revenue_prop: str = ""


class _Feature(Struct):
    id: int
    key: str
    name: str
    metrics: list[_Metric]
    rules: list[_Rule] = field(default_factory=list)
    variables: list[_Variable] = field(default_factory=list)


class _Group(Struct):
    name: str
    campaigns: list[str]
    et: int = 1
    p: list[str] = field(default_factory=list)
    wt: dict[str, float] = field(default_factory=dict)


class _Holdout(Struct, rename="camel"):
    id: int
    name: str
    segments: dict[str, Any]
    percent_traffic: int | float
    is_global: bool
    feature_ids: list[int]
    metrics: list[_Metric] = field(default_factory=list)


class _Settings(Struct, rename="camel"):
    account_id: int | str
    features: list[_Feature] | _Nothing
    campaigns: list[_Campaign] | _Nothing
    groups: dict[Annotated[str, Meta(pattern=r"^[0-9]{1,9}\Z")], _Group] = field(default_factory=dict)
    holdouts: list[_Holdout] | _Nothing = field(default_factory=list)


def import_settings(document: bytes) -> Ruleset:
    """Raises ImportImpossible, and DslUnreadable for segments we cannot read."""
    try:
        settings = msgspec.json.decode(document, type=_Settings)
        account_id = int(settings.account_id)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ImportImpossible(f"not a Wingify settings file: {error}") from error
    campaigns = {campaign.id: campaign for campaign in _listed(settings.campaigns)}
    rule_ids = count(1)
    flags = tuple(_flag(feature, campaigns, rule_ids) for feature in _listed(settings.features))
    rule_of: dict[str, int] = {}
    for rule in (flag_rule for flag in flags for flag_rule in flag.rules if flag_rule.kind != "rollout"):
        rule_of[rule.group_key] = rule.id
        rule_of.setdefault(
            str(rule.campaign), rule.id
        )  # a priority may name a personalise rule by its campaign
    return Ruleset(
        account_id=account_id,
        flags=flags,
        groups=tuple(_group(int(key), group, rule_of) for key, group in settings.groups.items()),
        holdouts=tuple(_holdout(holdout) for holdout in _listed(settings.holdouts)),
    )


def _listed(items: list[Item] | _Nothing) -> list[Item]:
    return items if isinstance(items, list) else []


def _flag(feature: _Feature, campaigns: dict[int, _Campaign], rule_ids: "count[int]") -> Flag:
    used = [(rule, campaigns[rule.campaign_id]) for rule in feature.rules if rule.campaign_id in campaigns]
    variations = _Variations(feature)
    rules = tuple(
        _rule(rule, campaign, variations, next(rule_ids)) for rule, campaign in used if campaign.variations
    )
    return Flag(
        id=feature.id,
        key=feature.key,
        name=feature.name,
        variables=tuple(variations.variables.values()),
        variations=tuple(variations.found),
        metrics=tuple(_metric(metric) for metric in feature.metrics),
        is_on=True,
        rules=rules,
    )


class _Variations:
    """A flag's variables and distinct variations, gathered from the campaigns that carry them."""

    def __init__(self, feature: _Feature) -> None:
        self.variables: dict[str, Variable] = {}
        self.found: list[Variation] = []
        self._learn(feature.variables)

    def add(self, variation: _Variation) -> int:
        """The id of the flag's variation with this name and these values."""
        self._learn(variation.variables)
        values: dict[str, Value] = {variable.key: variable.value for variable in variation.variables}
        for made in self.found:
            if made.name == variation.name and made.values == values:
                return made.id
        number = len(self.found) + 1
        self.found.append(Variation(number, f"variation-{number}", variation.name, values))
        return number

    def _learn(self, variables: list[_Variable]) -> None:
        for variable in variables:
            self.variables.setdefault(
                variable.key, Variable(variable.id, variable.key, variable.type, variable.value)
            )


def _rule(rule: _Rule, campaign: _Campaign, variations: _Variations, rule_id: int) -> Rule:
    common: dict[str, Any] = {  # Any: the fields' own types
        "id": rule_id,
        "kind": _KINDS[campaign.type],
        "key": rule.rule_key,
        "campaign_number": campaign.id,
        "campaign_key": campaign.key,
        "visitor_ids_are_uuids": campaign.is_user_list_enabled,
    }
    if campaign.type == "FLAG_TESTING":
        ids = [variations.add(variation) for variation in campaign.variations]
        return Rule(
            **common,
            condition=from_wingify(campaign.segments),
            traffic=campaign.percent_traffic,
            salt=campaign.salt,
            allocations=tuple(
                Allocation(variation_id, variation.weight, variation.id)
                for variation_id, variation in zip(ids, campaign.variations, strict=True)
            ),
            whitelist=tuple(
                Forced(variation_id, from_wingify(variation.segments))
                for variation_id, variation in zip(ids, campaign.variations, strict=True)
                if campaign.is_forced_variation_enabled and variation.segments
            ),
        )
    # A number that is not there means the first, as in the SDKs.
    chosen = next(
        (variation for variation in campaign.variations if variation.id == rule.variation_id),
        campaign.variations[0],
    )
    return Rule(
        **common,
        name=chosen.name,
        condition=from_wingify(chosen.segments),
        traffic=chosen.weight,
        salt=chosen.salt,
        allocations=(Allocation(variations.add(chosen), 100, chosen.id),),
    )


def _metric(metric: _Metric) -> Metric:
    return Metric(metric.id, metric.identifier, metric.type, metric.has_props, metric.revenue_prop)


def _group(group_id: int, group: _Group, rule_of: dict[str, int]) -> Group:
    is_advanced = group.et == 2
    return Group(
        id=group_id,
        name=group.name,
        kind="advanced" if is_advanced else "random",
        rule_ids=tuple(rule_of[key] for key in group.campaigns if key in rule_of),
        priority=tuple(rule_of[key] for key in group.p if key in rule_of) if is_advanced else (),
        weights={rule_of[key]: weight for key, weight in group.wt.items() if key in rule_of}
        if is_advanced
        else {},
    )


def _holdout(holdout: _Holdout) -> Holdout:
    return Holdout(
        id=holdout.id,
        name=holdout.name,
        condition=from_wingify(holdout.segments),
        traffic=holdout.percent_traffic,
        is_global=holdout.is_global,
        flag_ids=tuple(holdout.feature_ids),
        metrics=tuple(_metric(metric) for metric in holdout.metrics),
    )
