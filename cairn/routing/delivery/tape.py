"""The event log as messages: read and parsed once for all connections that stand at the same point.

A reader asks for what comes after its cursor and gets a piece of bounded size. Pieces that were read lately are kept,
so that whoever follows shares them; one that lags reads for itself, a piece at a time.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec import Struct

from cairn.event import Arrival
from cairn.eventlog.log import Entry, EventLog
from cairn.log_position import MOST_EVENTS, log_position
from cairn.routing.delivery.erased import Erasure
from cairn.routing.message import Message
from cairn.routing.to_message import message_of
from cairn.wire.segment import parse_segment
from cairn.wire.segment_call import CheckedCall

logger = logging.getLogger(__name__)

PIECE_BYTES = 512 << 10  # of requests; their messages take several times that
_PIECE_ITEMS = 2_000
_KEPT_PIECES = 8
_THREADS = 2

_arrivals = msgspec.msgpack.Decoder(Arrival)

# An entry of the log and the item in it that is read next.
Cursor = tuple[int, int]


class Piece(Struct, frozen=True):
    messages: dict[int, list[Message]]  # by source id, in the order of the log
    next: Cursor


class Tape:
    """For one event loop; the log is read by threads of its own."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="log")
        self._sources: frozenset[int] = frozenset()
        self._erasures: tuple[Erasure, ...] = ()
        self._end = -1
        self.version = 0  # rises whenever there may be more to read
        self._pieces: OrderedDict[Cursor, asyncio.Future[Piece | None]] = OrderedDict()

    def follow(self, sources: Iterable[int]) -> None:
        """Whose calls become messages; all else is passed over."""
        if (wanted := frozenset(sources)) != self._sources:
            self._sources = wanted
            self._pieces.clear()
            self.version += 1

    def erase(self, erasures: Sequence[Erasure]) -> None:
        self._erasures = tuple(erasures)
        self._pieces.clear()

    async def after(self, cursor: Cursor) -> Piece | None:
        """What comes next, shared with whoever asks for the same; None: nothing yet. Raises Unavailable."""
        reading = self._pieces.get(cursor)
        if reading is None:
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(self._threads, self._read, cursor, self._sources, self._erasures)
            self._pieces[cursor] = reading
            while len(self._pieces) > _KEPT_PIECES:
                self._pieces.popitem(last=False)
        try:
            piece = await asyncio.shield(reading)
        except Exception:
            self._drop(cursor, reading)
            raise
        if piece is None:
            self._drop(cursor, reading)
        return piece

    async def has_grown(self) -> bool:
        """Since the last call. Raises Unavailable."""
        end = await asyncio.get_running_loop().run_in_executor(self._threads, self._log.end)
        if end == self._end:
            return False
        self._end = end
        self.version += 1
        return True

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _drop(self, cursor: Cursor, reading: "asyncio.Future[Piece | None]") -> None:
        if self._pieces.get(cursor) is reading:
            del self._pieces[cursor]

    def _read(self, cursor: Cursor, sources: frozenset[int], erasures: Sequence[Erasure]) -> Piece | None:
        entry, item = cursor
        entries = self._log.read(entry - 1, limit_items=item + _PIECE_ITEMS, limit_bytes=PIECE_BYTES)
        if not entries:
            return None
        if entries[0].position != entry:
            item = 0
        messages: defaultdict[int, list[Message]] = defaultdict(list)
        size_bytes = 0
        for found in entries:
            for number in range(item, len(found.items)):
                if size_bytes >= PIECE_BYTES:
                    return Piece(messages, (found.position, number))
                size_bytes += len(found.items[number])
                for message in self._messages(found, number, sources, erasures):
                    messages[message.source_id].append(message)
            item = 0
        return Piece(messages, (entries[-1].position + 1, 0))

    def _messages(
        self, entry: Entry, number: int, sources: frozenset[int], erasures: Sequence[Erasure]
    ) -> list[Message]:
        try:
            arrival = _arrivals.decode(entry.items[number])
            if arrival.parser != "segment" or arrival.source_id not in sources or "refuse" in arrival.extra:
                return []
            messages = list(_of_request(arrival, log_position(self._log.id, entry.position, number)))
        except Exception:  # of a request that our own code fails on, which the loader tells people about
            logger.exception("request_not_routed", extra={"entry": entry.position, "item": number})
            return []
        meant = [
            erasure
            for erasure in erasures
            if entry.position <= erasure.until and erasure.environment_id in arrival.environments
        ]
        return [message for message in messages if not any(erasure.is_meant(message) for erasure in meant)]


def _of_request(arrival: Arrival, position: int) -> Iterable[Message]:
    for number, checked in enumerate(parse_segment(arrival)):
        if isinstance(checked, CheckedCall):
            message = message_of(checked, position + min(number, MOST_EVENTS))
            if isinstance(message, Message):
                yield message
