"""What is compiled. That the SDKs decide by it as defined is tested in tests/clients/cases."""

import re
from typing import Any, Literal

import msgspec
import pytest

from cairn.conditions.tree import Attribute, InList, Not, Visitor
from cairn.errors import InvalidInput
from cairn.flags.model import (
    Allocation,
    Flag,
    Forced,
    Group,
    Holdout,
    Metric,
    Rule,
    Ruleset,
    Variable,
    Variation,
)
from cairn.flags.settings_check import SettingsInvalid
from cairn.flags.settings_file import SettingsFile, compile_settings

LIST = InList("email", segment_id=5, list_id="l5")
ROLLOUT = Rule(101, "rollout", "beta", condition=LIST, traffic=20, allocations=(Allocation(2),), salt="s")
TEST = Rule(
    102,
    "testing",
    "ab",
    condition=Attribute("plan", "is", "pro"),
    traffic=50,
    salt="t",
    allocations=(Allocation(1, 33.3), Allocation(2, 66.7)),
    whitelist=(Forced(2, Visitor("qa")),),
)
VIP = Rule(103, "personalise", "vip", allocations=(Allocation(2),))
FLAG = Flag(
    11,
    "checkout",
    variables=(Variable(1, "color", "string", "grey"),),
    is_on=True,
    rules=(ROLLOUT, TEST, VIP),
    variations=(Variation(1, "control", "Control"), Variation(2, "red", "", {"color": "red"})),
    metrics=(Metric(901, "purchase", has_props=True, revenue_prop="amount"),),
)
RULESET = Ruleset(
    12345,
    flags=(FLAG,),
    groups=(Group(1, "g", "advanced", (102, 103), priority=(103,), weights={102: 100}),),
    holdouts=(Holdout(5001, "2 %", traffic=2, metrics=(Metric(902, "purchase"),)),),
)


def compiled(
    ruleset: Ruleset,
    sdk: Literal["node", "python"] = "node",
    values: dict[str, list[str]] | None = None,
    limit: int = 5,
) -> SettingsFile:
    return compile_settings(
        ruleset,
        account_id=12345,
        sdk=sdk,
        poll_interval_ms=30_000,
        list_values=lambda list_id: (values or {}).get(list_id, ["a@b.com"]),
        inline_limit=limit,
    )


def read(settings: SettingsFile) -> Any:
    return msgspec.json.decode(settings.document)


def with_rule(rule: Rule, **given: Any) -> Ruleset:
    return Ruleset(12345, flags=(msgspec.structs.replace(FLAG, rules=(rule,)),), **given)


