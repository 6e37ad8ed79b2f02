"""Where Heap sends its segment webhooks: the partner's side of the Segment Sync API (contracts/heap.md section 12)."""

import zlib

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cairn.api.problem import problem_of
from cairn.app import heap_webhooks
from cairn.app.core import Core
from cairn.app.waiting import while_waited_for
from cairn.errors import CairnError, LimitExceeded
from cairn.sync.signature import HEADER
from cairn.sync.webhook import WebhookMalformed

PATH = "/api/partner/heap/segments"
MOST_BODY = 4_000_000  # bytes, unpacked
RETRY_AFTER_S = {429: 60, 503: 1}


class WebhookTooLarge(LimitExceeded):
    """The body of a segment webhook may have 4 MB, unpacked. Send fewer users on a page."""

    code = "webhook_too_large"


class WrongEncoding(CairnError):
    """The body of a segment webhook may be packed by gzip, and by nothing else."""

    code = "wrong_encoding"
    status = 415


class Taken(Struct, frozen=True):
    ok: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET


def heap_webhook_route(core: Core) -> BaseRoute:
    async def handle(request: Request) -> Response:
        raw = bytearray()
        async for part in request.stream():
            raw += part[: MOST_BODY + 1 - len(raw)]
        try:
            return await while_waited_for(request, lambda: _receive(core, request, bytes(raw)))
        except Exception as error:  # the request boundary
            return _refused(problem_of(error))

    return Route(PATH, handle, methods=["POST"])


def _receive(core: Core, request: Request, raw: bytes) -> Response:
    now = core.clock()
    body, error = _unpacked(raw, request.headers.get("content-encoding", ""))
    if error is not None:
        heap_webhooks.refuse(core, body, error, now)
        raise error
    # Whether the packed bytes are signed or those that were packed, Heap does not say.
    heap_webhooks.receive(core, header=request.headers.get(HEADER, ""), body=body, raw=(raw, body), now=now)
    return _answer(Taken(ok=True), 200)


def _unpacked(raw: bytes, encoding: str) -> tuple[bytes, CairnError | None]:
    """The body as far as it may be long, and what is wrong with it."""
    encoding = encoding.strip().lower()
    if encoding == "gzip":
        try:
            unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
            body = unpacker.decompress(raw, MOST_BODY + 1)
        except zlib.error:
            return b"", WebhookMalformed("the body is not packed by gzip, as Content-Encoding says")
        if len(body) <= MOST_BODY and not unpacker.eof:
            return body, WebhookMalformed("the packed body ends too early")
    elif encoding in ("", "identity"):
        body = raw
    else:
        return b"", WrongEncoding("Content-Encoding may be gzip, or nothing")
    if max(len(raw), len(body)) > MOST_BODY:
        return body[:MOST_BODY], WebhookTooLarge(
            f"the body has over {MOST_BODY} bytes; send fewer users on a page"
        )
    return body, None


def _refused(error: CairnError) -> Response:
    status = 400 if error.status == 422 else error.status
    response = _answer(Taken(error=str(error)), status)
    if status in RETRY_AFTER_S:
        response.headers["Retry-After"] = str(RETRY_AFTER_S[status])
    return response


def _answer(taken: Taken, status: int) -> Response:
    return Response(msgspec.json.encode(taken), status, {"Cache-Control": "no-store"}, "application/json")
