"""What becomes of the messages of a request that was not taken, and when a target counts as away."""

from datetime import UTC, datetime

import pytest

from cairn.http_client import Answer
from cairn.routing.answer import judge
from cairn.routing.delivery.breaker import FAILURES, LONGEST_PAUSE_S, Breaker
from cairn.routing.delivery.verdicts import POISON_ATTEMPTS, Decided, decide_all
from cairn.routing.delivery.window import Waiting
from cairn.routing.destination import Verdict
from cairn.routing.outcome import Discard
from tests.routing.messages import message

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR_MS = 3_600_000
RECEIVED_MS = message().received_ms
LATER = Verdict(detail="answered 503")
NEVER = Verdict(is_final=True, detail="answered 400")


def decided(
    batch: list[Waiting], verdict: Verdict, breaker: Breaker, *, after_ms: int = 0, retry_hours: int = 4
) -> list[Decided]:
    now_ms = RECEIVED_MS + after_ms
    return decide_all(batch, verdict, breaker, now_ms=now_ms, retry_hours=retry_hours, chance=1.0)


def waiting(number: int = 0) -> Waiting:
    return Waiting(message(), number)


@pytest.mark.parametrize(
    ("status", "is_delivered", "is_final"),
    [
        *((status, True, False) for status in (200, 201, 204, 299)),
        *((status, False, False) for status in (408, 423, 429, 500, 502, 503, 504, 599)),
        *((status, False, True) for status in (301, 400, 401, 403, 404, 413, 422, 501)),
    ],
)
def test_a_status_says_whether_to_try_again(status: int, is_delivered: bool, is_final: bool) -> None:
    verdict = judge(Answer(status, {"retry-after": "7"}, b"no\nroom", "https://there.test/"), NOW)
    assert (verdict.is_delivered, verdict.is_final) == (is_delivered, is_final)
    if not is_delivered:
        assert verdict.detail == f"answered {status}: no room"
        assert verdict.retry_after_s == (None if is_final else 7)


def test_a_refused_message_was_tried_once_and_is_given_up() -> None:
    refused = waiting()
    (fate,) = decided([refused], NEVER, Breaker())
    assert (fate.fate, fate.reason, fate.detail) == ("dead", Discard.MESSAGE_REJECTED, "answered 400")
    assert refused.attempts == 1


def test_a_refused_request_is_halved_until_the_message_at_fault_is_alone() -> None:
    batch = [waiting(number) for number in range(8)]
    for together in (4, 2, 1):
        assert {fate.fate for fate in decided(batch, NEVER, Breaker())} == {"again"}
        assert {entry.most_together for entry in batch} == {together}
        batch = batch[:together]
    assert decided(batch, NEVER, Breaker())[0].fate == "dead"


def test_pauses_double_and_what_the_target_asks_for_counts_more() -> None:
    again = waiting()
    waits = [decided([again], LATER, Breaker())[0].wait_s for _ in range(4)]
    assert waits == [1, 2, 4, 8]
    asked = Verdict(detail="answered 429", retry_after_s=30.0)
    assert decided([again], asked, Breaker())[0].wait_s == 30


@pytest.mark.parametrize("retry_hours", [1, 4, 72])
def test_a_message_expires_after_the_hours_of_its_connection(retry_hours: int) -> None:
    failing, last_ms = waiting(), retry_hours * HOUR_MS
    assert decided([failing], LATER, Breaker(), retry_hours=retry_hours)[0].fate == "again"
    assert (
        decided([failing], LATER, Breaker(), after_ms=last_ms - 1, retry_hours=retry_hours)[0].fate == "again"
    )
    (fate,) = decided([failing], LATER, Breaker(), after_ms=last_ms, retry_hours=retry_hours)
    assert (fate.fate, fate.reason) == ("dead", Discard.EXPIRED)


def test_a_message_that_fails_alone_while_others_are_taken_is_given_up_before_its_hours_are_over() -> None:
    breaker, poison = Breaker(), waiting()
    fates = []
    for _ in range(POISON_ATTEMPTS + 1):
        fates += decided([poison], LATER, breaker)
        breaker.succeeded()
    assert [fate.fate for fate in fates] == ["again"] * POISON_ATTEMPTS + ["dead"]
    assert (
        fates[-1].reason == Discard.MESSAGE_REJECTED and "while other events were taken" in fates[-1].detail
    )


def test_a_message_whose_target_takes_nobody_is_not_to_blame() -> None:
    breaker, innocent = Breaker(), waiting()
    fates = {decided([innocent], LATER, breaker)[0].fate for _ in range(10 * POISON_ATTEMPTS)}
    assert fates == {"again"}


def test_a_target_is_away_after_failures_in_a_row_and_asked_ever_more_seldom() -> None:
    breaker = Breaker()
    for number in range(FAILURES - 1):
        breaker.failed(0, RECEIVED_MS + number, None, 1.0, "answered 503")
    assert not breaker.is_away
    pauses, now_s = [], 0.0
    for _ in range(10):
        breaker.failed(now_s, RECEIVED_MS, None, 1.0, "answered 503")
        assert breaker.is_away and breaker.is_paused(now_s)
        pauses.append(breaker.paused_until_s - now_s)
        now_s = breaker.paused_until_s
    assert pauses == [1, 2, 4, 8, 16, 32, *[LONGEST_PAUSE_S] * 4]
    assert breaker.succeeded() and not breaker.is_away and not breaker.is_paused(now_s)
    assert not breaker.succeeded(), "it was there already"
