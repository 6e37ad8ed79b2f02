"""Pages of an ordered list: where one ended, and the clause that the next one begins with. Pure.

A page is found by the last row of the one before, never by counting rows, so that it costs the same however far back it
is and no row is shown twice or left out when others arrive meanwhile.
"""

from msgspec import Struct

from cairn.query.bindings import MOST, Bindings
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS


class Cursor(Struct, frozen=True):
    """Where a page ended: the next one starts strictly after. Text form `time-id`."""

    time_ms: int
    id: int

    def __str__(self) -> str:
        return f"{self.time_ms}-{self.id}"


# Before everything in a list that begins with the newest.
NEWEST = Cursor(MOST, 0)


def read_cursor(text: str) -> Cursor | None:
    """The cursor a page link carries; None for none, or for one that was cut or made up."""
    time_ms, _, number = text.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in (time_ms, number)):
        return None
    cursor = Cursor(int(time_ms), int(number))
    return cursor if cursor.time_ms < 2**62 and cursor.id < 2**64 else None


def older(time_ms: str, id_: str, cursor: Cursor | None, bindings: Bindings) -> str:
    """A boolean: does a row of a list with the newest first, and the greater id first at equal times, come after?"""
    at = cursor or NEWEST
    return f"({time_ms}, {id_}) < ({bindings.bind(at.time_ms, 'Int64')}, {bindings.bind(at.id, 'UInt64')})"


def older_events(cursor: Cursor | None, scope: Scope) -> str:
    """A boolean over `events`, newest first: does an event come after the one that the cursor names?

    Of equal times, what arrived later is the newer, which its position in the log tells.
    """
    at = cursor or NEWEST
    return _beyond("<", at.time_ms, at.id, scope)


def later_events(after: tuple[int, int] | None, scope: Scope) -> str:
    """The same with the oldest first. `after`: time and event id."""
    return _beyond(">", *(after or (-MOST, 0)), scope)


def _beyond(operator: str, time_ms: int, event_id: int, scope: Scope) -> str:
    bound = scope.bindings.bind(event_id, "UInt64")
    position = f"(SELECT max(log_position) FROM {scope.events(f'event_id = {bound}')})"
    time = scope.bindings.bind(time_ms, "Int64")
    return f"({TIME_MS}, log_position, event_id) {operator} ({time}, {position}, {bound})"
