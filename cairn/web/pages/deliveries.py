"""A connection's delivery, and its dead letters."""

from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from cairn.app import deliveries
from cairn.app.deliveries import PERIODS, Period
from cairn.routing.outcome import MEANING, Discard
from cairn.routing.report import Bucket, Sample
from cairn.web.exchange import exchange_text, json_text
from cairn.web.pages.connections import connection_page, view_of
from cairn.web.visit import Page, Visit, get, post
from cairn.workspace.permission import Verb

PERIOD_WORDS: dict[Period, str] = {
    "1h": "last hour",
    "24h": "last 24 hours",
    "7d": "last 7 days",
    "30d": "last 30 days",
}
SAMPLES = 20
LETTERS = 25
CHART = (600, 120)  # width and height of the drawing


class Bar(Struct, frozen=True):
    """Of the chart: delivered below, then discarded, then given up."""

    bucket: Bucket
    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]  # what, y and height


class ShownSample(Struct, frozen=True):
    sample: Sample
    title: str
    message: str
    request: str
    answer: str


def delivery_page(visit: Visit) -> Response:
    view = view_of(visit)
    period = next((known for known in PERIODS if known == visit.ask("period")), PERIODS[1])
    delivery = deliveries.read_delivery(visit.call, visit.here, view.connection.id, period)
    outcome, reason = visit.ask("outcome"), visit.ask("reason")
    samples = deliveries.list_samples(
        visit.call, visit.here, view.connection.id, outcome=outcome, reason=reason, limit=SAMPLES
    )
    return connection_page(
        visit,
        view,
        "connection_delivery.html",
        "delivery",
        delivery=delivery,
        period=period,
        periods=PERIOD_WORDS,
        bars=chart_bars(delivery.report.buckets),
        top=max((_total(bucket) for bucket in delivery.report.buckets), default=0),
        meanings=meaning_of,
        samples=[_shown(sample) for sample in samples],
        outcome=outcome,
        reason=reason,
    )


def chart_bars(buckets: Sequence[Bucket]) -> list[Bar]:
    width, height = CHART
    step = width / max(1, len(buckets))
    unit = height / (max(map(_total, buckets), default=0) or 1)
    return [
        Bar(bucket, round(place * step + 0.5, 1), round(step - 1, 1), _parts(bucket, unit, height))
        for place, bucket in enumerate(buckets)
    ]


def _parts(bucket: Bucket, unit: float, height: int) -> tuple[tuple[str, float, float], ...]:
    parts, bottom = [], float(height)
    for name in ("delivered", "discarded", "failed"):
        tall = getattr(bucket, name) * unit
        bottom -= tall
        if tall:
            parts.append((name, round(bottom, 1), round(tall, 1)))
    return tuple(parts)


def _total(bucket: Bucket) -> int:
    return bucket.delivered + bucket.discarded + bucket.failed


def meaning_of(reason: str) -> str:
    return next((MEANING[discard] for discard in Discard if discard.value == reason), "")


def _shown(sample: Sample) -> ShownSample:
    message = sample.message if isinstance(sample.message, dict) else {}
    title = str(message.get("event") or message.get("kind") or "message")
    body = message.get("body", message)
    return ShownSample(
        sample, title, json_text(body), exchange_text(sample.request), exchange_text(sample.answer)
    )


def letters_page(visit: Visit) -> Response:
    view, reason = view_of(visit), visit.ask("reason")
    before = visit.ask("before")
    start = int(before) if before.isascii() and before.isdigit() and len(before) < 10 else 0
    letters, more = deliveries.list_letters(
        visit.call, visit.here, view.connection.id, reason=reason, before=start, limit=LETTERS
    )
    return connection_page(
        visit,
        view,
        "connection_letters.html",
        "letters",
        letters=letters,
        more=more,
        start=start,
        reason=reason,
        counts=deliveries.read_delivery(visit.call, visit.here, view.connection.id, "1h").dead_letters,
        meanings=meaning_of,
    )


def letter_page(visit: Visit) -> Response:
    view = view_of(visit)
    whole = deliveries.get_letter(visit.call, visit.here, view.connection.id, visit.number("letter_id"))
    message = whole.message if isinstance(whole.message, dict) else {}
    return connection_page(
        visit,
        view,
        "connection_letter.html",
        "letters",
        letter=whole.letter,
        message=json_text(message.get("body", whole.message)),
        request=exchange_text(whole.request),
        answer=exchange_text(whole.answer),
        meaning=meaning_of(whole.letter.reason),
    )


def redrive_one(visit: Visit) -> Response:
    number, letter = visit.number("connection_id"), visit.number("letter_id")
    deliveries.redrive_letter(visit.call, visit.here, number, letter)
    return _back(
        visit,
        "It is sent again by the connection as it is set now, and leaves this list once it is delivered.",
    )


def redrive_some(visit: Visit) -> Response:
    number = deliveries.redrive_letters(
        visit.call, visit.here, visit.number("connection_id"), visit.form("reason")
    )
    said = "Nothing new is to be sent." if number == 0 else f"{number:,} are sent again, oldest first."
    return _back(visit, said)


def delete_one(visit: Visit) -> Response:
    number, letter = visit.number("connection_id"), visit.number("letter_id")
    deliveries.delete_letter(visit.call, visit.here, number, letter)
    return _back(visit, "The dead letter is deleted.")


def delete_some(visit: Visit) -> Response:
    number = deliveries.delete_letters(
        visit.call, visit.here, visit.number("connection_id"), visit.form("reason")
    )
    return _back(visit, f"{number:,} dead letters are deleted.")


def _back(visit: Visit, notice: str) -> Response:
    return visit.go(visit.url(f"/connections/{visit.number('connection_id')}/dead-letters"), notice)


_CONNECTION = "/env/{environment}/connections/{connection_id}"
_LETTERS = f"{_CONNECTION}/dead-letters"
CHANGE = Verb.CHANGE_SOURCES
PAGES: tuple[Page, ...] = (
    get(f"{_CONNECTION}/delivery", delivery_page),
    get(_LETTERS, letters_page),
    post(f"{_LETTERS}/redrive", redrive_some, CHANGE),
    post(f"{_LETTERS}/delete", delete_some, CHANGE),
    get(f"{_LETTERS}/{{letter_id}}", letter_page),
    post(f"{_LETTERS}/{{letter_id}}/redrive", redrive_one, CHANGE),
    post(f"{_LETTERS}/{{letter_id}}/delete", delete_one, CHANGE),
)
