"""Another router with Segment's HTTP API: Segment itself, RudderStack, Jitsu, or another Cairn.

Source: contracts/segment.md 1.1, 1.2, 1.3 and 1.5.
"""

import base64
from collections.abc import Sequence
from datetime import datetime

from cairn.http_client import Call
from cairn.routing.body import JsonObject
from cairn.routing.destination import Batch, Configuration, Destination, Request, Setting
from cairn.routing.message import Message
from cairn.routing.payload import JSON_HEADERS, json_bytes, rejected, with_secret
from cairn.wire.segment import MOST_EVENT_BYTES
from cairn.wire.times import iso_text

# Of the 500 KB that a batch may have, with room for what stands around its events.
_MOST_BATCH_BYTES = 480_000
_MOST_EVENTS = 500  # of the 2,500 that a batch may have
# What a router adds by itself, or what is about our own request.
_ADDED = frozenset(
    ("receivedAt", "originalTimestamp", "sentAt", "version", "projectId", "writeKey", "channel")
)

_SETTINGS = (
    Setting(
        "host",
        "Host",
        "Of the other router: https://api.segment.io, a RudderStack data plane, or another Cairn.",
        kind="url",
        is_required=True,
    ),
    Setting(
        "write_key", "Write key", "Of the source there that takes the calls.", kind="secret", is_required=True
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    requests: list[Request] = []
    events: list[bytes] = []
    positions: list[int] = []
    size = 0
    for message in messages:
        event = _event(message)
        if events and size + len(event) + 1 > _MOST_BATCH_BYTES:
            requests.append(Request(_call(events, configuration, now), tuple(positions)))
            events, positions, size = [], [], 0
        events.append(event)
        positions.append(message.position)
        size += len(event) + 1
    return [*requests, Request(_call(events, configuration, now), tuple(positions))]


def _event(message: Message) -> bytes:
    """As its sender wrote it, with its id and the time by our clock. Raises NotForDestination."""
    body: JsonObject = {key: value for key, value in message.body.items() if key not in _ADDED}
    if not (message.user_id or message.anonymous_id):
        raise rejected("userId: is missing, and anonymousId too; the other router needs one of them")
    event = json_bytes({**body, "messageId": message.message_id, "timestamp": iso_text(message.time_ms)})
    if len(event) > MOST_EVENT_BYTES:
        raise rejected(f"the message: has {len(event)} bytes; Segment's API takes {MOST_EVENT_BYTES} at most")
    return event


def _call(events: list[bytes], configuration: Configuration, now: datetime) -> Call:
    # The other router subtracts `sentAt` from its clock to set `timestamp` right: by our clock both are.
    sent_at = iso_text(int(now.timestamp() * 1_000)).encode()
    body = b'{"batch":[' + b",".join(events) + b'],"sentAt":"' + sent_at + b'"}'
    url = f"{str(configuration.settings['host']).rstrip('/')}/v1/batch"
    key = base64.b64encode(f"{configuration.secrets['write_key']}:".encode()).decode()
    return with_secret(Call("POST", url, JSON_HEADERS, body), {"authorization": f"Basic {key}"})


def _check(configuration: Configuration) -> dict[str, str]:
    problems = {}
    if "?" in configuration.settings["host"] or "#" in configuration.settings["host"]:
        problems["host"] = "expected an address without ? and #; /v1/batch is added to it"
    if not configuration.secrets["write_key"].isprintable():
        problems["write_key"] = "expected characters that can be shown"
    return problems


def _trial(configuration: Configuration, now: datetime) -> Request:
    """One track call that nobody can take for a user's."""
    event = {
        "type": "track",
        "event": "Connection tested",
        "anonymousId": "cairn-connection-test",
        "messageId": f"cairn-connection-test-{int(now.timestamp())}",
    }
    return Request(_call([json_bytes(event)], configuration, now), ())


DESTINATION = Destination(
    slug="segment_http",
    name="Segment-compatible HTTP",
    summary="Forwards calls of every type to another router: Segment, RudderStack, Jitsu, or another Cairn.",
    settings=_SETTINGS,
    prepare=_prepare,
    batch=Batch(_MOST_EVENTS, _MOST_BATCH_BYTES),
    check=_check,
    trial=_trial,
)
