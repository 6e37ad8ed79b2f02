"""Whose an event or a property is after merges, as SQL: the one place that a cluster changes. Pure.

`user_id` is raw and never rewritten. The merges are a dictionary beside the tables, so an un-merge is one row; a join
costs five times as much. On a cluster, whose tables are sharded by the raw id, every node has the dictionary, and what
is grouped by the canonical user is put together where the question was asked.
"""

from collections.abc import Mapping, Sequence

from cairn.query.bindings import Bindings
from cairn.store.schema import MERGED_USERS

# The canonical user of a row that has the columns `environment_id` and `user_id`.
CANONICAL = f"dictGetOrDefault('{MERGED_USERS}', 'canonical_id', (environment_id, user_id), user_id)"


def canonical_among(raw_ids: Mapping[int, Sequence[int]], bindings: Bindings) -> str:
    """The same for rows of these users only, of whom the asker knows all raw ids: canonical user -> raw ids."""
    pairs = [(raw, user) for user, raws in raw_ids.items() for raw in raws]
    raws = bindings.bind(tuple(raw for raw, _ in pairs), "Array(UInt64)")
    users = bindings.bind(tuple(user for _, user in pairs), "Array(UInt64)")
    return f"transform(user_id, {raws}, {users}, user_id)"
