"""Heap, the classic destination in cloud mode: to a Heap host, or to the Heap API of another Cairn.

Source: contracts/segment.md 5.1 column B and 5.3.
"""

from collections.abc import Sequence
from datetime import datetime

from cairn.routing.body import JsonObject, context_of, object_at, text_at
from cairn.routing.destination import Configuration, Destination, Request, Setting
from cairn.routing.flat import classic
from cairn.routing.heap_cloud import check_app_id
from cairn.routing.heap_email import email_of
from cairn.routing.message import Message
from cairn.routing.payload import post_json, rejected
from cairn.wire.times import iso_text

HOST = "https://heapanalytics.com"
LONGEST_IDENTITY = 255  # characters, Heap's limit
LONGEST_EVENT = 1_024  # characters of an event's name, Heap's limit

_SETTINGS = (
    Setting(
        "app_id",
        "App id",
        "The id of the environment in Heap: Account, Manage, Projects. For another Cairn, its environment's app id.",
        is_required=True,
    ),
    Setting(
        "host",
        "Host",
        f"{HOST}, https://c.eu.heap-api.com in the European Union, or the address of another Cairn.",
        kind="url",
        is_required=True,
        default=HOST,
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    return [_request(message, configuration) for message in messages]


def _request(message: Message, configuration: Configuration) -> Request:
    check_identity(message.user_id)
    if message.kind == "identify":
        path, body = "add_user_properties", _user(message)
    else:
        path, body = "track", _event(message)
    document = {"app_id": configuration.settings["app_id"], "identity": message.user_id, **body}
    return Request(post_json(f"{_host(configuration)}/api/{path}", document), (message.position,))


def check_identity(user_id: str) -> None:
    """Raises NotForDestination."""
    if not user_id:
        raise rejected("userId: is missing; Heap's classic destination takes events of identified users only")
    if len(user_id) > LONGEST_IDENTITY:
        raise rejected(f"userId: has {len(user_id)} characters; Heap takes {LONGEST_IDENTITY}")


def _event(message: Message) -> JsonObject:
    if not message.event:
        raise rejected("event: is missing; a track call needs a name")
    if len(message.event) > LONGEST_EVENT:
        raise rejected(f"event: has {len(message.event)} characters; Heap takes {LONGEST_EVENT}")
    properties = dict(object_at(message.body, "properties"))
    own = properties.pop("email") if isinstance(properties.get("email"), str) else None
    traits = object_at(context_of(message), "traits")
    flat = classic(properties)
    if email := email_of(own, traits, message.user_id, is_identify=False):
        flat["_email"] = email
    flat["segment_library"] = _library(message)
    return {"event": message.event, "timestamp": iso_text(message.time_ms), "properties": flat}


def _user(message: Message) -> JsonObject:
    """`id` and `_email` stand where `email` stood, else at the end."""
    traits = object_at(message.body, "traits")
    email = email_of(traits.get("email"), None, message.user_id, is_identify=True)
    known = {"id": message.user_id, **({"_email": email} if email else {})}
    renamed: JsonObject = {}
    for key, value in traits.items():
        if key == "email" and isinstance(value, str):
            renamed |= known
        else:
            renamed[key] = value
    return {"properties": {**classic(renamed | known), "segment_library": _library(message)}}


def _library(message: Message) -> str:
    return text_at(object_at(context_of(message), "library"), "name")


def _host(configuration: Configuration) -> str:
    return str(configuration.settings["host"]).rstrip("/")


def _trial(configuration: Configuration, now: datetime) -> Request:
    """Heap has no call that only asks, so one event of a user made for it shows whether the app id is right."""
    document = {
        "app_id": configuration.settings["app_id"],
        "identity": "cairn-connection-test",
        "event": "Connection tested",
        "timestamp": iso_text(int(now.timestamp() * 1_000)),
        "properties": {},
    }
    return Request(post_json(f"{_host(configuration)}/api/track", document), ())


DESTINATION = Destination(
    slug="heap_classic",
    name="Heap (classic)",
    integration="Heap",
    summary="Sends track and identify calls of known users to Heap, or to the Heap API of another Cairn.",
    settings=_SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "identify")),
    check=check_app_id,
    trial=_trial,
)
