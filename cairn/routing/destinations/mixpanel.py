"""Mixpanel: events by /import, users by /engage, groups by /groups.

Source: docs.mixpanel.com, "Import Events", "Set Property" (user and group profiles), "Identifying Users (Simplified)"
and "Create a Deletion".
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from cairn.http_client import Answer, Call
from cairn.http_client.retry import said
from cairn.routing.answer import judge
from cairn.routing.body import JsonObject, context_of, object_at, text_at
from cairn.routing.destination import Batch, Configuration, Destination, Request, Setting, Verdict
from cairn.routing.message import Message
from cairn.routing.payload import post_json, rejected, with_secret

_MOST_EVENTS = 2_000  # of a request
_MOST_BYTES = 1_900_000  # of the 2 MB that a request could always have; 10 MB by now
_MOST_PROPERTIES = 255  # of an event
_MOST_DELETED = 2_000  # users of a request
_MOST_AHEAD_MS = 3_600_000
_LONGEST_ID = 255  # characters
_INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
# What Mixpanel takes for a mistake of whoever sends it, as an id of a user and of an event.
_PLACEHOLDERS = frozenset(
    (
        "00000000-0000-0000-0000-000000000000",
        "anon",
        "anonymous",
        "nil",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "unknown",
        "lmy47d",
        "-1",
        "0",
        "true",
        "false",
        "[]",
        "{}",
        "<nil>",
    )
)
_HOSTS = {
    "us": ("https://api.mixpanel.com", "https://mixpanel.com"),
    "eu": ("https://api-eu.mixpanel.com", "https://eu.mixpanel.com"),
    "in": ("https://api-in.mixpanel.com", "https://in.mixpanel.com"),
}
_EVENT, _USER, _GROUP = "/import?strict=1", "/engage?strict=1&verbose=1", "/groups?strict=1&verbose=1"

# Traits under the names of Mixpanel's own properties.
_TRAITS = {
    "email": "$email",
    "name": "$name",
    "firstName": "$first_name",
    "first_name": "$first_name",
    "lastName": "$last_name",
    "last_name": "$last_name",
    "phone": "$phone",
    "avatar": "$avatar",
    "createdAt": "$created",
    "created_at": "$created",
}
# Of the context: where a value is, and its name there.
_CONTEXT = (
    ("page", "url", "$current_url"),
    ("page", "referrer", "$referrer"),
    ("os", "name", "$os"),
    ("os", "version", "$os_version"),
    ("device", "model", "$model"),
    ("device", "manufacturer", "$manufacturer"),
    ("app", "version", "$app_version_string"),
    ("library", "name", "mp_lib"),
    ("library", "version", "$lib_version"),
    ("campaign", "name", "utm_campaign"),
    ("campaign", "source", "utm_source"),
    ("campaign", "medium", "utm_medium"),
    ("campaign", "term", "utm_term"),
    ("campaign", "content", "utm_content"),
)

_SETTINGS = (
    Setting(
        "project_token",
        "Project token",
        "Project settings, Overview, Access keys.",
        is_required=True,
    ),
    Setting(
        "region",
        "Data residency",
        "Where the project keeps its data.",
        kind="choice",
        default="us",
        choices=(("us", "United States"), ("eu", "European Union"), ("in", "India")),
    ),
    Setting(
        "group_key",
        "Group key",
        "Project settings, Group keys: what group calls are about. Events name the group by it too.",
        default="$group_id",
    ),
    Setting(
        "gdpr_token",
        "Deletion token",
        "Personal settings, Data and privacy: an OAuth token, with which deleting a user here deletes them there too.",
        kind="secret",
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    """Neighbours that go to the same address go together, so that order is kept."""
    entries = [entry for message in messages for entry in _entries(message, configuration, now)]
    requests = []
    for path, group in groupby(entries, key=lambda entry: entry[0]):
        members = list(group)
        call = _post(path, [document for _, document, _ in members], configuration)
        requests.append(Request(call, tuple(position for _, _, position in members)))
    return requests


def _entries(
    message: Message, configuration: Configuration, now: datetime
) -> Iterator[tuple[str, JsonObject, int]]:
    """Of a message: the address, the document, and whose it is."""
    if message.kind == "identify":
        yield _USER, _user(message, configuration), message.position
    elif message.kind == "group":
        for path, document in _group(message, configuration):
            yield path, document, message.position
    else:
        yield _EVENT, _event(message, configuration, now), message.position


def _event(message: Message, configuration: Configuration, now: datetime) -> JsonObject:
    if message.time_ms > int(now.timestamp() * 1_000) + _MOST_AHEAD_MS:
        raise rejected("timestamp: over an hour ahead; Mixpanel takes no events of the future")
    properties = {
        **_context_properties(message, configuration),
        **object_at(message.body, "properties"),
        **_who(message),
        "time": message.time_ms,
        "$insert_id": _insert_id(message.message_id),
    }
    if len(properties) > _MOST_PROPERTIES:
        raise rejected(
            f"properties: {len(properties)} with those that Cairn adds; Mixpanel takes {_MOST_PROPERTIES}"
        )
    return {"event": _event_name(message), "properties": properties}


def _event_name(message: Message) -> str:
    if message.kind == "track":
        if not 0 < len(message.event) <= _LONGEST_ID:
            raise rejected(f"event: has {len(message.event)} characters; Mixpanel takes 1 to {_LONGEST_ID}")
        return message.event
    what = "Page" if message.kind == "page" else "Screen"
    name = message.event[: _LONGEST_ID - len("Viewed  Screen")]
    return f"Viewed {name} {what}" if name else f"Loaded a {what}"


def _who(message: Message) -> JsonObject:
    """Both ids where both are there, which is how Mixpanel learns that they are one person."""
    user_id, device_id = _checked(message.user_id), message.anonymous_id
    if _is_placeholder(device_id) or len(device_id) > _LONGEST_ID:
        device_id = ""
    who: JsonObject = {"distinct_id": user_id or (f"$device:{device_id}" if device_id else "")}
    if device_id:
        who["$device_id"] = device_id
    if user_id:
        who["$user_id"] = user_id
    return who


def _checked(user_id: str) -> str:
    """Raises NotForDestination for an id that Mixpanel refuses."""
    if _is_placeholder(user_id):
        raise rejected(f"userId: {user_id[:50]!r} names no one, so Mixpanel refuses it")
    if len(user_id) > _LONGEST_ID:
        raise rejected(f"userId: has {len(user_id)} characters; Mixpanel takes {_LONGEST_ID}")
    return user_id


def _is_placeholder(text: str) -> bool:
    return text.strip().lower() in _PLACEHOLDERS


def _insert_id(message_id: str) -> str:
    """The message's id where Mixpanel takes it; else one that is the same for the same message."""
    if _INSERT_ID.fullmatch(message_id) and message_id.lower() not in _PLACEHOLDERS:
        return message_id
    return hashlib.sha256(message_id.encode("utf-8", "replace")).hexdigest()[:36]


