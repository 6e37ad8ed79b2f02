"""Compiles what an environment decided on into the settings file the flag SDKs read. Pure.

Source: contracts/wingify.md sections 5 and 6. One bad field switches every flag off in an SDK, so keys are left out
rather than null, and `check_settings` has the last word. Off means left out: the SDKs ignore every status.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cairn.conditions import operand
from cairn.conditions.to_wingify import NEVER, Dsl, ask_gateway, to_wingify
from cairn.conditions.tree import And, Attribute, Condition, InList, Not, Or
from cairn.conditions.walk import leaves
from cairn.flags.model import Flag, Group, Holdout, Metric, Rule, Ruleset, Variation, wire_number
from cairn.flags.settings_check import SettingsInvalid, check_settings

Json = dict[str, Any]  # Any: a JSON document
# Stands where the gateway puts the caller's key, so that published bytes hold no secret.
SDK_KEY = "__SDK_KEY__"
_TYPES = {"rollout": "FLAG_ROLLOUT", "testing": "FLAG_TESTING", "personalise": "FLAG_PERSONALIZE"}


class SettingsFile(Struct, frozen=True):
    document: bytes
    warnings: tuple[str, ...] = ()  # for a page: what this kind of SDK cannot decide as defined
    withheld: tuple[str, ...] = ()  # ids of the lists that the environment keeps out of the document


def compile_settings(
    ruleset: Ruleset,
    *,
    account_id: int,
    sdk: Literal["node", "python"],
    poll_interval_ms: int,
    list_values: Callable[[str], Sequence[str]] = lambda _list_id: (),
    inline_limit: int = 5_000,
    kept: Json | None = None,
) -> SettingsFile:
    """One SDK family's settings file.

    Python clients cannot ask list checks, so theirs holds the lists' values if the environment lets it. By a list that
    is not in the file a condition holds for nobody, in the list or not.
    `kept`: features and campaigns of flags that cannot be read, as they were published last.
    `list_values` needs to give no more than `inline_limit` + 1 values. Raises SettingsInvalid, and errors of a
    condition that flags cannot ask. Guarantee: the same ruleset and lists give the same bytes, whose `version`
    changes whenever they do.
    """
    values = list_values if sdk == "python" else None
    lists = _Lists(ruleset, values, inline_limit)
    body: Json = {
        "accountId": account_id,
        "sdkKey": SDK_KEY,
        "pollInterval": poll_interval_ms,
        **_with_kept([_feature(flag) for flag in ruleset.flags], _campaigns(ruleset, lists), kept or {}),
        **_groups(ruleset),
    }
    if ruleset.holdouts:
        body["holdouts"] = [_holdout(holdout, lists) for holdout in ruleset.holdouts]
    digest = hashlib.blake2b(msgspec.json.encode(body), digest_size=4).digest()
    document = msgspec.json.encode({"version": int.from_bytes(digest, "big") >> 1, **body})
    check_settings(document)
    return SettingsFile(document, tuple(dict.fromkeys(lists.warnings)), tuple(dict.fromkeys(lists.withheld)))


def _with_kept(features: list[Json], campaigns: list[Json], kept: Json) -> Json:
    """In the order they would have if all could be read, so that the same flags give the same bytes."""
    if not kept:
        return {"features": features, "campaigns": campaigns}
    ordered = sorted([*features, *kept["features"]], key=lambda feature: str(feature["key"]))
    of_id = {campaign["id"]: campaign for campaign in (*kept["campaigns"], *campaigns)}
    named_ids = dict.fromkeys(rule["campaignId"] for feature in ordered for rule in feature["rules"])
    return {"features": ordered, "campaigns": [of_id[number] for number in named_ids]}


def rules_in_force(flag: Flag) -> tuple[Rule, ...]:
    """The rules that are tried. Raises SettingsInvalid for one that gives nothing."""
    rules = tuple(rule for rule in flag.rules if rule.is_on) if flag.is_on else ()
    for rule in rules:
        if not rule.allocations:
            raise SettingsInvalid(f"{named(flag, rule)}: it gives no variation", field="allocations")
    return rules


def named(flag: Flag, rule: Rule) -> str:
    """How a warning names a rule: it begins with this and a colon."""
    return f"flag {flag.key!r}, rule {rule.key!r}"


def _feature(flag: Flag) -> Json:
    """Nothing that is not needed: the Python SDK checks the whole file against its schema on every question."""
    return {
        "id": flag.id,
        "key": flag.key,
        "name": flag.name or flag.key,
        "type": "FEATURE_FLAG",
        "status": "ON" if flag.is_on else "OFF",
        "metrics": [_metric(metric) for metric in flag.metrics],  # kept when off: they let events through
        "rules": [_rule(rule) for rule in rules_in_force(flag)],
    }


def _metric(metric: Metric) -> Json:
    written: Json = {
        "id": metric.id,
        "type": metric.type,
        "identifier": metric.identifier,
        "mca": -1,
        "hasProps": metric.has_props,
    }
    if metric.revenue_prop:
        written["revenueProp"] = metric.revenue_prop
    return written


def _rule(rule: Rule) -> Json:
    written: Json = {"type": _TYPES[rule.kind], "ruleKey": rule.key, "campaignId": rule.campaign}
    if rule.kind != "testing":
        written["variationId"] = wire_number(rule.allocations[0])
    return written


def _campaigns(ruleset: Ruleset, lists: "_Lists") -> list[Json]:
    """One campaign per rule; imported rollout and personalise rules may share one, each with its variation."""
    campaigns: dict[int, Json] = {}
    for flag in ruleset.flags:
        for rule in rules_in_force(flag):
            lists.where = named(flag, rule)
            campaign = campaigns.setdefault(rule.campaign, _campaign(flag, rule))
            if rule.kind == "testing":
                campaign["segments"] = lists.dsl(rule.condition)
                campaign["percentTraffic"] = _number(rule.traffic)
                if rule.salt:
                    campaign["salt"] = rule.salt
            campaign["variations"] += _variations(flag, rule, lists)
    return list(campaigns.values())


def _campaign(flag: Flag, rule: Rule) -> Json:
    key = rule.campaign_key or f"{flag.key}_{rule.key}"
    return {
        "id": rule.campaign,
        "key": key,
        "name": key,
        "type": _TYPES[rule.kind],
        "status": "RUNNING",
        "segments": {},
        "isForcedVariationEnabled": bool(rule.whitelist),
        "isUserListEnabled": rule.visitor_ids_are_uuids,
        "variations": [],
    }


def _variations(flag: Flag, rule: Rule, lists: "_Lists") -> list[Json]:
    forced = {entry.variation_id: entry.condition for entry in rule.whitelist}
    written: list[Json] = []
    for allocation in rule.allocations:
        variation = flag.variation(allocation.variation_id)
        if variation is None:
            raise SettingsInvalid(
                f"{named(flag, rule)}: there is no variation {allocation.variation_id}",
                field="allocations",
            )
        if rule.kind == "testing":
            condition = forced.get(allocation.variation_id)
            segments = lists.dsl(condition) if condition is not None else {}
            weight, salt = allocation.weight, ""
        else:
            segments, weight, salt = lists.dsl(rule.condition), rule.traffic, rule.salt
        node: Json = {
            "id": wire_number(allocation),
            "name": variation.name or variation.key,
            "weight": _number(weight),
            "segments": segments,
            "variables": _values(flag, variation),
        }
        if salt:
            node["salt"] = salt
        written.append(node)
    return written


def _values(flag: Flag, variation: Variation) -> list[Json]:
    values = flag.values_of(variation)
    return [
        {"id": variable.id, "key": variable.key, "type": variable.type, "value": values[variable.key]}
        for variable in flag.variables
    ]


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _groups(ruleset: Ruleset) -> Json:
    key_of = {rule.id: rule.group_key for flag in ruleset.flags for rule in rules_in_force(flag)}
    groups: Json = {}
    group_of: Json = {}
    for group in ruleset.groups:
        keys = [key_of[rule_id] for rule_id in group.rule_ids if rule_id in key_of]
        if keys:
            groups[str(group.id)] = _group(group, keys, key_of)
            group_of.update(dict.fromkeys(keys, group.id))
    return {"groups": groups, "campaignGroups": group_of} if groups else {}


def _group(group: Group, keys: list[str], key_of: dict[int, str]) -> Json:
    written: Json = {"name": group.name, "campaigns": keys, "et": 2 if group.kind == "advanced" else 1}
    if group.kind == "advanced":
        written["p"] = [key_of[rule_id] for rule_id in group.priority if rule_id in key_of]
        written["wt"] = {
            key_of[rule_id]: _number(weight) for rule_id, weight in group.weights.items() if rule_id in key_of
        }
    return written


def _holdout(holdout: Holdout, lists: "_Lists") -> Json:
    lists.where = f"holdout {holdout.name!r}"
    return {
        "id": holdout.id,
        "name": holdout.name,
        "segments": lists.dsl(holdout.condition),
        "percentTraffic": _number(holdout.traffic),
        "isGlobal": holdout.is_global,
        "featureIds": list(holdout.flag_ids),
        "metrics": [_metric(metric) for metric in holdout.metrics],
    }


class _Lists:
    """Writes conditions and remembers which of their lists cannot be asked. Without values: the gateway is asked."""

    def __init__(
        self,
        ruleset: Ruleset,
        values: Callable[[str], Sequence[str]] | None = None,
        inline_limit: int = 0,
    ) -> None:
        self.where = ""  # what is being written, for warnings
        self.warnings: list[str] = []
        self.withheld: list[str] = []
        self._folding = ruleset.folding_lists
        self._values = values
        self._inlines_lists = ruleset.inlines_lists
        self._inline_limit = inline_limit
        self._too_long: dict[str, bool] = {}
        self._patterns: dict[str, str | None] = {}

    def dsl(self, condition: Condition) -> Dsl:
        for_python = self._values is not None
        for leaf in leaves(condition):
            if isinstance(leaf, Attribute):
                for text in operand.warnings(leaf, for_python=for_python):
                    self._warn(text)
        return to_wingify(self._decidable(condition), in_list=self._leaf, for_python=for_python)

    def _decidable(self, condition: Condition, *, is_negated: bool = False) -> Condition:
        """Without the lists this client cannot be given: whichever way a rule asks, it holds for nobody by them."""
        match condition:
            case And(nodes):
                return And(tuple(self._decidable(node, is_negated=is_negated) for node in nodes))
            case Or(nodes):
                return Or(tuple(self._decidable(node, is_negated=is_negated) for node in nodes))
            case Not(node):
                return Not(self._decidable(node, is_negated=not is_negated))
            case InList() if self._is_withheld(condition) or self._is_too_long(condition):
                return And(()) if is_negated else Or(())
            case _:
                return condition

    def _is_withheld(self, leaf: InList) -> bool:
        """Also while a list is empty or not made yet: its first member must not turn an answer around."""
        if self._values is None or self._inlines_lists:
            return False
        self.withheld.append(leaf.list_id)
        return True

    def _is_too_long(self, leaf: InList) -> bool:
        if self._values is None or not leaf.list_id:
            return False
        if leaf.list_id not in self._too_long:
            self._too_long[leaf.list_id] = len(self._values(leaf.list_id)) > self._inline_limit
        if self._too_long[leaf.list_id]:
            self._warn(
                f"Python clients cannot target the list on {leaf.attribute!r}: it has more than "
                f"{self._inline_limit} values; for them this condition holds for nobody, in the list or not"
            )
        return self._too_long[leaf.list_id]

    def _leaf(self, leaf: InList) -> Dsl:
        if not leaf.list_id:
            self._warn(f"segment {leaf.segment_id} has no list in this environment yet; nobody is in it")
            return NEVER
        if self._values is None:
            return ask_gateway(leaf)
        if leaf.list_id not in self._patterns:
            self._patterns[leaf.list_id] = self._pattern(leaf, self._values(leaf.list_id))
        pattern = self._patterns[leaf.list_id]
        return NEVER if pattern is None else {"custom_variable": {leaf.attribute: f"regex({pattern})"}}

    def _pattern(self, leaf: InList, values: Sequence[str]) -> str | None:
        """An anchored pattern of all values (5.4); None when nobody can match."""
        seen = sorted({spelling for value in values for spelling in _as_python_sees(value)})
        if any(
            spelling != value and value not in ("true", "false")
            for value in values
            for spelling in _as_python_sees(value)
        ):
            self._warn(
                f"Python clients read some values of the list on {leaf.attribute!r} as numbers (007 as 7) and may "
                "mistake others for them; give ids a letter prefix"
            )
        flags = "(?i)" if leaf.list_id in self._folding else ""
        return f"{flags}^(?:{'|'.join(map(operand.escape, seen))})\\Z" if seen else None

    def _warn(self, text: str) -> None:
        self.warnings.append(f"{self.where}: {text}")


def _as_python_sees(value: str) -> tuple[str, ...]:
    """The texts by which the Python SDK may come to compare an attribute with this value (7.4)."""
    if value in ("true", "false"):
        return (value, value.capitalize())
    try:
        number = float(value)
    except ValueError:
        return (value,)
    return (str(int(number)) if number.is_integer() else str(number),)
