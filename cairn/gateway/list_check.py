"""The list check's question, read from the raw query. Pure.

Node writes the attribute's value into the URL unescaped, so `a&b`, `a+b`, `50%` and `a#b` arrive as they are and a
usual query parser would ask about something else (contracts/wingify.md 5.2).
"""

import re
from urllib.parse import unquote, unquote_to_bytes

from msgspec import Struct

# Greedy, so that a value which itself contains `&listId=` still ends at the last one.
_NODE = re.compile(
    rb"attribute=(?P<value>.*)&listId=(?P<list>[^&]*)&accountId=(?P<account>[^&]*)\Z", re.DOTALL
)


class Question(Struct, frozen=True):
    values: tuple[str, ...]  # the readings of the attribute's value, likeliest first
    list_id: str
    account_id: str


def question(query: bytes) -> Question | None:
    """Read a list check; None when it names no list or no attribute."""
    if match := _NODE.fullmatch(query):
        raw = match["value"]
        return Question(
            _readings(raw),
            unquote(match["list"].decode("latin-1")),
            unquote(match["account"].decode("latin-1")),
        )
    return _from_encoded(query)


def _from_encoded(query: bytes) -> Question | None:
    """Any other client: keys in any order, values escaped as forms or URLs escape them."""
    raw: dict[bytes, bytes] = {}
    for pair in query.split(b"&"):
        key, equals, value = pair.partition(b"=")
        if equals:
            raw.setdefault(key, value)
    if b"attribute" not in raw or not raw.get(b"listId"):
        return None
    value = raw[b"attribute"]
    readings = _readings(value)
    if b"+" in value:  # a form's space; last, because a URL's plus is likelier a plus
        readings = tuple(dict.fromkeys((*readings, text_of(unquote_to_bytes(value.replace(b"+", b" "))))))
    return Question(
        readings,
        unquote(raw[b"listId"].decode("latin-1")),
        unquote(raw.get(b"accountId", b"").decode("latin-1")),
    )


def _readings(raw: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys((text_of(raw), text_of(unquote_to_bytes(raw)))))


def text_of(raw: bytes) -> str:
    """Node sends characters up to U+00FF as one Latin-1 byte; everyone else sends UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
