"""Heap's classic mobile clients: iOS as JSON, Android as protobuf. Both also carry React Native's own events.

Source: contracts/heap.md section 5.5. One result per message, in order; nothing here raises.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from cairn.event import Arrival, Draft, Element, Kind, Refused
from cairn.outcomes import Reason
from cairn.wire.heap_event import Properties, Said, checked_name
from cairn.wire.heap_facts import enum_name, masked, plain_properties, text_of
from cairn.wire.heap_open import MOST_MESSAGES, first_message
from cairn.wire.heap_user import any_id, check_environment, identity_of, moment_ms, user_id_of
from cairn.wire.hierarchy import element_of, node_text, without_text
from cairn.wire.lenient import read_object
from cairn.wire.masking import cut, mask_text
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import Json, open_batch
from cairn.wire.refusal import Rejected, refused
from cairn.wire.times import epoch_ms

Parsed = list[Draft | Refused]

_VISIBILITIES = ("", "backgrounded", "foregrounded")
# What the names of React Native's own events tell of their kind; the first that is part of the name.
_SOURCE_KINDS = (
    ("touch", Kind.TOUCH),
    ("press", Kind.TOUCH),
    ("edit", Kind.CHANGE),
    ("change", Kind.CHANGE),
    ("screen", Kind.VIEW),
    ("navigation", Kind.VIEW),
    ("page", Kind.VIEW),
)
_TEXTS = ("targetText", "target_text")


class Mobile(Struct, frozen=True):
    """A message of either client in the same words."""

    env_id: str
    id: str
    user: str
    identity: str
    time_ms: int
    said: Said
    session: str
    pageview: str
    facts: dict[str, str]
    library: str
    properties: Properties = field(default_factory=dict)


class _Envelope(Struct):
    messages: list[Raw] | None = None
    sent_time: Any = msgspec.field(default=None, name="sentTime")  # Any: foreign JSON


_envelopes = msgspec.json.Decoder(_Envelope)


def parse_ios_track(arrival: Arrival) -> Parsed:
    body = arrival.body
    try:
        envelope, messages = open_batch(body, _envelopes, "messages")
        if not messages:
            raise Rejected(Reason.EMPTY_BATCH, "messages: holds nothing; send at least one")
    except Rejected as rejected:
        return [refused(arrival, rejected, body)]
    sent_ms = _sent_ms(envelope.sent_time)
    parsed: Parsed = []
    for raw in messages[:MOST_MESSAGES]:
        try:
            parsed.append(draft_of(arrival, _ios(read_object(raw), arrival), sent_ms, "heap.ios"))
        except Rejected as rejected:
            parsed.append(refused(arrival, rejected, raw))
    excess = Rejected(Reason.TOO_MANY_EVENTS, f"messages: one request carries {MOST_MESSAGES} at most")
    return parsed + [refused(arrival, excess, raw) for raw in messages[MOST_MESSAGES:]]


def first_app_id(body: bytes) -> str:
    """The environment that the first message names; empty when it names none. Raises Rejected: it is unreadable."""
    _, messages = open_batch(body, _envelopes, "messages")
    if not messages:
        raise Rejected(Reason.EMPTY_BATCH, "messages: holds nothing; send at least one")
    first = first_message(messages, "messages")
    try:
        return _text(read_object(first), "envId")
    except Rejected:
        return ""  # only this one is broken


def draft_of(arrival: Arrival, message: Mobile, sent_ms: int, key_space: str) -> Draft:
    """Raises Rejected."""
    check_environment(message.env_id, arrival.extra.get("app_id", ""))
    user_id = user_id_of(message.user, "user.id")
    identity, detail = identity_of(message.identity)
    said = message.said
    properties: dict[str, Json] = {}
    for given in (message.properties, *said.properties):
        properties.update(plain_properties(given))
    facts = {**message.facts, "view": said.view or message.facts.get("view", "")}
    return Draft(
        arrival.environment_id,
        said.kind,
        said.name,
        message.time_ms,
        arrival.received_ms,
        user_id=user_id,
        identity=identity,
        merge_user_id=user_id if identity else 0,
        key_space=f"{key_space}/{arrival.environment_id}",
        key=message.id,
        sent_ms=sent_ms,
        session_id=any_id(message.session),
        pageview_id=any_id(message.pageview),
        properties=joined_scalars(properties),
        facts={key: cut(value) for key, value in facts.items() if value},
        element=said.element,
        source=arrival.source,
        library=message.library,
        ip=arrival.ip,
        user_agent=arrival.user_agent,
        detail=detail,
    )


def say_source(name: str, properties: Properties, visibility: Json) -> Said:
    """An event that a framework on top of the client captured by itself; its name says what sort. Raises Rejected."""
    folded = name.lower()
    kind = next((kind for part, kind in _SOURCE_KINDS if part in folded), Kind.CUSTOM)
    own = masked(plain_properties(properties))
    hierarchy = next(
        (own[key] for key in ("hierarchy", "touchableHierarchy") if isinstance(own.get(key), str)), ""
    )
    text = next((own[key] for key in _TEXTS if own.get(key)), "")
    element = element_of(hierarchy, "", text=text if isinstance(text, str) else "") if hierarchy else None
    if kind == Kind.CHANGE:
        element = without_text(element)
        own = {key: value for key, value in own.items() if key not in _TEXTS}
    return Said(kind, checked_name(name), (own, visible(visibility)), element)


def visible(state: Json) -> Properties:
    """Only what is odd is kept: nearly everything happens in the foreground."""
    is_hidden = isinstance(state, str | int) and enum_name(state, _VISIBILITIES) == "backgrounded"
    return {"app_visibility": "backgrounded"} if is_hidden else {}


def _ios(message: dict[str, Json], arrival: Arrival) -> Mobile:
    user, application, device = (_part(message, name) for name in ("user", "applicationInfo", "deviceInfo"))
    page = _part(message, "pageviewInfo")
    facts = {
        "title": mask_text(_text(page, "title")),
        "view": _text(page, "viewController") or _text(page, "screenA11yId"),
        "platform": _text(device, "platform"),
        "device": _text(device, "phoneModel"),
        "device_id": _text(device, "iosVendorId"),
        "carrier": _text(device, "carrier"),
        "app_name": _text(application, "appName"),
        "app_version": _text(application, "appVersion"),
    }
    return Mobile(
        env_id=_text(message, "envId"),
        id=_text(message, "id"),
        user=_text(user, "id"),
        identity=_text(user, "identity"),
        time_ms=moment_ms(_time(message.get("timestamp")), arrival.received_ms),
        said=_say_ios(message, page),
        session=_text(_part(message, "sessionInfo"), "id"),
        pageview=_text(page, "id"),
        facts=facts,
        library="ios",
        properties={**_screen(page), **_part(message, "properties")},
    )


def _screen(page: dict[str, Json]) -> Properties:
    """How the screen is announced to those who do not see it."""
    named = {
        "screen_a11y_id": _text(page, "screenA11yId"),
        "screen_a11y_label": _text(page, "screenA11yLabel"),
    }
    return {key: mask_text(value) for key, value in named.items() if value}


def _say_ios(message: dict[str, Json], page: dict[str, Json]) -> Said:
    event = _part(message, "event")
    state = event.get("appVisibilityState")
    if touch := _part(event, "touchEvent"):
        own = {"touch_type": _text(touch, "type"), **visible(state)}
        return Said(Kind.TOUCH, Kind.TOUCH, (own,), _touched(touch))
    if source := _part(event, "sourceEvent"):
        name = _text(source, "name") or _text(source, "type")
        return say_source(name, _part(source, "sourceProperties"), state)
    if custom := _part(event, "sourceCustomEvent"):
        sources = (_part(custom, "sourceProperties"), _part(custom, "customProperties"), visible(state))
        return Said(Kind.CUSTOM, checked_name(_text(custom, "name")), sources)
    if event:
        raise Rejected(Reason.BAD_REQUEST, "event: is none of touchEvent, sourceEvent, sourceCustomEvent")
    if page:
        return Said(Kind.PAGEVIEW, Kind.PAGEVIEW)
    if _part(message, "sessionInfo"):
        return Said(Kind.SESSION, Kind.SESSION)
    raise Rejected(Reason.BAD_REQUEST, "the message: has no event, page or session")


def _touched(touch: dict[str, Json]) -> Element:
    ancestry = _part(touch, "viewAncestry").get("ancestry")
    views = [view for view in ancestry if isinstance(view, dict)] if isinstance(ancestry, list) else []
    target = _text(touch, "targetView")
    path = [_text(view, "class") for view in views]
    names = path if path[:1] == [target] or not target else [target, *path]  # the target first
    hierarchy = "".join(node_text(name) for name in reversed(names))
    ivar = _text(touch, "targetIvar")
    return element_of(
        hierarchy, target, text=_text(touch, "targetText"), attributes={"ivar": ivar} if ivar else None
    )


def _part(value: dict[str, Json], name: str) -> dict[str, Json]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: dict[str, Json], name: str) -> str:
    part = value.get(name)
    return text_of(part) if isinstance(part, str | int | float) else ""


def _time(value: Json) -> str | int | float | None:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _sent_ms(value: Json) -> int:
    """0 when there is none that can be read: then there is no clock to set right."""
    time = _time(value)
    try:
        return max(0, epoch_ms(time, "sentTime")) if time else 0
    except Rejected:
        return 0
