"""Events, properties, merges and refusals as Arrow tables: a column at a time, repeated text as a dictionary."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa

from cairn import ids
from cairn.event import FACTS, Draft, Element, Refused, Scalar
from cairn.log_position import log_of, order_of
from cairn.outcomes import outcome_of
from cairn.store.errors import RowsNotStorable
from cairn.store.store import AccountChange, MapChange, PropertyChange, SeenElement, VisitorRow

_CODES = {pa.uint32(): "I", pa.uint64(): "Q", pa.int32(): "i", pa.timestamp("ms", "UTC"): "q"}
_TIME = pa.timestamp("ms", "UTC")
_elements = msgspec.msgpack.Encoder(order="deterministic")  # so that equal attributes give equal bytes
_NOT_STORABLE = (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError)


@contextmanager
def _storable(row: str, field: str) -> Iterator[None]:
    try:
        yield
    except _NOT_STORABLE as error:
        raise RowsNotStorable(f"{row} has a value that cannot be stored: {error}", field=field) from error


def element_id(element: Element) -> int:
    """The number under which a shape is stored. Equal shapes have equal numbers, in every release."""
    return ids.element_id(_elements.encode(element))


def text_of(value: Scalar) -> str:
    """A property's value as it is stored and compared: whole numbers without a fraction, true and false in small."""
    return _TEXT.get(type(value), str)(value)


def _float_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else str(value)


_TEXT: dict[type, Callable[[Any], str]] = {  # Any: the type beside it
    str: str,
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _float_text,
}


def events_table(events: Sequence[Draft]) -> pa.Table:
    """Raises RowsNotStorable."""
    with _storable("an event", "events"):
        return pa.table(
            {
                "environment_id": _numbers([e.environment_id for e in events], pa.uint32()),
                "event_id": _numbers([e.event_id for e in events], pa.uint64()),
                "user_id": _numbers([e.user_id for e in events], pa.uint64()),
                "session_id": _numbers([e.session_id for e in events], pa.uint64()),
                "pageview_id": _numbers([e.pageview_id for e in events], pa.uint64()),
                "time": _numbers([e.time_ms for e in events], _TIME),
                "received_at": _numbers([e.received_ms for e in events], _TIME),
                "kind": _repeated([e.kind for e in events]),
                "name": _repeated([e.name for e in events]),
                "source": _repeated([e.source for e in events]),
                "library": _repeated([e.library for e in events]),
                "properties": _maps([e.properties for e in events]),
                **_log_positions(events),
                **_captured(events),
            }
        )


def _captured(events: Sequence[Draft]) -> dict[str, pa.Array]:
    """Only the columns that any of the events fills; the store fills the others."""
    columns = {}
    if any(e.element is not None for e in events):
        columns["element"] = _numbers(map(_element_id, events), pa.uint64())
    if any(e.detail for e in events):
        columns["detail"] = pa.array([e.detail for e in events], pa.string())
    facts = [e.facts for e in events]
    names = set().union(*facts)
    for name in FACTS:
        if name in names:
            columns[name] = _repeated([event_facts.get(name, "") for event_facts in facts])
    return columns


def _element_id(event: Draft) -> int:
    if event.element is None:
        return 0
    return event.element_id or element_id(event.element)


def elements_table(elements: Sequence[SeenElement]) -> pa.Table:
    """Raises RowsNotStorable."""
    shapes = [element.element for element in elements]
    with _storable("an element", "elements"):
        return pa.table(
            {
                "environment_id": _numbers([element.environment_id for element in elements], pa.uint32()),
                "element_id": _numbers([element.element_id for element in elements], pa.uint64()),
                "hierarchy": pa.array([shape.hierarchy for shape in shapes], pa.string()),
                "tag": _repeated([shape.tag for shape in shapes]),
                "dom_id": pa.array([shape.dom_id for shape in shapes], pa.string()),
                "classes": pa.array([shape.classes for shape in shapes], pa.string()),
                "text": pa.array([shape.text for shape in shapes], pa.string()),
                "href": pa.array([shape.href for shape in shapes], pa.string()),
                "label": pa.array([shape.label for shape in shapes], pa.string()),
                "attributes": _maps([shape.attributes for shape in shapes]),
                "first_seen": _numbers([element.first_seen_ms for element in elements], _TIME),
            }
        )


