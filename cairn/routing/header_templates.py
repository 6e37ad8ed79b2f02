"""Headers with places for what a message holds: `X-Event: {{event}}`. Pure.

Whatever a message holds, a header stays one line of printable ASCII: other characters are percent-encoded, so none can
begin a header of its own.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from cairn.routing.body import JsonObject
from cairn.routing.directives import render

MOST_HEADERS = 20
_LONGEST_VALUE = 1_000  # characters
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "%")
# What the client and the signature write themselves.
_OWN = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    )
)


def problem_of(lines: Sequence[str]) -> str | None:
    """What is wrong with a setting's lines, for the person who typed them."""
    if len(lines) > MOST_HEADERS:
        return f"expected up to {MOST_HEADERS} headers"
    for number, line in enumerate(lines, start=1):
        name, colon, template = line.partition(":")
        if not colon or not _NAME.fullmatch(name.strip()):
            return f"line {number}: expected a header like X-Event: {{{{event}}}}"
        if name.strip().lower() in _OWN:
            return f"line {number}: {name.strip()} is set by Cairn"
        if not template.isprintable():
            return f"line {number}: holds characters that cannot be shown"
    return None


def headers_of(lines: Sequence[str], body: JsonObject) -> dict[str, str]:
    """`lines` have no problem."""
    headers = {}
    for line in lines:
        name, _, template = line.partition(":")
        headers[name.strip().lower()] = _one_line(render(template.strip(), body))
    return headers


def _one_line(text: str) -> str:
    safe = text[:_LONGEST_VALUE].encode("utf-8", "replace").decode()
    return quote(safe, safe=_PRINTABLE).strip()[: _LONGEST_VALUE * 3]
