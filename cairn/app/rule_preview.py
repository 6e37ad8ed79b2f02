"""What a connection's rules make of recent events, step by step, before they are saved."""

from typing import Any

import msgspec
from msgspec import Struct

from cairn.analysis.events import Filter, LiveEvent
from cairn.app.call import Call
from cairn.app.connections import get_connection
from cairn.app.deliveries import list_samples
from cairn.app.events import latest_events
from cairn.app.sources import get_source
from cairn.clock import to_ms
from cairn.errors import InvalidInput
from cairn.event import Kind
from cairn.outcomes import Outcome
from cairn.routing import integrations
from cairn.routing.catalogue import catalogue
from cairn.routing.connections import Connection
from cairn.routing.decide import Discarded, TracedStep, name_of, trace
from cairn.routing.destination import Destination
from cairn.routing.device_mode import BROWSER_NAMES
from cairn.routing.message import Message
from cairn.routing.rules import Rules
from cairn.wire.times import iso_text
from cairn.workspace.environment import Environment

MOST_EVENTS = 10
_CALLS: dict[str, str] = {Kind.PAGEVIEW: "page", Kind.VIEW: "screen", Kind.IDENTIFY: "identify"}


class Previewed(Struct, frozen=True):
    """One event under the rules."""

    message: Message
    steps: list[TracedStep]

    @property
    def discarded(self) -> Discarded | None:
        result = self.steps[-1].result
        return result if isinstance(result, Discarded) else None

    @property
    def sent(self) -> Message | None:
        result = self.steps[-1].result
        return result if isinstance(result, Message) else None

    @property
    def warnings(self) -> list[str]:
        """What its sender seems to have meant otherwise."""
        names = (*BROWSER_NAMES, *map(name_of, catalogue()))
        return integrations.warnings(self.message.body.get("integrations"), names)


def recent_messages(call: Call, environment: Environment, connection_id: int) -> list[Message]:
    """As they were sent, where delivery kept samples; else as the analytics stored them. Raises ConnectionNotFound."""
    samples = list_samples(call, environment, connection_id, limit=3 * MOST_EVENTS)
    messages = [message for sample in samples if (message := _message(sample.message)) is not None]
    newest = {message.position: message for message in messages}
    if newest:
        return list(newest.values())[:MOST_EVENTS]
    stored = get_connection(call, environment, connection_id).connection
    return _stored_events(call, environment, stored)


def preview(rules: Rules, destination: Destination, messages: list[Message]) -> list[Previewed]:
    return [Previewed(message, trace(message, rules, destination)) for message in messages]


def typed_message(call: Call, text: str) -> Message:
    """An event that somebody wrote. Raises InvalidInput naming the field."""
    try:
        body = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:
        raise InvalidInput("event: expected one JSON object, as clients send it", field="event") from error
    return _of_body(0, body, to_ms(call.now))


def _message(fields: Any) -> Message | None:  # Any: JSON, also what is none
    try:
        return msgspec.convert({**fields, "position": int(fields["position"])}, Message)
    except (TypeError, KeyError, ValueError, msgspec.ValidationError):
        return None


def _stored_events(call: Call, environment: Environment, stored: Connection) -> list[Message]:
    source = get_source(call, environment, stored.source_id)
    only = Filter(source=source.name, outcome=Outcome.ACCEPTED)
    latest = latest_events(call, environment, only, limit=MOST_EVENTS)
    return [_of_body(event.event_id, _body(event), event.received_ms) for event in latest]


def _body(event: LiveEvent) -> dict[str, Any]:
    call = _CALLS.get(event.kind, "track")
    body: dict[str, Any] = {"type": call, "timestamp": iso_text(event.time_ms)}
    if call == "track":
        body["event"] = event.name
    if event.user:
        body["userId"] = event.user
    return {**body, "traits" if call == "identify" else "properties": dict(event.properties)}


def _of_body(position: int, body: dict[str, Any], at_ms: int) -> Message:
    def text(name: str) -> str:
        value = body.get(name)
        return value if isinstance(value, str) else ""

    kind = text("type") or "track"
    event = text("event" if kind == "track" else "name") if kind in ("track", "page", "screen") else ""
    identity, anonymous = text("userId"), text("anonymousId")
    message_id = text("messageId") or str(position)
    return Message(position, 0, kind, event, identity, anonymous, message_id, at_ms, at_ms, body)
