"""What clients get back: Segment's JSON, Heap's text, and the headers browsers need around Segment's."""

import re

import msgspec
from msgspec import Struct

from cairn.collect.request import Request, Send

Headers = tuple[tuple[bytes, bytes], ...]

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
# What an answer repeats of a request is never taken for a page or a script.
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_PREFLIGHT_S = 7_200  # browsers keep a preflight this long at most; there is one per path
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ALLOWED_HEADERS = ("authorization", "content-type", "x-retry-count")  # "*" would not cover Authorization
_MOST_ECHOED = 2_000  # characters of requested header names


class Answer(Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: Headers = ()

    def with_headers(self, *headers: tuple[bytes, bytes]) -> "Answer":
        return Answer(self.status, self.body, (*self.headers, *headers))


# Exactly 200: older Python clients send again after any other success. contracts/segment.md fact 2
ACCEPTED = Answer(200, b'{"success": true}', (_JSON,))
HEAP_ACCEPTED = Answer(200, b"{}", (_JSON,))
RETRY_AFTER_S = 5  # for clients that heed it, while the log is away


def segment_error(status: int, code: str, message: str) -> Answer:
    """Both `code` and `message`, or older Python clients fail on the answer itself. contracts/segment.md fact 3"""
    body = msgspec.json.encode({"success": False, "code": code, "message": message})
    return Answer(status, body, (_JSON,))


def no_such_call(request: Request) -> Answer:
    """For a mistyped path. Never a redirect: clients follow it with a GET, or take it for success."""
    text = f"{request.path[:100]!r} is no call of the tracking API; it has /v1/batch, /v1/track and their kin"
    return segment_error(404, "no_such_call", text).with_headers(*cors_headers(request))


def heap_error(status: int, text: str) -> Answer:
    return Answer(status, text.encode(errors="replace"), (_TEXT,))


def retry_after(seconds: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(seconds).encode()


def cors_headers(request: Request) -> Headers:
    """On every answer of Segment's routes, errors too. Source: contracts/segment.md 1.6."""
    origin = request.headers.get(b"origin")
    if origin is None:
        return ((b"vary", b"Origin"),)
    return (
        (b"access-control-allow-origin", origin),
        (
            b"access-control-allow-credentials",
            b"true",
        ),  # for sites that send `credentials: "include"`; no cookie is read
        (b"access-control-expose-headers", b"Retry-After"),
        (b"vary", b"Origin"),
    )


def preflight(request: Request) -> Answer:
    asked = request.header(b"access-control-request-headers")[:_MOST_ECHOED].lower()
    names = dict.fromkeys((*_ALLOWED_HEADERS, *_HEADER_NAME.findall(asked)))
    return Answer(
        204,
        b"",
        (
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", ", ".join(names).encode()),
            (b"access-control-max-age", str(_PREFLIGHT_S).encode()),
        ),
    )


async def send_answer(send: Send, answer: Answer) -> None:
    headers = [*answer.headers, _NO_SNIFFING]
    if answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
