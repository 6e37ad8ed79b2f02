"""What an exposure showed, by name: it carries the numbers of a rule (a campaign) and a variation, or of a holdout."""

from collections.abc import Mapping

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import flags, holdouts, rules
from cairn.flags.model import Flag, Rule, wire_number
from cairn.flags.records import flag_of, rule_of

# What is added to an exposure's properties; the sender's own of these names say nothing about the flag.
FLAG, FLAG_KEY, VARIATION = "flag", "flag_key", "variation_name"


class Exposed(Struct, frozen=True):
    flag: Flag
    variations: dict[int, str]  # by the number at the wire


class ExposureNames(Struct, frozen=True):
    """One environment's rules and holdouts by the numbers that exposures name them by."""

    campaigns: dict[int, list[Exposed]] = {}  # imported rules of several flags may share a number
    flags: dict[int, Flag] = {}
    holdouts: dict[int, str] = {}

    def of(self, properties: Mapping[str, str]) -> dict[str, str]:
        """The properties to add. A rule that is gone leaves its number."""
        campaign, number = _whole(properties.get("campaign")), _whole(properties.get("variation"))
        if (flag_id := _whole(properties.get("feature"))) is not None:
            return self._held_out(campaign, number, flag_id)
        rules_here = self.campaigns.get(campaign or 0)
        if not rules_here:
            return {FLAG: f"a flag whose rule was deleted (campaign {properties.get('campaign', '')})"}
        shown = next((rule for rule in rules_here if number in rule.variations), rules_here[0])
        name = shown.variations.get(number or 0) or _variation(shown.flag, number or 0)
        return {**_flag(shown.flag), VARIATION: name}

    def _held_out(self, campaign: int | None, number: int | None, flag_id: int) -> dict[str, str]:
        flag = self.flags.get(flag_id)
        holdout = self.holdouts.get(campaign or 0, f"a holdout that was deleted (number {campaign})")
        said = f"held out by {holdout}" if number == 1 else f"not held out by {holdout}"
        named = _flag(flag) if flag else {FLAG: f"a flag that was deleted (number {flag_id})"}
        return {**named, VARIATION: said}


def read_names(connection: sa.Connection, environment_id: int) -> ExposureNames:
    campaigns: dict[int, list[Exposed]] = {}
    own = {row.id: flag_of(row) for row in connection.execute(_flags_of(environment_id))}
    for row in connection.execute(sa.select(rules).where(rules.c.environment_id == environment_id)):
        rule, flag = rule_of(row), own[row.flag_id]
        campaigns.setdefault(rule.campaign, []).append(Exposed(flag, _variations(flag, rule)))
    held = connection.execute(
        sa.select(holdouts.c.id, holdouts.c.name).where(holdouts.c.environment_id == environment_id)
    )
    return ExposureNames(campaigns, own, {row.id: row.name for row in held})


def _flags_of(environment_id: int) -> sa.Select[tuple[object, ...]]:
    here = sa.select(rules.c.flag_id).where(rules.c.environment_id == environment_id)
    return sa.select(flags).where(flags.c.id.in_(here))


def _variations(flag: Flag, rule: Rule) -> dict[int, str]:
    return {
        wire_number(allocation): _variation(flag, allocation.variation_id) for allocation in rule.allocations
    }


def _variation(flag: Flag, variation_id: int) -> str:
    variation = flag.variation(variation_id)
    return (
        (variation.name or variation.key) if variation else f"a variation that was deleted ({variation_id})"
    )


def _flag(flag: Flag) -> dict[str, str]:
    return {FLAG: flag.name or flag.key, FLAG_KEY: flag.key}


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None
