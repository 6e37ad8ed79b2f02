"""Heap's capture clients at the edge: browsers and apps, current and classic. What payloads mean is wire's business.

Whose environment it is stands in a header, in the address or in the first message. A client keeps what is not
answered with 200 or 400 and sends it again, so 400 means: these bytes can never be read, throw them away.
Source: contracts/heap.md sections 1 and 5.
"""

from functools import partial
from urllib.parse import parse_qs

from cairn.collect.answer import HEAP_ACCEPTED, Answer, heap_error, preflight
from cairn.collect.parts import Parts
from cairn.collect.refusals import UnknownKey
from cairn.collect.request import Receive, Request, read_body
from cairn.collect.script import NEUTRAL_CAPTURE
from cairn.event import LONGEST_USER_AGENT, Arrival
from cairn.published.directory import App
from cairn.wire import heap_android, heap_capture, heap_mobile, pixel
from cairn.wire.heap_account import first_app_id as account_app_id
from cairn.wire.heap_open import is_json
from cairn.wire.refusal import Rejected

MOST_BODY_BYTES = 1_000_000  # after decompression; clients keep to it
SOURCE = "capture"

_V2 = {
    "track": "heap.capture.track",
    "identify": "heap.capture.identify",
    "add_user_properties": "heap.capture.add_user_properties",
    "add_account_properties": "heap.add_account_properties",
}
# Path -> parser.
CAPTURES: dict[str, str] = {
    **{f"/api/capture/v2/{name}": parser for name, parser in _V2.items()},
    **{path: _V2[name] for path, name in NEUTRAL_CAPTURE.items()},
    "/api/integrations/ios/track": "heap.ios.track",
    "/api/integrations/android/track": "heap.android.track",
    "/api/integrations/android/identify": "heap.android.identify",
    "/api/integrations/android/add_user_properties": "heap.android.add_user_properties",
}
IMAGES: dict[str, str] = {
    "/h": "heap.web",
    "/api/identify_v3": "heap.web.identify",
    "/api/add_user_properties_v3": "heap.web.add_user_properties",
}
_GIF = Answer(200, pixel.GIF, ((b"content-type", b"image/gif"), (b"cache-control", b"no-store")))
# A client that sends protobuf may read it too, and `{}` is none: PostMobileTrackResponse with status OK.
_ACCEPTED_PROTOBUF = Answer(200, b"\x0a\x02OK", ((b"content-type", b"application/octet-stream"),))
_ENCODINGS = ("gzip", "deflate")


Extra = dict[str, str | int]


async def collect_capture(request: Request, receive: Receive, parts: Parts) -> Answer:
    if request.method == "OPTIONS":
        return preflight(request)
    if request.path in IMAGES:
        return await _collect_image(request, parts)
    if request.method != "POST":
        return heap_error(405, "Method not allowed: send POST").with_headers((b"allow", b"POST, OPTIONS"))
    body = b""
    parser = CAPTURES[request.path]
    content_type = request.header(b"content-type").lower()[:100]
    asked, sent_ms = _asked(request)
    named = request.header(b"x-heap-env-id").strip()[:40] or asked
    try:
        body = await read_body(request, receive, MOST_BODY_BYTES, encodings=_ENCODINGS)
        # Raises when it cannot be read at all.
        first = await parts.read(body, partial(_first_app_id, parser, body, content_type))
        app_id = named or first[:40]
        app = _app(parts, app_id)
    except UnknownKey as rejected:
        parts.refuse(request, rejected, body, source=SOURCE)
        return heap_error(404, rejected.detail)
    except Rejected as rejected:
        known = parts.directory().app(named)
        parts.refuse(
            request, rejected, body, environment_id=known.environment_id if known else 0, source=SOURCE
        )
        return heap_error(400, f"Bad request: {rejected.detail}")
    extra: Extra = {"app_id": app_id, "sent_ms": sent_ms, "content_type": content_type}
    await parts.append([_arrival(request, parts, app, parser, body, extra)])
    is_v2 = parser.startswith("heap.capture.")
    return _ACCEPTED_PROTOBUF if is_v2 and not is_json(body, content_type) else HEAP_ACCEPTED


async def _collect_image(request: Request, parts: Parts) -> Answer:
    """An image whatever happens: that is what asked."""
    app_id, _ = _asked(request)
    try:
        app = _app(parts, app_id)
    except Rejected as rejected:
        parts.refuse(request, rejected, request.query, source=SOURCE)
        return _GIF
    extra: Extra = {"app_id": app_id}
    await parts.append([_arrival(request, parts, app, IMAGES[request.path], request.query, extra)])
    return _GIF


def _app(parts: Parts, app_id: str) -> App:
    app = parts.directory().app(app_id) if app_id else None
    if app is None:
        raise UnknownKey("environment id", app_id, wrong="is no environment's id; copy it from Environments")
    return app


def _asked(request: Request) -> tuple[str, int]:
    """The environment and the client's clock, as the address tells them."""
    try:
        query = parse_qs(request.query.decode("ascii", "replace"), errors="replace", max_num_fields=20_000)
    except ValueError:
        return "", 0
    sent = query.get("st", [""])[0]
    is_time = sent.isascii() and sent.isdecimal() and len(sent) < 16
    return query.get("a", [""])[0][:40], int(sent) if is_time else 0


def _first_app_id(parser: str, body: bytes, content_type: str) -> str:
    if parser.startswith("heap.android."):
        return heap_android.first_app_id(body, parser)
    if parser == "heap.ios.track":
        return heap_mobile.first_app_id(body)
    if parser == "heap.add_account_properties":
        return account_app_id(body)
    return heap_capture.first_app_id(body, content_type, parser)


def _arrival(request: Request, parts: Parts, app: App, parser: str, body: bytes, extra: Extra) -> Arrival:
    return Arrival(
        parser,
        app.environment_id,
        0,
        SOURCE,
        parts.now_ms(),
        request.ip,
        request.header(b"user-agent")[:LONGEST_USER_AGENT],
        body,
        extra,
    )
