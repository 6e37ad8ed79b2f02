"""Heap's current capture clients: messages, identification and user properties, as protobuf or JSON.

Source: contracts/heap.md sections 5.1 to 5.3 and 7. One result per message, in order; nothing here raises.
`extra`: `app_id` (the environment's own), `sent_ms` (the client's clock at sending), `content_type`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from cairn.event import FIRST_SEEN, Arrival, Draft, Kind, Refused, Scalar
from cairn.outcomes import Reason
from cairn.wire import capture_pb2
from cairn.wire.heap_event import LOADED_TWICE, OURSELVES, Said, say_event
from cairn.wire.heap_facts import (
    Masks,
    facts_of,
    first_facts,
    page_facts,
    plain_properties,
    session_facts,
    text_of,
    utm_facts,
)
from cairn.wire.heap_message import Message, SessionInfo, User, UserIdentification, UserProperties, decode
from cairn.wire.heap_open import (
    MOST_MESSAGES,
    Closed,
    Reader,
    first_message,
    is_json,
    open_messages,
    read_protobuf,
)
from cairn.wire.heap_user import (
    any_id,
    check_environment,
    identity_of,
    moment_ms,
    user_changes,
    user_id_of,
)
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import may_hold_nul, safe_text
from cairn.wire.refusal import Rejected, refused
from cairn.wire.safe_draft import made_safe
from cairn.wire.users import check_identity

Parsed = list[Draft | Refused]

_json_messages = msgspec.json.Decoder(Message)
_json_identifications = msgspec.json.Decoder(UserIdentification)
_json_user_properties = msgspec.json.Decoder(UserProperties)
# The protobuf classes, which read alike.
_generated = cast(Any, capture_pb2)  # Any: the runtime makes these classes as it loads
_messages: Reader[Message] = _generated.Message
_identifications: Reader[UserIdentification] = _generated.UserIdentification
_user_properties: Reader[UserProperties] = _generated.UserProperties

_NUL = b"\0"
Typed = TypeVar("Typed", UserIdentification, UserProperties)


class _Batch(Struct, frozen=True):
    """What the messages of one request share."""

    arrival: Arrival
    app_id: str
    sent_ms: int
    key_space: str
    masks: Masks


def parse_track(arrival: Arrival) -> Parsed:
    body, batch = arrival.body, _batch(arrival)
    try:
        opened = open_messages(body, arrival.extra.get("content_type", ""))
    except Rejected as rejected:
        return [refused(arrival, rejected, body)]
    if opened.is_json:
        is_odd = may_hold_nul(body)
        parsed: Parsed = [
            _one_json(batch, closed, is_odd=is_odd) for closed in opened.messages[:MOST_MESSAGES]
        ]
    else:
        parsed = [_one_protobuf(batch, bytes(closed)) for closed in opened.messages[:MOST_MESSAGES]]
    excess = Rejected(Reason.TOO_MANY_EVENTS, f"events: one request carries {MOST_MESSAGES} at most")
    parsed += [refused(arrival, excess, closed) for closed in opened.messages[MOST_MESSAGES:]]
    return parsed


def parse_identify(arrival: Arrival) -> Parsed:
    return _single(arrival, _identifications, _json_identifications, _identified)


def parse_add_user_properties(arrival: Arrival) -> Parsed:
    return _single(arrival, _user_properties, _json_user_properties, _with_properties)


def first_app_id(body: bytes, content_type: str, parser: str) -> str:
    """The environment that a request's first message names; empty when none. Raises Rejected: it is unreadable."""
    if parser == "heap.capture.identify":
        return text_of(_read(body, content_type, _identifications, _json_identifications).env_id)
    if parser == "heap.capture.add_user_properties":
        return text_of(_read(body, content_type, _user_properties, _json_user_properties).env_id)
    opened = open_messages(body, content_type)
    first = first_message(opened.messages, "events")
    try:
        if opened.is_json:
            return text_of(decode(first, _json_messages, is_odd=False).env_id)
        return read_protobuf(_messages, bytes(first)).env_id  # type: ignore[return-value]  # protobuf's is text
    except Rejected:
        if len(opened.messages) > 1:
            return ""  # only this one is broken
        raise


def _batch(arrival: Arrival) -> _Batch:
    extra = arrival.extra
    sent_ms = extra.get("sent_ms", 0)
    return _Batch(
        arrival,
        extra.get("app_id", ""),
        sent_ms if isinstance(sent_ms, int) else 0,
        f"heap.capture/{arrival.environment_id}",
        Masks(),
    )


def _one_json(batch: _Batch, closed: Closed, *, is_odd: bool) -> Draft | Refused:
    message = None
    try:
        message = decode(closed, _json_messages, is_odd=is_odd)
        return _draft(batch, message)
    except Rejected as rejected:
        return _refused(batch.arrival, rejected, closed, message)


def _one_protobuf(batch: _Batch, closed: bytes) -> Draft | Refused:
    message = None
    try:
        message = read_protobuf(_messages, closed)
        draft = _draft(batch, message)
    except Rejected as rejected:
        return _refused(batch.arrival, rejected, closed, message)
    return made_safe(draft) if _NUL in closed else draft


def _refused(arrival: Arrival, rejected: Rejected, closed: Closed, message: Message | None) -> Refused:
    if message is None:
        return refused(arrival, rejected, closed)
    user = text_of(message.identity) or text_of(message.user_id)
    return refused(arrival, rejected, closed, name=message.WhichOneof("kind") or "", user=safe_text(user))


