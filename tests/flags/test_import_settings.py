"""Reading vendor documents. That all official ones keep their results is tested in tests/clients/cases."""

import copy
from typing import Any

import msgspec
import pytest

from cairn.conditions.tree import EVERYBODY, InList, Visitor
from cairn.errors import InvalidInput
from cairn.flags.import_settings import import_settings
from cairn.flags.model import Allocation, Forced, Group, Holdout, Metric, Variable
from cairn.flags.settings_file import compile_settings
from tests.clients.cases.official import documents
from tests.flags.test_settings_check import GOOD

COLORS = [{"id": 1, "key": "color", "type": "string", "value": value} for value in ("grey", "red", "gold")]
DOCUMENT: dict[str, Any] = {
    "version": 7,
    "accountId": "12345",
    "sdkKey": "k",
    "extra": None,
    "features": [
        {
            "id": 11,
            "key": "checkout",
            "name": "Checkout",
            "type": "FEATURE_FLAG",
            "status": "OFF",
            "metrics": [
                {
                    "id": 901,
                    "type": "REVENUE_TRACKING",
                    "identifier": "purchase",
                    "hasProps": True,
                    "revenueProp": "amount",
                    "mca": -1,
                }
            ],
            "impactCampaign": {},
            "rules": [
                {"type": "FLAG_ROLLOUT", "ruleKey": "beta", "campaignId": 101, "variationId": 1},
                {"type": "FLAG_ROLLOUT", "ruleKey": "everyone", "campaignId": 101, "variationId": 2},
                {"type": "FLAG_TESTING", "ruleKey": "ab", "campaignId": 102},
                {"type": "FLAG_PERSONALIZE", "ruleKey": "vip", "campaignId": 103, "variationId": 9},
                {"type": "FLAG_PERSONALIZE", "ruleKey": "lost", "campaignId": 999, "variationId": 1},
            ],
        }
    ],
    "campaigns": [
        {
            "id": 101,
            "key": "checkout_rollout",
            "name": "n",
            "type": "FLAG_ROLLOUT",
            "status": "PAUSED",
            "segments": {},
            "variations": [
                {
                    "id": 1,
                    "name": "Beta",
                    "weight": 100,
                    "salt": "s",
                    "variables": [COLORS[1]],
                    "segments": {"custom_variable": {"email": "inlist(42)"}},
                },
                {"id": 2, "name": "Everyone", "weight": 20, "segments": {}, "variables": [COLORS[0]]},
            ],
        },
        {
            "id": 102,
            "key": "checkout_ab",
            "name": "n",
            "type": "FLAG_TESTING",
            "status": "RUNNING",
            "segments": {},
            "percentTraffic": 50,
            "salt": "t",
            "isForcedVariationEnabled": True,
            "isUserListEnabled": True,
            "variations": [
                {"id": 1, "name": "Control", "weight": 50, "variables": [COLORS[0]]},
                {
                    "id": 2,
                    "name": "Variation-1",
                    "weight": 50,
                    "segments": {"user": "qa"},
                    "variables": [COLORS[1]],
                },
            ],
        },
        {
            "id": 103,
            "key": "checkout_vip",
            "name": "n",
            "type": "FLAG_PERSONALIZE",
            "status": "RUNNING",
            "segments": {},
            "variations": [{"id": 1, "name": "VIP", "weight": 100, "segments": {}, "variables": [COLORS[2]]}],
        },
    ],
    "groups": {"7": {"name": "g", "campaigns": ["102", "103_1"], "et": 2, "p": ["103"], "wt": {"102": 100}}},
    "campaignGroups": {"102": 7, "103_1": 7},
    "holdouts": [
        {
            "id": 5001,
            "name": "h",
            "segments": {},
            "percentTraffic": 2,
            "isGlobal": True,
            "featureIds": [],
            "metrics": [],
        }
    ],
}


def test_everything_that_decides_is_kept() -> None:
    ruleset = import_settings(msgspec.json.encode(DOCUMENT))
    (flag,) = ruleset.flags
    assert (ruleset.account_id, flag.id, flag.key, flag.is_on) == (12345, 11, "checkout", True)
    assert flag.metrics == (Metric(901, "purchase", "REVENUE_TRACKING", True, "amount"),)
    assert flag.variables == (Variable(1, "color", "string", "red"),)
    beta, everyone, test, vip = flag.rules
    assert (beta.campaign, beta.campaign_key, beta.salt, beta.traffic) == (101, "checkout_rollout", "s", 100)
    assert beta.condition == InList("email", list_id="42")
    assert (everyone.campaign, everyone.traffic, everyone.condition) == (101, 20, EVERYBODY)
    assert everyone.allocations == (Allocation(2, 100, 2),)
    assert (test.traffic, test.salt, test.visitor_ids_are_uuids) == (50, "t", True)
    assert test.allocations == (Allocation(3, 50, 1), Allocation(4, 50, 2))
    assert test.whitelist == (Forced(4, Visitor("qa")),)
    assert [allocation.number for allocation in vip.allocations] == [1]
    assert [flag.values_of(variation)["color"] for variation in flag.variations] == [
        "red",
        "grey",
        "grey",
        "red",
        "gold",
    ]
    assert ruleset.groups == (Group(7, "g", "advanced", (3, 4), priority=(4,), weights={3: 100}),)
    assert ruleset.holdouts == (Holdout(5001, "h", traffic=2),)


@pytest.mark.parametrize("name", [name for name in documents() if "WRONG" not in name])
def test_a_compiled_import_imports_as_itself(name: str) -> None:
    ruleset = import_settings(documents()[name])
    settings = compile_settings(ruleset, account_id=ruleset.account_id, sdk="node", poll_interval_ms=1000)
    assert import_settings(settings.document) == ruleset


def test_equal_variations_of_several_campaigns_are_one() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["campaigns"][2]["variations"] = copy.deepcopy(document["campaigns"][1]["variations"][:1])
    (flag,) = import_settings(msgspec.json.encode(document)).flags
    assert [variation.name for variation in flag.variations] == ["Beta", "Everyone", "Control", "Variation-1"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        msgspec.json.encode({**GOOD, "accountId": "abc"}),
        msgspec.json.encode({**GOOD, "features": None}),
        msgspec.json.encode({**GOOD, "campaigns": [{"id": 1}]}),
        msgspec.json.encode({**DOCUMENT, "groups": {"x": {"name": "g", "campaigns": []}}}),
        msgspec.json.encode({**GOOD, "campaigns": [{**GOOD["campaigns"][0], "type": "FLAG_MULTIVARIATE"}]}),
    ],
)
def test_what_is_no_settings_file_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInput):
        import_settings(document)


def test_segments_we_cannot_read_are_refused() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["campaigns"][1]["segments"] = {"campaignVariation": "123"}
    with pytest.raises(InvalidInput, match="campaignVariation"):
        import_settings(msgspec.json.encode(document))
