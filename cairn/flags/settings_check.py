"""What every supported SDK demands of a settings file: the strictest of all rules. Pure.

Source: contracts/wingify.md sections 6.2 to 6.4, probed on the real SDKs. Unknown keys are ignored by all of them.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cairn.errors import InvalidInput

Number = int | float
Object = dict[str, Any]  # Any: not looked into


class SettingsInvalid(InvalidInput):
    """An SDK would refuse this settings file and switch every flag off, so it is not published. The last one stays."""

    code = "settings_invalid"


class _Metric(Struct, rename="camel"):
    id: Number
    type: str
    identifier: str
    mca: Number | UnsetType = UNSET
    has_props: bool | UnsetType = UNSET
    revenue_prop: str | UnsetType = UNSET


class _Variable(Struct):
    id: Number | str
    key: str
    type: str
    value: Number | str | bool | Object


class _Variation(Struct):
    id: Number
    name: str
    weight: Number
    segments: Object
    variables: list[_Variable] | UnsetType = UNSET
    salt: str | UnsetType = UNSET


class _Campaign(Struct, rename="camel"):
    id: Number
    key: str
    name: str
    type: str
    status: str
    segments: Object
    variations: Annotated[list[_Variation], Meta(min_length=1)]
    percent_traffic: Number | UnsetType = UNSET
    salt: str | UnsetType = UNSET
    is_forced_variation_enabled: bool | UnsetType = UNSET
    is_user_list_enabled: bool | UnsetType = UNSET


class _Rule(Struct, rename="camel"):
    type: str
    rule_key: str
    campaign_id: Number
    variation_id: Number | UnsetType = UNSET


class _Feature(Struct, rename="camel"):
    id: Number | str
    key: str
    name: str
    type: str
    status: str
    metrics: list[_Metric]
    rules: list[_Rule]
    impact_campaign: Object | UnsetType = UNSET
    variables: list[_Variable] | UnsetType = UNSET


class _Group(Struct):
    name: str
    campaigns: list[str]
    et: Number = 1
    p: list[str] | UnsetType = UNSET
    wt: dict[str, Number] | UnsetType = UNSET


class _Holdout(Struct, rename="camel"):
    id: Number
    name: str
    segments: Object
    percent_traffic: Number
    is_global: bool
    feature_ids: list[Number]
    metrics: list[_Metric]


class _SdkMeta(Struct, rename="camel", forbid_unknown_fields=True):
    was_initialized_earlier: bool | UnsetType = UNSET


class _Nothing(Struct, forbid_unknown_fields=True):
    """`{}`: how the vendor writes an empty array."""


class _Settings(Struct, rename="camel"):
    version: Number | str
    account_id: Number | str
    sdk_key: str
    features: list[_Feature] | _Nothing
    campaigns: list[_Campaign] | _Nothing
    groups: dict[Annotated[str, Meta(pattern=r"^[0-9]+\Z")], _Group] | UnsetType = UNSET
    campaign_groups: dict[Annotated[str, Meta(pattern=r"^[0-9_]+\Z")], Number] | UnsetType = UNSET
    holdouts: list[_Holdout] | _Nothing | UnsetType = UNSET
    poll_interval: Number | UnsetType = UNSET
    collection_prefix: str | UnsetType = UNSET
    usage_stats_account_id: Number | UnsetType = UNSET
    sdk_meta_info: _SdkMeta | UnsetType = UNSET


def check_settings(document: bytes) -> None:
    """Raises SettingsInvalid naming the place. Passes only what the Node and the Python SDKs all accept."""
    try:
        settings = msgspec.json.decode(document, type=_Settings)
    except (msgspec.DecodeError, RecursionError) as error:
        path = re.search(r"`\$\.?(.*)`", str(error))
        raise SettingsInvalid(f"settings file: {error}", field=path.group(1) if path else "") from error
    if settings.usage_stats_account_id is not UNSET:
        raise SettingsInvalid(
            "settings file: usageStatsAccountId makes the Python SDK send its options to the vendor; leave it out",
            field="usageStatsAccountId",
        )
    features = settings.features if isinstance(settings.features, list) else []
    campaigns = settings.campaigns if isinstance(settings.campaigns, list) else []
    campaign_ids = {campaign.id for campaign in campaigns}
    for feature in features:
        for rule in feature.rules:
            if rule.campaign_id not in campaign_ids:
                raise SettingsInvalid(
                    f"settings file: rule {rule.rule_key!r} of {feature.key!r} names campaign {rule.campaign_id}, "
                    "which is not there",
                    field="rules",
                )
    if any(campaign.type == "FLAG_TESTING" and campaign.percent_traffic is UNSET for campaign in campaigns):
        raise SettingsInvalid(
            "settings file: a testing campaign has no percentTraffic", field="percentTraffic"
        )