def test_the_whole_document() -> None:
    written = read(compiled(RULESET))
    values = {
        color: [{"id": 1, "key": "color", "type": "string", "value": color}] for color in ("grey", "red")
    }
    assert written.pop("version") > 0
    assert written == {
        "accountId": 12345,
        "sdkKey": "__SDK_KEY__",
        "pollInterval": 30_000,
        "features": [
            {
                "id": 11,
                "key": "checkout",
                "name": "checkout",
                "type": "FEATURE_FLAG",
                "status": "ON",
                "metrics": [
                    {
                        "id": 901,
                        "type": "CUSTOM_GOAL",
                        "identifier": "purchase",
                        "mca": -1,
                        "hasProps": True,
                        "revenueProp": "amount",
                    }
                ],
                "rules": [
                    {"type": "FLAG_ROLLOUT", "ruleKey": "beta", "campaignId": 101, "variationId": 2},
                    {"type": "FLAG_TESTING", "ruleKey": "ab", "campaignId": 102},
                    {"type": "FLAG_PERSONALIZE", "ruleKey": "vip", "campaignId": 103, "variationId": 2},
                ],
            }
        ],
        "campaigns": [
            {
                "id": 101,
                "key": "checkout_beta",
                "name": "checkout_beta",
                "type": "FLAG_ROLLOUT",
                "status": "RUNNING",
                "segments": {},
                "isForcedVariationEnabled": False,
                "isUserListEnabled": False,
                "variations": [
                    {
                        "id": 2,
                        "name": "red",
                        "weight": 20,
                        "salt": "s",
                        "variables": values["red"],
                        "segments": {"custom_variable": {"email": "inlist(l5)"}},
                    }
                ],
            },
            {
                "id": 102,
                "key": "checkout_ab",
                "name": "checkout_ab",
                "type": "FLAG_TESTING",
                "status": "RUNNING",
                "segments": {"custom_variable": {"plan": "pro"}},
                "percentTraffic": 50,
                "salt": "t",
                "isForcedVariationEnabled": True,
                "isUserListEnabled": False,
                "variations": [
                    {"id": 1, "name": "Control", "weight": 33.3, "segments": {}, "variables": values["grey"]},
                    {
                        "id": 2,
                        "name": "red",
                        "weight": 66.7,
                        "segments": {"user": "qa"},
                        "variables": values["red"],
                    },
                ],
            },
            {
                "id": 103,
                "key": "checkout_vip",
                "name": "checkout_vip",
                "type": "FLAG_PERSONALIZE",
                "status": "RUNNING",
                "segments": {},
                "isForcedVariationEnabled": False,
                "isUserListEnabled": False,
                "variations": [
                    {"id": 2, "name": "red", "weight": 100, "segments": {}, "variables": values["red"]}
                ],
            },
        ],
        "groups": {
            "1": {"name": "g", "campaigns": ["102", "103_2"], "et": 2, "p": ["103_2"], "wt": {"102": 100}}
        },
        "campaignGroups": {"102": 1, "103_2": 1},
        "holdouts": [
            {
                "id": 5001,
                "name": "2 %",
                "segments": {},
                "percentTraffic": 2,
                "isGlobal": True,
                "featureIds": [],
                "metrics": [
                    {"id": 902, "type": "CUSTOM_GOAL", "identifier": "purchase", "mca": -1, "hasProps": False}
                ],
            }
        ],
    }


def test_an_environment_with_nothing_has_a_valid_document() -> None:
    written = read(compiled(Ruleset(12345)))
    assert (written["features"], written["campaigns"]) == ([], [])
    assert "groups" not in written and "holdouts" not in written


def test_the_same_ruleset_gives_the_same_bytes_and_another_a_new_version() -> None:
    first, again = compiled(RULESET), compiled(RULESET)
    changed = compiled(with_rule(msgspec.structs.replace(ROLLOUT, traffic=21)))
    assert first.document == again.document
    assert read(first)["version"] != read(changed)["version"]
    assert first.document.startswith(b'{"version":')


@pytest.mark.parametrize("sdk", ["node", "python"])
def test_nothing_is_null(sdk: Literal["node", "python"]) -> None:
    assert b"null" not in compiled(RULESET, sdk).document


@pytest.mark.parametrize(
    ("flag", "rule_keys"),
    [
        pytest.param(msgspec.structs.replace(FLAG, is_on=False), [], id="flag off"),
        pytest.param(
            msgspec.structs.replace(FLAG, rules=(ROLLOUT, msgspec.structs.replace(TEST, is_on=False))),
            ["beta"],
            id="rule off",
        ),
    ],
)
def test_off_is_left_out_and_keeps_metrics(flag: Flag, rule_keys: list[str]) -> None:
    written = read(compiled(msgspec.structs.replace(RULESET, flags=(flag,))))
    (feature,) = written["features"]
    assert [rule["ruleKey"] for rule in feature["rules"]] == rule_keys
    assert len(written["campaigns"]) == len(rule_keys)
    assert [metric["identifier"] for metric in feature["metrics"]] == ["purchase"]
    assert "groups" not in written


def test_a_group_loses_the_rules_that_are_off() -> None:
    off = msgspec.structs.replace(FLAG, rules=(msgspec.structs.replace(TEST, is_on=False), VIP))
    written = read(compiled(msgspec.structs.replace(RULESET, flags=(off,))))
    assert written["groups"]["1"] == {"name": "g", "campaigns": ["103_2"], "et": 2, "p": ["103_2"], "wt": {}}
    assert written["campaignGroups"] == {"103_2": 1}


