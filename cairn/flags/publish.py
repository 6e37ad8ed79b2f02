"""Brings an environment's flags to the gateway: compile for each SDK family, check, publish at once."""

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from cairn.flags.model import LeftOut
from cairn.flags.records import DefinitionUnreadable
from cairn.flags.ruleset import load_ruleset
from cairn.flags.settings_file import Json, compile_settings
from cairn.members.sets import Members, Published, list_set
from cairn.published.settings_file import document_name


def publish_environment(
    connection: sa.Connection,
    published: Published,
    members: Members,
    environment_id: int,
    *,
    poll_interval_ms: int,
    inline_limit: int,
) -> list[str]:
    """Publish `settings/<environment>/node` and `.../python`; return warnings for the page.

    A flag that cannot be read stays as it was published last, unless a group has one of its rules. Raises CairnError
    when either document cannot be compiled, or when a group or holdout cannot be read, without which flags would
    reach people they are kept from; then the last good documents stay.
    Guarantee: publishing again without a change writes the same bytes.
    """
    ruleset = load_ruleset(connection, environment_id)
    if ruleset.unknown:
        raise DefinitionUnreadable("; ".join(ruleset.unknown))

    def values(list_id: str) -> list[str]:
        return [value for value, _since in members.values(list_set(list_id), limit=inline_limit + 1)]

    node = compile_settings(
        ruleset,
        account_id=ruleset.account_id,
        sdk="node",
        poll_interval_ms=poll_interval_ms,
        kept=_kept(published, document_name(environment_id, "node"), ruleset.left_out),
    )
    # The file may hold values of lists, which must leave it with the switch.
    stay = ruleset.left_out if ruleset.inlines_lists else {}
    python = compile_settings(
        ruleset,
        account_id=ruleset.account_id,
        sdk="python",
        poll_interval_ms=poll_interval_ms,
        list_values=values,
        inline_limit=inline_limit,
        kept=_kept(published, document_name(environment_id, "python"), stay),
    )
    published.publish(
        {
            document_name(environment_id, "node"): node.document,
            document_name(environment_id, "python"): python.document,
        }
    )
    left_out = (f"flag {key!r} stays as it is: {flag.why}" for key, flag in ruleset.left_out.items())
    return list(dict.fromkeys((*left_out, *node.warnings, *python.warnings)))


def _kept(published: Published, name: str, left_out: Mapping[str, LeftOut]) -> Json | None:
    """What was published last of these flags, off where they were switched off. None: nothing.

    Raises DefinitionUnreadable when a group has one of their rules: who gets it then depends on the others.
    """
    document = published.document(name) if left_out else None
    if document is None:
        return None
    last = msgspec.json.decode(document)
    features = [feature for feature in last["features"] if feature["key"] in left_out]
    in_groups = {str(key).partition("_")[0] for key in last.get("campaignGroups", {})}
    for at, feature in enumerate(features):
        if any(str(rule["campaignId"]) in in_groups for rule in feature["rules"]):
            raise DefinitionUnreadable(f"flag {feature['key']!r}: {left_out[feature['key']].why}")
        if not left_out[feature["key"]].is_on:
            features[at] = {**feature, "status": "OFF", "rules": []}
    numbers = {rule["campaignId"] for feature in features for rule in feature["rules"]}
    campaigns = [campaign for campaign in last["campaigns"] if campaign["id"] in numbers]
    return {"features": features, "campaigns": campaigns}