def _context_properties(message: Message, configuration: Configuration) -> JsonObject:
    context = context_of(message)
    properties = {
        name: value for group, key, name in _CONTEXT if (value := text_at(object_at(context, group), key))
    }
    if ip := text_at(context, "ip"):
        properties["ip"] = ip
    if group_id := text_at(context, "groupId"):
        properties[_group_key(configuration)] = group_id
    return properties


def _user(message: Message, configuration: Configuration) -> JsonObject:
    if not message.user_id:
        raise rejected("userId: is missing; Mixpanel keeps profiles of known users only")
    traits = object_at(message.body, "traits")
    if not traits:
        raise rejected("traits: are empty; there is nothing to set")
    profile = {_TRAITS.get(key, key): value for key, value in traits.items()}
    # Without `$ip` Mixpanel would place the user where Cairn is.
    ip = text_at(context_of(message), "ip") or "0"
    return {**_profile(message, configuration), "$ip": ip, "$set": profile}


def _profile(message: Message, configuration: Configuration) -> JsonObject:
    return {"$token": configuration.settings["project_token"], "$distinct_id": _checked(message.user_id)}


def _group(message: Message, configuration: Configuration) -> Iterator[tuple[str, JsonObject]]:
    """The group's properties, and that the user belongs to it."""
    key, group_id = _group_key(configuration), text_at(message.body, "groupId")
    if not group_id:
        raise rejected("groupId: is missing; a group call needs it")
    traits = object_at(message.body, "traits")
    if traits:
        token = configuration.settings["project_token"]
        yield _GROUP, {"$token": token, "$group_key": key, "$group_id": group_id, "$set": traits}
    if message.user_id:
        yield _USER, {**_profile(message, configuration), "$ip": "0", "$union": {key: [group_id]}}
    elif not traits:
        raise rejected("userId: is missing, and traits are empty; there is nothing to set")


