"""The messages of one connection that are read and not done: which may be sent now, and how far all is done. Pure.

Order is kept for each order key: while a message of a key is in flight or waits for its next attempt, later messages
of the same key wait behind it, and those of other keys pass. One request may carry several messages of a key, in their
order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

import msgspec
from msgspec import Struct

from cairn.routing.message import Message

MOST_MESSAGES = 2_000
# From the oldest message that is not done to the newest: what a crash makes us deliver again.
MOST_SPAN = 20_000
_UNLIMITED = 1 << 30


class Waiting(Struct, eq=False):
    """A message in the window. Mutable: attempts change it."""

    message: Message
    number: int  # in the order of reading
    attempts: int = 0  # that failed
    waits: int = 0  # of these since it was last sent together with fewer others
    first_failed_ms: int = 0
    most_together: int = (
        _UNLIMITED  # messages in one request with it; lowered to tell which of them is at fault
    )
    failed_alone: int = 0  # in requests that it had to itself, while others succeeded
    successes: int = -1  # of the connection when it last failed
    is_erased: bool = False  # its user was deleted
    letter_id: int = 0  # of a dead letter that is sent once more

    @property
    def key(self) -> str:
        return self.message.order_key


class Window:
    def __init__(self, *, most_messages: int = MOST_MESSAGES, most_span: int = MOST_SPAN) -> None:
        self._most_messages, self._most_span = most_messages, most_span
        self._all: dict[int, Waiting] = {}  # by number, which rises
        self._number = 0
        self._queues: dict[str, deque[Waiting]] = {}  # by order key, without what is in flight
        self._ready: list[
            tuple[int, str]
        ] = []  # heap of numbers and keys: the first of each key that may be sent
        self._listed: set[str] = set()  # keys in `_ready`
        self._held: set[str] = set()  # keys with a message in flight or waiting for its next attempt
        self._due: list[tuple[float, int, str]] = []  # heap: when a key is ready again

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_full(self) -> bool:
        if len(self._all) >= self._most_messages:
            return True
        return bool(self._all) and self._number - next(iter(self._all)) >= self._most_span

    @property
    def oldest(self) -> Waiting | None:
        """Of those that the log alone holds."""
        return next((waiting for waiting in self._all.values() if not waiting.letter_id), None)

    @property
    def retrying(self) -> int:
        return sum(waiting.attempts > 0 for waiting in self._all.values())

    def next_due_s(self) -> float | None:
        return self._due[0][0] if self._due else None

    def add(self, message: Message, *, letter_id: int = 0) -> None:
        """In the order of the log; a dead letter behind what is there."""
        waiting = Waiting(message, self._number, letter_id=letter_id)
        self._number += 1
        self._all[waiting.number] = waiting
        self._queues.setdefault(waiting.key, deque()).append(waiting)
        self._list(waiting.key)

    def skip(self) -> None:
        """A message that was read and is done at once."""
        self._number += 1

    def take(self, now_s: float, most: int, most_bytes: int = 0) -> list[Waiting]:
        """The oldest messages that may be sent, at most so many; they are in flight until `done` or `again`."""
        self._release(now_s)
        batch: list[Waiting] = []
        room, bytes_left = most, most_bytes
        while self._ready and len(batch) < room:
            _, key = self._ready[0]
            if not self._is_sendable(key):
                heappop(self._ready)
                self._listed.discard(key)
                continue
            waiting = self._queues[key][0]
            room = min(room, waiting.most_together)
            bytes_left -= size_of(waiting.message) if most_bytes else 0
            if batch and (len(batch) >= room or bytes_left < 0):
                break
            heappop(self._ready)
            self._listed.discard(key)
            self._pop(key)
            batch.append(waiting)
            self._list(key)
        self._held.update(waiting.key for waiting in batch)
        return batch

    def take_untried(self, now_s: float) -> list[Waiting]:
        """One message, best one that has not failed yet: whether the target is back is not asked with a bad one."""
        self._release(now_s)
        if not self._listed and self._due:  # whose turn is next; the target decides, not its own time
            self._release(self._due[0][0])
        firsts = [self._queues[key][0] for key in self._listed if self._is_sendable(key)]
        if not firsts:
            return []
        waiting = min(firsts, key=lambda first: (first.attempts > 0, first.number))
        self._pop(waiting.key)
        self._held.add(waiting.key)
        return [waiting]

    def done(self, batch: Iterable[Waiting]) -> None:
        keys = set()
        for waiting in batch:
            self._all.pop(waiting.number, None)
            keys.add(waiting.key)
        for key in keys:
            self._held.discard(key)
            self._list(key)

    def again(self, later: Sequence[tuple[Waiting, float]]) -> None:
        """Send these once more, each not before its time; whatever has the same keys waits behind them."""
        due: dict[str, float] = {}
        for waiting, at_s in sorted(later, key=lambda entry: entry[0].number, reverse=True):
            self._queues.setdefault(waiting.key, deque()).appendleft(waiting)
            due[waiting.key] = max(at_s, due.get(waiting.key, 0.0))
        for key, at_s in due.items():
            self._held.add(key)
            heappush(self._due, (at_s, self._queues[key][0].number, key))

    def hurry(self) -> None:
        """The target is back: nothing waits for its next attempt any longer."""
        due, self._due = self._due, []
        for _, _, key in due:
            self._held.discard(key)
            self._list(key)

    def remove(self, is_meant: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take out those that are meant and not in flight."""
        removed = []
        for key in list(self._queues):
            queue = self._queues[key]
            gone = {waiting.number for waiting in queue if is_meant(waiting)}
            if gone:
                removed += [waiting for waiting in queue if waiting.number in gone]
                self._keep(key, deque(waiting for waiting in queue if waiting.number not in gone))
        for waiting in removed:
            del self._all[waiting.number]
        return removed

    def erase(self, is_meant: Callable[[Message], bool]) -> None:
        """Take out those whose users were deleted; those in flight are not sent again."""
        self.remove(lambda waiting: is_meant(waiting.message))
        for waiting in self._all.values():
            waiting.is_erased = waiting.is_erased or is_meant(waiting.message)

    def _keep(self, key: str, queue: deque[Waiting]) -> None:
        if queue:
            self._queues[key] = queue
        else:
            del self._queues[key]

    def _pop(self, key: str) -> None:
        queue = self._queues[key]
        queue.popleft()
        if not queue:
            del self._queues[key]

    def _is_sendable(self, key: str) -> bool:
        return key in self._queues and key not in self._held

    def _list(self, key: str) -> None:
        if key not in self._listed and self._is_sendable(key):
            self._listed.add(key)
            heappush(self._ready, (self._queues[key][0].number, key))

    def _release(self, now_s: float) -> None:
        while self._due and self._due[0][0] <= now_s:
            _, _, key = heappop(self._due)
            self._held.discard(key)
            self._list(key)


def size_of(message: Message) -> int:
    return len(msgspec.json.encode(message.body))