def _draft(batch: _Batch, message: Message) -> Draft:
    arrival, masks = batch.arrival, batch.masks
    check_environment(text_of(message.env_id), batch.app_id)
    kind = message.WhichOneof("kind")
    if kind is None:
        raise Rejected(Reason.BAD_REQUEST, "the message: is none of session, pageview, event, user")
    user_id = user_id_of(message.user_id or (message.user.id if message.user else ""))
    identity, detail = identity_of(message.identity or (message.user.identity if message.user else ""))
    said = _KINDS[kind](message, masks)
    page, session = message.pageview_info, message.session_info
    source_library = text_of(message.source_library.name)
    if said.name == LOADED_TWICE and source_library == OURSELVES:
        raise Rejected(Reason.LOADED_TWICE, _place_of(message))
    properties: dict[str, Any] = {}  # Any: foreign JSON
    for properties_part in (page.properties, message.properties, *said.properties):
        if properties_part:
            properties.update(plain_properties(properties_part))
    facts = facts_of(message, masks)
    if said.view:
        facts["view"] = said.view
    return Draft(
        arrival.environment_id,
        said.kind,
        said.name,
        moment_ms(message.time, arrival.received_ms),
        arrival.received_ms,
        user_id=user_id,
        identity=identity,
        merge_user_id=user_id if identity else 0,
        key_space=batch.key_space,
        key=text_of(message.id),
        sent_ms=batch.sent_ms,
        session_id=any_id(session.id or (message.id if kind == "session" else "")),
        pageview_id=any_id(page.id or (message.id if kind == "pageview" else "")),
        properties=joined_scalars(properties) if properties else {},
        facts=facts,
        element=said.element,
        user_properties=user_changes(said.user_properties) if said.user_properties else {},
        source=arrival.source,
        library=source_library or text_of(message.base_library.name),
        ip=arrival.ip,
        user_agent=text_of(message.device.user_agent) or arrival.user_agent,
        detail=detail,
    )


def _place_of(message: Message) -> str:
    """For the people of the site: where to look for the second copy."""
    facts = page_facts(message.pageview_info, Masks())
    return f"page: {facts.get('domain', '')}{facts.get('path', '')}"


def _say_session(_message: Message, _masks: Masks) -> Said:
    return Said(Kind.SESSION, Kind.SESSION)


def _say_pageview(message: Message, _masks: Masks) -> Said:
    return Said(Kind.PAGEVIEW, Kind.PAGEVIEW, properties=(message.pageview_info.source_properties,))


def _say_user(message: Message, masks: Masks) -> Said:
    """The first event of a user: from where they came, and to which page."""
    user = cast(User, message.user)
    session = SessionInfo(
        referrer=user.initial_referrer,
        search_keyword=user.initial_search_keyword,
        initial_pageview_info=user.initial_pageview_info,
    )
    initial = {**session_facts(session, masks), **utm_facts(user.initial_utm, masks)}
    changes = {**plain_properties(user.properties), **_initial(initial)}
    return Said(Kind.IDENTIFY, FIRST_SEEN, user_properties=changes)


_KINDS: dict[str, Callable[[Message, Masks], Said]] = {
    "session": _say_session,
    "pageview": _say_pageview,
    "event": say_event,
    "user": _say_user,
}


def _initial(facts: Mapping[str, str]) -> dict[str, str]:
    return {f"initial_{key}": value for key, value in facts.items() if value}


def _single(
    arrival: Arrival,
    reader: Reader[Typed],
    decoder: "msgspec.json.Decoder[Typed]",
    build: Callable[[_Batch, Typed], Draft],
) -> Parsed:
    body = arrival.body
    try:
        message = _read(body, arrival.extra.get("content_type", ""), reader, decoder)
        draft = build(_batch(arrival), message)
    except Rejected as rejected:
        return [refused(arrival, rejected, body)]
    return [made_safe(draft) if _NUL in body else draft]


def _read(
    body: bytes, content_type: str, reader: Reader[Typed], decoder: "msgspec.json.Decoder[Typed]"
) -> Typed:
    if is_json(body, content_type):
        return decode(body, decoder, is_odd=may_hold_nul(body))
    return read_protobuf(reader, body)


def _identified(batch: _Batch, message: UserIdentification) -> Draft:
    check_environment(text_of(message.env_id), batch.app_id)
    identity = text_of(message.identity)
    if not identity:
        raise Rejected(Reason.NO_USER, "identity: is missing; send the name the user id belongs to")
    time_ms = moment_ms(message.time, batch.arrival.received_ms)
    return _about_user(batch, message, "Identify", time_ms, identity=check_identity(identity, "identity"))


def _with_properties(batch: _Batch, message: UserProperties) -> Draft:
    check_environment(text_of(message.env_id), batch.app_id)
    initial = {
        **session_facts(message.initial_session_info, batch.masks),
        **first_facts(message.initial_device, message.initial_application),
    }
    changes = user_changes({**plain_properties(message.properties), **_initial(initial)})
    return _about_user(batch, message, "Set properties", batch.arrival.received_ms, changes=changes)


def _about_user(
    batch: _Batch,
    message: UserIdentification | UserProperties,
    name: str,
    time_ms: int,
    *,
    identity: str = "",
    changes: dict[str, Scalar] | None = None,
) -> Draft:
    arrival = batch.arrival
    user_id = user_id_of(message.user_id)
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY,
        name,
        time_ms,
        arrival.received_ms,
        user_id=user_id,
        identity=identity,
        merge_user_id=user_id if identity else 0,
        sent_ms=batch.sent_ms,
        properties=dict(changes or {}),
        user_properties=changes or {},
        source=arrival.source,
        library=text_of(message.library.name),
        ip=arrival.ip,
        user_agent=arrival.user_agent,
    )
