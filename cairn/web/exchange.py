"""Events, requests and answers as text that people read. Pure."""

from typing import Any

import msgspec

LONGEST_SHOWN = 4_000  # characters of an event


def json_text(value: Any) -> str:  # Any: JSON
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except (UnicodeEncodeError, RecursionError, ValueError, OverflowError):
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def exchange_text(value: Any) -> str:  # Any: JSON, as delivery keeps a request or an answer
    """As it goes over the wire: the first line, headers, the body; empty where there was none."""
    if value is None:
        return ""
    if not isinstance(value, dict):
        return json_text(value)
    first = " ".join(str(value[name]) for name in ("method", "url", "status") if name in value)
    headers = value.get("headers") or {"content-type": value.get("content_type", "")}
    lines = [f"{name}: {text}" for name, text in headers.items()] if isinstance(headers, dict) else []
    return "\n".join((first, *lines, "", _body_text(str(value.get("body", "")))))


def _body_text(text: str) -> str:
    try:
        return json_text(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text