def properties_table(changes: Sequence[PropertyChange]) -> pa.Table:
    """Raises RowsNotStorable."""
    with _storable("a user property", "properties"):
        return pa.table(
            {
                "environment_id": _numbers([c.environment_id for c in changes], pa.uint32()),
                "user_id": _numbers([c.user_id for c in changes], pa.uint64()),
                **_values(changes),
            }
        )


def account_properties_table(changes: Sequence[AccountChange]) -> pa.Table:
    """Raises RowsNotStorable."""
    with _storable("an account property", "account_properties"):
        return pa.table(
            {
                "environment_id": _numbers([c.environment_id for c in changes], pa.uint32()),
                "account_id": pa.array([c.account_id for c in changes], pa.string()),
                **_values(changes),
            }
        )


def _values(changes: Sequence[PropertyChange] | Sequence[AccountChange]) -> dict[str, pa.Array]:
    return {
        "key": _repeated([change.key for change in changes]),
        "value": pa.array([change.value for change in changes], pa.string()),
        "time": _numbers([change.time_ms for change in changes], _TIME),
        "version": pa.array([change.version.to_bytes(16, "little") for change in changes], pa.binary(16)),
    }


def user_map_table(changes: Sequence[MapChange]) -> pa.Table:
    return pa.table(
        {
            "environment_id": _numbers([c.environment_id for c in changes], pa.uint32()),
            "user_id": _numbers([c.user_id for c in changes], pa.uint64()),
            "canonical_id": _numbers([c.canonical_id for c in changes], pa.uint64()),
            "version": _numbers([c.version for c in changes], pa.uint64()),
        }
    )


def visitors_table(visitors: Sequence[VisitorRow]) -> pa.Table:
    return pa.table(
        {
            "environment_id": _numbers([row.environment_id for row in visitors], pa.uint32()),
            "visitor_id": _numbers([row.visitor_id for row in visitors], pa.uint64()),
            "user_id": _numbers([row.user_id for row in visitors], pa.uint64()),
            "rank": pa.array([row.rank for row in visitors], pa.uint8()),
        }
    )


def refusals_table(refusals: Sequence[Refused]) -> pa.Table:
    """Text that is not valid Unicode is kept with replacement characters: a refusal must always be storable."""
    return pa.table(
        {
            "environment_id": _numbers([r.environment_id for r in refusals], pa.uint32()),
            "received_at": _numbers([r.received_ms for r in refusals], _TIME),
            "outcome": _repeated(str(outcome_of(r.reason)) for r in refusals),
            "reason": _repeated(str(r.reason) for r in refusals),
            "detail": pa.array([_valid(r.detail) for r in refusals], pa.string()),
            "name": pa.array([_valid(r.name) for r in refusals], pa.string()),
            "user": pa.array([_valid(r.user) for r in refusals], pa.string()),
            "source": _repeated(_valid(r.source) for r in refusals),
            "payload": pa.array([_valid(r.payload) for r in refusals], pa.string()),
            **_log_positions(refusals),
        }
    )


def _log_positions(rows: Sequence[Draft] | Sequence[Refused]) -> dict[str, pa.Array]:
    """A column for the order within the log and, where they did not come from log 0, one for the log's id."""
    positions = [row.log_position for row in rows]
    columns = {"log_position": _numbers(map(order_of, positions), pa.uint64())}
    if any(map(log_of, positions)):
        columns["log_id"] = pa.array(map(log_of, positions), pa.uint16())
    return columns


def prepare() -> None:
    """Let Arrow import what it imports at its first use, 0.3 s of it, so that the first events need not wait."""
    events_table([Draft(1, "", "", 0, 0)])


def _numbers(values: Iterable[int], kind: pa.DataType) -> pa.Array:
    """Through the machine's own arrays: a third of the time that Arrow takes to look at each Python number."""
    raw = array(_CODES[kind], values)
    return pa.Array.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])


def _repeated(values: Iterable[str]) -> pa.Array:
    return pa.array(values if isinstance(values, list) else list(values), pa.string()).dictionary_encode()


def _maps(maps: Sequence[dict[str, Any]]) -> pa.Array:  # Any: Scalar; str values pass through untouched
    values = [
        v if v.__class__ is str else _TEXT.get(v.__class__, str)(v)
        for entries in maps
        if entries
        for v in entries.values()
    ]
    return pa.MapArray.from_arrays(
        _numbers(accumulate(map(len, maps), initial=0), pa.int32()),
        pa.array(list(chain.from_iterable(maps)), pa.string()),
        pa.array(values, pa.string()),
    )


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()
