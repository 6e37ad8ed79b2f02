"""What was captured with an event beside its properties: page, session and device facts, and the element acted on."""

from collections.abc import Mapping

from cairn.event import FACTS, Element
from cairn.store.store import Row

MOST_SHOWN = 100  # properties of one event in an answer; senders decide how many there are
# The first of an event's properties, as one map; and how many more it has. Columns of `events`.
PROPERTIES_MAP = (
    f"CAST(mapFromArrays(arraySlice(mapKeys(properties), 1, {MOST_SHOWN}), "
    f"arraySlice(mapValues(properties), 1, {MOST_SHOWN})), 'Map(String, String)')"
)
MORE_PROPERTIES = f"toUInt64(greatest(length(mapKeys(properties)), {MOST_SHOWN}) - {MOST_SHOWN})"

# The facts an event has, as one map; columns of `events`.
FACTS_MAP = (
    "mapFilter((_, fact) -> fact != '', map("
    + ", ".join(f"'{name}', toString({name})" for name in FACTS)
    + "))"
)


def with_element(row: Row, elements: Mapping[int, Element]) -> Row:
    """A row that ends with a number of `read_elements`, with the shape, or None, in its place."""
    return (*row[:-1], elements.get(row[-1]))
