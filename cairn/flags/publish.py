"""Brings an environment's flags to the gateway: compile for each SDK family, check, publish at once."""

import sqlalchemy as sa

from cairn.flags.rows import DefinitionUnreadable
from cairn.flags.ruleset import load_ruleset
from cairn.flags.settings_file import compile_settings
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

    A flag that cannot be read is left out. Raises CairnError when either document cannot be compiled, or when a group
    or holdout cannot be read, without which flags would reach people they are kept from; then the last good ones stay.
    Guarantee: publishing again without a change writes the same bytes.
    """
    ruleset = load_ruleset(connection, environment_id)
    if ruleset.unknown:
        raise DefinitionUnreadable("; ".join(ruleset.unknown))

    def values(list_id: str) -> list[str]:
        return [value for value, _since in members.values(list_set(list_id), limit=inline_limit + 1)]

    node = compile_settings(
        ruleset, account_id=ruleset.account_id, sdk="node", poll_interval_ms=poll_interval_ms
    )
    python = compile_settings(
        ruleset,
        account_id=ruleset.account_id,
        sdk="python",
        poll_interval_ms=poll_interval_ms,
        list_values=values,
        inline_limit=inline_limit,
    )
    published.publish(
        {
            document_name(environment_id, "node"): node.document,
            document_name(environment_id, "python"): python.document,
        }
    )
    left_out = (f"flag {key!r} is left out: {why}" for key, why in ruleset.left_out.items())
    return list(dict.fromkeys((*left_out, *node.warnings, *python.warnings)))
