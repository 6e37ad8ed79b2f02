"""How Heap signs its segment webhooks. Pure.

Source: contracts/heap.md section 12 (header `Heap-Hash: ts:<ms>,hmac:<base64>`, over the digits of `ts` and the raw
body; a receiver refuses what is older than 60 s or more than 1 s in the future).
"""

import base64
import hashlib
import hmac
import re

HEADER = "Heap-Hash"
OLDEST_MS = 60_000
FUTURE_MS = 1_000
_HEADER = re.compile(r"\s*ts:([0-9]{1,16})\s*,\s*hmac:([A-Za-z0-9+/]{43}=)\s*\Z")


def sign(secret: str, ts_ms: int, body: bytes) -> str:
    """The header's value."""
    return f"ts:{ts_ms},hmac:{base64.b64encode(_digest(secret, str(ts_ms), body)).decode()}"


def is_signed(secret: str, header: str, body: bytes, now_ms: int) -> bool:
    """Whether the header proves, now, that the holder of the secret sent this body. In constant time."""
    match = _HEADER.match(header)
    if match is None:
        return False
    is_right = hmac.compare_digest(base64.b64decode(match[2]), _digest(secret, match[1], body))
    return is_right and -FUTURE_MS <= now_ms - int(match[1]) <= OLDEST_MS


def _digest(secret: str, ts: str, body: bytes) -> bytes:
    return hmac.digest(secret.encode(), ts.encode() + body, hashlib.sha256)