def test_imported_rules_share_their_campaign() -> None:
    imported = [
        Rule(
            at,
            "rollout",
            f"r{at}",
            allocations=(Allocation(at, 100, at + 6),),
            campaign_number=900,
            campaign_key="k",
        )
        for at in (1, 2)
    ]
    written = read(compiled(Ruleset(1, flags=(msgspec.structs.replace(FLAG, rules=tuple(imported)),))))
    (campaign,) = written["campaigns"]
    assert (campaign["id"], campaign["key"], [variation["id"] for variation in campaign["variations"]]) == (
        900,
        "k",
        [7, 8],
    )
    assert [rule["variationId"] for rule in written["features"][0]["rules"]] == [7, 8]


def inlined(values: list[str], **given: Any) -> tuple[Any, SettingsFile]:
    settings = compiled(with_rule(ROLLOUT, **given), "python", {"l5": values})
    return read(settings)["campaigns"][0]["variations"][0]["segments"], settings


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["a@b.com"], r"^(?:a@b\.com)\Z"),
        (["b", "a", "b"], r"^(?:a|b)\Z"),
        (["a|b)", "x+y"], r"^(?:a\|b\)|x\+y)\Z"),
        (["inlister"], r"^(?:inl[i]ster)\Z"),
        (["true"], r"^(?:True|true)\Z"),
        (["two\nlines"], "^(?:two\\u000alines)\\Z"),
    ],
)
def test_python_gets_lists_as_patterns(values: list[str], pattern: str) -> None:
    segments, settings = inlined(values)
    assert segments == {"custom_variable": {"email": f"regex({pattern})"}}
    assert settings.warnings == ()
    assert all(re.search(pattern, value) for value in values)


def test_python_folds_case_where_the_list_does() -> None:
    segments, _ = inlined(["a@b.com"], folding_lists=frozenset({"l5"}))
    assert segments["custom_variable"]["email"].startswith("regex((?i)^")


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (["1", "2", "3", "4", "5", "6"], "more than 5 values"),
        (["007"], "read some values"),
        (["1e5"], "as numbers"),
    ],
)
def test_what_python_cannot_target_is_warned_about(values: list[str], warning: str) -> None:
    segments, settings = inlined(values)
    (text,) = settings.warnings
    assert warning in text and text.startswith("flag 'checkout', rule 'beta': ")
    assert (segments == {"or": []}) == (len(values) > 5)


@pytest.mark.parametrize("sdk", ["node", "python"])
def test_nobody_is_in_a_list_that_is_empty_or_not_there(sdk: Literal["node", "python"]) -> None:
    segments, settings = inlined([])
    assert (segments, settings.warnings) == ({"or": []}, ())
    unlisted = msgspec.structs.replace(ROLLOUT, condition=Not(InList("email", segment_id=6)))
    settings = compiled(with_rule(unlisted), sdk)
    assert read(settings)["campaigns"][0]["variations"][0]["segments"] == {"not": {"or": []}}
    assert "segment 6 has no list" in settings.warnings[0]


@pytest.mark.parametrize(
    "ruleset",
    [
        pytest.param(
            with_rule(msgspec.structs.replace(ROLLOUT, allocations=(Allocation(9),))), id="no such variation"
        ),
        pytest.param(
            Ruleset(
                1,
                flags=(
                    msgspec.structs.replace(
                        FLAG, variations=(Variation(1, "a"), Variation(2, "b", "", {"color": None}))
                    ),
                ),
            ),
            id="null value",
        ),
        pytest.param(
            Ruleset(
                1,
                flags=(
                    msgspec.structs.replace(
                        FLAG, variations=(Variation(1, "a"), Variation(2, "b", "", {"color": [1]}))
                    ),
                ),
            ),
            id="array value",
        ),
    ],
)
def test_what_an_sdk_would_refuse_is_not_compiled(ruleset: Ruleset) -> None:
    with pytest.raises(SettingsInvalid):
        compiled(ruleset)


def test_a_leaf_no_sdk_can_ask_is_not_compiled() -> None:
    with pytest.raises(InvalidInput, match="'age'"):
        compiled(with_rule(msgspec.structs.replace(ROLLOUT, condition=Attribute("age", "greater", "-1"))))
