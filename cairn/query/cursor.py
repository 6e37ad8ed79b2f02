"""Pages of an ordered list: where one ended, and the clause that the next one begins with. Pure.

A page is found by the last row of the one before, never by counting rows, so that it costs the same however far back it
is and no row is shown twice or left out when others arrive meanwhile.
"""

from msgspec import Struct

from cairn.query.bindings import MOST, Bindings
from cairn.store.schema import DATABASE


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


def position_of(parameter: str) -> str:
    """Where the event lies in the log whose id is the parameter: of equal times, what arrived later is the newer."""
    return f"""(SELECT max(log_position) FROM {DATABASE}.events
        WHERE environment_id = {{environment:UInt32}} AND event_id = {{{parameter}:UInt64}})"""
