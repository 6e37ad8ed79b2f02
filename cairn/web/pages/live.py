"""Events as they arrive, accepted and refused, with the reason. The address says what is filtered.

New rows come by server-sent events; where a proxy holds those back, the same rows are asked for every two seconds.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct, structs
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from cairn.analysis.events import Filter, LiveEvent
from cairn.app import events
from cairn.app.defined_events import list_defined_events
from cairn.app.events import UNKNOWN, EventQuery
from cairn.app.sources import heard_from
from cairn.errors import CairnError
from cairn.event import Kind
from cairn.outcomes import REASONS, Outcome, Reason
from cairn.web.browser_snippet import neutral
from cairn.web.door import Door
from cairn.web.english import Word, Words, sentence, short
from cairn.web.event_form import begun_with
from cairn.web.guard import read_cookie
from cairn.web.portion import choices, left_out
from cairn.web.render import count, cut, escaped_length, query, templates
from cairn.web.visit import Page, Visit, client_of, get
from cairn.workspace.permission import Verb
from cairn.workspace.session import COOKIE

ROWS = 100
LONGEST_PAYLOAD = 10_000  # characters of one event to read
MOST_PAYLOADS = 500_000  # bytes of all that a page has, as HTML
# Rows sent in one go; 100 a second are more than anybody reads, and the browser stays responsive.
ROWS_AT_ONCE = 25
RATE_OVER_S = 5.0  # what "so many a second" is the mean of
DEFINED = "defined-"  # then a defined event's id, where a kind may stand
KINDS: tuple[tuple[str, str], ...] = (
    (Kind.CLICK, "Clicks"),
    (Kind.PAGEVIEW, "Page views"),
    (Kind.CHANGE, "Changes"),
    (Kind.SUBMIT, "Submissions"),
    (Kind.TOUCH, "Touches"),
    (Kind.VIEW, "Screens"),
    (Kind.SESSION, "Sessions"),
    (Kind.CUSTOM, "Custom events"),
    (Kind.IDENTIFY, "Identifications"),
    (Kind.EXPOSURE, "Exposures"),
    (Kind.NOTIFICATION, "Notifications"),
    (Kind.VERSION, "App versions"),
)
STREAM_TICK_S = 0.25  # how often the feed is looked at
STREAM_LIFE_S = 600.0  # then the browser connects again
HEARTBEAT_S = 15.0
# How often a quiet stream asks whether its reader may still see it; before rows are sent it is asked each time.
CHECK_S = 2.0
# A browser opens six connections to one server; no reader opens more than a few windows.
MOST_STREAMS = 20


class LiveRow(Struct, frozen=True):
    """One line of the list."""

    id: str
    event: LiveEvent
    words: Words
    explanation: str  # of a refused one
    payload: str  # to read
    definable: dict[str, str]  # what the editor of defined events starts with


def rows_of(events: list[LiveEvent]) -> list[LiveRow]:
    """Senders decide how much there is to read: together no more than a browser shows without delay."""
    rows = [_row(event) for event in events]
    if sum(escaped_length(row.payload) for row in rows) <= MOST_PAYLOADS:
        return rows
    longest = MOST_PAYLOADS // len(rows)
    return [structs.replace(row, payload=_shortened(row.payload, longest)) for row in rows]


def _shortened(payload: str, longest: int) -> str:
    """What is left is `longest` at most as HTML."""
    length = escaped_length(payload)
    return payload if length <= longest else cut(payload, longest * len(payload) // (length * 2))


def _row(event: LiveEvent) -> LiveRow:
    explanation = "" if event.outcome == Outcome.ACCEPTED else explain(event.reason)
    words = _refused_words(event) if explanation else sentence(event, event.library)
    definable = {} if event.element is None else {"kind": event.kind, **begun_with(event.element)}
    return LiveRow(_row_id(event), event, words, explanation, _payload(event), definable)


def _row_id(event: LiveEvent) -> str:
    if event.event_id:
        return f"{event.event_id:x}"
    content = f"{event.received_ms}/{event.reason}/{event.name}/{event.user}/{event.payload}"
    return "r" + hashlib.blake2b(content.encode(errors="replace"), digest_size=8).hexdigest()


def _refused_words(event: LiveEvent) -> Words:
    if event.reason == Reason.UNSUPPORTED_EVENT_TYPE and event.name:
        return [
            Word(f"Segment's {short(event.name)} call", strong=True),
            Word(" · not taken by the analytics"),
        ]
    named = [Word(short(event.name), strong=True)] if event.name else [Word("A request")]
    return [*named, Word(f" · {event.reason.replace('_', ' ')}")]


def explain(reason: str) -> str:
    reason_known = next((choice for choice in Reason if choice.value == reason), None)
    return REASONS[reason_known][1] if reason_known else "A reason this release does not know."


def _payload(event: LiveEvent) -> str:
    if event.payload:
        return event.payload
    shown = {
        "name": event.name,
        "kind": event.kind,
        "user": event.user or str(event.user_id),
        "source": event.source,
        "library": event.library,
        "session": event.session_id,
        "properties": dict(sorted(event.properties.items())),
        "element": _given(structs.asdict(event.element)) if event.element else {},
        "facts": event.facts,
    }
    text = json.dumps(_given(shown) | {"properties": shown["properties"]}, indent=2, ensure_ascii=False)
    if event.more_properties:
        text += f"\n… and {count(event.more_properties, 'more property', 'more properties')}"
    return cut(text, LONGEST_PAYLOAD)


def _given(values: dict[str, Any]) -> dict[str, Any]:  # Any: what JSON holds
    """Without what is empty."""
    return {key: value for key, value in values.items() if value}


class LiveQuery(Struct, frozen=True):
    """What the address asks for."""

    query: EventQuery
    type: str = ""  # a kind, or a defined event

    @property
    def is_unknown(self) -> bool:
        """Events with unknown keys instead of this environment's."""
        return self.query.environment_id == UNKNOWN

    @property
    def address(self) -> str:
        only, keys = self.query.only, "unknown" if self.is_unknown else ""
        return query(
            {
                "q": only.text,
                "user": only.user,
                "type": self.type,
                "source": only.source,
                "outcome": only.outcome,
                "keys": keys,
            }
        )


