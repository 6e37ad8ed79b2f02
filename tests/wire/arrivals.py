"""Arrivals for parser tests, and what came of them in short."""

import json
from collections.abc import Sequence
from typing import Any

from cairn.event import Arrival, Draft, Refused
from cairn.routing.destinations import heap_builtin
from cairn.wire.parsers import PARSERS, Event
from cairn.wire.segment_call import CheckedCall

NOW_MS = 1_772_362_800_000  # 2026-03-01T11:00:00Z
APP = 7


def arrival(parser: str, body: Any, **extra: Any) -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Arrival(parser, APP, 3, "shop", NOW_MS, "203.0.113.9", "curl/8", raw, extra)


def parse(parser: str, body: Any, **extra: Any) -> list[Draft | Refused]:
    return delivered(PARSERS[parser](arrival(parser, body, **extra)))


def delivered(events: Sequence[Event]) -> list[Draft | Refused]:
    """Segment's calls as the built-in Heap destination takes them."""
    return [heap_builtin.deliver(event) if isinstance(event, CheckedCall) else event for event in events]


def outcome(event: Draft | Refused) -> str:
    """ "draft", or the reason."""
    return event.reason.value if isinstance(event, Refused) else "draft"


def draft(parser: str, body: Any, **extra: Any) -> Draft:
    [event] = parse(parser, body, **extra)
    assert isinstance(event, Draft), event
    return event


def refused(parser: str, body: Any, **extra: Any) -> Refused:
    [event] = parse(parser, body, **extra)
    assert isinstance(event, Refused), event
    return event
