"""Putting the directory together from the metadata database, and publishing it for the edge."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cairn.db.routing_tables import connections
from cairn.db.tables import attribute_lists, capture_settings, environments, sources, workspaces
from cairn.members.sets import Published
from cairn.published.directory import DOCUMENT, App, Directory, Sdk, Source, encode
from cairn.workspace.environment import PRODUCTION
from cairn.workspace.source import HEAP

_UNREADABLE = "unreadable"


def build_directory(connection: sa.Connection) -> Directory:
    """Guarantee: the same database gives the same document, whatever the order of its rows."""
    rows = connection.execute(
        sa.select(environments, workspaces.c.account_id)
        .join(workspaces, workspaces.c.id == environments.c.workspace_id)
        .order_by(environments.c.id)
    ).all()
    workspace_of = {row.id: row.workspace_id for row in rows}
    account_of = {row.id: row.account_id for row in rows}
    accounts: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: (row.key != PRODUCTION, row.id)):
        accounts.setdefault(
            str(row.account_id), row.id
        )  # production answers; failing that the oldest environment
    return Directory(
        apps={row.app_id: App(row.id, row.workspace_id) for row in rows},
        sources=_sources(connection, workspace_of),
        sdks=_sdks(rows),
        accounts=accounts,
        lists={
            row.id: (account_of[row.environment_id], row.folds_case)
            for row in connection.execute(sa.select(attribute_lists))
        },
        keeps_ip=_keeping_ip(connection),
    )


def _sdks(rows: Sequence[sa.Row[Any]]) -> dict[str, Sdk]:
    public = {
        row.sdk_key_hash: Sdk(row.id, row.workspace_id, row.account_id, may_write=not row.needs_server_key)
        for row in rows
    }
    servers = {
        row.server_key_hash: Sdk(row.id, row.workspace_id, row.account_id)
        for row in rows
        if row.server_key_hash
    }
    return public | servers


def publish_directory(connection: sa.Connection, published: Published) -> None:
    """Idempotent; the edge sees the change at its next poll."""
    published.publish({DOCUMENT: encode(build_directory(connection))})


def _keeping_ip(connection: sa.Connection) -> frozenset[int]:
    """As privacy.capture.CaptureSettings says it."""
    rows = connection.execute(sa.select(capture_settings.c.environment_id, capture_settings.c.body))
    return frozenset(
        row.environment_id
        for row in rows
        if isinstance(row.body, dict) and row.body.get("are_ips_kept") is True
    )


def _sources(connection: sa.Connection, workspace_of: dict[int, int]) -> dict[str, Source]:
    connected: dict[int, list[int]] = defaultdict(list)
    rules: dict[int, dict[str, str]] = defaultdict(dict)
    analytics = sa.select(connections).where(connections.c.destination == HEAP, connections.c.is_enabled)
    for row in connection.execute(analytics.order_by(connections.c.environment_id)):
        connected[row.source_id].append(row.environment_id)
        if row.rules:
            # No rules at all would let through what they keep back: a text that nobody can read lets nothing through.
            text = json.dumps(row.rules, sort_keys=True) if isinstance(row.rules, dict) else _UNREADABLE
            rules[row.source_id][str(row.environment_id)] = text
    return {
        row.write_key_hash: Source(
            row.id,
            row.environment_id,
            workspace_of[row.environment_id],
            row.name,
            row.kind,
            row.is_enabled,
            tuple(connected[row.id]),
            rules[row.id],
        )
        for row in connection.execute(sa.select(sources))
    }
