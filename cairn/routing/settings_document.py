"""What browsers are told of each source, put together from the metadata database and published for the edge."""

import logging
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from cairn.db.routing_tables import connections
from cairn.db.tables import environments, sources
from cairn.members.sets import Published
from cairn.published.source_settings import document_name, encode
from cairn.routing.device_mode import BuiltIn, source_settings
from cairn.routing.rules import Rules, RulesRefused, read_rules
from cairn.workspace.source import HEAP

logger = logging.getLogger(__name__)


def publish_source_settings(connection: sa.Connection, published: Published, environment_id: int) -> None:
    """For every source of an environment. Idempotent; the same database gives the same documents."""
    built_in = _built_in(connection, environment_id)
    rows = connection.execute(sa.select(sources).where(sources.c.environment_id == environment_id))
    published.publish(
        {document_name(row.id): encode(source_settings(row.kind, built_in[row.id])) for row in rows}
    )


def _built_in(connection: sa.Connection, environment_id: int) -> dict[int, list[BuiltIn]]:
    rows = connection.execute(
        sa.select(connections, environments.c.app_id)
        .join(sources, sources.c.id == connections.c.source_id)
        .join(environments, environments.c.id == connections.c.environment_id)
        .where(
            sources.c.environment_id == environment_id,
            connections.c.destination == HEAP,
            connections.c.is_enabled,
        )
        .order_by(connections.c.id)
    )
    known: dict[int, list[BuiltIn]] = defaultdict(list)
    for row in rows:
        known[row.source_id].append(BuiltIn(row.id, row.app_id, *_settings_and_rules(row)))
    return known


def _settings_and_rules(row: sa.Row[Any]) -> tuple[dict[str, Any], Rules]:  # Any: by DEVICE_SETTINGS
    """What cannot be read keeps events out of the browser: this server takes them by what it can read."""
    settings = row.settings if isinstance(row.settings, dict) else {"mode": "cloud"}
    try:
        return settings, read_rules(row.rules)
    except RulesRefused:
        logger.warning("rules_not_read", extra={"connection_id": row.id})
        return {**settings, "mode": "cloud"}, Rules()
