"""Reasons and steps of decisions. That the decisions equal the SDKs' is tested in tests/clients/cases."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from cairn.conditions.tree import EVERYBODY, Attribute, Condition, Did, EventMatch, InList, OtherFlag, Visitor
from cairn.flags.evaluate import Check, Context, Exposure, Reason, Resolution, evaluate
from cairn.flags.model import (
    Allocation,
    Flag,
    Forced,
    Group,
    Holdout,
    Rule,
    RuleKind,
    Ruleset,
    Variable,
    Variation,
)
from cairn.ids import visitor_uuid

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRO = Attribute("plan", "is", "pro")
NEVER = Attribute("plan", "is", "nobody has this")


def rule(number: int, kind: RuleKind, condition: Condition = EVERYBODY, **given: Any) -> Rule:
    allocations = (
        (Allocation(1, 0), Allocation(2, 100)) if kind == "testing" else (Allocation(number % 3 + 1),)
    )
    return Rule(number, kind, f"r{number}", condition=condition, **{"allocations": allocations, **given})


def flag(*rules: Rule, **given: Any) -> Flag:
    variations = tuple(Variation(number, f"v{number}", values={"n": number}) for number in (1, 2, 3))
    variables = (Variable(1, "n", "integer", 0), Variable(2, "t", "string", "default"))
    return Flag(11, "f", variables=variables, variations=variations, rules=rules, **{"is_on": True, **given})


def decide(*flags: Flag, context: Context | None = None, **given: Any) -> Resolution:
    return evaluate(
        Ruleset(12345, flags=flags, **given),
        "f",
        context or Context("u1", {"plan": "pro"}),
        in_list=lambda list_id, value: (list_id, value) in {("l", "pro"), ("folding", "pro")},
        now=NOW,
    )


@pytest.mark.parametrize(
    ("rules", "is_on", "reason", "decided_by", "checks"),
    [
        pytest.param((), False, Reason.NOT_TARGETED, None, [], id="no rules"),
        pytest.param((rule(1, "rollout"),), True, Reason.ROLLOUT, 1, [Check.CHOSEN], id="rollout"),
        pytest.param(
            (rule(1, "rollout", NEVER),), False, Reason.NOT_TARGETED, None, [Check.NOT_HOLDING], id="nobody"
        ),
        pytest.param(
            (rule(1, "rollout", NEVER), rule(2, "rollout")),
            True,
            Reason.ROLLOUT,
            2,
            [Check.NOT_HOLDING, Check.CHOSEN],
            id="the first that holds",
        ),
        pytest.param(
            (rule(1, "rollout", traffic=0), rule(2, "rollout")),
            False,
            Reason.OUT_OF_TRAFFIC,
            1,
            [Check.OUT_OF_TRAFFIC],
            id="failed traffic ends it",
        ),
        pytest.param((rule(1, "rollout", is_on=False),), False, Reason.NOT_TARGETED, None, [], id="rule off"),
        pytest.param((rule(1, "testing"),), True, Reason.TESTING, 1, [Check.CHOSEN], id="testing alone"),
        pytest.param(
            (rule(1, "rollout"), rule(2, "testing")),
            True,
            Reason.TESTING,
            2,
            [Check.CHOSEN] * 2,
            id="testing over rollout",
        ),
        pytest.param(
            (rule(1, "rollout", NEVER), rule(2, "testing")),
            False,
            Reason.NOT_TARGETED,
            None,
            [Check.NOT_HOLDING],
            id="no testing without rollout",
        ),
        pytest.param(
            (rule(1, "rollout"), rule(2, "testing", NEVER)),
            True,
            Reason.ROLLOUT,
            1,
            [Check.CHOSEN, Check.NOT_HOLDING],
            id="rollout stays",
        ),
        pytest.param(
            (rule(1, "testing", traffic=0), rule(2, "personalise")),
            False,
            Reason.OUT_OF_TRAFFIC,
            1,
            [Check.OUT_OF_TRAFFIC],
            id="failed test ends it",
        ),
        pytest.param(
            (rule(1, "testing", NEVER), rule(2, "personalise", PRO)),
            True,
            Reason.PERSONALISE,
            2,
            [Check.NOT_HOLDING, Check.CHOSEN],
            id="personalise",
        ),
        pytest.param(
            (rule(1, "testing", NEVER, traffic=0, whitelist=(Forced(1, Visitor("u1")),)),),
            True,
            Reason.FORCED,
            1,
            [Check.FORCED],
            id="forced whatever else",
        ),
        pytest.param(
            (rule(1, "rollout", InList("plan", list_id="l")),),
            True,
            Reason.ROLLOUT,
            1,
            [Check.CHOSEN],
            id="list",
        ),
        pytest.param(
            (rule(1, "rollout", Did(EventMatch())),), False, Reason.ERROR, None, [], id="cannot be decided"
        ),
        pytest.param(
            (rule(1, "rollout", allocations=()),), False, Reason.ERROR, None, [], id="gives nothing"
        ),
        pytest.param(
            (rule(1, "rollout", OtherFlag(11, "off")),),
            True,
            Reason.ROLLOUT,
            1,
            [Check.CHOSEN],
            id="other flag off",
        ),
    ],
)
def test_every_decision_has_its_reason(
    rules: tuple[Rule, ...], is_on: bool, reason: Reason, decided_by: int | None, checks: list[Check]
) -> None:
    resolution = decide(flag(*rules))
    assert (resolution.is_on, resolution.reason) == (is_on, reason)
    assert (resolution.rule.id if resolution.rule else None) == decided_by
    assert [step.check for step in resolution.steps] == checks
    assert bool(resolution.variables) == is_on
    assert (resolution.detail != "") == (reason is Reason.ERROR)


def test_variables_and_exposures_of_a_decision() -> None:
    resolution = decide(flag(rule(1, "rollout"), rule(2, "testing")))
    assert resolution.variables == {"n": 2, "t": "default"}
    assert resolution.exposures == (Exposure(1, 2), Exposure(2, 2))
    assert (resolution.rollout, resolution.experiment) == (rule(1, "rollout"), rule(2, "testing"))
    assert resolution.visitor_uuid == visitor_uuid("u1", 12345) and resolution.decided_at == NOW


def test_imported_numbers_are_what_exposures_name() -> None:
    imported = rule(1, "rollout", campaign_number=900, allocations=(Allocation(3, 100, 7),))
    assert decide(flag(imported)).exposures == (Exposure(900, 7),)


@pytest.mark.parametrize(
    ("ruleset", "reason"),
    [
        (Ruleset(1), Reason.FLAG_NOT_FOUND),
        (Ruleset(1, flags=(flag(rule(1, "rollout"), is_on=False),)), Reason.DISABLED),
    ],
)
def test_no_flag_is_off(ruleset: Ruleset, reason: Reason) -> None:
    resolution = evaluate(ruleset, "f", Context("u"), in_list=lambda _list, _value: False, now=NOW)
    assert (resolution.is_on, resolution.reason) == (False, reason)


def test_a_holdout_goes_before_everything() -> None:
    holdouts = (
        Holdout(1, "others", traffic=100, is_global=False, flag_ids=(99,)),
        Holdout(2, "pros", PRO, 100),
    )
    resolution = decide(flag(rule(1, "rollout")), holdouts=holdouts)
    assert (resolution.is_on, resolution.reason, resolution.holdouts) == (False, Reason.HOLDOUT, (2,))
    assert resolution.exposures == (Exposure(2, 1),)
    free = decide(flag(rule(1, "rollout")), holdouts=holdouts, context=Context("u1", {"plan": "free"}))
    assert free.is_on and free.exposures[0] == Exposure(2, 2)


def test_a_group_gives_at_most_one_rule() -> None:
    first, second = rule(1, "personalise"), rule(2, "personalise")
    group = Group(5, "g", "advanced", (1, 2), priority=(2,), weights={1: 100})
    resolution = decide(flag(first, second), groups=(group,))
    assert resolution.rule == second
    assert [step.check for step in resolution.steps] == [Check.OTHER_OF_GROUP, Check.CHOSEN]


def test_lists_that_fold_case_are_asked_folded() -> None:
    rules = (rule(1, "rollout", InList("plan", list_id="folding")),)
    given = {"context": Context("u", {"plan": "PRO"})}
    assert not decide(flag(*rules), **given).is_on
    assert decide(flag(*rules), folding_lists=frozenset({"folding"}), **given).is_on


def test_a_bucketing_seed_replaces_the_id() -> None:
    half = flag(rule(1, "rollout", traffic=50))
    by_seed = [decide(half, context=Context(f"u{at}", bucketing_seed="same")).is_on for at in range(20)]
    by_id = [decide(half, context=Context(f"u{at}")).is_on for at in range(20)]
    assert len(set(by_seed)) == 1 and len(set(by_id)) == 2


def test_holdouts_go_by_the_id_whatever_the_seed() -> None:
    half = (Holdout(1, "half", traffic=50),)
    contexts = [Context(f"u{at}", bucketing_seed="same") for at in range(20)]
    decided = {decide(flag(rule(1, "rollout")), holdouts=half, context=context).is_on for context in contexts}
    assert decided == {True, False}


def test_visitors_may_be_named_by_uuid() -> None:
    named = rule(1, "rollout", Visitor(visitor_uuid("u1", 12345)), visitor_ids_are_uuids=True)
    assert decide(flag(named)).is_on
    assert not decide(flag(named), context=Context("u2")).is_on


def test_deciding_loads_no_database_and_no_network() -> None:
    modules = ("cairn.flags.evaluate", "cairn.flags.settings_file", "cairn.flags.import_settings")
    loaded = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", loaded], check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(modules) <= set(printed)
    assert not {"sqlalchemy", "lmdb", "http", "socket", "asyncio", "cairn.db", "cairn.settings"} & set(
        printed
    )
