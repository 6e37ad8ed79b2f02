"""Requests and answers as people may see them: without secrets, and not longer than helps. Pure."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from cairn.http_client import Answer, Call
from cairn.redact import redacted
from cairn.routing.message import Message
from cairn.wire.reading import safe_json

LONGEST_BODY = 8_192  # characters
LONGEST_ANSWER = 2_048
LONGEST_DETAIL = 1_000
_SHORTEST_SECRET = 4  # characters; what is shorter is part of any text
_HIDDEN = "(hidden)"
_OPEN_HEADERS = frozenset(("content-type", "content-encoding", "accept", "user-agent", "idempotency-key"))

_Json = dict[str, Any]  # Any: JSON


class Hidden:
    """Takes a connection's secrets out of texts, in every way they may be written."""

    def __init__(self, secrets: Iterable[str]) -> None:
        long = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        written = {form for secret in long for form in (secret, quote(secret, safe=""), quote_plus(secret))}
        written |= {msgspec.json.encode(secret).decode()[1:-1] for secret in long}
        self._written = sorted(written, key=len, reverse=True)

    def text(self, text: str, longest: int) -> str:
        text = text[: longest * 2]
        for secret in self._written:
            text = text.replace(secret, _HIDDEN)
        return redacted(text.replace("\0", "�"))[:longest]

    def request(self, call: Call) -> _Json:
        return {
            "method": call.method,
            "url": self.text(call.url, LONGEST_ANSWER),
            "headers": {
                name: self.text(text, LONGEST_DETAIL) if name.lower() in _OPEN_HEADERS else _HIDDEN
                for name, text in call.headers.items()
            },
            "body": self.text(call.body[: 4 * LONGEST_BODY].decode("utf-8", "replace"), LONGEST_BODY),
        }

    def answer(self, answer: Answer) -> _Json:
        text = answer.body[: 4 * LONGEST_ANSWER].decode("utf-8", "replace")
        return {
            "status": answer.status,
            "content_type": self.text(answer.headers.get("content-type", ""), 200),
            "body": self.text(text, LONGEST_ANSWER),
        }

    def detail(self, detail: str) -> str:
        return self.text(detail, LONGEST_DETAIL)


def message_json(message: Message) -> _Json:
    """As it is kept and shown; `read_message` makes the same message of it."""
    fields: _Json = msgspec.to_builtins(message)
    fields["position"] = str(message.position)  # more digits than JSON's readers take
    try:
        msgspec.json.encode(fields)
    except (UnicodeEncodeError, OverflowError, RecursionError, ValueError):
        fields["body"] = safe_json(message.body)
    return fields


def read_message(fields: Any) -> Message:  # Any: as `message_json` made it
    """Raises msgspec.ValidationError."""
    return msgspec.convert({**fields, "position": int(fields["position"])}, Message)
