"""Google Analytics 4 by its Measurement Protocol, for web streams.

Source: developers.google.com, "Measurement Protocol (Google Analytics 4)".
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from urllib.parse import urlencode

import msgspec

from cairn.http_client import Answer
from cairn.routing import integrations
from cairn.routing.answer import judge
from cairn.routing.body import JsonObject, context_of, object_at, text_at
from cairn.routing.destination import Batch, Configuration, Destination, Request, Setting, Verdict
from cairn.routing.directives import text_of
from cairn.routing.ga4_fields import LONGEST_NAME, event_name, page_parameters, parameters, user_properties
from cairn.routing.message import Message
from cairn.routing.payload import post_json, rejected, with_secret

_NAME = "Google Analytics 4"
_MOST_EVENTS = 25  # of a request
_MOST_BYTES = 100_000  # of the 130 kB that a request may have
_OLDEST_MS = 72 * 3_600_000  # what is older is counted for another day
_LONGEST_USER_ID = 256  # characters
_HOSTS = {"global": "https://www.google-analytics.com", "eu": "https://region1.google-analytics.com"}
_MEASUREMENT_ID = re.compile(r"G-[A-Z0-9]{4,20}")

_SETTINGS = (
    Setting(
        "measurement_id",
        "Measurement id",
        "G- and letters: Admin, Data streams, the web stream.",
        is_required=True,
    ),
    Setting(
        "api_secret",
        "API secret",
        "Admin, Data streams, the web stream, Measurement Protocol API secrets.",
        kind="secret",
        is_required=True,
    ),
    Setting(
        "region",
        "Where events are taken in",
        "The European Union's servers, or the nearest ones.",
        kind="choice",
        default="global",
        choices=(("global", "Nearest"), ("eu", "European Union")),
    ),
    Setting(
        "user_properties",
        "User properties",
        "Names of traits that are sent, one a line. Google forbids those that identify a person.",
        kind="lines",
    ),
)


def _prepare(messages: Sequence[Message], configuration: Configuration, now: datetime) -> list[Request]:
    """One request for neighbours of the same user: a request has one client."""
    prepared = [(_user(message, configuration), _event(message, now), message) for message in messages]
    requests = []
    for user, group in groupby(prepared, key=lambda item: item[0]):
        members = list(group)
        events = [event for _, event, _ in members]
        document = {**user, "timestamp_micros": events[0]["timestamp_micros"], "events": events}
        call = post_json(_address(configuration, "/mp/collect"), document)
        requests.append(Request(with_secret(call, {}), tuple(message.position for _, _, message in members)))
    return requests


def _user(message: Message, configuration: Configuration) -> JsonObject:
    options = integrations.options(message.body.get("integrations"), _NAME)
    client_id = text_at(options, "client_id") or message.anonymous_id or _derived_id(message.user_id)
    user: JsonObject = {"client_id": client_id}
    if 0 < len(message.user_id) <= _LONGEST_USER_ID:
        user["user_id"] = message.user_id
    own = object_at(message.body, "traits")
    traits = {**object_at(context_of(message), "traits"), **own}
    if named := user_properties(traits, list(configuration.settings["user_properties"] or ())):
        user["user_properties"] = named
    return user


def _derived_id(user_id: str) -> str:
    """Google needs a client id of every event: one that is the same for a user, and does not name them."""
    if not user_id:
        raise rejected("anonymousId: is missing, and userId too; Google Analytics needs one of them")
    return hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()[:32]


def _event(message: Message, now: datetime) -> JsonObject:
    now_ms = int(now.timestamp() * 1_000)
    if message.time_ms < now_ms - _OLDEST_MS:
        raise rejected("timestamp: over 72 hours ago; Google Analytics would count it for another day")
    name, fixed = _named(message)
    own = parameters({**object_at(message.body, "properties"), **fixed})
    return {
        "name": name,
        "params": {**own, **_session(message)},
        "timestamp_micros": min(message.time_ms, now_ms) * 1_000,
    }


def _named(message: Message) -> tuple[str, JsonObject]:
    """The event's name, and the parameters that come from elsewhere than its properties."""
    if message.kind == "track":
        return event_name(message.event), {}
    if message.kind == "page":
        return "page_view", page_parameters(message.body)
    if message.kind == "screen":
        return "screen_view", {"screen_name": message.event}
    return "join_group", {"group_id": text_at(message.body, "groupId")}


def _session(message: Message) -> JsonObject:
    """An engagement of a millisecond: without any, reports of active users leave the user out."""
    options = integrations.options(message.body.get("integrations"), _NAME)
    session_id = text_of(options.get("session_id"))
    is_usable = 0 < len(session_id) <= LONGEST_NAME
    return {"engagement_time_msec": 1, **({"session_id": session_id} if is_usable else {})}


def _address(configuration: Configuration, path: str) -> str:
    query = {
        "measurement_id": configuration.settings["measurement_id"],
        "api_secret": configuration.secrets["api_secret"],
    }
    return f"{_HOSTS[configuration.settings['region'] or 'global']}{path}?{urlencode(query)}"


def _judge(answer: Answer, now: datetime) -> Verdict:
    """The validation server, which the connection test asks, answers 200 and lists what is wrong."""
    try:
        messages = msgspec.json.decode(answer.body).get("validationMessages")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        messages = None
    if answer.status == 200 and isinstance(messages, list) and messages:
        return Verdict(is_final=True, detail=f"Google Analytics: {str(messages[0])[:300]}")
    return judge(answer, now)


def _check(configuration: Configuration) -> dict[str, str]:
    problems = {}
    if not _MEASUREMENT_ID.fullmatch(configuration.settings["measurement_id"]):
        problems["measurement_id"] = "expected G- and capital letters or digits"
    secret = configuration.secrets.get("api_secret", "")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        problems["api_secret"] = "expected letters, digits, - and _, as Google shows it"
    return problems


def _trial(configuration: Configuration, now: datetime) -> Request:
    """To the validation server, which counts nothing. Limit: it does not check the secret."""
    event = {"name": "connection_tested", "params": {"engagement_time_msec": 1}}
    call = post_json(
        _address(configuration, "/debug/mp/collect"), {"client_id": "cairn.test", "events": [event]}
    )
    return Request(with_secret(call, {}), ())


DESTINATION = Destination(
    slug="google_analytics_4",
    name=_NAME,
    summary="Sends events to a web stream by the Measurement Protocol, with e-commerce events under Google's names.",
    settings=_SETTINGS,
    prepare=_prepare,
    kinds=frozenset(("track", "page", "screen", "group")),
    batch=Batch(_MOST_EVENTS, _MOST_BYTES),
    judge=_judge,
    check=_check,
    trial=_trial,
    # What is older than three days would be counted for another day, and Google recognises no repeat.
    can_be_replayed=False,
)
