"""The shapes of elements that were acted on: all of an environment, some by their number, and how many there are."""

from collections.abc import Iterable

from cairn.event import Element
from cairn.query.scope import Scope
from cairn.store.statement import Limits
from cairn.store.store import Row, Store

# The first look at millions of shapes.
READING = Limits(timeout_s=60.0)
_SHAPE = (
    "element_id, hierarchy, toString(tag), dom_id, classes, text, href, label, "
    "CAST(attributes, 'Map(String, String)')"
)


def read_elements(store: Store, environment_id: int, numbers: Iterable[int]) -> dict[int, Element]:
    """Shapes by their number; 0, the absence of one, is left out."""
    element_ids = sorted({number for number in numbers if number})
    if not element_ids:
        return {}
    scope = Scope(environment_id)
    rows = scope.elements("element_id IN {numbers:Array(UInt64)}")
    rows_found = store.query(scope.statement(f"SELECT {_SHAPE} FROM {rows}", numbers=element_ids))
    return {int(row[0]): _element(row) for row in rows_found}


def read_shapes(store: Store, environment_id: int, since_ms: int | None) -> list[tuple[int, Element, int]]:
    """(number, shape, when it was first seen) of all, or of those first seen since then."""
    scope = Scope(environment_id)
    since = [] if since_ms is None else [f"first_seen >= {scope.bindings.moment(since_ms)}"]
    sql = f"SELECT {_SHAPE}, toUnixTimestamp64Milli(first_seen) FROM {scope.elements(*since)}"
    return [(int(row[0]), _element(row), int(row[-1])) for row in store.query(scope.statement(sql), READING)]


def sum_of_shapes(store: Store, environment_id: int) -> tuple[int, int]:
    """How many different ones there are, and a checksum of their numbers."""
    scope = Scope(environment_id)
    sql = f"SELECT count(), groupBitXor(element_id) FROM (SELECT DISTINCT element_id FROM {scope.elements()})"
    count, checksum = store.query(scope.statement(sql), READING)[0]
    return int(count), int(checksum)


def count_rows(store: Store, environment_id: int) -> int:
    """How many rows they take, a little more than there are different ones; the cheapest count."""
    scope = Scope(environment_id)
    return int(store.query(scope.statement(f"SELECT count() FROM {scope.elements()}"))[0][0])


def _element(row: Row) -> Element:
    _, hierarchy, tag, dom_id, classes, text, href, label, attributes, *_ = row
    return Element(hierarchy, tag, dom_id, classes, text, href, label, dict(attributes))
