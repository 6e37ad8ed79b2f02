"""Messages for tests of routing, and what destinations get that nobody meant to send."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from cairn.routing.destination import Configuration, Destination, NotForDestination, Request
from cairn.routing.message import Message
from cairn.wire.times import iso_text

NOW = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
TIME_MS = 1_772_359_499_100  # 2026-03-01T10:04:59.100Z


def message(kind: str = "track", /, *, position: int = 1, time_ms: int = TIME_MS, **body: Any) -> Message:
    """As routing makes it of a call: `body` is what its sender wrote."""
    user_id, anonymous_id = body.get("userId") or "", body.get("anonymousId") or ""
    message_id = body.get("messageId") or f"msg-{position:08}"
    return Message(
        position=position,
        source_id=3,
        kind=kind,
        event=body.get("event" if kind == "track" else "name") or "",
        user_id=user_id,
        anonymous_id=anonymous_id,
        message_id=message_id,
        received_ms=time_ms + 1_000,
        time_ms=time_ms,
        body={**body, "type": kind, "messageId": message_id, "timestamp": iso_text(time_ms)},
    )


def configured(destination: Destination, **typed: Any) -> Configuration:
    """Settings as a connection has them: every key, with its default where nothing else was typed."""
    settings = {s.key: typed.get(s.key, s.default) for s in destination.settings if s.kind != "secret"}
    secrets = {s.key: typed.get(s.key, "") for s in destination.settings if s.kind == "secret"}
    return Configuration(settings, secrets)


def prepared(
    destination: Destination, messages: Sequence[Message] | Message, **settings: Any
) -> list[Request]:
    messages = [messages] if isinstance(messages, Message) else messages
    return destination.prepare(messages, configured(destination, **settings), NOW)


def refusal(destination: Destination, sent: Message, **settings: Any) -> str:
    """Why the destination never gets this message."""
    with pytest.raises(NotForDestination) as caught:
        prepared(destination, sent, **settings)
    return f"{caught.value.reason}: {caught.value.detail}"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


_ODD: dict[str, Any] = {
    "nothing": {},
    "null": {"x": None},
    "nul character": {"a\0b": "c\0d"},
    "half a character": {"\ud800": "\udfff", "list": ["\ud800"]},
    "not a number": {"x": float("nan"), "y": [float("inf")]},
    "300 digits": {"x": 10**300, "y": [10**300], "z": {"a": -(10**300)}},
    "long text": {"x": "ü" * 30_000},
    "many keys": {f"k{index}": index for index in range(3_000)},
    "empty containers": {"x": {}, "y": [], "z": [[], {}]},
    "odd keys": {"": 1, ".": 2, "a.b": 3, "__proto__": 4, "$x": 5, "@path": 6},
    "quotes and lines": {"x": '"\\\r\n\u2028</script>', "y": "{{event}}"},
    "mixed": {"x": [1, "a", None, True, {"b": [1.5]}], "y": -0.0, "z": 1e-7},
}
# Every one is sent, or refused with a reason; none raises anything else.
HOSTILE = [pytest.param(value, id=name) for name, value in _ODD.items()] + [
    pytest.param(nested(20), id="deep"),
    pytest.param(nested(5_000), id="too deep"),
    pytest.param({"a": [[[[[[[1]]]]]]]}, id="lists in lists"),
]
KINDS = ("track", "identify", "page", "screen", "group", "alias")


def hostile_messages(value: Any) -> list[Message]:
    """The same odd value wherever a message may hold one, in every kind of message."""
    context = {"traits": value, "library": value, "page": value, "ip": value}
    return [
        message(
            kind,
            userId="u1",
            anonymousId="an1",
            event="Odd",
            name="Odd",
            groupId="g1",
            previousId="p1",
            properties=value,
            traits=value,
            context=context,
            integrations=value,
        )
        for kind in KINDS
    ] + [message(kind, userId="u1", event="Odd", properties=[value], traits=7, context="x") for kind in KINDS]


def survives(destination: Destination, value: Any, **settings: Any) -> int:
    """How many requests a hostile value gave. Fails where anything but a reasoned refusal is raised."""
    made = 0
    for sent in hostile_messages(value):
        if sent.kind not in destination.kinds:
            continue
        try:
            requests = prepared(destination, sent, **settings)
        except NotForDestination as refused:
            assert ":" in refused.detail
            continue
        made += len(requests)
        for request in requests:
            assert request.positions in ((sent.position,), ())
            assert "\n" not in request.call.url and "\r" not in "".join(request.call.headers.values())
            request.call.body.decode()
    return made
