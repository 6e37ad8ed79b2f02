"""Sending a batch of messages to a destination: requests one after the other, and what each answer means.

The third place where any exception is caught (docs: errors): a destination's own code must not stop the others.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from cairn.clock import Clock
from cairn.errors import Unavailable
from cairn.http_client import Answer, AsyncSession, Call
from cairn.routing.answer import judge
from cairn.routing.delivery.ledger import Exchange
from cairn.routing.delivery.shown import Hidden
from cairn.routing.destination import Configuration, Destination, Locate, NotForDestination, Request, Verdict
from cairn.routing.message import Message
from cairn.routing.outcome import Discard

logger = logging.getLogger(__name__)

LONGEST_SEND_S = 30.0  # of destinations that are no HTTP calls


class Result(Struct, frozen=True):
    """What became of some messages of a batch."""

    positions: tuple[int, ...]
    verdict: Verdict
    hidden: Hidden
    call: Call | None = None
    answer: Answer | None = None
    discard: str = ""  # a member of Discard: they are not for the destination

    @property
    def label(self) -> str:
        """What went wrong, in a word that counts are kept by."""
        return f"answered_{self.answer.status}" if self.answer else "no_answer"

    @property
    def exchange(self) -> Exchange:
        return self.shown()

    def shown(self) -> Exchange:
        return Exchange(
            self.hidden.request(self.call) if self.call else None,
            self.hidden.answer(self.answer) if self.answer else None,
            self.hidden.detail(self.verdict.detail),
        )


class Sending(Struct, frozen=True):
    destination: Destination
    configuration: Configuration
    session: AsyncSession
    locate: Locate
    hidden: Hidden

    async def send(self, messages: Sequence[Message], clock: Clock) -> list[Result]:
        """Each position at most once; those of no result were not sent, because something before them failed."""
        try:
            if self.destination.send is not None:
                return [await self._send_by_itself(messages)]
            requests = self._requests(messages, clock())
        except NotForDestination as unfit:
            if len(messages) == 1:
                return [self._discarded(messages, unfit)]
            return await self._send_one_by_one(messages, clock)
        except Exception as error:  # the destination's own code
            logger.exception("destination_failed", extra={"destination": self.destination.slug})
            detail = f"Cairn failed on this event: {error!r}"
            return [self._result(messages, Verdict(is_final=True, detail=detail))]
        return await self._send_all(messages, requests, clock)

    async def _send_one_by_one(self, messages: Sequence[Message], clock: Clock) -> list[Result]:
        """Discard what is not for the destination; the rest goes together."""
        bad: list[Result] = []
        good: list[Message] = []
        for message in messages:
            try:
                self._requests([message], clock())
                good.append(message)
            except NotForDestination as unfit:
                bad.append(self._discarded([message], unfit))
        if good and len(good) == len(messages):  # only together are they not for the destination
            detail = "the destination takes none of these events together"
            return [self._result(messages, Verdict(is_final=True, detail=detail))]
        return bad + (await self.send(good, clock) if good else [])

    async def _send_all(
        self, messages: Sequence[Message], requests: Sequence[Request], clock: Clock
    ) -> list[Result]:
        left = Counter(position for request in requests for position in request.positions)
        nothing = [message for message in messages if not left[message.position]]
        results = [self._result(nothing, Verdict(is_delivered=True))] if nothing else []
        for request in requests:
            result = await self._call(request, clock)
            if not result.verdict.is_delivered:
                results.append(result)
                break
            left.subtract(request.positions)
            complete = tuple(position for position in request.positions if not left[position])
            if complete:
                results.append(Result(complete, result.verdict, self.hidden, result.call, result.answer))
        return results

    async def _call(self, request: Request, clock: Clock) -> Result:
        answer: Answer | None = None
        try:
            answer = await self.session.send(request.call)
            verdict = (self.destination.judge or judge)(answer, clock())
        except Unavailable as error:  # CallFailed, CallRefused
            verdict = Verdict(detail=str(error))
        except Exception as error:  # the destination's own judge, or a client that failed on its answer
            logger.exception("destination_failed", extra={"destination": self.destination.slug})
            verdict = Verdict(detail=f"Cairn failed on the answer: {error!r}")
        return Result(request.positions, verdict, self.hidden, request.call, answer)

    async def _send_by_itself(self, messages: Sequence[Message]) -> Result:
        assert self.destination.send is not None
        try:
            async with asyncio.timeout(LONGEST_SEND_S):
                verdict = await self.destination.send(messages, self.configuration, self.locate)
        except TimeoutError:
            verdict = Verdict(detail=f"took longer than {LONGEST_SEND_S:.0f} s")
        return self._result(messages, verdict)

    def _requests(self, messages: Sequence[Message], now: datetime) -> list[Request]:
        """Raises NotForDestination."""
        return self.destination.prepare(messages, self.configuration, now)

    def _discarded(self, messages: Sequence[Message], unfit: NotForDestination) -> Result:
        result = self._result(messages, Verdict(is_final=True, detail=unfit.detail))
        return Result(
            result.positions, result.verdict, self.hidden, discard=unfit.reason or Discard.MESSAGE_REJECTED
        )

    def _result(self, messages: Sequence[Message], verdict: Verdict) -> Result:
        return Result(tuple(message.position for message in messages), verdict, self.hidden)
