"""What becomes of a request's messages after an answer, or after none. Pure."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from cairn.http_client.retry import retry_s
from cairn.routing.delivery.breaker import Breaker
from cairn.routing.delivery.window import Waiting
from cairn.routing.destination import Verdict
from cairn.routing.outcome import Discard

# Of a message that fails by itself while others succeed; then it is given up.
POISON_ATTEMPTS = 5
_HOUR_MS = 3_600_000

Fate = Literal["delivered", "again", "dead"]


class Decided(Struct, frozen=True):
    waiting: Waiting
    fate: Fate
    wait_s: float = 0.0  # until the next attempt
    reason: str = ""  # of the dead: a member of Discard
    detail: str = ""


def decide_all(
    batch: Sequence[Waiting],
    verdict: Verdict,
    breaker: Breaker,
    *,
    now_ms: int,
    retry_hours: int,
    chance: float,
) -> list[Decided]:
    """Of the messages of one request. It counts their attempts; the breaker has heard of the verdict already."""
    if verdict.is_delivered:
        return [Decided(waiting, "delivered") for waiting in batch]
    if verdict.is_final:
        if len(batch) == 1:
            batch[0].attempts += 1
            return [_dead(batch[0], Discard.MESSAGE_REJECTED, verdict.detail)]
        _part(batch, len(batch) // 2)
        return [Decided(waiting, "again") for waiting in batch]
    if len(batch) > 1 and any(waiting.successes not in (-1, breaker.successes) for waiting in batch):
        _part(batch, 1)
    return [_later(waiting, len(batch), verdict, breaker, now_ms, retry_hours, chance) for waiting in batch]


def deadline_ms(waiting: Waiting, breaker: Breaker, retry_hours: int) -> int | None:
    """When it is given up; None: it has not failed, nor has its target. For what arrived while the target was away
    the time began with its arrival.
    """
    failing = [since for since in (waiting.first_failed_ms, breaker.away_since_ms) if since]
    if not failing:
        return None
    return max(waiting.message.received_ms, min(failing)) + retry_hours * _HOUR_MS


def _later(
    waiting: Waiting,
    together: int,
    verdict: Verdict,
    breaker: Breaker,
    now_ms: int,
    retry_hours: int,
    chance: float,
) -> Decided:
    waiting.attempts += 1
    waiting.waits += 1
    waiting.first_failed_ms = waiting.first_failed_ms or now_ms
    if together == 1 and waiting.successes not in (-1, breaker.successes):
        waiting.failed_alone += 1
    waiting.successes = breaker.successes
    if waiting.failed_alone >= POISON_ATTEMPTS:
        detail = f"failed {waiting.attempts} times while other events were taken: {verdict.detail}"
        return _dead(waiting, Discard.MESSAGE_REJECTED, detail)
    deadline = deadline_ms(waiting, breaker, retry_hours)
    if deadline is not None and now_ms >= deadline:
        return _dead(waiting, Discard.EXPIRED, verdict.detail)
    return Decided(waiting, "again", retry_s(waiting.waits, verdict.retry_after_s, chance))


def _part(batch: Sequence[Waiting], most: int) -> None:
    """Fewer together next time, until the one at fault is alone."""
    for waiting in batch:
        waiting.most_together, waiting.waits = most, 0


def _dead(waiting: Waiting, reason: Discard, detail: str) -> Decided:
    return Decided(waiting, "dead", reason=reason, detail=detail)
