"""Segment's tracking API at the edge: whose source, how much. What the payload means is wire's business.

Source: contracts/segment.md sections 0 and 1.
"""

import base64
import binascii
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.collect.answer import ACCEPTED, Answer, preflight, segment_error
from cairn.collect.parts import Parts
from cairn.collect.refusals import UnknownKey
from cairn.collect.request import Receive, Request, read_body
from cairn.event import LONGEST_USER_AGENT, Arrival
from cairn.outcomes import Reason
from cairn.published.directory import Source
from cairn.wire import pixel
from cairn.wire.reading import open_batch, open_single
from cairn.wire.refusal import Rejected
from cairn.wire.segment import MOST_EVENT_BYTES, MOST_EVENTS, TYPES

MOST_BATCH_BYTES = 500 * 1024  # after decompression
MOST_ITEMS = 10_000  # in a batch that is taken at all: each beyond MOST_EVENTS becomes a refusal of its own
_BATCH = "batch"
_TELEMETRY = "telemetry"  # of analytics.js about itself: answered and left
_GIF = Answer(200, pixel.GIF, ((b"content-type", b"image/gif"), (b"cache-control", b"no-store")))

# Path -> type. Browsers shorten the type to its first letter; Ruby and older SDKs call the batch "import".
CALLS: dict[str, str] = {
    **{f"/v1/{name}": name for name in TYPES},
    **{f"/v1/{name[0]}": name for name in TYPES},
    **dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import"), _BATCH),
    "/v1/m": _TELEMETRY,
}
PIXELS: dict[str, str] = {f"/v1/pixel/{name}": name for name in TYPES}


class _Head(Struct):
    write_key: Any = msgspec.field(default=None, name="writeKey")  # Any: foreign JSON


class _BatchHead(_Head):
    batch: list[Raw] | None = None


_heads = msgspec.json.Decoder(_Head)
_batch_heads = msgspec.json.Decoder(_BatchHead)


async def collect_segment(request: Request, receive: Receive, parts: Parts) -> Answer:
    if request.method == "OPTIONS":
        return preflight(request)
    if request.path in PIXELS:
        return await _collect_pixel(request, parts)
    if request.method != "POST":
        return segment_error(405, "method_not_allowed", "send POST").with_headers(
            (b"allow", b"POST, OPTIONS")
        )
    return await _collect_call(request, receive, parts)


async def _collect_call(request: Request, receive: Receive, parts: Parts) -> Answer:
    kind = CALLS[request.path]
    body = b""
    write_key = _basic_key(request)
    try:
        body = await read_body(request, receive, MOST_EVENT_BYTES if kind in TYPES else MOST_BATCH_BYTES)
        if kind == _TELEMETRY:
            return ACCEPTED
        body_key, events = await parts.read(body, partial(_opened, body, kind))
        write_key = write_key or body_key
        source = _source(parts, write_key)
        if events > MOST_ITEMS:
            raise Rejected(Reason.TOO_MANY_EVENTS, f"batch: one request carries {MOST_EVENTS} events at most")
    except UnknownKey as rejected:
        parts.refuse(request, rejected, body, source="segment")
        if parts.settings.unknown_key_status == 200:
            return ACCEPTED
        return segment_error(parts.settings.unknown_key_status, "invalid_write_key", rejected.detail)
    except Rejected as rejected:
        _refuse_whole(request, parts, rejected, body, write_key)
        return segment_error(400, _code(rejected), rejected.detail)
    await parts.append([_arrival(request, parts, source, kind, body)])
    return ACCEPTED


async def _collect_pixel(request: Request, parts: Parts) -> Answer:
    """An image whatever happens: it stands in an e-mail."""
    body = pixel.body_of(request.query)
    if body is None or len(body) > MOST_EVENT_BYTES:
        parts.refuse(
            request, Rejected(Reason.BAD_REQUEST, "data: must be base64 JSON up to 32 KB"), request.query
        )
        return _GIF
    kind = PIXELS[request.path]
    try:
        source = _source(parts, _basic_key(request) or _opened(body, kind)[0])
    except Rejected as rejected:
        parts.refuse(request, rejected, body, source="segment")
        return _GIF
    await parts.append([_arrival(request, parts, source, kind, body)])
    return _GIF


def _basic_key(request: Request) -> str:
    """The write key of `Authorization: Basic`; its colon may be missing. Empty when there is none to read."""
    scheme, _, encoded = request.header(b"authorization").strip().partition(" ")
    if scheme.lower() != "basic":
        return ""  # a Bearer token says who sends, the body's writeKey for which source
    try:
        return (
            base64.b64decode(encoded.strip() + "=" * (-len(encoded.strip()) % 4)).decode().partition(":")[0]
        )
    except (binascii.Error, ValueError):
        return ""


def _opened(body: bytes, kind: str) -> tuple[str, int]:
    """The body's write key and how many events it holds. Raises Rejected when it is no call, or no batch of them."""
    if kind == _BATCH:
        batch, events = open_batch(body, _batch_heads, "batch")
        return _text(batch.write_key), len(events)
    return _text(open_single(body, _heads).write_key), 1


def _text(value: Any) -> str:  # Any: foreign JSON
    return value if isinstance(value, str) else ""


def _source(parts: Parts, write_key: str) -> Source:
    source = parts.directory().source(write_key) if write_key else None
    if source is None:
        raise UnknownKey(
            "writeKey",
            write_key,
            wrong="is no source's; copy it again",
            missing="is missing; send Basic auth",
        )
    return source


def _arrival(request: Request, parts: Parts, source: Source, kind: str, body: bytes) -> Arrival:
    """One whatever the source feeds: the loader sends it there. `environments` says whose rules the log must keep."""
    extra: dict[str, Any] = {
        "type": kind,
        "workspace_id": source.workspace_id,
        "kind": source.kind,
        "environments": source.heap_environments,
    }
    return Arrival(
        "segment",
        source.environment_id,
        source.source_id,
        source.name,
        parts.now_ms(),
        request.ip,
        request.header(b"user-agent")[:LONGEST_USER_AGENT],
        body,
        extra,
    )


def _refuse_whole(request: Request, parts: Parts, rejected: Rejected, body: bytes, write_key: str) -> None:
    source = parts.directory().source(write_key) if write_key else None
    if source is None:
        parts.refuse(request, rejected, body, source="segment")
    else:
        parts.refuse(request, rejected, body, environment_id=source.environment_id, source=source.name)


def _code(rejected: Rejected) -> str:
    return rejected.reason.value
