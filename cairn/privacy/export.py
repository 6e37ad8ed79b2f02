"""Everything Cairn knows of one user, as one JSON document in pieces, so that a long history fits in no memory."""

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import from_ms
from cairn.db.engine import reading
from cairn.db.tables import attribute_lists, segment_states, segments
from cairn.event import FACTS
from cairn.identity.merges import history, raw_ids
from cairn.members.sets import Members, list_set, users_set
from cairn.query.cursor import position_of
from cairn.store.schema import DATABASE, IDENTITY_KEY
from cairn.store.store import Store

_PER_QUESTION = 5_000  # events read at once
_EVENT_COLUMNS = (
    "event_id", "time", "received_at", "kind", "name", "user_id", "session_id", "pageview_id", "source", "library",
    "properties",
)  # fmt: skip
_ELEMENT_COLUMNS = ("hierarchy", "tag", "dom_id", "classes", "text", "href", "label", "attributes")


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
    """The document of a canonical user, oldest event first. Whoever asks has checked whose environment it is."""
    with reading(engine) as connection:
        ids = raw_ids(connection, environment_id, [user_id])[user_id]
        past = history(connection, environment_id, [user_id])
        sets = _sets(connection, environment_id)
    properties = _properties(store, environment_id, ids)
    identity = next((one["value"] for one in properties if one["key"] == IDENTITY_KEY), "")
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
        "refusals": _refusals(store, environment_id, [identity, *map(str, ids)]),
    }
    yield msgspec.json.encode(head)[:-1] + b',"events":['
    separator = b""
    for rows in _events(store, environment_id, ids):
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
    found = [(True, str(key), users_set(environment_id, segment_id)) for segment_id, key in counted]
    listed = connection.execute(
        sa.select(attribute_lists.c.id, attribute_lists.c.name)
        .where(attribute_lists.c.environment_id == environment_id)
        .order_by(attribute_lists.c.name)
    )
    return found + [(False, str(name), list_set(list_id)) for list_id, name in listed]


def _properties(store: Store, environment_id: int, ids: list[int]) -> list[dict[str, Any]]:
    rows = store.query(
        environment_id,
        f"""
        SELECT user_id, key, value, time FROM {DATABASE}.user_properties FINAL
        WHERE environment_id = {{environment:UInt32}} AND user_id IN {{ids:Array(UInt64)}}
        ORDER BY key, version
        """,
        {"ids": ids},
    )
    return [{"user_id": row[0], "key": row[1], "value": row[2], "set_at": row[3]} for row in rows]


def _refusals(store: Store, environment_id: int, names: list[str]) -> list[dict[str, Any]]:
    columns = ("received_at", "reason", "detail", "name", "source", "payload")
    rows = store.query(
        environment_id,
        f"""
        SELECT {", ".join(columns)} FROM {DATABASE}.refusals
        WHERE environment_id = {{environment:UInt32}} AND user IN {{names:Array(String)}} AND user != ''
        ORDER BY received_at LIMIT 10000
        """,
        {"names": names},
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _events(store: Store, environment_id: int, ids: list[int]) -> Iterator[list[dict[str, Any]]]:
    chosen = ", ".join((*_EVENT_COLUMNS, *FACTS))
    after: tuple[int, int] = (-(2**62), 0)
    while True:
        rows = store.query(
            environment_id,
            f"""
            SELECT toUnixTimestamp64Milli(time) AS at, element, {chosen} FROM {DATABASE}.events
            WHERE environment_id = {{environment:UInt32}} AND user_id IN {{ids:Array(UInt64)}}
              AND (at, log_position, event_id) > ({{after_ms:Int64}}, {position_of("after_id")}, {{after_id:UInt64}})
            ORDER BY at, log_position, event_id LIMIT {_PER_QUESTION}
            """,
            {"ids": ids, "after_ms": after[0], "after_id": after[1]},
            timeout_s=60.0,
        )
        if not rows:
            return
        shapes = _elements(store, environment_id, {int(row[1]) for row in rows} - {0})
        yield [_event(row[2:], shapes.get(int(row[1]))) for row in rows]
        after = (int(rows[-1][0]), int(rows[-1][2]))
        if len(rows) < _PER_QUESTION:
            return


def _elements(store: Store, environment_id: int, numbers: set[int]) -> dict[int, dict[str, Any]]:
    """What the events were done on, by its number; only what is known of each."""
    if not numbers:
        return {}
    rows = store.query(
        environment_id,
        f"""
        SELECT element_id, {", ".join(_ELEMENT_COLUMNS)} FROM {DATABASE}.elements FINAL
        WHERE environment_id = {{environment:UInt32}} AND element_id IN {{numbers:Array(UInt64)}}
        """,
        {"numbers": sorted(numbers)},
    )
    return {
        int(row[0]): {name: value for name, value in zip(_ELEMENT_COLUMNS, row[1:], strict=True) if value}
        for row in rows
    }


def _event(row: tuple[Any, ...], element: dict[str, Any] | None) -> dict[str, Any]:
    told = dict(zip((*_EVENT_COLUMNS, *FACTS), row, strict=True))
    # 64 bits are more than a JavaScript number holds; a fact that is empty is not known.
    known = {
        key: str(value) if key == "event_id" else value
        for key, value in told.items()
        if key in _EVENT_COLUMNS or value
    }
    return known | {"element": element} if element else known