def _group_key(configuration: Configuration) -> str:
    return configuration.settings["group_key"] or "$group_id"


def _post(path: str, documents: list[JsonObject], configuration: Configuration) -> Call:
    call = post_json(f"{_hosts(configuration)[0]}{path}", documents)
    key = base64.b64encode(f"{configuration.settings['project_token']}:".encode()).decode()
    return with_secret(call, {"authorization": f"Basic {key}"})


def _hosts(configuration: Configuration) -> tuple[str, str]:
    """Of events and profiles, and of deletions."""
    return _HOSTS[configuration.settings["region"] or "us"]


def _judge(answer: Answer, now: datetime) -> Verdict:
    """Profiles answer 200 to what they refuse. A batch of events that is refused in part is sent again in halves, which
    does no harm: Mixpanel knows the others by their `$insert_id`.
    """
    try:
        status = msgspec.json.decode(answer.body).get("status")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        status = None
    is_refused = answer.status == 200 and status == 0 and status is not False
    return Verdict(is_final=True, detail=said(answer)) if is_refused else judge(answer, now)


def _check(configuration: Configuration) -> dict[str, str]:
    problems = {}
    if not re.fullmatch(r"[A-Za-z0-9]{16,64}", configuration.settings["project_token"]):
        problems["project_token"] = "expected 32 letters and digits, as Mixpanel shows it"
    if len(configuration.settings["group_key"]) > _LONGEST_ID:
        problems["group_key"] = f"expected up to {_LONGEST_ID} characters"
    token = configuration.secrets.get("gdpr_token", "")
    if not (token.isascii() and token.isprintable()):
        problems["gdpr_token"] = "expected one line of ASCII characters"
    return problems


def _trial(configuration: Configuration, now: datetime) -> Request:
    """An event of no user, which no report about users counts."""
    now_ms = int(now.timestamp() * 1_000)
    properties = {"time": now_ms, "distinct_id": "", "$insert_id": f"cairn-connection-test-{now_ms}"}
    event = {"event": "Connection tested", "properties": properties}
    return Request(_post(_EVENT, [event], configuration), ())


def _forget(user_ids: Sequence[str], configuration: Configuration, now: datetime) -> list[Request]:
    token = configuration.secrets.get("gdpr_token", "")
    address = f"{_hosts(configuration)[1]}/api/app/data-deletions/v3.0"
    requests = []
    for start in range(0, len(user_ids) if token else 0, _MOST_DELETED):
        document = {"distinct_ids": user_ids[start : start + _MOST_DELETED], "compliance_type": "GDPR"}
        call = post_json(f"{address}/?token={configuration.settings['project_token']}", document)
        requests.append(Request(with_secret(call, {"authorization": f"Bearer {token}"}), ()))
    return requests


DESTINATION = Destination(
    slug="mixpanel",
    name="Mixpanel",
    summary="Sends events, users and groups to a Mixpanel project; a repeat is recognised, and users can be deleted.",
    settings=_SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "page", "screen", "identify", "group")),
    batch=Batch(_MOST_EVENTS, _MOST_BYTES),
    judge=_judge,
    check=_check,
    trial=_trial,
    forget=_forget,
)
