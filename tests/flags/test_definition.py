from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.conditions.evaluate import NotForFlags
from cairn.conditions.tree import (
    And,
    Attribute,
    Condition,
    Did,
    EventMatch,
    InList,
    Location,
    Not,
    OtherFlag,
    UserProperty,
    Visitor,
)
from cairn.errors import CairnError, InvalidInput
from cairn.flags.checks import FlagInvalid, GroupInvalid, HoldoutInvalid, RuleInvalid, WeightsDoNotSum
from cairn.flags.definition import (
    FlagArchived,
    FlagChanges,
    FlagKeyTaken,
    FlagNotFound,
    NewFlag,
    archive_flag,
    create_flag,
    get_flag,
    list_flags,
    restore_flag,
    set_flag_state,
    update_flag,
)
from cairn.flags.groups import (
    GroupChanges,
    GroupNotFound,
    HoldoutChanges,
    HoldoutNotFound,
    NewGroup,
    NewHoldout,
    add_group,
    add_holdout,
    delete_group,
    delete_holdout,
    list_groups,
    list_holdouts,
    update_group,
    update_holdout,
)
from cairn.flags.model import Allocation, Forced, Metric, Rule, Variable, Variation
from cairn.flags.rule_definition import (
    NewRule,
    RuleChanges,
    RuleKeyTaken,
    RuleNotFound,
    add_rule,
    delete_rule,
    get_rule,
    list_rules,
    move_rule,
    set_rule_state,
    update_rule,
)
from cairn.flags.ruleset import load_ruleset
from cairn.workspace.environment import EnvironmentNotFound, ProjectNotFound
from tests.flags.conftest import NOW, Place

LATER = NOW + timedelta(hours=1)
COLOR = Variable(1, "color", "string", "grey")
CHECKOUT = NewFlag(
    "new-checkout",
    name="New checkout",
    variables=(COLOR, Variable(2, "limits", "json", {"b": 1, "a": 2})),
    variations=(Variation(1, "control"), Variation(2, "red", "Red", {"color": "red"})),
    metrics=(Metric(1, "purchase"),),
)
SPLIT = (Allocation(1, 50), Allocation(2, 50))


def make_flag(connection: sa.Connection, place: Place, new: NewFlag = CHECKOUT) -> int:
    return create_flag(connection, place.workspace, place.project, new, NOW).flag.id


def make_rule(connection: sa.Connection, place: Place, flag_id: int, **given: Any) -> Rule:
    new = {"kind": "rollout", "key": "everyone", "allocations": (Allocation(2),), **given}
    return add_rule(connection, place.workspace, flag_id, place.production, NewRule(**new), NOW)


def test_a_flag_starts_off_everywhere_and_is_on_where_switched(
    connection: sa.Connection, place: Place
) -> None:
    made = create_flag(connection, place.workspace, place.project, CHECKOUT, NOW)
    assert made.states == {place.production: False, place.staging: False}
    assert made.flag.variables == CHECKOUT.variables and made.flag.variations == CHECKOUT.variations
    assert list(made.flag.variables[1].value) == ["b", "a"]
    on = set_flag_state(connection, place.workspace, made.flag.id, place.production, True, LATER)
    assert on.states == {place.production: True, place.staging: False}
    assert get_flag(connection, place.workspace, "new-checkout") == on
    assert get_flag(connection, place.workspace, made.flag.id) == on
    assert list_flags(connection, place.workspace, place.project) == [on]


def test_a_flag_without_variations_gets_its_defaults(connection: sa.Connection, place: Place) -> None:
    (variation,) = get_flag(
        connection, place.workspace, make_flag(connection, place, NewFlag("plain"))
    ).flag.variations
    assert (variation.id, variation.key) == (1, "default")


