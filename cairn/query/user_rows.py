"""Everything that is stored of some raw users, row by row: for a copy of it, and for taking it away."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cairn.event import FACTS
from cairn.log_position import position_of
from cairn.query.cursor import later_events
from cairn.query.scope import Scope
from cairn.store.statement import Limits
from cairn.store.store import Row, Store

# Events read at once.
EVENTS_PER_QUESTION = 5_000
MOST_REFUSALS = 10_000
EVENT_COLUMNS = (
    "event_id",
    "time",
    "received_at",
    "kind",
    "name",
    "user_id",
    "session_id",
    "pageview_id",
    "source",
    "library",
    "properties",
)
REFUSAL_COLUMNS = ("received_at", "reason", "detail", "name", "source", "payload")
ELEMENT_COLUMNS = ("hierarchy", "tag", "dom_id", "classes", "text", "href", "label", "attributes")
_OF_USERS = "user_id IN {ids:Array(UInt64)}"

Document = dict[str, Any]  # Any: the columns' own types


def exist(store: Store, environment_id: int, raw_ids: Sequence[int]) -> set[int]:
    """Those of the raw users of whom anything is stored."""
    if not raw_ids:
        return set()
    scope = Scope(environment_id)
    sql = f"""SELECT DISTINCT user_id FROM {scope.events(_OF_USERS)}
              UNION DISTINCT SELECT DISTINCT user_id FROM {scope.user_properties(_OF_USERS)}"""
    return {int(row[0]) for row in store.query(scope.statement(sql, ids=list(raw_ids)))}


def did_anything(store: Store, environment_id: int, raw_ids: Sequence[int]) -> bool:
    scope = Scope(environment_id)
    statement = scope.statement(f"SELECT 1 FROM {scope.events(_OF_USERS)} LIMIT 1", ids=list(raw_ids))
    return bool(store.query(statement))


def log_positions(store: Store, environment_id: int, raw_ids: Iterable[int]) -> list[int]:
    """From where in which event log their stored events came."""
    scope = Scope(environment_id)
    sql = f"SELECT DISTINCT log_id, log_position FROM {scope.events(_OF_USERS)}"
    rows = store.query(scope.statement(sql, ids=sorted(raw_ids)), Limits(timeout_s=120.0))
    return [position_of(int(row[0]), int(row[1])) for row in rows]


def properties(store: Store, environment_id: int, raw_ids: Sequence[int]) -> list[Document]:
    """Every value that is kept, by raw id."""
    scope = Scope(environment_id)
    sql = f"""SELECT user_id, key, value, time FROM {scope.user_properties(_OF_USERS, newest_only=True)}
              ORDER BY key, version"""
    columns = ("user_id", "key", "value", "set_at")
    return _documents(columns, store.query(scope.statement(sql, ids=list(raw_ids))))


def refusals(store: Store, environment_id: int, names: Sequence[str]) -> list[Document]:
    """Refused events of users with one of these names, oldest first."""
    scope = Scope(environment_id)
    sql = f"""SELECT {", ".join(REFUSAL_COLUMNS)}
              FROM {scope.refusals("user IN {names:Array(String)}", "user != ''")}
              ORDER BY received_at LIMIT {MOST_REFUSALS}"""
    return _documents(REFUSAL_COLUMNS, store.query(scope.statement(sql, names=list(names))))


def events(store: Store, environment_id: int, raw_ids: Sequence[int]) -> Iterator[list[Document]]:
    """Their events, oldest first, a piece at a time, each with what is known of the element it was done on."""
    chosen, after = (*EVENT_COLUMNS, *FACTS), None
    while True:
        scope = Scope(environment_id)
        sql = f"""SELECT toUnixTimestamp64Milli(time) AS at, element, {", ".join(chosen)}
                  FROM {scope.events(_OF_USERS, later_events(after, scope))}
                  ORDER BY at, log_position, event_id LIMIT {EVENTS_PER_QUESTION}"""
        rows = store.query(scope.statement(sql, ids=list(raw_ids)), Limits(timeout_s=60.0))
        if not rows:
            return
        shapes = _elements(store, environment_id, {int(row[1]) for row in rows} - {0})
        yield [_event(row[2:], chosen, shapes.get(int(row[1]))) for row in rows]
        after = (int(rows[-1][0]), int(rows[-1][2]))
        if len(rows) < EVENTS_PER_QUESTION:
            return


def _elements(store: Store, environment_id: int, numbers: set[int]) -> dict[int, Document]:
    """By their number; only what is known of each."""
    if not numbers:
        return {}
    scope = Scope(environment_id)
    rows = scope.elements("element_id IN {numbers:Array(UInt64)}", newest_only=True)
    sql = f"SELECT element_id, {', '.join(ELEMENT_COLUMNS)} FROM {rows}"
    rows_found = store.query(scope.statement(sql, numbers=sorted(numbers)))
    return {
        int(row[0]): {name: value for name, value in zip(ELEMENT_COLUMNS, row[1:], strict=True) if value}
        for row in rows_found
    }


def _event(row: Row, columns: Sequence[str], element: Document | None) -> Document:
    # 64 bits are more than a JavaScript number holds; a fact that is empty is not known.
    known = {
        key: str(value) if key == "event_id" else value
        for key, value in zip(columns, row, strict=True)
        if key in EVENT_COLUMNS or value
    }
    return known | {"element": element} if element else known


def _documents(columns: Sequence[str], rows: Iterable[Row]) -> list[Document]:
    return [dict(zip(columns, row, strict=True)) for row in rows]
