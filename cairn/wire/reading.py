"""JSON as it really arrives. The usual body is decoded once, by type; everything odd takes the slow road here.

The slow road gives each event of a batch its own fate: one that is nested too deep or is not UTF-8 costs no other.
It also replaces NUL and half surrogate pairs, which the stores behind us refuse, by U+FFFD.
The fast decoder guards its own recursion, so a nesting bomb ends in an error, never in a crash.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from cairn.outcomes import Reason
from cairn.wire.refusal import Rejected

MOST_DEPTH = 32  # levels of arrays and objects in one event
# Of a batch whose events are cut out one by one; every endpoint takes fewer.
MOST_ITEMS = 10_000
# Of a body that takes the slow road, some 0.3 s; a longer one that the fast decoder refuses is refused as a whole.
MOST_SLOW_BYTES = 2**20

Json = Any  # a foreign JSON value
Envelope = TypeVar("Envelope")

_DECODER_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NUL = b"\\u0000"
# A string that is not closed reaches to the end. So no byte is looked at twice: possessive quantifiers never go back,
# and after an unclosed string there is nothing to search.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
_UNSAFE = re.compile("[\0\ud800-\udfff]")


def may_hold_nul(body: bytes) -> bool:
    """The fast decoder accepts escaped NULs; a body with this text takes the slow road."""
    return _NUL in body


def open_batch(
    body: bytes, decoder: "msgspec.json.Decoder[Envelope]", key: str
) -> tuple[Envelope, Sequence[Raw | bytes]]:
    """The envelope of a batch, and the raw text of each item of its array `key`. Raises Rejected for it all."""
    try:
        envelope = decoder.decode(body)
    except _DECODER_ERRORS as error:
        return _open_slowly(body, decoder, key, error)
    return envelope, getattr(envelope, key) or ()


def open_single(body: bytes, decoder: "msgspec.json.Decoder[Envelope]") -> Envelope:
    """The typed part of a request that is one event. Raises Rejected."""
    try:
        return decoder.decode(body)
    except _DECODER_ERRORS as error:
        _check_slow(body, error)
        return _decode_safe(body, decoder)


def _open_slowly(
    body: bytes, decoder: "msgspec.json.Decoder[Envelope]", key: str, error: Exception
) -> tuple[Envelope, Sequence[Raw | bytes]]:
    if isinstance(error, msgspec.ValidationError):
        raise Rejected(Reason.BAD_REQUEST, _complaint(error))
    _check_slow(body, error)
    parts = _split(body, key.encode())
    if parts is None:
        return _decode_safe(body, decoder), ()
    start, end, items = parts
    envelope = _decode_safe(body[:start] + body[end:], decoder)
    for item in items:
        try:
            read(item)
        except Rejected as rejected:
            if rejected.reason is Reason.MALFORMED_JSON:
                raise  # then the body as a whole is
    return envelope, items


def _check_slow(body: bytes, error: Exception) -> None:
    """Raises Rejected for a body that would take too long."""
    if len(body) <= MOST_SLOW_BYTES:
        return
    if isinstance(error, RecursionError):
        raise too_deep() from error
    raise Rejected(Reason.MALFORMED_JSON, f"not valid JSON: {error}") from error


def _decode_safe(body: bytes, decoder: "msgspec.json.Decoder[Envelope]") -> Envelope:
    try:
        return decoder.decode(msgspec.json.encode(read(body)))
    except _DECODER_ERRORS as error:
        raise Rejected(Reason.BAD_REQUEST, _complaint(error)) from error


def _split(body: bytes, key: bytes) -> tuple[int, int, list[bytes]] | None:
    """Where the items of the array under `key` begin and end, found without understanding them."""
    depth = start = item_start = 0
    text = current = b""
    items: list[bytes] = []
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth == 2 and mark == b"[" and current == key and not start:
                start = item_start = token.end()
        elif mark in b"]}":
            if depth == 2 and start:
                last = body[item_start : token.start()].strip()
                if last or items:  # nothing after a comma is malformed, and found so when it is read
                    items.append(last)
                return start, token.start(), items
            depth -= 1
        elif depth == 2 and start and mark == b",":
            _add(items, body[item_start : token.start()].strip(), key)
            item_start = token.end()
        elif depth == 1:
            if mark == b":":
                current = text[1:-1]
            text = mark
    return None


def _add(items: list[bytes], item: bytes, key: bytes) -> None:
    if len(items) == MOST_ITEMS:
        raise Rejected(Reason.TOO_MANY_EVENTS, f"{key.decode()}: holds over {MOST_ITEMS} items")
    items.append(item)


def read(raw: bytes | Raw) -> Json:
    """One JSON value, made safe to store. Raises Rejected."""
    body = bytes(raw)
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Rejected(Reason.NOT_UTF8, f"byte {error.start} is not valid UTF-8; send UTF-8") from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        raise Rejected(Reason.MALFORMED_JSON, f"not valid JSON: {error}") from error
    if _is_deeper(value, MOST_DEPTH):
        raise too_deep()
    return safe_json(value)


def safe_text(text: str) -> str:
    return _UNSAFE.sub("\ufffd", text)


def too_deep() -> Rejected:
    return Rejected(Reason.TOO_DEEP, f"nested more than {MOST_DEPTH} levels deep; send flatter properties")


def check_depth(value: Json, levels: int) -> None:
    """Raises Rejected when a value has more levels of arrays and objects than are left."""
    if _is_deeper(value, levels):
        raise too_deep()


def _is_deeper(value: Json, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        containers = [value for value in layer if isinstance(value, dict | list)]
        if not containers:
            return False
        layer = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
        ]
    return True


def safe_json(value: Json) -> Json:
    """The same with texts that the stores behind us accept. `value` is not deeper than MOST_DEPTH."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [safe_json(item) for item in value]
    if isinstance(value, dict):
        return {safe_text(key): safe_json(item) for key, item in value.items()}
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _complaint(error: Exception) -> str:
    """The decoder's words, with its path turned into a field's name: "batch: expected `array`, got `int`"."""
    said, _, path = str(error).partition(" - at `$")
    field = path.strip("`").lstrip(".")
    return f"{field or 'the body'}: {said[:1].lower()}{said[1:]}"
