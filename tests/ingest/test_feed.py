import threading

from cairn.event import Draft, Refused
from cairn.ingest.feed import SHOWN_PER_PUBLISH, Feed
from cairn.outcomes import Outcome, Reason


def accepted(environment_id: int, position: int) -> Draft:
    return Draft(
        environment_id, "custom", f"e{position}", 1, 2, user_id=5, identity="ann", log_position=position
    )


def refused(environment_id: int, position: int) -> Refused:
    return Refused(environment_id, 2, Reason.NO_USER, "why", f"e{position}", log_position=position)


def test_newest_first_in_the_order_of_arrival_with_their_outcome() -> None:
    feed = Feed()
    feed.publish([accepted(1, 10), accepted(1, 30)], [refused(1, 20), refused(0, 40)])
    items = feed.recent(1, 10)
    assert [(item.number, item.name, item.outcome) for item in items] == [
        (3, "e30", Outcome.ACCEPTED),
        (2, "e20", Outcome.INVALID),
        (1, "e10", Outcome.ACCEPTED),
    ]
    assert (items[0].user, items[0].user_id, items[1].detail) == ("ann", 5, "why")
    assert [item.name for item in feed.recent(0, 10)] == ["e40"]
    assert feed.recent(2, 10) == []


def test_after_and_limit() -> None:
    feed = Feed()
    feed.publish([accepted(1, n) for n in range(5)], [])
    assert [item.number for item in feed.recent(1, 2)] == [5, 4]
    assert [item.number for item in feed.recent(1, 10, after=3)] == [5, 4]
    assert feed.recent(1, 10, after=5) == []


def test_numbers_count_what_is_not_shown() -> None:
    feed = Feed(capacity=150)
    for start in (0, 1_000, 2_000):
        feed.publish([accepted(1, start + n) for n in range(1_000)], [])
    items = feed.recent(1, 1_000)
    assert len(items) == 150
    assert (items[0].number, items[0].name) == (3_000, "e2999")
    assert items[SHOWN_PER_PUBLISH].number == 2_000
    assert feed.newest(1) == 3_000


def test_a_waiting_reader_is_woken() -> None:
    feed = Feed()
    answers: list[bool] = []
    reader = threading.Thread(target=lambda: answers.append(feed.wait(1, 0, 10)))
    reader.start()
    feed.publish([accepted(2, 1)], [])
    feed.publish([accepted(1, 1)], [])
    reader.join()
    assert answers == [True]
    assert feed.wait(1, 0, 0)
    assert not feed.wait(1, 1, 0)
