"""The latest events: stored and refused in one stream, filtered, and only of one environment."""

import pytest

from cairn.analysis.events import Filter, latest, refused
from cairn.outcomes import Outcome, Reason
from tests.analysis.conftest import ELSEWHERE, HERE, NOW, Past


def names(past: Past, only: Filter = Filter(), environment: int = HERE, limit: int = 50) -> list[str]:  # noqa: B008
    with past.reading() as connection:
        found = latest(past.asker(environment), connection, now=NOW, only=only, limit=limit)
    return [seen.name for seen in found]


@pytest.fixture
def busy(past: Past) -> Past:
    past.identified("ann@shop.test", 11)
    past.did(11, "Order Completed", ago=5, total=129.5, product="Tent")
    past.did(12, "Viewed", ago=4, source="Website", path="/tent")
    past.refused(Reason.JUNK_IDENTITY, ago=3, name="Bad one", user="undefined")
    past.refused(Reason.REPEATED_ID, ago=2, name="Twice", user="ann@shop.test")
    past.did(13, "Elsewhere", ago=1, environment=ELSEWHERE)
    past.refused(Reason.UNKNOWN_KEY, ago=1, environment=0, name="Lost")
    return past


def test_stored_and_refused_ones_come_newest_first_with_their_outcome(busy: Past) -> None:
    with busy.reading() as connection:
        found = latest(busy.asker(HERE), connection, now=NOW)
    assert [(seen.name, seen.outcome, seen.reason) for seen in found] == [
        ("Twice", Outcome.DUPLICATE, Reason.REPEATED_ID),
        ("Bad one", Outcome.INVALID, Reason.JUNK_IDENTITY),
        ("Viewed", Outcome.ACCEPTED, Reason.STORED),
        ("Order Completed", Outcome.ACCEPTED, Reason.STORED),
    ]
    order = found[-1]
    assert (order.user, order.properties) == ("ann@shop.test", {"total": "129.5", "product": "Tent"})
    assert (found[1].detail, found[1].payload) == ("told junk_identity", '{"sent": "so"}')


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param(Filter(text="order"), ["Order Completed"], id="name, any case"),
        pytest.param(Filter(text="TENT"), ["Viewed", "Order Completed"], id="value of a property"),
        pytest.param(Filter(text="so"), ["Twice", "Bad one"], id="payload of a refused one"),
        pytest.param(Filter(text="junk"), ["Bad one"], id="reason"),
        pytest.param(Filter(source="Website"), ["Viewed"], id="source"),
        pytest.param(Filter(outcome="accepted"), ["Viewed", "Order Completed"], id="accepted"),
        pytest.param(Filter(outcome="invalid"), ["Bad one"], id="invalid"),
        pytest.param(Filter(user="ann@shop.test"), ["Twice", "Order Completed"], id="identity, over merges"),
        pytest.param(Filter(user="11"), ["Order Completed"], id="raw id"),
        pytest.param(Filter(user="12"), ["Viewed"], id="anonymous id"),
        pytest.param(Filter(user="nobody"), [], id="nobody"),
        pytest.param(Filter(text="tent", source="Server"), ["Order Completed"], id="two at once"),
        pytest.param(Filter(text="' OR 1=1 --"), [], id="no SQL"),
    ],
)
def test_a_filter_shows_what_fits(busy: Past, only: Filter, expected: list[str]) -> None:
    assert names(busy, only) == expected


def test_environments_do_not_mix_and_unknown_keys_stand_apart(busy: Past) -> None:
    assert names(busy, environment=ELSEWHERE) == ["Elsewhere"]
    assert [seen.name for seen in refused(busy.asker(0), now=NOW)] == ["Lost"]


def test_old_events_that_arrive_now_are_shown_and_old_arrivals_fill_the_page(past: Past) -> None:
    past.did(1, "Imported", ago=60 * 24 * 400, received_ago=1)
    past.did(1, "Yesterday", ago=60 * 24)
    past.did(1, "Last month", ago=60 * 24 * 30)
    assert names(past) == ["Imported", "Yesterday"]
    assert names(past, limit=1) == ["Imported"]


def test_only_later_ones_when_asked_for_more(busy: Past) -> None:
    with busy.reading() as connection:
        first = latest(busy.asker(HERE), connection, now=NOW)[1]
        later = latest(busy.asker(HERE), connection, now=NOW, after_ms=first.received_ms + 1)
    assert [seen.name for seen in later] == ["Twice"]
