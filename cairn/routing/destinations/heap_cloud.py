"""Heap Cloud: Segment's newest Heap destination. Source: contracts/segment.md 5.1 column E and 5.6."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cairn.ids import MAX_USER_ID
from cairn.routing.body import JsonObject
from cairn.routing.destination import Configuration, Destination, Preset, Request, Setting
from cairn.routing.flat import NestedMode, as_is, as_text, with_indexes
from cairn.routing.heap_cloud import LIBRARY, MARKER, SETTINGS, Fields, check_app_id, event_name, host_of
from cairn.routing.message import Message
from cairn.routing.payload import post_json, rejected
from cairn.wire.refusal import Rejected
from cairn.wire.times import epoch_ms

_LONGEST_IDENTITY = 255  # characters, Heap's limit
_SHORTEST_KEY = 8  # characters of an idempotency key, Heap's limit
_LONGEST_EMAIL = 320  # characters

_EMAIL = {
    "@if": {
        "exists": {"@path": "$.email"},
        "then": {"@path": "$.email"},
        "else": {"@path": "$.context.traits.email"},
    }
}
_FIELDS = {
    "event": {"@path": "$.event"},
    "name": {"@path": "$.name"},
    "identity": {"@path": "$.userId"},
    "anonymous_id": {"@path": "$.anonymousId"},
    "email": _EMAIL,
    "properties": {"@path": "$.properties"},
    "timestamp": {"@path": "$.timestamp"},
    "message_id": {"@path": "$.messageId"},
}


def _preset(name: str, kind: str, traits: str) -> Preset:
    return Preset(
        name, frozenset((kind,)), {**_FIELDS, "type": kind, "traits": {"@path": traits}}, ("user_id",)
    )


PRESETS = (
    _preset("Send Event", "track", "$.context.traits"),
    _preset("Send Page", "page", "$.context.traits"),
    _preset("Send Screen", "screen", "$.context.traits"),
    _preset("Send User", "identify", "$.traits"),
)
_SETTINGS = (
    *SETTINGS,
    Setting(
        "nested_properties",
        "Objects and arrays",
        "What becomes of properties and traits that are objects or arrays.",
        kind="choice",
        default="flatten",
        choices=(
            ("flatten", "Flatten: address.city, foods.0"),
            ("stringify", "Stringify: one text of JSON"),
            ("drop", "Drop: not sent"),
        ),
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    return [
        Request(_post(path, document, configuration), (message.position,))
        for message in messages
        for path, document in _calls(message, configuration)
    ]


def _post(path: str, document: JsonObject, configuration: Configuration) -> Any:
    whole = {"app_id": configuration.settings["app_id"], "library": LIBRARY, **document}
    return post_json(f"{host_of(configuration)}/api/integrations/{path}", whole)


def _calls(message: Message, configuration: Configuration) -> list[tuple[str, JsonObject]]:
    """Paths and bodies: the user's properties first, where there are any, then the event, where it is one."""
    fields = Fields(message, PRESETS)
    mode: NestedMode = configuration.settings["nested_properties"]
    identity = _identity(fields)
    traits = with_indexes(fields.object("traits"), as_is, mode)
    is_identify = fields.text("type") == "identify"
    _check_identified(identity, traits, is_identify=is_identify)
    calls: list[tuple[str, JsonObject]] = []
    if traits:
        user = {"user_identifier": {"identity": identity}, "custom_properties": traits}
        calls.append(("add_user_properties", {"users": [user]}))
    if not is_identify:
        calls.append(("track", {"events": [_event(fields, identity, mode, message)]}))
    return calls


def _identity(fields: Fields) -> str:
    identity = fields.text("identity").strip()
    if len(identity) > _LONGEST_IDENTITY:
        raise rejected(f"userId: has {len(identity)} characters; Heap takes {_LONGEST_IDENTITY}")
    return identity


def _check_identified(identity: str, traits: JsonObject, *, is_identify: bool) -> None:
    """Raises NotForDestination."""
    if is_identify and not identity:
        raise rejected("userId: is missing; an identify call needs it")
    if traits and not identity:
        raise rejected("userId: is missing; Heap adds user properties (context.traits) to an identity only")
    if is_identify and not traits:
        raise rejected("traits: are empty; an identify call needs at least one")


def _event(fields: Fields, identity: str, mode: NestedMode, message: Message) -> JsonObject:
    name = fields.text("name")
    event = {
        "event": event_name(fields),
        "user_identifier": _user_identifier(fields, identity),
        "custom_properties": {
            **MARKER,
            **with_indexes(fields.object("properties"), as_text, mode),
            **({"name": name} if name.strip() else {}),
        },
        "idempotency_key": _idempotency_key(fields.text("message_id") or message.message_id),
    }
    timestamp = fields.value("timestamp")
    return event if timestamp is None else {**event, "timestamp": _checked_time(timestamp)}


def _user_identifier(fields: Fields, identity: str) -> dict[str, str]:
    known = {
        "identity": identity,
        "anonymous_id": fields.text("anonymous_id").strip(),
        "user_id": _heap_user_id(fields.text("user_id").strip()),
        "email": _email(fields.value("email")),
    }
    identifier = {name: text for name, text in known.items() if text}
    if not identifier:
        raise rejected("userId: is missing, and anonymousId and e-mail too; Heap needs one of them")
    return identifier


def _heap_user_id(text: str) -> str:
    """Heap's own number of a user. Raises NotForDestination for anything else, as a Segment userId."""
    if text and not (
        text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= MAX_USER_ID + 1
    ):
        raise rejected("user_id: must be Heap's own numeric id; map the Segment userId to identity instead")
    return text


def _email(value: Any) -> str:  # Any: JSON
    """Empty for what cannot be an address: it is one identifier of several and never costs the event."""
    email = value.strip() if isinstance(value, str) else ""
    name, at, host = email.rpartition("@")
    is_address = bool(name and at and host) and " " not in email and len(email) <= _LONGEST_EMAIL
    return email if is_address and email.isprintable() else ""


def _idempotency_key(message_id: str) -> str:
    """Heap refuses shorter ones."""
    return message_id if len(message_id) >= _SHORTEST_KEY else f"segment-{message_id}"


def _checked_time(value: Any) -> Any:  # Any: JSON
    """As it was given. Raises NotForDestination."""
    try:
        if not isinstance(value, bool) and isinstance(value, str | int | float):
            epoch_ms(value, "timestamp")
            return value
    except (Rejected, OverflowError):
        pass
    raise rejected("timestamp: is not a time; map one in ISO 8601 or epoch milliseconds to it")


def _trial(configuration: Configuration, now: datetime) -> Request:
    """One event of an anonymous user made for it: Heap has no call that only asks."""
    event = {
        "event": "Connection tested",
        "user_identifier": {"anonymous_id": "cairn-connection-test"},
        "custom_properties": MARKER,
        "idempotency_key": f"cairn-connection-test-{int(now.timestamp())}",
    }
    return Request(_post("track", {"events": [event]}, configuration), ())


DESTINATION = Destination(
    slug="heap_cloud",
    name="Heap Cloud",
    summary="Sends track, page, screen and identify calls to Heap with every identifier; traits keep their types.",
    settings=_SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "page", "screen", "identify")),
    presets=PRESETS,
    check=check_app_id,
    trial=_trial,
)