@pytest.mark.parametrize(
    ("changed", "error", "field"),
    [
        pytest.param({"key": "has space"}, FlagInvalid, "key", id="space in key"),
        pytest.param({"key": ""}, FlagInvalid, "key", id="empty key"),
        pytest.param({"key": "k" * 256}, FlagInvalid, "key", id="long key"),
        pytest.param({"name": "n" * 101}, InvalidInput, "name", id="long name"),
        pytest.param({"variables": (COLOR, COLOR)}, FlagInvalid, "variables", id="variable twice"),
        pytest.param(
            {"variables": (Variable(0, "a", "string", ""),)}, FlagInvalid, "variables", id="variable id 0"
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "integer", 1.5))},
            FlagInvalid,
            "variables.n",
            id="part of a whole",
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "integer", True))},
            FlagInvalid,
            "variables.n",
            id="boolean number",
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "integer", 2**60))},
            FlagInvalid,
            "variables.n",
            id="inexact",
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "double", float("nan")))},
            FlagInvalid,
            "variables.n",
            id="nan",
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "string", None))}, FlagInvalid, "variables.n", id="null"
        ),
        pytest.param(
            {"variables": (COLOR, Variable(2, "n", "json", [1]))}, FlagInvalid, "variables.n", id="array"
        ),
        pytest.param(
            {"variations": (Variation(1, "a", values={"color": 5}),)},
            FlagInvalid,
            "variations.a.color",
            id="type",
        ),
        pytest.param(
            {"variations": (Variation(1, "a", values={"size": 5}),)},
            FlagInvalid,
            "variations.a.size",
            id="unknown",
        ),
        pytest.param(
            {"variations": (Variation(1, "a"), Variation(1, "b"))},
            FlagInvalid,
            "variations",
            id="variation id twice",
        ),
        pytest.param(
            {"variations": (Variation(1, "a"), Variation(2, "a"))},
            FlagInvalid,
            "variations",
            id="variation key twice",
        ),
        pytest.param({"metrics": (Metric(1, " "),)}, FlagInvalid, "metrics", id="metric without event"),
        pytest.param(
            {"metrics": (Metric(1, "a"), Metric(1, "b"))}, FlagInvalid, "metrics", id="metric id twice"
        ),
    ],
)
def test_a_bad_flag_is_refused_by_field(
    connection: sa.Connection, place: Place, changed: dict[str, Any], error: type[CairnError], field: str
) -> None:
    good = {"key": "good", "variables": (COLOR,), "variations": (Variation(1, "a"), Variation(2, "b"))}
    with pytest.raises(error) as refused:
        create_flag(connection, place.workspace, place.project, NewFlag(**{**good, **changed}), NOW)
    assert refused.value.field == field
    assert list_flags(connection, place.workspace, place.project) == []


