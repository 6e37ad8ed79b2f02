"""The order of messages, and what is held back by what."""

import random
from collections import defaultdict

import pytest

from cairn.routing.delivery.window import Waiting, Window
from tests.routing.messages import message


def filled(*keys: str, **limits: int) -> Window:
    window = Window(**limits)
    for key in keys:
        window.add(message(userId=key))
    return window


def positions(batch: list[Waiting]) -> list[int]:
    return [waiting.number for waiting in batch]


def again(window: Window, batch: list[Waiting], at_s: float) -> None:
    window.again([(waiting, at_s) for waiting in batch])


def test_a_message_in_flight_holds_back_its_own_key_only() -> None:
    window = filled("a", "a", "b", "a", "c")
    first = window.take(0, 1)
    assert positions(first) == [0]
    assert positions(window.take(0, 10)) == [2, 4]
    window.done(first)
    assert positions(window.take(0, 10)) == [1, 3]


def test_a_message_that_waits_for_its_next_attempt_holds_back_its_own_key_only() -> None:
    window = filled("a", "b", "a")
    failed = window.take(0, 1)
    again(window, failed, 5)
    taken = window.take(1, 10)
    assert positions(taken) == [1] and window.take(4.9, 10) == []
    window.done(taken)
    assert window.oldest is failed[0] and window.next_due_s() == 5
    assert positions(window.take(5, 10)) == [0, 2]


def test_a_target_that_is_back_makes_nobody_wait() -> None:
    window = filled("a", "b")
    for batch in (window.take(0, 1), window.take(0, 1)):
        again(window, batch, 1_000)
    assert window.take(1, 10) == []
    window.hurry()
    assert positions(window.take(1, 10)) == [0, 1]


def test_whether_a_target_is_back_is_asked_with_a_message_that_has_not_failed() -> None:
    window = filled("bad", "good")
    bad = window.take(0, 1)
    bad[0].attempts = 1
    again(window, bad, 1)
    assert positions(window.take_untried(2)) == [1]
    assert positions(window.take_untried(2)) == [0]


def test_a_target_that_is_away_is_asked_before_the_next_attempt_of_any_message_is_due() -> None:
    window = filled("a", "b")
    for batch in (window.take(0, 1), window.take(0, 1)):
        batch[0].attempts = 1
        again(window, batch, 1_000 - batch[0].number)
    assert window.take(1, 1) == []
    assert positions(window.take_untried(1)) == [1]


def test_a_window_is_full_by_its_messages_and_by_how_far_they_reach() -> None:
    assert filled("a", "b", most_messages=2).is_full
    window = filled("a", "b", most_span=3)
    window.done(window.take(0, 10)[1:])
    assert not window.is_full
    window.skip()
    assert window.is_full


@pytest.mark.parametrize("limit", [1, 2])
def test_messages_under_suspicion_go_in_smaller_batches(limit: int) -> None:
    window = filled("a", "b", "c", "d")
    batch = window.take(0, 10)
    for waiting in batch[:2]:
        waiting.most_together = limit
    again(window, batch, 0)
    assert len(window.take(0, 10)) == limit


def test_batches_have_a_size_in_bytes_and_at_least_one_message() -> None:
    window = filled("a", "b", "c")
    assert len(window.take(0, 10, most_bytes=1)) == 1
    assert len(window.take(0, 10, most_bytes=10_000)) == 2


def test_of_a_deleted_user_nothing_is_sent_again() -> None:
    window = filled("gone", "stays", "gone")
    flying = window.take(0, 1)
    window.erase(lambda message: message.user_id == "gone")
    assert flying[0].is_erased and len(window) == 2
    window.done(flying)
    assert positions(window.take(0, 10)) == [1] and len(window) == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_fails_each_key_keeps_its_order_and_nothing_is_lost(seed: int) -> None:
    chance = random.Random(seed)
    keys = [chance.choice("abcdef") for _ in range(200)]
    window = filled(*keys)
    done: dict[str, list[int]] = defaultdict(list)
    flying: list[list[Waiting]] = []
    now = 0.0
    while len(window):
        now += chance.random()
        batch = window.take(now, chance.randint(1, 5))
        if batch:
            flying.append(batch)
        if flying and (chance.random() < 0.5 or not batch):
            landed = flying.pop(chance.randrange(len(flying)))
            cut = chance.randint(0, len(landed))
            for waiting in landed[:cut]:
                done[waiting.key].append(waiting.number)
            window.done(landed[:cut])
            if landed[cut:]:
                window.again([(waiting, now + chance.random() * 3) for waiting in landed[cut:]])
    assert {key: sorted(seen) for key, seen in done.items()} == dict(done)
    assert sum(map(len, done.values())) == 200
