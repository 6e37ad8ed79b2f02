"""JSON on its way to a destination: encoded whatever it holds, or refused with a reason. Pure.

Bodies of messages are foreign: a text may hold half a character, a number may have 300 digits, a NaN may come out of a
transformation.
"""

import json
from typing import Any

import msgspec

from cairn.http_client import Call, Secret, read_url
from cairn.routing.destination import NotForDestination
from cairn.routing.outcome import Discard
from cairn.wire.reading import MOST_DEPTH, check_depth, safe_json
from cairn.wire.refusal import Rejected

_DEPTH_AROUND = 8  # levels that a destination may put around a message
JSON_HEADERS = {"content-type": "application/json"}

_encode = msgspec.json.Encoder().encode


def json_bytes(value: Any) -> bytes:  # Any: JSON
    """Compact JSON with its keys in their order. Raises NotForDestination."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError, ValueError):
        pass
    try:
        check_depth(value, MOST_DEPTH + _DEPTH_AROUND)
        text = json.dumps(safe_json(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except Rejected as error:
        raise rejected("the message: is nested too deep; send a flatter one") from error
    except (TypeError, ValueError) as error:
        raise rejected(f"the message: is not JSON: {error}") from error
    return text.encode()


def rejected(detail: str) -> NotForDestination:
    """This message can never be sent as it is. `detail` names the field, and what to do."""
    return NotForDestination(Discard.MESSAGE_REJECTED, detail)


def post_json(url: str, value: Any, headers: dict[str, str] | None = None) -> Call:  # Any: JSON
    """Raises NotForDestination."""
    return Call("POST", url, {**JSON_HEADERS, **(headers or {})}, json_bytes(value))


def with_secret(call: Call, headers: dict[str, str]) -> Call:
    """With headers that the call's own host alone gets, and that are shown nowhere."""
    return msgspec.structs.replace(call, secret=Secret(read_url(call.url).host, headers))
