"""Every connection of the public port: how many there are, which wait, and which have to go.

A connection that makes us wait pays for it itself: when there are too many, the one that has waited longest without a
request goes first, and a request under way is never ended for somebody new. Each state keeps its connections in the
order in which they entered it, so finding the oldest costs one step, however many there are.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import takewhile
from typing import Protocol

from cairn.client_address import TrustedProxies, customer_of
from cairn.http_server.limits import HEADER_S, KEEP_ALIVE_S, WRITE_S, Limits


class State(StrEnum):
    HEAD = "head"  # connected, or in the middle of a request's headers
    IDLE = "idle"  # kept alive, nothing asked
    BODY = "body"  # a body that did not come with its headers
    ANSWER = "answer"  # the request is whole
    STUCK = "stuck"  # the client does not take its answer


class Refused(StrEnum):
    """Why a connection or request was ended; each is counted in the health."""

    MALFORMED = "malformed"
    HEADERS_TOO_LARGE = "headers_too_large"
    HEADERS_TOO_SLOW = "headers_too_slow"
    LINE_TOO_LONG = "line_too_long"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_NOT_KEPT = "body_not_kept"  # the longest of too many unfinished bodies
    NOT_READ = "answer_not_read"
    PIPELINED = "too_many_pipelined"
    ADDRESS_FULL = "address_full"
    FULL = "full"
    MADE_ROOM = "made_room"  # waiting without a request, when another came
    BUSY = "busy"  # all but the flag SDKs' share is in use


class Connection(Protocol):
    """What the table needs of a connection. `since` and `state` are the table's."""

    state: State
    since: float
    held_bytes: int

    def end(self, why: Refused) -> None: ...

    def end_idle(self) -> None: ...

    def is_too_slow(self, now: float) -> bool: ...


class Connections:
    """Belongs to one event loop."""

    def __init__(self, limits: Limits, trusted: TrustedProxies) -> None:
        self.limits = limits
        self.refused: Counter[Refused] = Counter()
        self._trusted = trusted
        self._states: dict[State, dict[Connection, None]] = {state: {} for state in State}
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._states.values()))

    def add(self, connection: Connection, peer: str, now: float) -> Refused | None:
        """Take it in, or say why not. A waiting connection without a request may be closed for it."""
        if len(self) >= self.limits.connections and not self._close_one(self._waiting()):
            return self.count(Refused.FULL)
        if peer not in self._trusted:
            neighbours = self._by_address.setdefault(customer_of(peer), {})
            waiting = (neighbour for neighbour in neighbours if neighbour.state in (State.HEAD, State.IDLE))
            if len(neighbours) >= self.limits.per_address and not self._close_one(waiting):
                return self.count(Refused.ADDRESS_FULL)
            # Closing one may have emptied and removed it.
            self._by_address.setdefault(customer_of(peer), neighbours)[connection] = None
        connection.state, connection.since = State.HEAD, now
        self._states[State.HEAD][connection] = None
        return None

    def remove(self, connection: Connection, peer: str) -> None:
        """Idempotent."""
        self._states[connection.state].pop(connection, None)
        self._held_bytes -= connection.held_bytes
        connection.held_bytes = 0
        customer = customer_of(peer)
        if neighbours := self._by_address.get(customer):
            neighbours.pop(connection, None)
            if not neighbours:
                del self._by_address[customer]

    def move(self, connection: Connection, state: State, now: float) -> None:
        del self._states[connection.state][connection]
        connection.state, connection.since = state, now
        self._states[state][connection] = None

    def holds(self, connection: Connection) -> bool:
        return connection in self._states[connection.state]

    def hold(self, connection: Connection, size: int) -> None:
        """So much more of an unfinished body is kept; it ends where too much is."""
        connection.held_bytes += size
        self._held_bytes += size
        if self._held_bytes > self.limits.held_bytes:
            next(iter(self._states[State.BODY])).end(self.count(Refused.BODY_NOT_KEPT))

    def let_go(self, connection: Connection) -> None:
        self._held_bytes -= connection.held_bytes
        connection.held_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether only flag SDKs are served now."""
        return sum(len(self._states[state]) for state in _AT_WORK) >= self.limits.requests

    def sweep(self, now: float) -> None:
        """End what has waited too long. To be called every second."""
        for connection in self._older(State.HEAD, now - HEADER_S):
            connection.end(self.count(Refused.HEADERS_TOO_SLOW))
        for connection in self._older(State.IDLE, now - KEEP_ALIVE_S):
            connection.end_idle()
        for connection in self._older(State.STUCK, now - WRITE_S):
            connection.end(self.count(Refused.NOT_READ))
        for connection in list(self._states[State.BODY]):
            if connection.is_too_slow(now):
                connection.end(self.count(Refused.BODY_TOO_SLOW))

    def count(self, why: Refused) -> Refused:
        self.refused[why] += 1
        return why

    def report(self) -> dict[str, object]:
        """For the health page: how many connections of how many, by state, and what was refused since the start."""
        return {
            "open": len(self),
            "most": self.limits.connections,
            "most_per_address": self.limits.per_address,
            "states": {state.value: len(held) for state, held in self._states.items()},
            "held_bytes": self._held_bytes,
            "refused": {why.value: self.refused[why] for why in Refused},
        }

    def _waiting(self) -> Iterator[Connection]:
        yield from self._states[State.HEAD]
        yield from self._states[State.IDLE]

    def _close_one(self, candidates: Iterator[Connection]) -> bool:
        oldest = next(candidates, None)
        if oldest is None:
            return False
        oldest.end(self.count(Refused.MADE_ROOM))
        return True

    def _older(self, state: State, limit: float) -> list[Connection]:
        return list(takewhile(lambda connection: connection.since < limit, self._states[state]))


_AT_WORK = (State.BODY, State.ANSWER, State.STUCK)
