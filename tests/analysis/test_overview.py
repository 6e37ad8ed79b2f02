"""Numbers of the home page: counted after merges, behaviour only, in whole buckets."""

from datetime import UTC, timedelta
from itertools import pairwise

from cairn.analysis.overview import BehaviourByDay, BehaviourLately, RefusedByReason, Senders
from cairn.analysis.suggestions import EventNames, PropertyKeys
from cairn.calendar import Days, last_days
from cairn.clock import to_ms
from cairn.event import Kind
from cairn.outcomes import Reason
from tests.analysis.conftest import ELSEWHERE, HERE, NOW, Past

HOUR_MS = 3_600_000


def test_a_series_has_every_bucket_and_counts_merged_users_once(past: Past) -> None:
    past.identified("ann@shop.test", 11)
    past.did(11, ago=1)
    past.did(12, ago=2)
    past.did(11, ago=41)  # the hour began 42 minutes ago
    past.did(12, ago=43)
    past.did(12, "shown", ago=3, kind=Kind.EXPOSURE)
    past.did(13, "identify", ago=3, kind=Kind.IDENTIFY)
    past.did(14, ago=1, environment=ELSEWHERE)
    past.did(15, ago=60 * 24 * 3)
    hours = Days([to_ms(NOW) // HOUR_MS * HOUR_MS - back * HOUR_MS for back in (3, 2, 1, 0)], to_ms(NOW))
    steps = past.ask(HERE, BehaviourByDay(hours))
    assert [(step.users, step.events, step.exposures) for step in steps] == [
        (0, 0, 0),
        (0, 0, 0),
        (1, 1, 0),
        (2, 3, 1),
    ]
    assert [later.start_ms - step.start_ms for step, later in pairwise(steps)] == [HOUR_MS] * 3
    days = past.ask(HERE, BehaviourByDay(last_days(NOW, UTC, 4)))
    assert [step.events for step in days] == [1, 0, 0, 4]


def test_totals_roll_with_the_clock(past: Past) -> None:
    past.did(1, ago=59)
    past.did(2, ago=61)
    past.did(2, "flag", ago=1, kind=Kind.EXPOSURE)
    past.did(3, "identify", ago=1, kind=Kind.IDENTIFY)
    spans = (timedelta(hours=1), timedelta(hours=2))
    found = past.ask(HERE, BehaviourLately(NOW, spans))
    assert [(each.users, each.events, each.exposures) for each in found] == [(1, 1, 1), (2, 2, 1)]
    assert [each.users for each in past.ask(ELSEWHERE, BehaviourLately(NOW, spans))] == [0, 0]


def test_refusals_are_counted_by_reason(past: Past) -> None:
    for ago in (1, 2, 3):
        past.refused(Reason.JUNK_IDENTITY, ago=ago)
    past.refused(Reason.BAD_TIMESTAMP, ago=1)
    past.refused(Reason.BAD_TIMESTAMP, ago=61)
    found = past.ask(HERE, RefusedByReason(NOW))
    assert [(one.reason, one.outcome, one.count) for one in found] == [
        ("junk_identity", "invalid", 3),
        ("bad_timestamp", "invalid", 1),
    ]
    assert past.ask(ELSEWHERE, RefusedByReason(NOW)) == []


def test_who_has_been_heard_from_and_what_names_there_are(past: Past) -> None:
    past.did(1, "Bought", source="Server", library="analytics-node")
    past.did(1, "Bought", source="Server", library="analytics-node")
    past.did(1, "Viewed", source="Server", library="analytics-python")
    past.did(1, "identify", kind=Kind.IDENTIFY, source="Website", library="analytics.js")
    past.did(1, "flag", kind=Kind.EXPOSURE, source="", library="vwo-fme-node-sdk")
    past.did(1, "Old", ago=60 * 24 * 60, source="Gone")
    past.set(1, "plan", "pro")
    found = {
        one.library: (one.source, one.events, one.identifies, one.exposures)
        for one in past.ask(HERE, Senders(NOW))
    }
    assert found == {
        "analytics-node": ("Server", 2, 0, 0),
        "analytics-python": ("Server", 1, 0, 0),
        "analytics.js": ("Website", 1, 1, 0),
        "vwo-fme-node-sdk": ("", 1, 0, 1),
    }
    assert past.ask(HERE, EventNames(NOW)) == ["Bought", "Viewed"]
    assert past.ask(HERE, PropertyKeys()) == ["plan"]