def live_query(visit: Visit) -> LiveQuery:
    """Raises NotFound for a defined event that is not the project's."""
    outcome, kind = visit.ask("outcome"), visit.ask("type")
    only = Filter(
        visit.ask("q"), visit.ask("user"), visit.ask("source"), outcome if outcome in list(Outcome) else ""
    )
    number = kind.removeprefix(DEFINED)
    defined = 0
    if kind in dict(KINDS):
        only = structs.replace(only, kind=kind)
    elif kind.startswith(DEFINED) and number.isascii() and number.isdigit() and len(number) < 10:
        defined = int(number)
    else:
        kind = ""
    meant = events.query_of(visit.call, visit.here, only, defined=defined)
    if wants_unknown(visit):
        meant = structs.replace(meant, environment_id=UNKNOWN)
    return LiveQuery(meant, kind)


def live_page(visit: Visit) -> Response:
    shown = live_query(visit)
    # Before the question: an event is rather shown twice than never.
    after = events.newest_number(visit.call, shown.query)
    found = events.stored_events(visit.call, shown.query, limit=ROWS)
    known, heard = list_defined_events(visit.call, visit.here), heard_from(visit.call, visit.here)
    defined = [(f"{DEFINED}{event.id}", event.name) for event in known]
    return visit.page(
        "live.html",
        rows=rows_of(found),
        only=shown.query.only,
        type=shown.type,
        unknown=shown.is_unknown,
        outcomes=list(Outcome),
        after=after,
        sources=sorted({client.source for client in heard}),
        is_operator=visit.is_operator,
        kinds=KINDS,
        defined=choices(defined, [shown.type]),
        more_defined=left_out(defined),
        address=shown.address,
        snippet=neutral(client_of(visit)),
        has_heard=bool(heard),
    )


def wants_unknown(visit: Visit) -> bool:
    """Events with unknown keys may be anybody's, so only who runs the machine sees them."""
    return visit.ask("keys") == "unknown" and visit.is_operator


