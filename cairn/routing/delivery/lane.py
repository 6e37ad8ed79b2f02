"""One connection on its way: reads its messages, decides about each, sends them in order, and follows the answers.

A lane keeps nothing that the log and its cursor do not have, but for what the ledger is about to write. Whatever its
target does costs this lane alone: its window, its requests in flight and its answers have limits.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from cairn.clock import Clock, from_ms, to_ms
from cairn.errors import Unavailable
from cairn.http_client import AsyncHttpClient, AsyncSession
from cairn.log_position import entry_of
from cairn.routing.connections import Connection
from cairn.routing.decide import Discarded, decide
from cairn.routing.delivery.breaker import Breaker
from cairn.routing.delivery.erased import Erasure
from cairn.routing.delivery.ledger import Exchange, Ledger, Letter, Outcome, Sample, latency_class
from cairn.routing.delivery.records import Redrive, State
from cairn.routing.delivery.sending import Result, Sending
from cairn.routing.delivery.shown import Hidden
from cairn.routing.delivery.tape import Cursor, Tape
from cairn.routing.delivery.verdicts import Decided, deadline_ms, decide_all
from cairn.routing.delivery.window import Waiting, Window
from cairn.routing.destination import Configuration, Destination
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.rules import Rules

logger = logging.getLogger(__name__)

MOST_REQUESTS = 8  # in flight
_YIELD_EVERY = 50  # messages decided before others have their turn
_SWEEP_S = 5.0  # how often messages are looked for whose time is over
_LOG_AWAY_S = 1.0


class Setup(Struct, frozen=True):
    """A connection as its lane needs it."""

    connection: Connection
    destination: Destination | None  # None: the catalogue has none of this name
    configuration: Configuration
    rules: Rules
    wrong: str = ""  # why nothing can be sent


class Shared(Struct, frozen=True):
    """What all lanes use."""

    tape: Tape
    ledger: Ledger
    client: AsyncHttpClient
    clock: Clock
    longest_lag_ms: int  # older messages are not sent any more
    chance: Callable[[], float] = random.random


class Lane:
    """For one event loop: `run` is its task."""

    def __init__(self, setup: Setup, shared: Shared, cursor: Cursor) -> None:
        self._shared, self._next = shared, cursor
        self._window, self._breaker = Window(), Breaker()
        self._read_version = -1  # of the tape when it had no more for us
        self._pending: deque[Message] = deque()  # of the piece that was read last
        self._flying: dict[asyncio.Task[None], int] = {}  # requests, by how many messages they carry
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._sweep_at_s = 0.0
        self._state_since = shared.clock()
        self._session: AsyncSession | None = None
        self._erasures: tuple[Erasure, ...] = ()
        self._redriven: set[tuple[int, datetime]] = set()  # wishes that were followed and may still be read
        self.configure(setup)

    def configure(self, setup: Setup) -> None:
        """What is sent from now on is sent like this."""
        self.setup = setup
        self._hidden = Hidden(setup.configuration.secrets.values())
        self.wake()

    @property
    def id(self) -> int:
        return self.setup.connection.id

    @property
    def done_entry(self) -> int:
        """The log's entry up to which all is done."""
        oldest = self._window.oldest
        first = oldest.message if oldest else self._pending[0] if self._pending else None
        return (entry_of(first.position) if first else self._next[0]) - 1

    def wake(self) -> None:
        """There is more in the log, or something has changed."""
        self._wake.set()

    def stop(self) -> None:
        self._is_stopping = True
        self.wake()

    async def run(self, *, grace_s: float) -> None:
        """Until told to stop; then what is in flight has some seconds to come back."""
        async with self._shared.client.session(most_connections=MOST_REQUESTS) as self._session:
            try:
                while not self._is_stopping:
                    self._wake.clear()
                    await self._fill()
                    looked_at_s = self._now_s()
                    self._sweep()
                    self._start()
                    await self._rest(looked_at_s)
                if self._flying:
                    await asyncio.wait(self._flying, timeout=grace_s)
            finally:
                for task in self._flying:
                    task.cancel()
                await asyncio.gather(*self._flying, return_exceptions=True)

    def erase(self, erasure: Erasure) -> None:
        """A user was deleted."""
        self._erasures = (*self._erasures, erasure)
        self._pending = deque(message for message in self._pending if not self._is_gone(message))
        self._window.erase(self._is_gone)
        self.wake()

    def redrive(self, wanted: Sequence[Redrive]) -> None:
        """All dead letters that are to be sent once more, or the first of them. Each wish is followed once."""
        self._redriven &= {(redrive.letter_id, redrive.at) for redrive in wanted}
        if self.setup.destination is None or self.setup.wrong:
            return
        for redrive in wanted:
            wish = (redrive.letter_id, redrive.at)
            if wish not in self._redriven and not self._window.is_full and not self._is_gone(redrive.message):
                self._redriven.add(wish)
                self._window.add(redrive.message, letter_id=redrive.letter_id)
                self.wake()

    def state(self) -> State:
        oldest = self._window.oldest
        is_waiting = self._breaker.failures > 0
        word = "stopped" if self.setup.wrong else "waiting" if is_waiting else "delivering"
        detail = self.setup.wrong or (self._hidden.detail(self._breaker.detail) if is_waiting else "")
        oldest_at = from_ms(oldest.message.received_ms) if oldest else None
        waiting = len(self._window) + len(self._pending)
        return State(self.id, word, detail, self._state_since, waiting, self._window.retrying, oldest_at)

    async def _fill(self) -> None:
        """Read as far as the window has room."""
        while not self._window.is_full and not self._is_stopping:
            if not self._pending and not await self._read():
                return
            await self._decide_pending()

    async def _read(self) -> bool:
        """Whether there was more in the log."""
        tape = self._shared.tape
        version = tape.version
        if version == self._read_version:
            return False
        try:
            piece = await tape.after(self._next)
        except Unavailable:  # it is logged by whoever watches the log
            asyncio.get_running_loop().call_later(_LOG_AWAY_S, self.wake)
            return False
        if piece is None:
            self._read_version = version
            return False
        self._next = piece.next
        messages = piece.messages.get(self.setup.connection.source_id, ())
        self._pending.extend(message for message in messages if not self._is_gone(message))
        return True

    async def _decide_pending(self) -> None:
        decided = 0
        while self._pending and not self._window.is_full:
            self._admit(self._pending.popleft())
            decided += 1
            if decided % _YIELD_EVERY == 0:
                self._start()
                await asyncio.sleep(0)

    def _admit(self, message: Message) -> None:
        setup = self.setup
        if setup.destination is None or setup.wrong:
            self._discard(message, Discard.INVALID_SETTINGS, setup.wrong)
        elif to_ms(self._shared.clock()) - message.received_ms > self._shared.longest_lag_ms:
            self._discard(message, Discard.EXPIRED, "the connection was too far behind")
        else:
            decided = decide(message, setup.rules, setup.destination)
            if isinstance(decided, Discarded):
                self._discard(message, decided.reason, decided.detail)
            else:
                self._window.add(decided)
                return
        self._window.skip()

    def _start(self) -> None:
        """As many requests as may be in flight."""
        destination = self.setup.destination
        if destination is None or self._is_stopping:
            return
        while batch := self._take(destination):
            task = asyncio.create_task(self._deliver(destination, batch))
            self._flying[task] = len(batch)
            task.add_done_callback(self._landed)

    def _take(self, destination: Destination) -> list[Waiting]:
        now_s, flying = self._now_s(), len(self._flying)
        if self._shared.ledger.is_full or self._breaker.is_paused(now_s) or flying >= MOST_REQUESTS:
            return []
        if self._breaker.is_away:
            return [] if flying else self._window.take_untried(now_s)
        most = most_together(destination, self.setup.configuration)
        if destination.batch is None or most == 1:
            return self._window.take(now_s, 1)
        # Beside a request in flight only a good part of a batch is sent: what comes meanwhile goes together.
        if flying and len(self._window) - sum(self._flying.values()) < most // 2:
            return []
        return self._window.take(now_s, most, destination.batch.most_bytes)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        self._start()
        if not self._window.is_full:
            self.wake()

    async def _deliver(self, destination: Destination, batch: Sequence[Waiting]) -> None:
        assert self._session is not None
        sending = Sending(
            destination, self.setup.configuration, self._session, self._shared.client.locate, self._hidden
        )
        try:
            results = await sending.send([waiting.message for waiting in batch], self._shared.clock)
        except asyncio.CancelledError:
            self._window.again([(waiting, self._now_s()) for waiting in batch])
            raise
        self._follow(batch, results)

    def _follow(self, batch: Sequence[Waiting], results: Sequence[Result]) -> None:
        by_position = {waiting.message.position: waiting for waiting in batch}
        now_s, done = self._now_s(), []
        later: list[tuple[Waiting, float]] = []
        for result in results:
            for decided in self._settle([by_position.pop(position) for position in result.positions], result):
                if decided.fate == "again" and not decided.waiting.is_erased:
                    later.append((decided.waiting, now_s + decided.wait_s))
                else:
                    done.append(decided.waiting)
        # What is left was not sent, because a request before it failed.
        later += [(waiting, now_s) for waiting in by_position.values()]
        # At once: a key that is done and comes again is not free in between.
        self._window.done(done)
        self._window.again(later)
        if later:
            self.wake()  # to rest no longer than for these

    def _settle(self, group: list[Waiting], result: Result) -> list[Decided]:
        """What becomes of the messages of one result, noted in the ledger."""
        now = self._shared.clock()
        if result.discard:
            for waiting in group:
                self._refuse(waiting, result, now)
            return [Decided(waiting, "dead") for waiting in group]
        self._hear(result, now)
        decided = decide_all(
            group,
            result.verdict,
            self._breaker,
            now_ms=to_ms(now),
            retry_hours=self.setup.connection.retry_hours,
            chance=self._shared.chance(),
        )
        for each in decided:
            self._record(each, result, now)
        return decided

    def _hear(self, result: Result, now: datetime) -> None:
        """Whether the target is there: whoever answers, were it with a refusal, is."""
        verdict, was_failing = result.verdict, self._breaker.failures > 0
        if verdict.is_delivered or verdict.is_final:
            if self._breaker.succeeded():
                self._window.hurry()
        else:
            self._breaker.failed(
                self._now_s(), to_ms(now), verdict.retry_after_s, self._shared.chance(), verdict.detail
            )
        if was_failing != (self._breaker.failures > 0):
            self._state_since = now

    def _record(self, decided: Decided, result: Result, now: datetime) -> None:
        message, ledger = decided.waiting.message, self._shared.ledger
        if decided.fate == "dead":
            self._bury(decided.waiting, decided.reason, result.exchange, decided.detail, now)
            return
        if decided.fate == "delivered" and decided.waiting.letter_id:
            ledger.redriven(decided.waiting.letter_id)
        outcome: Outcome = "delivered" if decided.fate == "delivered" else "retried"
        reason = "" if outcome == "delivered" else result.label
        latency = latency_class(to_ms(now) - message.received_ms) if outcome == "delivered" else 0
        ledger.count(self.id, outcome, reason, to_ms(now), latency_ms=latency)
        if ledger.wants_sample(self.id, outcome, reason):
            ledger.sample(Sample(self.id, outcome, reason, message, result.shown(), now))

    def _bury(self, waiting: Waiting, reason: str, exchange: Exchange, detail: str, now: datetime) -> None:
        if waiting.is_erased:
            return
        self._shared.ledger.count(self.id, "failed", reason, to_ms(now))
        shown = Exchange(exchange.request, exchange.answer, self._hidden.detail(detail))
        self._shared.ledger.bury(
            Letter(self.id, waiting.message, shown, reason, waiting.attempts, now, waiting.letter_id > 0)
        )

    def _refuse(self, waiting: Waiting, result: Result, now: datetime) -> None:
        """The destination's code says that a message is not for it. Of a letter it is the answer."""
        if waiting.letter_id:
            self._bury(waiting, result.discard, result.exchange, result.verdict.detail, now)
        else:
            self._discard(waiting.message, result.discard, result.verdict.detail)

    def _discard(self, message: Message, reason: str, detail: str) -> None:
        now, ledger = self._shared.clock(), self._shared.ledger
        ledger.count(self.id, "discarded", reason, to_ms(now))
        if ledger.wants_sample(self.id, "discarded", reason):
            shown = Exchange(detail=self._hidden.detail(detail))
            ledger.sample(Sample(self.id, "discarded", reason, message, shown, now))

    def _sweep(self) -> None:
        """While the target is away messages are given up when their time is over."""
        if not self._breaker.is_away or self._now_s() < self._sweep_at_s:
            return
        self._sweep_at_s = self._now_s() + _SWEEP_S
        now, hours = self._shared.clock(), self.setup.connection.retry_hours

        def is_over(waiting: Waiting) -> bool:
            deadline = deadline_ms(waiting, self._breaker, hours)
            return deadline is not None and to_ms(now) >= deadline

        for waiting in self._window.remove(is_over):
            self._bury(waiting, Discard.EXPIRED, Exchange(), self._breaker.detail, now)

    async def _rest(self, looked_at_s: float) -> None:
        """Until there is something to do, or what was too early at the last look is due."""
        due = [self._window.next_due_s() or 0.0, self._breaker.paused_until_s]
        due += [self._sweep_at_s] if self._breaker.is_away else []
        due += [looked_at_s + _LOG_AWAY_S] if self._shared.ledger.is_full else []
        later = [at_s for at_s in due if at_s > looked_at_s]
        timer = asyncio.get_running_loop().call_at(min(later), self.wake) if later else None
        await self._wake.wait()
        if timer:
            timer.cancel()

    def _is_gone(self, message: Message) -> bool:
        """Whether its user was deleted after it came. What was read before that may still be on its way to us."""
        return any(
            erasure.environment_id == self.setup.connection.environment_id
            and entry_of(message.position) <= erasure.until
            and erasure.is_meant(message)
            for erasure in self._erasures
        )

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def most_together(destination: Destination, configuration: Configuration) -> int:
    if destination.batch is None:
        return 1
    most = destination.batch.most_messages
    return min(most, destination.batch_size(configuration)) if destination.batch_size else most
