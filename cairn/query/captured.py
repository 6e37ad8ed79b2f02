"""What was captured with an event beside its properties: page, session and device facts, and the element acted on."""

from collections.abc import Iterable, Mapping

from cairn.event import FACTS, Element
from cairn.store.schema import DATABASE
from cairn.store.store import Row, Store

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


def read_elements(store: Store, environment_id: int, numbers: Iterable[int]) -> dict[int, Element]:
    """Shapes by their number; 0, the absence of one, is left out."""
    wanted = sorted({number for number in numbers if number})
    if not wanted:
        return {}
    rows = store.query(
        environment_id,
        f"""SELECT element_id, hierarchy, toString(tag), dom_id, classes, text, href, label,
                   CAST(attributes, 'Map(String, String)')
            FROM {DATABASE}.elements
            WHERE environment_id = {{environment:UInt32}} AND element_id IN {{numbers:Array(UInt64)}}""",
        {"numbers": wanted},
    )
    return {
        number: Element(hierarchy, tag, dom_id, classes, text, href, label, dict(attributes))
        for number, hierarchy, tag, dom_id, classes, text, href, label, attributes in rows
    }


def with_element(row: Row, elements: Mapping[int, Element]) -> Row:
    """A row that ends with a number of `read_elements`, with the shape, or None, in its place."""
    return (*row[:-1], elements.get(row[-1]))
