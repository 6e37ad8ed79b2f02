"""Decide one flag for one visitor, as the SDKs do, and say why. Pure; used by pages, the playground and decide API.

Source: contracts/wingify.md section 8. Without an SDK's storage connector: nothing is remembered between calls.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cairn.conditions.evaluate import Facts, InListCheck, holds
from cairn.conditions.tree import Condition
from cairn.errors import CairnError
from cairn.flags.bucket import draw, is_in_traffic
from cairn.flags.model import Flag, Group, Holdout, Rule, Ruleset, Value, Variation, wire_number
from cairn.flags.settings_file import rules_in_force
from cairn.ids import visitor_uuid


class Reason(StrEnum):
    """Why the flag came out so. Stable texts."""

    FLAG_NOT_FOUND = "flag_not_found"
    DISABLED = "disabled"  # off in this environment
    HOLDOUT = "holdout"  # the visitor is held out
    ROLLOUT = "rollout"  # a rollout rule decided
    TESTING = "testing"
    PERSONALISE = "personalise"
    FORCED = "forced"  # whitelisted into a variation
    NOT_TARGETED = "not_targeted"  # no rule's condition holds
    OUT_OF_TRAFFIC = "out_of_traffic"  # the first rule that holds leaves the visitor out
    ERROR = "error"  # a rule cannot be decided; `detail` says which


class Check(StrEnum):
    """The result of one rule. Stable texts."""

    NOT_HOLDING = "condition_does_not_hold"
    OTHER_OF_GROUP = "another_rule_of_its_group_won"
    OUT_OF_TRAFFIC = "out_of_traffic"
    CHOSEN = "chosen"
    FORCED = "forced"


class Context(Struct, frozen=True):
    """What the application and the gateway know of the visitor."""

    id: str
    attributes: dict[str, Any] = {}  # Any: the application's own values
    targeting: dict[str, Any] = {}  # attributes for whitelists (variationTargetingVariables)
    location: dict[str, str] = {}
    device: dict[str, str] = {}
    user_agent: str = ""
    ip_address: str = ""
    bucketing_seed: str = ""
    flags_on: frozenset[int] = frozenset()  # ids of flags decided on before


class Step(Struct, frozen=True):
    """One rule that was tried."""

    rule: Rule
    check: Check


class Exposure(Struct, frozen=True):
    """What an SDK would report as shown: a campaign's and variation's number at the wire."""

    campaign: int
    variation: int


class Resolution(Struct, frozen=True):
    """A decision. `variables` is empty when the flag is off: the application's own defaults apply."""

    is_on: bool
    reason: Reason
    decided_at: datetime
    variables: dict[str, Value] = {}
    variation: Variation | None = None
    rule: Rule | None = None  # the rule whose variation it is, or which left the visitor out
    rollout: Rule | None = None
    rollout_variation: Variation | None = None
    experiment: Rule | None = None
    holdouts: tuple[int, ...] = ()  # those the visitor is in
    steps: tuple[Step, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    visitor_uuid: str = ""
    detail: str = ""


def evaluate(
    ruleset: Ruleset, key: str, context: Context, *, in_list: InListCheck, now: datetime
) -> Resolution:
    """Never raises: what cannot be decided is off, with the reason."""
    flag = ruleset.flag(key)
    if flag is None:
        return Resolution(False, Reason.FLAG_NOT_FOUND, now, detail=f"there is no flag {key!r}")
    if not flag.is_on:
        return Resolution(False, Reason.DISABLED, now)
    try:
        return _Evaluation(ruleset, context, in_list, now).resolve(flag)
    except (CairnError, RecursionError) as error:
        return Resolution(False, Reason.ERROR, now, detail=str(error))


class _Evaluation:
    """One visitor's question: the ruleset, what is known, and the draws made so far."""

    def __init__(self, ruleset: Ruleset, context: Context, in_list: InListCheck, now: datetime) -> None:
        self._ruleset = ruleset
        self._context = context
        self._now = now
        self._in_list = _folding(in_list, ruleset.folding_lists)
        self._seed = context.bucketing_seed or context.id
        self._uuid = visitor_uuid(context.id, ruleset.account_id)
        self._known_flags = frozenset(flag.id for flag in ruleset.flags)
        self._group_winners: dict[int, Rule | None] = {}
        self._steps: list[Step] = []
        self._exposures: list[Exposure] = []

    def resolve(self, flag: Flag) -> Resolution:
        if held_out := self._held_out(flag, report=True):
            return self._resolution(False, Reason.HOLDOUT, holdouts=held_out)
        rules = rules_in_force(flag)
        rollouts = [rule for rule in rules if rule.kind == "rollout"]
        rollout = self._first_holding(rollouts)
        if rollouts and rollout is None:
            return self._resolution(False, Reason.NOT_TARGETED)
        shown = None
        if rollout is not None:
            shown = self._variation(flag, rollout)
            if shown is None:
                return self._resolution(False, Reason.OUT_OF_TRAFFIC, rule=rollout)
        return self._experiment(flag, [rule for rule in rules if rule.kind != "rollout"], rollout, shown)

    def _experiment(
        self, flag: Flag, rules: list[Rule], rollout: Rule | None, rolled_out: Variation | None
    ) -> Resolution:
        """A testing or personalise rule that is passed decides; else the rollout's variation stays."""
        reason, rule, shown = Reason.NOT_TARGETED, None, None
        for rule in rules:
            if forced := self._forced(flag, rule):
                reason, shown = Reason.FORCED, forced
                break
            if self._holds(rule) and self._wins_group(flag, rule):
                shown = self._variation(flag, rule)
                reason = Reason(rule.kind) if shown else Reason.OUT_OF_TRAFFIC
                break
        else:
            rule = None
        if shown is not None:
            return self._resolution(
                True,
                reason,
                flag=flag,
                variation=shown,
                rule=rule,
                rollout=rollout,
                rollout_variation=rolled_out,
                experiment=rule,
            )
        if rolled_out is not None:
            return self._resolution(
                True,
                Reason.ROLLOUT,
                flag=flag,
                variation=rolled_out,
                rule=rollout,
                rollout=rollout,
                rollout_variation=rolled_out,
            )
        return self._resolution(False, reason, rule=rule)

    def _resolution(
        self,
        is_on: bool,
        reason: Reason,
        *,
        flag: Flag | None = None,
        variation: Variation | None = None,
        **more: Any,
    ) -> Resolution:
        return Resolution(
            is_on,
            reason,
            self._now,
            variables=flag.values_of(variation) if flag and variation else {},
            variation=variation,
            steps=tuple(self._steps),
            exposures=tuple(self._exposures),
            visitor_uuid=self._uuid,
            **more,
        )

    def _held_out(self, flag: Flag, *, report: bool = False) -> tuple[int, ...]:
        inside: list[int] = []
        for holdout in self._ruleset.holdouts:
            if not holdout.is_global and flag.id not in holdout.flag_ids:
                continue
            is_in = self._is_in_holdout(holdout)
            inside += [holdout.id] * is_in
            if report:
                self._exposures.append(Exposure(holdout.id, 1 if is_in else 2))
        return tuple(inside)

    def _is_in_holdout(self, holdout: Holdout) -> bool:
        key = f"{self._ruleset.account_id}_{holdout.id}_{self._context.id}"
        return self._condition_holds(holdout.condition) and is_in_traffic(key, holdout.traffic)

    def _first_holding(self, rules: list[Rule]) -> Rule | None:
        return next((rule for rule in rules if self._holds(rule)), None)

    def _holds(self, rule: Rule) -> bool:
        is_holding = self._condition_holds(rule.condition, as_uuid=rule.visitor_ids_are_uuids)
        if not is_holding:
            self._steps.append(Step(rule, Check.NOT_HOLDING))
        return is_holding

    def _condition_holds(
        self, condition: Condition, *, as_uuid: bool = False, attributes: dict[str, Any] | None = None
    ) -> bool:
        context = self._context
        facts = Facts(
            visitor=self._uuid if as_uuid else context.id,
            attributes=context.attributes if attributes is None else attributes,
            location=context.location,
            device=context.device,
            user_agent=context.user_agent,
            ip_address=context.ip_address,
            known_flags=self._known_flags,
            flags_on=context.flags_on,
        )
        return holds(condition, facts, in_list=self._in_list)

    def _is_in_traffic(self, rule: Rule) -> bool:
        return is_in_traffic(f"{rule.salt or rule.campaign}_{self._seed}", rule.traffic)

    def _variation(self, flag: Flag, rule: Rule) -> Variation | None:
        """Traffic, then among a testing rule's variations by weight."""
        if not self._is_in_traffic(rule):
            self._steps.append(Step(rule, Check.OUT_OF_TRAFFIC))
            return None
        index: int | None = 0
        if rule.kind == "testing":
            key = f"{rule.salt or rule.campaign}_{self._ruleset.account_id}_{self._seed}"
            index = draw(key, [allocation.weight for allocation in rule.allocations])
        return self._show(flag, rule, index, Check.CHOSEN)

    def _show(self, flag: Flag, rule: Rule, index: int | None, check: Check) -> Variation | None:
        if index is None:
            self._steps.append(Step(rule, Check.OUT_OF_TRAFFIC))
            return None
        allocation = rule.allocations[index]
        self._steps.append(Step(rule, check))
        self._exposures.append(Exposure(rule.campaign, wire_number(allocation)))
        return flag.variation(allocation.variation_id)

    def _forced(self, flag: Flag, rule: Rule) -> Variation | None:
        """Whitelisting asks before the rule's own condition; among several variations by their weights."""
        condition_of = {entry.variation_id: entry.condition for entry in rule.whitelist}
        matched = [
            index
            for index, allocation in enumerate(rule.allocations)
            if allocation.variation_id in condition_of
            and self._condition_holds(
                condition_of[allocation.variation_id],
                as_uuid=rule.visitor_ids_are_uuids,
                attributes=self._context.targeting,
            )
        ]
        if len(matched) < 2:
            return self._show(flag, rule, matched[0], Check.FORCED) if matched else None
        weights = [rule.allocations[index].weight for index in matched]
        total = sum(weights)
        scaled = [weight / total * 100 if total else 100 / len(weights) for weight in weights]
        drawn = draw(f"{rule.salt or rule.campaign}_{self._seed}", scaled)
        return None if drawn is None else self._show(flag, rule, matched[drawn], Check.FORCED)

    def _wins_group(self, flag: Flag, rule: Rule) -> bool:
        group = next((candidate for candidate in self._ruleset.groups if rule.id in candidate.rule_ids), None)
        if group is None:
            return True
        if group.id not in self._group_winners:
            self._group_winners[group.id] = self._group_winner(group, flag)
        winner = self._group_winners[group.id]
        if winner is None or winner.id != rule.id:
            self._steps.append(Step(rule, Check.OTHER_OF_GROUP))
            return False
        return True

    def _group_winner(self, group: Group, requested: Flag) -> Rule | None:
        eligible: list[Rule] = []
        for flag in self._flags_of(group):
            if flag.id == requested.id or self._is_rolled_out(flag):
                eligible += [
                    rule
                    for rule in rules_in_force(flag)
                    if rule.id in group.rule_ids
                    and self._condition_holds(rule.condition, as_uuid=rule.visitor_ids_are_uuids)
                    and self._is_in_traffic(rule)
                ]
        if len(eligible) < 2:
            return eligible[0] if eligible else None
        if group.kind == "random":
            share = round(100 / len(eligible), 4)
            return self._draw_rule(group, eligible, [share] * len(eligible))
        for rule_id in group.priority:
            if first := next((rule for rule in eligible if rule.id == rule_id), None):
                return first
        weighted = [rule for rule in eligible if rule.id in group.weights]
        return self._draw_rule(group, weighted, [group.weights[rule.id] for rule in weighted])

    def _draw_rule(self, group: Group, rules: list[Rule], weights: list[float]) -> Rule | None:
        index = draw(f"{group.id}_{self._seed}", weights)
        return None if index is None else rules[index]

    def _flags_of(self, group: Group) -> list[Flag]:
        """In the order the group names their rules: the SDKs draw in that order."""
        owner = {rule.id: flag for flag in self._ruleset.flags for rule in rules_in_force(flag)}
        named = [owner[rule_id] for rule_id in group.rule_ids if rule_id in owner]
        return list({flag.id: flag for flag in named}.values())

    def _is_rolled_out(self, flag: Flag) -> bool:
        """Whether the visitor gets past another flag's holdouts and rollout rules."""
        if self._held_out(flag):
            return False
        rollouts = [rule for rule in rules_in_force(flag) if rule.kind == "rollout"]
        for rule in rollouts:
            if self._condition_holds(rule.condition, as_uuid=rule.visitor_ids_are_uuids):
                return self._is_in_traffic(rule)
        return not rollouts


def _folding(in_list: InListCheck, folding_lists: frozenset[str]) -> InListCheck:
    def check(list_id: str, value: str) -> bool:
        return in_list(list_id, value.casefold() if list_id in folding_lists else value)

    return check
