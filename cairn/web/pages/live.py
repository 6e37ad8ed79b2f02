"""Events as they arrive, accepted and refused, with the reason. The address says what is filtered.

New rows come by server-sent events; where a proxy holds those back, the same rows are asked for every two seconds.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from cairn.analysis import pulse
from cairn.analysis.events import Filter, Seen, latest, meant, refused
from cairn.errors import CairnError
from cairn.ingest.feed import FeedItem
from cairn.outcomes import REASONS, Outcome, Reason
from cairn.store.rows import text_of
from cairn.web.english import Word, Words, sentence, short
from cairn.web.render import query, templates
from cairn.web.visit import Door, Page, Visit, get
from cairn.workspace.permission import Role, Verb

ROWS = 100
STREAM_TICK_S = 0.25  # how often the feed is looked at
STREAM_LIFE_S = 600.0  # then the browser connects anew, so that a signed-out one does not stay
HEARTBEAT_S = 15.0


class Row(Struct, frozen=True):
    """One line of the list."""

    id: str
    seen: Seen
    words: Words
    explanation: str  # of a refused one
    payload: str  # to read


def rows_of(found: list[Seen]) -> list[Row]:
    return [_row(seen) for seen in found]


def _row(seen: Seen) -> Row:
    explanation = "" if seen.outcome == Outcome.ACCEPTED else explain(seen.reason)
    words = sentence(seen.kind, seen.name, seen.properties) if not explanation else _refused_words(seen)
    return Row(_row_id(seen), seen, words, explanation, _payload(seen))


def _row_id(seen: Seen) -> str:
    if seen.event_id:
        return f"{seen.event_id:x}"
    told = f"{seen.received_ms}/{seen.reason}/{seen.name}/{seen.user}/{seen.payload}"
    return "r" + hashlib.blake2b(told.encode(errors="replace"), digest_size=8).hexdigest()


def _refused_words(seen: Seen) -> Words:
    named = [Word(short(seen.name), strong=True)] if seen.name else [Word("A request")]
    return [*named, Word(f" · {seen.reason.replace('_', ' ')}")]


def explain(reason: str) -> str:
    known = next((each for each in Reason if each.value == reason), None)
    return REASONS[known][1] if known else "A reason this release does not know."


def _payload(seen: Seen) -> str:
    if seen.payload:
        return seen.payload
    shown = {
        "name": seen.name, "kind": seen.kind, "user": seen.user or str(seen.user_id), "source": seen.source,
        "library": seen.library, "properties": dict(sorted(seen.properties.items())),
    }  # fmt: skip
    return json.dumps(shown, indent=2, ensure_ascii=False)


def asked(visit: Visit) -> Filter:
    outcome = visit.ask("outcome")
    return Filter(
        visit.ask("q"), visit.ask("user"), visit.ask("source"), outcome if outcome in list(Outcome) else ""
    )


def live_page(visit: Visit) -> Response:
    only, unknown = asked(visit), wants_unknown(visit)
    after = visit.core.feed.newest(
        0 if unknown else visit.here.id
    )  # before the question: rather twice than never
    found = _stored(visit, only, unknown=unknown)
    heard = pulse.heard_from(visit.core.store, visit.here.id, now=visit.now)
    address = {"q": only.text, "user": only.user, "source": only.source, "outcome": only.outcome}
    return visit.page(
        "live.html", rows=rows_of(found), only=only, unknown=unknown, outcomes=list(Outcome), after=after,
        sources=sorted({each.source for each in heard}), is_owner=is_owner(visit),
        address=query({**address, "keys": "unknown" if unknown else ""}),
    )  # fmt: skip


def _stored(visit: Visit, only: Filter, *, unknown: bool) -> list[Seen]:
    store = visit.core.store
    if unknown:
        return refused(store, 0, now=visit.now, limit=ROWS)
    with visit.reading() as connection:
        return latest(store, connection, visit.here.id, now=visit.now, only=only, limit=ROWS)


def is_owner(visit: Visit) -> bool:
    return visit.signed_in.member.role is Role.OWNER


def wants_unknown(visit: Visit) -> bool:
    """Events with unknown keys belong to nobody, so only owners see them."""
    return visit.ask("keys") == "unknown" and is_owner(visit)


class Tail:
    """New rows of one open page: what the feed got since, as far as it fits the page's filter."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._feed = visit.core.feed
        self._environment_id = 0 if wants_unknown(visit) else visit.here.id
        self._only = asked(visit)
        with visit.reading() as connection:
            only, store = self._only, visit.core.store
            self._users = set(meant(store, connection, visit.here.id, only.user)) if only.user else set()
        after = visit.request.headers.get("last-event-id") or visit.ask("after")
        self.after = int(after) if after.isascii() and after.isdigit() and len(after) < 18 else 0
        if self.after > self.newest():
            self.after = 0  # the core was started again, and the feed counts from the beginning

    def newest(self) -> int:
        return int(self._feed.newest(self._environment_id))

    def rows(self) -> str:
        """The new ones as HTML, newest first; empty when there are none."""
        items = self._feed.recent(self._environment_id, ROWS, after=self.after)
        self.after = max(self.after, self.newest())
        fitting = [seen_of(item) for item in items if fits(item, self._only, self._users)]
        if not fitting:
            return ""
        template = templates().get_template("_rows.html")
        return template.render(visit=self._visit, zone=self._visit.zone, rows=rows_of(fitting))


def fits(item: FeedItem, only: Filter, users: set[int]) -> bool:
    """The same meaning as the question to the store (analysis.events)."""
    if only.source and item.source != only.source:
        return False
    if only.outcome and item.outcome != only.outcome:
        return False
    if only.user and item.user_id not in users and only.user.lower() not in item.user.lower():
        return False
    values = (item.name, item.payload, item.reason, *map(text_of, item.properties.values()))
    return not only.text or any(only.text.lower() in value.lower() for value in values)


def seen_of(item: FeedItem) -> Seen:
    return Seen(
        item.received_ms, item.time_ms, item.outcome, item.reason, item.kind, item.name, item.user, item.user_id,
        item.source, "", item.detail, {key: text_of(value) for key, value in item.properties.items()}, item.payload,
        item.event_id,
    )  # fmt: skip


def live_rows(visit: Visit) -> Response:
    tail = Tail(visit)
    return HTMLResponse(tail.rows(), headers={"X-After": str(tail.after)})


def stream_route(door: Door) -> Route:
    async def endpoint(request: Request) -> Response:
        tail = await run_in_threadpool(_tail_of, door, request)
        if tail is None:
            return Response(status_code=401)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(tail), media_type="text/event-stream", headers=headers)

    return Route("/env/{environment}/live/stream", endpoint, methods=["GET"])


def _tail_of(door: Door, request: Request) -> Tail | None:
    try:
        return Tail(door.enter(door.visit(request), Verb.SEE))
    except CairnError:
        return None


async def _stream(tail: Tail) -> AsyncIterator[str]:
    yield "event: hello\ndata: \n\n"
    started = said = time.monotonic()
    while time.monotonic() - started < STREAM_LIFE_S:
        if tail.newest() != tail.after and (html := await run_in_threadpool(tail.rows)):
            said = time.monotonic()
            yield f"id: {tail.after}\nevent: rows\n{_data(html)}\n\n"
        elif time.monotonic() - said > HEARTBEAT_S:
            said = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(STREAM_TICK_S)


def _data(html: str) -> str:
    return "\n".join(f"data: {line}" for line in html.splitlines())


PAGES: tuple[Page, ...] = (
    get("/env/{environment}/live", live_page),
    get("/env/{environment}/live/rows", live_rows),
)
