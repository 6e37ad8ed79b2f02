"""Heap Cloud (Actions): Segment's second Heap destination. Source: contracts/segment.md 5.1 column D and 5.5."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cairn.routing.body import JsonObject
from cairn.routing.destination import Configuration, Destination, Preset, Request
from cairn.routing.flat import as_text, with_indexes
from cairn.routing.heap_cloud import LIBRARY, MARKER, SETTINGS, Fields, check_app_id, event_name, host_of
from cairn.routing.message import Message
from cairn.routing.payload import post_json, rejected
from cairn.wire.refusal import Rejected
from cairn.wire.times import epoch_ms, iso_text

PRESETS = (
    Preset(
        "Track Calls",
        frozenset(("track", "page", "screen")),
        {
            "message_id": {"@path": "$.messageId"},
            "anonymous_id": {"@path": "$.anonymousId"},
            "event": {"@path": "$.event"},
            "properties": {"@path": "$.properties"},
            "timestamp": {"@path": "$.timestamp"},
            "type": {"@path": "$.type"},
            "name": {"@path": "$.name"},
            "traits": {"@path": "$.context.traits"},
        },
        more=("identity",),
    ),
    Preset(
        "Identify Calls",
        frozenset(("identify",)),
        {
            "user_id": {"@path": "$.userId"},
            "anonymous_id": {"@path": "$.anonymousId"},
            "traits": {"@path": "$.traits"},
        },
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    requests: list[Request] = []
    for message in messages:
        fields = Fields(message, PRESETS)
        made = _user(fields) if message.kind == "identify" else _event(fields, message)
        for path, document in made:
            call = post_json(
                f"{host_of(configuration)}/api/{path}",
                {"app_id": configuration.settings["app_id"], **document},
            )
            requests.append(Request(call, (message.position,)))
    return requests


def _user(fields: Fields) -> list[tuple[str, JsonObject]]:
    identity = fields.text("user_id")
    if not _is_defined(identity):
        raise rejected("userId: is missing; Heap adds user properties to an identity only")
    anonymous_id = fields.text("anonymous_id")
    return [("add_user_properties", _user_properties(identity, anonymous_id, fields.object("traits")))]


def _user_properties(identity: str, anonymous_id: str, traits: JsonObject) -> JsonObject:
    linked = {"anonymous_id": anonymous_id} if anonymous_id else {}
    return {"identity": identity, "properties": {**linked, **with_indexes(traits, as_text)}}


def _event(fields: Fields, message: Message) -> list[tuple[str, JsonObject]]:
    identity, anonymous_id = fields.text("identity"), fields.text("anonymous_id")
    made: list[tuple[str, JsonObject]] = []
    traits = fields.object("traits")
    if _is_defined(identity) and (_is_defined(anonymous_id) or traits):
        known = anonymous_id if _is_defined(anonymous_id) else ""
        made.append(("add_user_properties", _user_properties(identity, known, traits)))
    name = fields.text("name")
    event = {
        "event": event_name(fields),
        "idempotency_key": fields.text("message_id") or message.message_id,
        **_timestamp(fields.value("timestamp")),
        "user_identifier": _user_identifier(identity, anonymous_id),
        "custom_properties": {
            **MARKER,
            **with_indexes(fields.object("properties"), as_text),
            **({"name": name} if _is_defined(name) else {}),
        },
    }
    return [*made, ("integrations/track", {"library": LIBRARY, "events": [event]})]


def _user_identifier(identity: str, anonymous_id: str) -> dict[str, str]:
    if _is_defined(identity):
        return {"identity": identity}
    if _is_defined(anonymous_id):
        return {"anonymous_id": anonymous_id}
    raise rejected("anonymousId: is missing; Heap needs it, or an identity that the mapping names")


def _timestamp(value: Any) -> dict[str, str]:  # Any: JSON
    """Nothing where it is no time: Heap then takes its own."""
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return {}
    try:
        return {"timestamp": iso_text(epoch_ms(value, "timestamp"))}
    except (Rejected, OverflowError):
        return {}


def _is_defined(text: str) -> bool:
    """Here "0" counts as no id."""
    return text not in ("", "0")


def _trial(configuration: Configuration, now: datetime) -> Request:
    """One event of an anonymous user made for it: Heap has no call that only asks."""
    event = {
        "event": "Connection tested",
        "idempotency_key": f"cairn-connection-test-{int(now.timestamp())}",
        "user_identifier": {"anonymous_id": "cairn-connection-test"},
        "custom_properties": MARKER,
    }
    document = {"app_id": configuration.settings["app_id"], "library": LIBRARY, "events": [event]}
    return Request(post_json(f"{host_of(configuration)}/api/integrations/track", document), ())


DESTINATION = Destination(
    slug="heap_cloud_actions",
    name="Heap Cloud (Actions)",
    summary="Sends track, page, screen and identify calls to Heap, also of anonymous users; a repeat is recognised.",
    settings=SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "page", "screen", "identify")),
    presets=PRESETS,
    check=check_app_id,
    trial=_trial,
)
