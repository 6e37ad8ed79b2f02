"""Each row of contracts/wingify.md 6.4: accepted only where every probed SDK kept its flags on."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cairn.flags.settings_check import SettingsInvalid, check_settings

GOOD: dict[str, Any] = {
    "version": 1,
    "accountId": 12345,
    "sdkKey": "k",
    "features": [
        {
            "id": 1,
            "key": "f",
            "name": "f",
            "type": "FEATURE_FLAG",
            "status": "ON",
            "metrics": [{"id": 1, "type": "CUSTOM_GOAL", "identifier": "e"}],
            "impactCampaign": {},
            "rules": [{"type": "FLAG_ROLLOUT", "ruleKey": "r", "campaignId": 1, "variationId": 1}],
        }
    ],
    "campaigns": [
        {
            "id": 1,
            "key": "f_r",
            "name": "r",
            "type": "FLAG_ROLLOUT",
            "status": "RUNNING",
            "segments": {},
            "percentTraffic": 100,
            "variations": [
                {
                    "id": 1,
                    "name": "on",
                    "weight": 100,
                    "segments": {},
                    "variables": [{"id": 1, "key": "v", "type": "string", "value": "x"}],
                }
            ],
        }
    ],
}


def change(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to

    return apply


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return apply


def empty(document: dict[str, Any]) -> None:
    document["features"] = document["campaigns"] = {}


FEATURE, RULE = ("features", 0), ("features", 0, "rules", 0)
METRIC, CAMPAIGN = ("features", 0, "metrics", 0), ("campaigns", 0)
VARIATION = ("campaigns", 0, "variations", 0)
VARIABLE = (*VARIATION, "variables", 0)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda document: None, id="unchanged"),
        pytest.param(change("extra", to=1), id="extra key at root"),
        pytest.param(change(*FEATURE, "extra", to=1), id="extra key in feature"),
        pytest.param(change(*CAMPAIGN, "extra", to=1), id="extra key in campaign"),
        pytest.param(change(*VARIATION, "extra", to=1), id="extra key in variation"),
        pytest.param(change("version", to="1"), id="version as text"),
        pytest.param(change("accountId", to="12345"), id="account as text"),
        pytest.param(empty, id="empty objects"),
        pytest.param(change(*FEATURE, "metrics", to=[]), id="no metrics"),
        pytest.param(drop(*FEATURE, "impactCampaign"), id="no impact campaign"),
        pytest.param(change(*FEATURE, "id", to="1"), id="feature id as text"),
        pytest.param(drop(*RULE, "variationId"), id="rule without variation"),
        pytest.param(change(*FEATURE, "status", to="OFF"), id="status off"),
        pytest.param(change(*CAMPAIGN, "status", to="PAUSED"), id="status paused"),
        pytest.param(drop(*VARIATION, "variables"), id="no variables"),
        pytest.param(change("holdouts", to={}), id="holdouts object"),
        pytest.param(change("holdouts", to=[]), id="holdouts array"),
        pytest.param(change("groups", to={}), id="empty groups"),
        pytest.param(change(*VARIABLE, "value", to={"a": None}), id="null inside a json value"),
    ],
)
def test_accepted_by_every_sdk(changed: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(GOOD)
    changed(document)
    check_settings(msgspec.json.encode(document))


@pytest.mark.parametrize(
    "changed",
    [
        *(
            pytest.param(drop(key), id=f"no {key}")
            for key in ("version", "accountId", "features", "campaigns", "sdkKey")
        ),
        *(
            pytest.param(drop(*FEATURE, key), id=f"feature without {key}")
            for key in ("status", "type", "name", "metrics", "rules")
        ),
        pytest.param(change(*FEATURE, "metrics", to={}), id="metrics object"),
        pytest.param(change(*FEATURE, "impactCampaign", to=None), id="impact campaign null"),
        pytest.param(change(*METRIC, "id", to="1"), id="metric id as text"),
        pytest.param(drop(*RULE, "ruleKey"), id="rule without key"),
        pytest.param(change(*RULE, "campaignId", to="1"), id="campaign of rule as text"),
        pytest.param(change(*RULE, "campaignId", to=2), id="campaign of rule missing"),
        pytest.param(change(*RULE, "variationId", to=None), id="variation of rule null"),
        *(
            pytest.param(drop(*CAMPAIGN, key), id=f"campaign without {key}")
            for key in ("status", "name", "segments")
        ),
        pytest.param(change(*CAMPAIGN, "id", to="1"), id="campaign id as text"),
        pytest.param(change(*CAMPAIGN, "percentTraffic", to="100"), id="traffic as text"),
        pytest.param(change(*CAMPAIGN, "variations", to={}), id="variations object"),
        pytest.param(change(*CAMPAIGN, "variations", to=[]), id="no variations"),
        *(pytest.param(drop(*VARIATION, key), id=f"variation without {key}") for key in ("name", "segments")),
        *(pytest.param(change(*VARIATION, "segments", to=to), id=f"segments {to}") for to in ([], None)),
        pytest.param(change(*VARIATION, "weight", to="100"), id="weight as text"),
        pytest.param(change(*VARIATION, "variables", to={}), id="variables object"),
        pytest.param(change(*VARIABLE, "value", to=None), id="value null"),
        pytest.param(change(*VARIABLE, "value", to=[1]), id="value array"),
        pytest.param(change(*VARIATION, "salt", to=None), id="variation salt null"),
        pytest.param(change(*CAMPAIGN, "salt", to=None), id="campaign salt null"),
        *(
            pytest.param(change(key, to=None), id=f"{key} null")
            for key in ("pollInterval", "collectionPrefix", "usageStatsAccountId", "sdkMetaInfo", "holdouts")
        ),
        pytest.param(change("sdkMetaInfo", to={"extra": 1}), id="extra key in sdkMetaInfo"),
        pytest.param(change("groups", to=[]), id="groups array"),
        pytest.param(change("groups", to={"a": {"name": "g", "campaigns": []}}), id="group id not a number"),
        pytest.param(change("campaignGroups", to={"1": "1"}), id="group number as text"),
        pytest.param(change("usageStatsAccountId", to=1), id="usage statistics"),
    ],
)
def test_refused_when_any_sdk_would_switch_flags_off(changed: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(GOOD)
    changed(document)
    with pytest.raises(SettingsInvalid):
        check_settings(msgspec.json.encode(document))


@pytest.mark.parametrize("document", [b"", b"null", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(SettingsInvalid):
        check_settings(document)


def test_a_refusal_names_the_place() -> None:
    document = copy.deepcopy(GOOD)
    document["campaigns"][0]["variations"][0]["weight"] = "100"
    with pytest.raises(SettingsInvalid) as refused:
        check_settings(msgspec.json.encode(document))
    assert refused.value.field == "campaigns[0].variations[0].weight"
