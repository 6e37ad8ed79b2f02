"""Who asks about a segment, by itself or by one of its lists, or about a flag: rules of flags, and holdouts."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import environments, flags, holdouts, rules, segment_states


class Use(Struct, frozen=True):
    """A flag or holdout that asks about a segment or a flag in one environment."""

    what: Literal["flag", "holdout"]
    key: str  # of a holdout its name
    name: str
    environment_id: int
    is_archived: bool = False

    def __str__(self) -> str:
        if self.is_archived:
            return f"archived {self.what} {self.key!r} (restore it to change it)"
        return f"{self.what} {self.key!r}"


def used_by(
    connection: sa.Connection, workspace_id: int, segment_ids: Collection[int]
) -> dict[int, list[Use]]:
    """Segment -> who asks about it, each once, by key. Flags that are archived are among them."""
    lists = _lists(connection, segment_ids)
    uses: dict[int, set[Use]] = {segment_id: set() for segment_id in segment_ids}
    if not uses:
        return {}
    for use, body in _askers(connection, workspace_id):
        segments_named, lists_named = _named(body)
        for segment_id, uses_here in uses.items():
            if segment_id in segments_named or lists.get(segment_id, set()) & lists_named:
                uses_here.add(use)
    return {segment_id: sorted(uses_here, key=_order) for segment_id, uses_here in uses.items()}


def lists_used_by(
    connection: sa.Connection, workspace_id: int, list_ids: Collection[str]
) -> dict[str, list[Use]]:
    """List -> who asks about it by its id, each once, by key. Flags that are archived are among them."""
    uses: dict[str, set[Use]] = {list_id: set() for list_id in list_ids}
    for use, body in _askers(connection, workspace_id) if uses else ():
        for list_id in _named(body)[1] & uses.keys():
            uses[list_id].add(use)
    return {list_id: sorted(uses_here, key=_order) for list_id, uses_here in uses.items()}


def who_asks_about_flag(connection: sa.Connection, workspace_id: int, flag_id: int) -> list[Use]:
    """Each once, by key. Flags that are archived are among them."""
    return sorted(
        {
            use
            for use, body in _askers(connection, workspace_id)
            if any(
                node.get("type") == "other_flag" and node.get("flag_id") == flag_id for node in _objects(body)
            )
        },
        key=_order,
    )


def _order(use: Use) -> tuple[str, str, int]:
    return use.what, use.key, use.environment_id


def _lists(connection: sa.Connection, segment_ids: Collection[int]) -> dict[int, set[str]]:
    states = segment_states.c
    query = sa.select(states.segment_id, states.list_id).where(states.segment_id.in_(list(segment_ids)))
    lists: dict[int, set[str]] = {}
    for segment_id, list_id in connection.execute(query):
        lists.setdefault(segment_id, set()).add(list_id)
    return lists


def _askers(connection: sa.Connection, workspace_id: int) -> Iterator[tuple[Use, object]]:
    """Every rule and holdout of the workspace as stored."""
    stored_rules = connection.execute(
        sa.select(flags.c.key, flags.c.name, rules.c.environment_id, flags.c.archived_at, rules.c.body)
        .join(rules, rules.c.flag_id == flags.c.id)
        .where(flags.c.workspace_id == workspace_id)
        .order_by(flags.c.key, rules.c.environment_id, rules.c.position, rules.c.id)
    )
    for row in stored_rules:
        yield Use("flag", row.key, row.name, row.environment_id, row.archived_at is not None), row.body
    held = connection.execute(
        sa.select(holdouts.c.name, holdouts.c.environment_id, holdouts.c.body)
        .join(environments, environments.c.id == holdouts.c.environment_id)
        .where(environments.c.workspace_id == workspace_id)
        .order_by(holdouts.c.id)
    )
    for name, environment_id, body in held:
        yield Use("holdout", name, name, environment_id), body


def _named(document: object) -> tuple[set[int], set[str]]:
    """The segments and the lists that a stored audience asks about, however deep."""
    in_lists = [node for node in _objects(document) if node.get("type") == "in_list"]
    return (
        {node["segment_id"] for node in in_lists if node.get("segment_id")},
        {node["list_id"] for node in in_lists if node.get("list_id")},
    )


def _objects(document: object) -> Iterator[dict[str, Any]]:  # Any: JSON values
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
