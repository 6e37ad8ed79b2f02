"""What became of a connection's messages: counts and latencies, samples, dead letters."""

from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from cairn.api.endpoint import After, Endpoint, EnvironmentName, Id, Limit, Next, Query
from cairn.api.page import read_cursor, write_cursor
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import deliveries
from cairn.app.call import Call
from cairn.app.deliveries import Period
from cairn.routing.dead_letters import DeadLetter
from cairn.routing.report import Outcome, ReasonCount, Sample
from cairn.workspace.permission import Verb


class DeliveryQuery(Query, frozen=True):
    environment: EnvironmentName
    period: Period = "24h"


class StateAnswer(Struct, frozen=True):
    state: str  # delivering, waiting or stopped
    detail: str  # why it waits or stopped
    since: datetime
    waiting: int  # messages that are read and not done
    retrying: int  # of these tried before
    oldest_at: datetime | None  # when the oldest of them was received
    updated_at: datetime


class BucketAnswer(Struct, frozen=True):
    start: datetime
    delivered: int
    discarded: int
    failed: int


class DeliveryAnswer(Struct, frozen=True):
    connection_id: Id
    environment: str
    state: StateAnswer | None  # null: it has delivered nothing yet
    counts: dict[str, int]  # delivered, discarded and failed messages; retried attempts
    reasons: list[ReasonCount]
    latency_ms: dict[str, int]  # p50, p95, p99: from the 200 to the destination's answer
    buckets: list[BucketAnswer]
    dead_letters: dict[str, int]  # by reason, now


class SamplesQuery(Query, frozen=True):
    environment: EnvironmentName
    outcome: Outcome | None = None
    reason: str = ""
    limit: Limit = 50


class SampleList(Struct, frozen=True):
    environment: str
    samples: list[Sample]


class LettersQuery(Query, frozen=True):
    environment: EnvironmentName
    reason: str = ""
    after: After = ""
    limit: Limit = 50


class LetterList(Struct, frozen=True):
    environment: str
    dead_letters: list[DeadLetter]
    next: Next


class LetterAnswer(DeadLetter, frozen=True):
    environment: str = ""
    message: Any = None
    request: Any = None  # without secrets; null: nothing was sent
    answer: Any = None  # null: there was none


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str = ""  # empty: all of them


class LettersQueried(Query, frozen=True):
    environment: EnvironmentName
    reason: str = ""  # empty: all of them


class Number(Struct, frozen=True):
    count: int


def read_delivery(call: Call, connection_id: Id, query: DeliveryQuery) -> DeliveryAnswer:
    """Read how a connection does: its state, counts by reason, latencies, and the dead letters that there are."""
    environment = call.environment(query.environment)
    delivery = deliveries.read_delivery(call, environment, connection_id, query.period)
    report = delivery.report
    return DeliveryAnswer(
        connection_id,
        environment.name,
        StateAnswer(**structs.asdict(delivery.state)) if delivery.state else None,
        report.counts,
        report.reasons,
        report.latency_ms,
        [
            BucketAnswer(bucket.starts_at, bucket.delivered, bucket.discarded, bucket.failed)
            for bucket in report.buckets
        ],
        delivery.dead_letters,
    )


def read_samples(call: Call, connection_id: Id, query: SamplesQuery) -> SampleList:
    """List some of the newest messages of each outcome and reason, with request and answer."""
    environment = call.environment(query.environment)
    found = deliveries.list_samples(
        call, environment, connection_id, outcome=query.outcome or "", reason=query.reason, limit=query.limit
    )
    return SampleList(environment.name, found)


def read_dead_letters(call: Call, connection_id: Id, query: LettersQuery) -> LetterList:
    """List the messages that a connection gave up, newest first."""
    environment = call.environment(query.environment)
    found, more = deliveries.list_letters(
        call,
        environment,
        connection_id,
        reason=query.reason,
        before=read_cursor(query.after, int) if query.after else 0,
        limit=query.limit,
    )
    return LetterList(environment.name, found, write_cursor(more) if more else None)


def read_dead_letter(call: Call, connection_id: Id, letter_id: Id, query: EnvironmentQuery) -> LetterAnswer:
    """Read a dead letter: the event, the last request and the answer to it."""
    environment = call.environment(query.environment)
    whole = deliveries.get_letter(call, environment, connection_id, letter_id)
    return LetterAnswer(
        **structs.asdict(whole.letter),
        environment=environment.name,
        message=whole.message,
        request=whole.request,
        answer=whole.answer,
    )


def redrive_dead_letter(call: Call, connection_id: Id, letter_id: Id, query: EnvironmentQuery) -> DeadLetter:
    """Send a dead letter again, by the connection as it is set now. It is deleted once it is delivered."""
    environment = call.environment(query.environment)
    return deliveries.redrive_letter(call, environment, connection_id, letter_id)


def redrive_dead_letters(call: Call, connection_id: Id, query: EnvironmentQuery, body: Reason) -> Number:
    """Send all dead letters of a connection again, or those of a reason."""
    environment = call.environment(query.environment)
    return Number(deliveries.redrive_letters(call, environment, connection_id, body.reason))


def remove_dead_letter(call: Call, connection_id: Id, letter_id: Id, query: EnvironmentQuery) -> None:
    """Delete a dead letter."""
    deliveries.delete_letter(call, call.environment(query.environment), connection_id, letter_id)


def remove_dead_letters(call: Call, connection_id: Id, query: LettersQueried) -> None:
    """Delete all dead letters of a connection, or those of a reason."""
    environment = call.environment(query.environment)
    deliveries.delete_letters(call, environment, connection_id, query.reason)


_CONNECTION = "/connections/{connection_id}"
_LETTERS = _CONNECTION + "/dead-letters"
_LETTER = _LETTERS + "/{letter_id}"
ENDPOINTS = (
    Endpoint("GET", _CONNECTION + "/delivery", Verb.SEE, read_delivery),
    Endpoint("GET", _CONNECTION + "/samples", Verb.SEE, read_samples),
    Endpoint("GET", _LETTERS, Verb.SEE, read_dead_letters),
    Endpoint("POST", _LETTERS + "/redrive", Verb.CHANGE_SOURCES, redrive_dead_letters, example={}),
    Endpoint("DELETE", _LETTERS, Verb.CHANGE_SOURCES, remove_dead_letters),
    Endpoint("GET", _LETTER, Verb.SEE, read_dead_letter),
    Endpoint("POST", _LETTER + "/redrive", Verb.CHANGE_SOURCES, redrive_dead_letter),
    Endpoint("DELETE", _LETTER, Verb.CHANGE_SOURCES, remove_dead_letter),
)
