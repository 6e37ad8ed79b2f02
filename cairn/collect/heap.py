"""Heap's server API at the edge: whose environment, how much, how often. What the payload means is wire's business.

Source: contracts/heap.md sections 1, 2 and 2.8. Not meant for browsers, so no CORS.
"""

import re
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.collect.answer import HEAP_ACCEPTED, Answer, heap_error, retry_after
from cairn.collect.parts import SMALL_BYTES, Parts
from cairn.collect.request import Receive, Request, read_body
from cairn.event import Arrival, Refused
from cairn.outcomes import Outcome, Reason, outcome_of
from cairn.redact import shown_key
from cairn.wire.heap import MOST_EVENTS
from cairn.wire.parsers import PARSERS
from cairn.wire.reading import open_batch, open_single
from cairn.wire.refusal import Rejected

MOST_BODY_BYTES = 5 * 2**20  # 1,000 events; Heap documents no size
SOURCE = "heap"


class Endpoint(Struct, frozen=True):
    parser: str
    bulk_key: str  # the array that makes a request a bulk one; empty: always single
    # What Heap documents: no limit is known of the paths that Segment and Looker call, nor of identify and accounts.
    limits_single: bool = False
    limits_bulk: bool = False


ENDPOINTS: dict[str, Endpoint] = {
    "/api/track": Endpoint("heap.track", "events", limits_single=True, limits_bulk=True),
    "/api/add_user_properties": Endpoint("heap.add_user_properties", "users", limits_single=True),
    "/api/v1/identify": Endpoint("heap.identify", ""),
    "/api/integrations/track": Endpoint("heap.integrations.track", "events"),
    "/api/integrations/add_user_properties": Endpoint("heap.integrations.add_user_properties", "users"),
    "/api/add_account_properties": Endpoint("heap.add_account_properties", "accounts"),
}


_NONE = Raw(b"null")
_ABSENT = (b"null", b'""')
_COMPARED_BYTES = 1_100  # 255 characters, escaped


class _User(Struct):
    """Raw: only compared, for the rate limits; the parser checks them."""

    identity: Raw = _NONE
    user_id: Raw = _NONE
    user_identifier: Raw = _NONE


class _Head(_User):
    """What must be known before the payload is understood."""

    app_id: Any = None  # Any: foreign JSON
    events: list[Raw] | None = None
    users: list[Raw] | None = None
    accounts: list[Raw] | None = None


_heads = msgspec.json.Decoder(_Head)
_users = msgspec.json.Decoder(_User)
_APP_IDS = re.compile(rb'"app_id"\s*:\s*(?:"(\d{1,40})"|(\d{1,40}))')
_MOST_NAMED = 1_000  # mentions that are looked up


async def collect_heap(request: Request, receive: Receive, parts: Parts) -> Answer:
    endpoint = ENDPOINTS[request.path]
    if request.method != "POST":
        return heap_error(405, "Method not allowed: send POST").with_headers((b"allow", b"POST"))
    body, environment_id = b"", 0
    try:
        body = await read_body(request, receive, MOST_BODY_BYTES)
        _check_named(body, parts)
        head, items = await parts.read(body, partial(_open, body, endpoint.bulk_key))
        app_id = _app_id(head)
        app = parts.directory().app(app_id)
        if app is None:
            raise Rejected(
                Reason.UNKNOWN_KEY,
                f"app_id: {shown_key(app_id)!r} is no environment's id; copy it from Environments",
            )
        environment_id = app.environment_id
        if len(items) > MOST_EVENTS:
            raise Rejected(
                Reason.TOO_MANY_EVENTS, f"{endpoint.bulk_key}: one request carries {MOST_EVENTS} at most"
            )
        if wait_s := _seconds_to_wait(parts, request.path, app_id, head, items):
            parts.refuse(request, _too_fast(), body, environment_id=environment_id, source=SOURCE)
            return heap_error(429, "Too many requests").with_headers(retry_after(wait_s))
        arrival = Arrival(endpoint.parser, environment_id, 0, SOURCE, parts.now_ms(), request.ip, "", body)
        if not items and (fault := await parts.read(body, partial(_fault, arrival))):
            parts.refusals.add(fault)
            return heap_error(400, f"Bad request: {fault.detail}")
    except Rejected as rejected:
        parts.refuse(request, rejected, body, environment_id=environment_id, source=SOURCE)
        return heap_error(400, f"Bad request: {rejected.detail}")
    await parts.append([arrival])
    return HEAP_ACCEPTED


def _check_named(body: bytes, parts: Parts) -> None:
    """Before a large body is parsed: whether an environment stands in it at all. Raises Rejected."""
    if len(body) > SMALL_BYTES:
        named = islice(_APP_IDS.finditer(body), _MOST_NAMED)
        if not any(parts.directory().app((match[1] or match[2]).decode()) for match in named):
            raise Rejected(Reason.UNKNOWN_KEY, "app_id: is missing or unknown; copy it from Environments")


def _open(body: bytes, bulk_key: str) -> tuple[_Head, Sequence[Raw | bytes]]:
    return open_batch(body, _heads, bulk_key) if bulk_key else (open_single(body, _heads), ())


def _app_id(head: _Head) -> str:
    if isinstance(head.app_id, str) or type(head.app_id) is int:
        return str(head.app_id)
    raise Rejected(Reason.UNKNOWN_KEY, "app_id: is missing; send the environment's id as text")


def _fault(arrival: Arrival) -> Refused | None:
    """A single event that cannot be stored is answered with 400, so its sender learns of it; one of many is not."""
    [event] = PARSERS[arrival.parser](arrival)
    return event if isinstance(event, Refused) and outcome_of(event.reason) is Outcome.INVALID else None


def _seconds_to_wait(parts: Parts, path: str, app_id: str, head: _Head, items: Sequence[Raw | bytes]) -> int:
    endpoint = ENDPOINTS[path]
    if not parts.settings.rate_limits:
        return 0
    if items:
        users = map(_user_of, items)
        return parts.rates.wait_for_bulk(path, app_id, users, parts.now_ms()) if endpoint.limits_bulk else 0
    return (
        parts.rates.wait_for_single(path, app_id, _name(head), parts.now_ms())
        if endpoint.limits_single
        else 0
    )


def _user_of(item: Raw | bytes) -> str:
    try:
        return _name(_users.decode(item))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""  # the parser will refuse it, or read it the slow way; it still counts for the app


def _name(user: _User) -> str:
    for raw in (user.identity, user.user_id, user.user_identifier):
        text = bytes(raw)
        if text not in _ABSENT:
            return text[:_COMPARED_BYTES].decode(errors="replace")
    return ""


def _too_fast() -> Rejected:
    return Rejected(
        Reason.TOO_MANY_REQUESTS, "the identity's or environment's rate limit is reached; send bulk requests"
    )
