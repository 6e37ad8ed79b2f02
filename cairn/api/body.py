"""Reading a request's body within limits, before anything is parsed from it."""

import re

from starlette.requests import Request

from cairn.errors import CairnError, InvalidInput, LimitExceeded

MAX_BODY = 1_000_000  # bytes
MAX_DEPTH = 64  # brackets; a condition of 30 levels fits, and no parser or printer of ours recurses further
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


class BodyTooLarge(LimitExceeded):
    """A body may be one megabyte long. Send less at once."""

    code = "body_too_large"


class BodyTooDeep(InvalidInput):
    """A body may be nested 64 levels deep. Write it flatter."""

    code = "body_too_deep"


class MalformedJson(CairnError):
    """The body is not JSON in UTF-8. Send one JSON object."""

    code = "malformed_json"
    status = 400


class WrongMediaType(CairnError):
    """Bodies are JSON. Send `Content-Type: application/json`."""

    code = "wrong_media_type"
    status = 415


async def read_body(request: Request) -> bytes:
    """Raises WrongMediaType and BodyTooLarge. Nothing is parsed before the caller is known."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType("send the body as Content-Type: application/json")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY:
        raise BodyTooLarge(f"the body is longer than {MAX_BODY} bytes; send less at once")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise BodyTooLarge(f"the body is longer than {MAX_BODY} bytes; send less at once")
        parts.append(part)
    return b"".join(parts)


def check_depth(body: bytes) -> None:
    """Raises BodyTooDeep. Counts brackets outside text; whether it is JSON at all is the parser's business."""
    depth = 0
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BodyTooDeep(f"the body is nested over {MAX_DEPTH} levels; write it flatter")
        elif first in b"]}":
            depth -= 1
