"""Sessions by a gap of one's own choosing, where those the client sent do not fit. Pure.

Captured events carry the session the client knew; server events carry none, and Heap's rules (30 minutes without a
pageview on the web, 5 in the background of an app) cannot be changed there. Here a session ends with a silence longer
than the gap, whatever the events are.
"""

from collections.abc import Iterable

from msgspec import Struct

# The same in the store: the session's number, from 0, of each of a user's `times` (sorted epoch milliseconds).
SESSION_NUMBERS = "arrayCumSum(arrayMap(silence -> silence > {gap_ms:Int64}, arrayDifference(times)))"


class Session(Struct, frozen=True):
    start_ms: int
    end_ms: int  # of the last event; a session of one event takes no time
    events: int


def sessions_of(times_ms: Iterable[int], *, gap_ms: int) -> list[Session]:
    """Split one user's events, in any order, where the silence between two is longer than the gap. Oldest first."""
    found: list[Session] = []
    for time_ms in sorted(times_ms):
        last = found[-1] if found else None
        if last is None or time_ms - last.end_ms > gap_ms:
            found.append(Session(time_ms, time_ms, 1))
        else:
            found[-1] = Session(last.start_ms, time_ms, last.events + 1)
    return found