class Tail:
    """New rows of one open page: what the feed got since, as far as it fits the page's filter."""

    def __init__(self, visit: Visit) -> None:
        self._visit, self._call = visit, visit.call
        self._query = live_query(visit).query
        self.opened_in, self.is_unknown = visit.here.id, self._query.environment_id == UNKNOWN
        after = visit.request.headers.get("last-event-id") or visit.ask("after")
        self.after = int(after) if after.isascii() and after.isdigit() and len(after) < 18 else 0
        if self.after > self.newest():
            self.after = 0  # the core was started again, and the feed counts from the beginning

    def newest(self) -> int:
        return events.newest_number(self._call, self._query)

    def rows(self) -> str:
        """The new ones as HTML, newest first; empty when there are none. At high rates only the newest of them."""
        newest = self.newest()  # before the question: an event is rather shown twice than never
        fitting = events.new_events(self._call, self._query, after=self.after, limit=ROWS)[:ROWS_AT_ONCE]
        self.after = max(self.after, newest)
        if not fitting:
            return ""
        template = templates().get_template("_rows.html")
        return template.render(visit=self._visit, zone=self._visit.zone, rows=rows_of(fitting))


class Rate:
    """Events a second, from how far the feed's numbers have come."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, number: int) -> int:
        self._marks.append((now_s, number))
        while self._marks[0][0] < now_s - RATE_OVER_S and len(self._marks) > 2:
            self._marks.popleft()
        (first_s, first), passed = self._marks[0], number - self._marks[0][1]
        return round(passed / (now_s - first_s)) if now_s > first_s and number >= first else 0


def live_rows(visit: Visit) -> Response:
    tail = Tail(visit)
    return HTMLResponse(tail.rows(), headers={"X-After": str(tail.after)})


class Streams:
    """The open streams of each session. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def is_full(self, session: str) -> bool:
        return self._open[session] >= MOST_STREAMS

    @contextmanager
    def opened(self, session: str) -> Iterator[None]:
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]


def stream_route(door: Door) -> Route:
    streams = Streams()

    async def endpoint(request: Request) -> Response:
        tail = await run_in_threadpool(_tail_of, door, request)
        if tail is None:
            return Response(status_code=401)
        session = read_cookie(request, COOKIE)
        if streams.is_full(session):  # the page then asks every two seconds instead
            return Response(status_code=429)

        async def pieces() -> AsyncIterator[str]:
            with streams.opened(session):
                async for piece in _stream(tail, lambda: _may_stay(door, request, tail)):
                    yield piece

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)

    return Route("/env/{environment}/live/stream", endpoint, methods=["GET"])


def _tail_of(door: Door, request: Request) -> Tail | None:
    try:
        return Tail(door.enter(door.visit(request), Verb.SEE))
    except CairnError:
        return None


def _may_stay(door: Door, request: Request, tail: Tail) -> bool:
    """Whether the reader would get the same stream now: signed in, a member, and in the same role."""
    try:
        visit = door.enter(door.visit(request), Verb.SEE)
        return visit.here.id == tail.opened_in and (not tail.is_unknown or visit.is_operator)
    except CairnError:
        return False


async def _stream(tail: Tail, may_stay: Callable[[], bool]) -> AsyncIterator[str]:
    """Ends without a word when the reader may no longer see it: the browser comes back and is shown the sign-in."""
    yield "event: hello\ndata: \n\n"
    started = said = checked = time.monotonic()
    rate, last_rate = Rate(), 0
    while (now := time.monotonic()) - started < STREAM_LIFE_S:
        has_news = tail.newest() != tail.after
        if has_news or now - checked > CHECK_S:
            checked = now
            if not await run_in_threadpool(may_stay):
                return
        a_second = rate.at(now, tail.newest())
        if has_news and (html := await run_in_threadpool(tail.rows)):
            said = now
            yield f"id: {tail.after}\nevent: rows\n{_data(html)}\n\n"
        elif now - said > HEARTBEAT_S:
            said = now
            yield ": still here\n\n"
        if a_second != last_rate:
            last_rate = a_second
            yield f"event: rate\ndata: {a_second}\n\n"
        await asyncio.sleep(STREAM_TICK_S)


def _data(html: str) -> str:
    return "\n".join(f"data: {line}" for line in html.splitlines())


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/live", live_page),
    get("/env/{environment}/live/rows", live_rows),
)
