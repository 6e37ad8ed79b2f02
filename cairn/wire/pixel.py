"""Calls from an image's address, in e-mails: base64 JSON in `data`, or plain parameters with dotted names.

Source: contracts/segment.md 1.1.
"""

import base64
import binascii
from urllib.parse import parse_qsl

import msgspec

from cairn.wire.reading import MOST_DEPTH, Json, safe_text

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # 1 x 1, transparent
_MOST_PARAMETERS = 500


def body_of(query: bytes) -> bytes | None:
    """The call's JSON body; None when there is nothing to read."""
    try:
        parameters = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="replace"
        )
    except ValueError:
        return None
    for name, value in parameters:
        if name == "data":
            return _decoded(value)
    return msgspec.json.encode(_nested(parameters)) if parameters else None


def _decoded(text: str) -> bytes | None:
    # "+" arrives as a blank when the sender did not escape it.
    plain = text.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _nested(parameters: list[tuple[str, str]]) -> dict[str, Json]:
    body: dict[str, Json] = {}
    for name, value in parameters:
        *path, last = safe_text(name).split(".", MOST_DEPTH)  # deeper ones are refused when they are read
        inner = body
        for part in path:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[last] = safe_text(value)
    return body
