"""Everything Cairn knows of one user, as one JSON document in pieces, so that a long history fits in no memory."""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import from_ms
from cairn.db.engine import reading
from cairn.db.tables import attribute_lists, segment_states, segments
from cairn.identity.merges import history, raw_ids
from cairn.members.sets import Members, list_set, users_set
from cairn.query import user_rows
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import Store


class UserExport(Struct):
    """The shape of the document."""

    user_id: int
    environment: str
    user_ids: list[int]
    properties: list[dict[str, Any]]  # every value ever kept, by raw id
    merges: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    lists: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    events: list[dict[str, Any]]


def export_user(
    engine: sa.Engine, store: Store, members: Members, environment_id: int, environment: str, user_id: int
) -> Iterator[bytes]:
    """The document of a canonical user, oldest event first. The caller has checked that the environment is its own."""
    with reading(engine) as connection:
        ids = raw_ids(connection, environment_id, [user_id])[user_id]
        past = history(connection, environment_id, [user_id])
        sets = _sets(connection, environment_id)
    properties = user_rows.properties(store, environment_id, ids)
    identity = next((row["value"] for row in properties if row["key"] == IDENTITY_KEY), "")
    head = {
        "user_id": user_id,
        "environment": environment,
        "user_ids": ids,
        "properties": properties,
        "merges": past,
        "segments": [
            {"key": name, "since": from_ms(since)}
            for is_segment, name, set_name in sets
            if is_segment and (since := members.since(set_name, str(user_id))) is not None
        ],
        "lists": [
            {"name": name, "since": from_ms(since)}
            for is_segment, name, set_name in sets
            if not is_segment and identity and (since := members.since(set_name, identity)) is not None
        ],
        "refusals": user_rows.refusals(store, environment_id, [identity, *map(str, ids)]),
    }
    yield msgspec.json.encode(head)[:-1] + b',"events":['
    separator = b""
    for rows in user_rows.events(store, environment_id, ids):
        yield separator + b",".join(msgspec.json.encode(row) for row in rows)
        separator = b","
    yield b"]}"


def _sets(connection: sa.Connection, environment_id: int) -> list[tuple[bool, str, str]]:
    """(is a segment, its key or the list's name, the set's name)"""
    counted = connection.execute(
        sa.select(segments.c.id, segments.c.key)
        .join(segment_states, segment_states.c.segment_id == segments.c.id)
        .where(segment_states.c.environment_id == environment_id)
        .order_by(segments.c.key)
    )
    sets = [(True, str(key), users_set(environment_id, segment_id)) for segment_id, key in counted]
    listed = connection.execute(
        sa.select(attribute_lists.c.id, attribute_lists.c.name)
        .where(attribute_lists.c.environment_id == environment_id)
        .order_by(attribute_lists.c.name)
    )
    return sets + [(False, str(name), list_set(list_id)) for list_id, name in listed]