def test_a_key_is_taken_even_by_an_archived_flag(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    archive_flag(connection, place.workspace, flag_id, LATER)
    with pytest.raises(FlagKeyTaken):
        make_flag(connection, place)
    assert list_flags(connection, place.workspace, place.project) == []
    assert len(list_flags(connection, place.workspace, place.project, with_archived=True)) == 1
    with pytest.raises(FlagArchived):
        set_flag_state(connection, place.workspace, flag_id, place.production, True, LATER)
    restored = restore_flag(connection, place.workspace, flag_id, LATER)
    assert restored.archived_at is None and len(list_flags(connection, place.workspace, place.project)) == 1


def test_changes_leave_the_rest(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    changed = update_flag(
        connection, place.workspace, flag_id, FlagChanges(name="Other", lifetime="temporary"), LATER
    )
    assert (changed.flag.name, changed.flag.lifetime, changed.updated_at) == ("Other", "temporary", LATER)
    assert changed.flag.variables == CHECKOUT.variables and changed.created_at == NOW


def test_what_a_rule_needs_cannot_be_taken_away(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    make_rule(connection, place, flag_id)
    with pytest.raises(RuleInvalid, match="no variation 2"):
        update_flag(
            connection, place.workspace, flag_id, FlagChanges(variations=(Variation(1, "control"),)), LATER
        )
    with pytest.raises(FlagInvalid, match=r"variations\.red\.color"):
        update_flag(connection, place.workspace, flag_id, FlagChanges(variables=()), LATER)


def test_rules_keep_their_order_and_everything_in_them(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    condition = And((Not(Attribute("plan", "is", "free")), InList("email", segment_id=place.segment)))
    first = make_rule(connection, place, flag_id, key="a", condition=condition, traffic=12.5, salt="s")
    second = make_rule(
        connection,
        place,
        flag_id,
        key="b",
        kind="testing",
        allocations=SPLIT,
        whitelist=(Forced(2, Visitor("qa")),),
    )
    third = make_rule(connection, place, flag_id, key="c", kind="personalise")
    assert (first.salt, second.salt) == ("s", f"r{second.id}")
    assert list_rules(connection, place.workspace, flag_id, place.production) == [first, second, third]
    assert list_rules(connection, place.workspace, flag_id, place.staging) == []
    assert [each.key for each in move_rule(connection, place.workspace, third.id, 0)] == ["c", "a", "b"]
    assert [each.key for each in move_rule(connection, place.workspace, third.id, 99)] == ["a", "b", "c"]
    assert [each.key for each in move_rule(connection, place.workspace, first.id, 1)] == ["b", "a", "c"]
    delete_rule(connection, place.workspace, first.id)
    off = set_rule_state(connection, place.workspace, third.id, False, LATER)
    changed = update_rule(connection, place.workspace, second.id, RuleChanges(traffic=10, name="B"), LATER)
    assert (changed.traffic, changed.name, changed.whitelist) == (10, "B", second.whitelist)
    assert list_rules(connection, place.workspace, flag_id, place.production) == [changed, off]
    assert make_rule(connection, place, flag_id, key="d").id > third.id


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        pytest.param({"key": "a/b"}, FlagInvalid, "key", id="key"),
        pytest.param({"traffic": 101}, RuleInvalid, "traffic", id="traffic over 100"),
        pytest.param({"traffic": -1}, RuleInvalid, "traffic", id="negative traffic"),
        pytest.param({"traffic": float("nan")}, RuleInvalid, "traffic", id="traffic nan"),
        pytest.param({"allocations": (Allocation(9),)}, RuleInvalid, "allocations", id="unknown variation"),
        pytest.param({"allocations": ()}, RuleInvalid, "allocations", id="no variation"),
        pytest.param({"allocations": SPLIT}, RuleInvalid, "allocations", id="rollout of two"),
        pytest.param(
            {"kind": "testing", "allocations": (Allocation(1),)}, RuleInvalid, "allocations", id="test of one"
        ),
        pytest.param(
            {"kind": "testing", "allocations": (Allocation(1, 50), Allocation(2, 40))},
            WeightsDoNotSum,
            "allocations",
            id="weights below 100",
        ),
        pytest.param(
            {"kind": "testing", "allocations": (Allocation(1, 150), Allocation(2, -50))},
            RuleInvalid,
            "allocations",
            id="negative weight",
        ),
        pytest.param(
            {"kind": "testing", "allocations": (Allocation(1, 50), Allocation(1, 50))},
            RuleInvalid,
            "allocations",
            id="variation twice",
        ),
        pytest.param(
            {"whitelist": (Forced(2, Visitor("a")),)}, RuleInvalid, "whitelist", id="whitelist of rollout"
        ),
        pytest.param(
            {"kind": "testing", "allocations": SPLIT, "whitelist": (Forced(3, Visitor("a")),)},
            RuleInvalid,
            "whitelist",
            id="whitelist of unknown variation",
        ),
        pytest.param(
            {"kind": "testing", "allocations": SPLIT, "whitelist": (Forced(1, And(())),)},
            RuleInvalid,
            "whitelist",
            id="whitelist of everybody",
        ),
        pytest.param(
            {
                "kind": "testing",
                "allocations": SPLIT,
                "whitelist": (Forced(1, Visitor("a,qa")), Forced(2, Visitor("qa , b"))),
            },
            RuleInvalid,
            "whitelist",
            id="somebody forced twice",
        ),
        pytest.param(
            {"condition": UserProperty("plan", "is", "pro")}, NotForFlags, "condition", id="user property"
        ),
        pytest.param({"condition": Not(Did(EventMatch()))}, NotForFlags, "condition", id="behaviour"),
        pytest.param(
            {"condition": Attribute("age", "greater", "-1")}, InvalidInput, "value", id="negative number"
        ),
        pytest.param({"condition": Visitor(" ")}, RuleInvalid, "condition", id="nobody named"),
        pytest.param({"condition": Location("city", "")}, RuleInvalid, "condition", id="no place"),
        pytest.param(
            {"condition": InList("email", list_id="nope")}, RuleInvalid, "condition", id="unknown list"
        ),
        pytest.param(
            {"condition": InList("email", segment_id=99)}, RuleInvalid, "condition", id="unknown segment"
        ),
        pytest.param({"condition": OtherFlag(99, "on")}, RuleInvalid, "condition", id="unknown flag"),
        pytest.param({"condition": OtherFlag(1, "on")}, RuleInvalid, "condition", id="itself"),
    ],
)
def test_a_bad_rule_is_refused_by_field(
    connection: sa.Connection, place: Place, given: dict[str, Any], error: type[CairnError], field: str
) -> None:
    flag_id = make_flag(connection, place)
    good = make_rule(connection, place, flag_id, key="good")
    with pytest.raises(error) as refused:
        make_rule(connection, place, flag_id, **{"key": "bad", **given})
    assert refused.value.field == field
    changes = {key: value for key, value in given.items() if key not in ("key", "kind")}
    if changes and "kind" not in given:
        with pytest.raises(error):
            update_rule(connection, place.workspace, good.id, RuleChanges(**changes), LATER)
    assert list_rules(connection, place.workspace, flag_id, place.production) == [good]


@pytest.mark.parametrize(
    ("weights", "settled"),
    [
        ((33.33, 33.33, 33.33), (33.33, 33.33, 33.34)),
        ((33.34, 33.34, 33.33), (33.34, 33.34, 33.32)),
        ((0, 0, 100),) * 2,
    ],
)
def test_nobody_in_a_test_is_left_without_a_variation(
    connection: sa.Connection, place: Place, weights: tuple[float, ...], settled: tuple[float, ...]
) -> None:
    variations = tuple(Variation(number, f"v{number}") for number in (1, 2, 3))
    flag_id = make_flag(connection, place, NewFlag("three", variations=variations))
    allocations = tuple(Allocation(number, weight) for number, weight in enumerate(weights, start=1))
    rule = make_rule(connection, place, flag_id, kind="testing", allocations=allocations)
    assert tuple(allocation.weight for allocation in rule.allocations) == settled
    assert list_rules(connection, place.workspace, flag_id, place.production) == [rule]


def test_deep_conditions_are_refused(connection: sa.Connection, place: Place) -> None:
    condition: Condition = Visitor("a")
    for _ in range(40):
        condition = Not(condition)
    with pytest.raises(RuleInvalid, match="32 levels"):
        make_rule(connection, place, make_flag(connection, place), condition=condition)


def test_a_rule_key_is_taken_per_environment(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    make_rule(connection, place, flag_id)
    with pytest.raises(RuleKeyTaken):
        make_rule(connection, place, flag_id)
    new = NewRule("rollout", "everyone", (Allocation(1),))
    add_rule(connection, place.workspace, flag_id, place.staging, new, NOW)


def test_another_workspace_sees_and_changes_nothing(
    connection: sa.Connection, place: Place, other_place: Place
) -> None:
    flag_id = make_flag(connection, place)
    rule = make_rule(connection, place, flag_id, kind="personalise", key="a")
    second = make_rule(connection, place, flag_id, kind="personalise", key="b")
    group = add_group(connection, place.workspace, place.production, NewGroup("g", (rule.id, second.id)))
    holdout = add_holdout(connection, place.workspace, place.production, NewHoldout("h", 2))
    theirs, rollout = other_place.workspace, NewRule("rollout", "x", (Allocation(1),))
    attempts: list[tuple[type[CairnError], Callable[[], object]]] = [
        (FlagNotFound, lambda: get_flag(connection, theirs, flag_id)),
        (FlagNotFound, lambda: get_flag(connection, theirs, "new-checkout")),
        (FlagNotFound, lambda: update_flag(connection, theirs, flag_id, FlagChanges(name="x"), NOW)),
        (FlagNotFound, lambda: archive_flag(connection, theirs, flag_id, NOW)),
        (FlagNotFound, lambda: set_flag_state(connection, theirs, flag_id, place.production, True, NOW)),
        (FlagNotFound, lambda: list_rules(connection, theirs, flag_id, place.production)),
        (FlagNotFound, lambda: add_rule(connection, theirs, flag_id, place.production, rollout, NOW)),
        (RuleNotFound, lambda: get_rule(connection, theirs, rule.id)),
        (RuleNotFound, lambda: update_rule(connection, theirs, rule.id, RuleChanges(traffic=1), NOW)),
        (RuleNotFound, lambda: set_rule_state(connection, theirs, rule.id, False, NOW)),
        (RuleNotFound, lambda: move_rule(connection, theirs, rule.id, 1)),
        (RuleNotFound, lambda: delete_rule(connection, theirs, rule.id)),
        (ProjectNotFound, lambda: create_flag(connection, theirs, place.project, CHECKOUT, NOW)),
        (EnvironmentNotFound, lambda: list_groups(connection, theirs, place.production)),
        (EnvironmentNotFound, lambda: list_holdouts(connection, theirs, place.production)),
        (
            EnvironmentNotFound,
            lambda: add_group(connection, theirs, place.production, NewGroup("x", (rule.id,))),
        ),
        (EnvironmentNotFound, lambda: add_holdout(connection, theirs, place.production, NewHoldout("x", 1))),
        (GroupNotFound, lambda: update_group(connection, theirs, group.id, GroupChanges(name="x"))),
        (GroupNotFound, lambda: delete_group(connection, theirs, group.id)),
        (HoldoutNotFound, lambda: update_holdout(connection, theirs, holdout.id, HoldoutChanges(name="x"))),
        (HoldoutNotFound, lambda: delete_holdout(connection, theirs, holdout.id)),
    ]
    before = load_ruleset(connection, place.production)
    for error, attempt in attempts:
        with pytest.raises(error):
            attempt()
    assert list_flags(connection, theirs, place.project) == []
    assert load_ruleset(connection, place.production) == before
    for condition in (
        InList("email", segment_id=other_place.segment),
        InList("email", list_id=other_place.static_list),
    ):
        with pytest.raises(RuleInvalid):
            make_rule(connection, place, flag_id, key="x", condition=condition)
    with pytest.raises(EnvironmentNotFound):
        set_flag_state(connection, place.workspace, flag_id, other_place.production, True, NOW)
    with pytest.raises(EnvironmentNotFound):
        add_rule(connection, place.workspace, flag_id, other_place.production, rollout, NOW)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rule_ids": (1,)}, "rule_ids"),
        ({"rule_ids": (1, 1)}, "rule_ids"),
        ({"rule_ids": (1, 99)}, "rule_ids"),
        ({"rule_ids": (1, 4)}, "rule_ids"),  # a rollout
        ({"rule_ids": (1, 2), "priority": (1,)}, "kind"),
        ({"rule_ids": (1, 2), "kind": "advanced"}, "priority"),
        ({"rule_ids": (1, 2), "kind": "advanced", "priority": (1,), "weights": {3: 100}}, "weights"),
        ({"rule_ids": (1, 2), "kind": "advanced", "weights": {1: 50, 2: 40}}, "weights"),
        ({"rule_ids": (1, 2), "kind": "advanced", "weights": {1: 100, 2: 0}}, "weights"),
        ({"rule_ids": (1, 3)}, "rule_ids"),  # 3 is in a group already
    ],
)
def test_a_bad_group_is_refused_by_field(
    connection: sa.Connection, place: Place, given: dict[str, Any], field: str
) -> None:
    flag_id = make_flag(connection, place)
    for key in "abc":
        make_rule(connection, place, flag_id, key=key, kind="personalise")
    make_rule(connection, place, flag_id, key="d")
    make_rule(connection, place, flag_id, key="e", kind="personalise")
    add_group(connection, place.workspace, place.production, NewGroup("taken", (3, 5)))
    with pytest.raises(GroupInvalid) as refused:
        add_group(connection, place.workspace, place.production, NewGroup(**{"name": "g", **given}))
    assert refused.value.field == field


def test_groups_and_holdouts_are_kept(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    first, second = (make_rule(connection, place, flag_id, key=key, kind="personalise") for key in "ab")
    new = NewGroup("g", (first.id, second.id), "advanced", (first.id,), {second.id: 100})
    group = add_group(connection, place.workspace, place.production, new)
    assert list_groups(connection, place.workspace, place.production) == [group]
    group = update_group(
        connection, place.workspace, group.id, GroupChanges(kind="random", priority=(), weights={}, name="r")
    )
    assert list_groups(connection, place.workspace, place.production) == [group]
    delete_rule(connection, place.workspace, first.id)
    assert load_ruleset(connection, place.production).groups[0].rule_ids == (second.id,)
    delete_group(connection, place.workspace, group.id)
    assert list_groups(connection, place.workspace, place.production) == []

    holdout = add_holdout(connection, place.workspace, place.production, NewHoldout("h", 2.5))
    assert holdout.is_global
    holdout = update_holdout(
        connection,
        place.workspace,
        holdout.id,
        HoldoutChanges(flag_ids=(flag_id,), condition=InList("email", segment_id=place.segment)),
    )
    assert not holdout.is_global and list_holdouts(connection, place.workspace, place.production) == [holdout]
    (loaded,) = load_ruleset(connection, place.production).holdouts
    assert loaded.condition == InList("email", place.segment, place.segment_list)
    for changes, field in (
        (HoldoutChanges(traffic=101), "traffic"),
        (HoldoutChanges(flag_ids=(99,)), "flag_ids"),
    ):
        with pytest.raises(HoldoutInvalid) as refused:
            update_holdout(connection, place.workspace, holdout.id, changes)
        assert refused.value.field == field
    delete_holdout(connection, place.workspace, holdout.id)
    assert list_holdouts(connection, place.workspace, place.production) == []


def test_the_ruleset_of_an_environment(connection: sa.Connection, place: Place) -> None:
    flag_id = make_flag(connection, place)
    condition = InList("email", segment_id=place.segment)
    rule = make_rule(connection, place, flag_id, condition=condition)
    set_flag_state(connection, place.workspace, flag_id, place.production, True, NOW)
    archived = make_flag(connection, place, NewFlag("gone"))
    archive_flag(connection, place.workspace, archived, NOW)
    loaded = load_ruleset(connection, place.production)
    assert loaded.account_id == place.account and loaded.folding_lists == {place.static_list}
    (flag,) = loaded.flags
    assert flag.is_on and flag.rules[0].condition == InList("email", place.segment, place.segment_list)
    assert get_rule(connection, place.workspace, rule.id)[0].condition == condition
    (elsewhere,) = load_ruleset(connection, place.staging).flags
    assert not elsewhere.is_on and elsewhere.rules == ()
    with pytest.raises(EnvironmentNotFound):
        load_ruleset(connection, 999)
