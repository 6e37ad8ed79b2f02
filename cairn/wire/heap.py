"""Heap's server API: events, user properties and identification, single and in bulk.

Source: contracts/heap.md sections 2 and 7. One result per event, in order; nothing here raises.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn import ids
from cairn.event import Arrival, Draft, Kind, Refused, Scalar
from cairn.outcomes import Reason
from cairn.wire.lenient import NUMBER, FieldRule, decoded_leniently, read_object, to_typed
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import may_hold_nul, open_batch, safe_text
from cairn.wire.refusal import Rejected, refused
from cairn.wire.times import Timestamp, check_range, epoch_ms
from cairn.wire.users import LONGEST_ID, check_anonymous_id, check_identity, numeric_id

MOST_EVENTS = 1_000  # per bulk request
LONGEST_NAME = 1_024  # characters of an event's name
_LIBRARY = "server"  # what Heap shows for events without `library`
_RESERVED = "id"  # a user property Heap does not take, in any casing; its own Segment destination sends it all the same


class UserIdentifier(Struct):
    """Whom the integration endpoints mean: Segment's and Looker's destinations name users this way."""

    identity: str | None = None
    anonymous_id: str | int | None = None
    user_id: str | int | None = None
    email: str | None = None


class Item(Struct):
    """One event, user or identification; which fields count depends on the endpoint."""

    event: str | None = None
    identity: str | None = None
    user_id: str | int | None = None
    session_id: str | int | None = None
    user_identifier: UserIdentifier | None = None
    properties: dict[str, Any] | None = None  # Any: foreign JSON
    custom_properties: dict[str, Any] | None = None
    timestamp: Timestamp | None = None
    idempotency_key: str | int | None = None


class Envelope(Struct):
    """A bulk request around its items. In a single request it is the item itself."""

    events: list[Raw] | None = None
    users: list[Raw] | None = None
    library: Any = None


class _Who(Struct, frozen=True):
    identity: str = ""
    user_id: int = 0
    anonymous_id: str = ""
    merge_user_id: int = 0


_envelopes = msgspec.json.Decoder(Envelope)
_items = msgspec.json.Decoder(Item)
_USER_RULES = (
    FieldRule("identity", (str,), Reason.ID_NOT_STRING, "text"),
    FieldRule("user_id", (str, int), Reason.BAD_REQUEST, "a decimal number, as text"),
)
_RULES = (
    *_USER_RULES,
    FieldRule("event", (str,), Reason.EVENT_NOT_STRING, "text"),
    FieldRule("session_id", (str, int), Reason.BAD_REQUEST, "a decimal number, as text"),
    FieldRule("user_identifier", (dict,), Reason.BAD_REQUEST, "an object"),
    FieldRule("properties", (dict,), Reason.PROPERTIES_NOT_OBJECT, "an object"),
    FieldRule("custom_properties", (dict,), Reason.PROPERTIES_NOT_OBJECT, "an object"),
    FieldRule("timestamp", (str, *NUMBER), Reason.BAD_TIMESTAMP, "ISO 8601 or epoch milliseconds"),
    FieldRule("idempotency_key", (str, int), Reason.BAD_REQUEST, "text"),
)
_IDENTIFIER_RULES = (
    *_USER_RULES,
    FieldRule("anonymous_id", (str, int), Reason.ID_NOT_STRING, "text"),
    FieldRule("email", (str,), Reason.ID_NOT_STRING, "text"),
)

Parsed = list[Draft | Refused]
_Build = Callable[[Arrival, Item, str], Draft]


def parse_track(arrival: Arrival) -> Parsed:
    return _each(
        arrival, "events", lambda arrival, item, library: _track(arrival, item, library, _named_user(item))
    )


def parse_integrations_track(arrival: Arrival) -> Parsed:
    return _each(
        arrival,
        "events",
        lambda arrival, item, library: _track(arrival, item, library, _identified_user(item)),
    )


def parse_add_user_properties(arrival: Arrival) -> Parsed:
    return _each(
        arrival,
        "users",
        lambda arrival, item, library: _set_properties(arrival, item, library, _named_user(item)),
    )


def parse_integrations_add_user_properties(arrival: Arrival) -> Parsed:
    return _each(
        arrival,
        "users",
        lambda arrival, item, library: _set_properties(arrival, item, library, _identified_user(item)),
    )


def parse_identify(arrival: Arrival) -> Parsed:
    return _each(arrival, "", _identify)


def _each(arrival: Arrival, key: str, build: _Build) -> Parsed:
    """`key` names the bulk array; a request without it is a single one."""
    body = arrival.body
    try:
        envelope, items = open_batch(body, _envelopes, key or "events")
    except Rejected as rejected:
        return [refused(arrival, rejected, body)]
    if not key or getattr(envelope, key) is None:
        items = [body]
    elif not items:
        return [
            refused(arrival, Rejected(Reason.EMPTY_BATCH, f"{key}: holds nothing; send at least one"), body)
        ]
    library = (
        safe_text(envelope.library[:LONGEST_ID])
        if isinstance(envelope.library, str) and envelope.library
        else _LIBRARY
    )
    is_odd = may_hold_nul(body)
    parsed: Parsed = [_one(arrival, raw, library, build, is_odd=is_odd) for raw in items[:MOST_EVENTS]]
    if len(items) > MOST_EVENTS:
        excess = Rejected(Reason.TOO_MANY_EVENTS, f"{key}: one request carries {MOST_EVENTS} at most")
        parsed += [refused(arrival, excess, raw) for raw in items[MOST_EVENTS:]]
    return parsed


def _one(arrival: Arrival, raw: Raw | bytes, library: str, build: _Build, *, is_odd: bool) -> Draft | Refused:
    item = None
    try:
        item = _read_item(raw) if is_odd else _decode_item(raw)
        return build(arrival, item, library)
    except Rejected as rejected:
        name, user = (item.event or "", _shown_user(item)) if item is not None else ("", "")
        return refused(arrival, rejected, raw, name=name, user=user)


def _decode_item(raw: Raw | bytes) -> Item:
    try:
        return _items.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_item(raw)


def _read_item(raw: Raw | bytes) -> Item:
    value = decoded_leniently(read_object(raw), _RULES)
    if value.get("user_identifier") is not None:
        value["user_identifier"] = decoded_leniently(
            value["user_identifier"], _IDENTIFIER_RULES, "user_identifier."
        )
    return to_typed(value, Item)


def _track(arrival: Arrival, item: Item, library: str, who: _Who) -> Draft:
    name = item.event
    if name is None or not name or name.isspace():
        raise Rejected(Reason.EVENT_NOT_DEFINED, "event: is missing or empty; name what happened")
    if len(name) > LONGEST_NAME:
        raise Rejected(
            Reason.EVENT_NAME_TOO_LONG, f"event: {len(name)} characters, {LONGEST_NAME} are allowed"
        )
    session = item.session_id
    return Draft(
        arrival.environment_id,
        Kind.CUSTOM,
        name,
        _time_ms(arrival, item),
        arrival.received_ms,
        user_id=who.user_id,
        identity=who.identity,
        anonymous_id=who.anonymous_id,
        merge_user_id=who.merge_user_id,
        key_space=f"heap/{arrival.environment_id}",
        key="" if item.idempotency_key is None else str(item.idempotency_key),
        session_id=numeric_id(session, "session_id") if session is not None and session != "" else 0,
        properties=_properties(item),
        source=arrival.source,
        library=library,
    )


def _set_properties(arrival: Arrival, item: Item, library: str, who: _Who) -> Draft:
    changes = {key: value for key, value in _properties(item).items() if key.lower() != _RESERVED}
    anonymous_id, merge_user_id = who.anonymous_id, who.merge_user_id
    if who.identity and isinstance(linked := changes.get("anonymous_id"), str):
        # Segment's "Heap Cloud (Actions)" links its two ids this way: contracts/segment.md 5.7.
        anonymous_id = check_anonymous_id(linked, "properties.anonymous_id")
        merge_user_id = ids.anonymous_user_id(anonymous_id)
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY,
        "Set properties",
        _time_ms(arrival, item),
        arrival.received_ms,
        user_id=who.user_id,
        identity=who.identity,
        anonymous_id=anonymous_id,
        merge_user_id=merge_user_id,
        properties=dict(changes),
        user_properties=changes,
        source=arrival.source,
        library=library,
    )


def _identify(arrival: Arrival, item: Item, library: str) -> Draft:
    if item.identity is None:
        raise Rejected(Reason.NO_USER, "identity: is missing; send the name the user id belongs to")
    if item.user_id is None or item.user_id == "":
        raise Rejected(
            Reason.BAD_REQUEST, "user_id: is missing; send the id that the capture library gave the user"
        )
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY,
        "Identify",
        _time_ms(arrival, item),
        arrival.received_ms,
        identity=check_identity(item.identity, "identity"),
        merge_user_id=numeric_id(item.user_id, "user_id"),
        source=arrival.source,
        library=library,
    )


def _named_user(item: Item) -> _Who:
    """Identity or user id, never both."""
    user_id = item.user_id if item.user_id != "" else None
    if item.identity is None or (item.identity == "" and user_id is not None):
        if user_id is None:
            raise Rejected(Reason.NO_USER, "identity: is missing, and so is user_id; send one of them")
        return _Who(user_id=numeric_id(user_id, "user_id"))
    if user_id is not None:
        raise Rejected(Reason.TWO_USERS, "identity and user_id: send one of them")
    return _Who(identity=check_identity(item.identity, "identity"))


def _identified_user(item: Item) -> _Who:
    """The integration endpoints: the best known of several names. An anonymous id beside an identity is linked to it.

    Source: contracts/segment.md 5.5 to 5.7. A lone e-mail address (Looker) is used as the identity.
    """
    named = item.user_identifier
    if named is None:
        return _named_user(item)
    anonymous_id = "" if named.anonymous_id is None else str(named.anonymous_id).strip()
    check_anonymous_id(anonymous_id, "user_identifier.anonymous_id")
    linked = ids.anonymous_user_id(anonymous_id) if anonymous_id else 0
    field, identity = ("identity", named.identity) if named.identity else ("email", named.email)
    if named.user_id is not None and named.user_id != "" and not named.identity:
        return _Who(user_id=numeric_id(named.user_id, "user_identifier.user_id"), anonymous_id=anonymous_id)
    if identity and (field == "identity" or not anonymous_id):
        identity = check_identity(identity.strip(), f"user_identifier.{field}", is_zero_allowed=True)
        return _Who(identity=identity, anonymous_id=anonymous_id, merge_user_id=linked)
    if anonymous_id:
        return _Who(user_id=linked, anonymous_id=anonymous_id)
    raise Rejected(
        Reason.NO_USER, "user_identifier: names no one; send identity, user_id, anonymous_id or email"
    )


def _properties(item: Item) -> dict[str, Scalar]:
    if item.custom_properties is None:
        return joined_scalars(item.properties) if item.properties else {}
    return joined_scalars({**(item.properties or {}), **item.custom_properties})


def _time_ms(arrival: Arrival, item: Item) -> int:
    if item.timestamp is None or item.timestamp == "":
        return arrival.received_ms
    time_ms = epoch_ms(item.timestamp, "timestamp")
    check_range(time_ms, arrival.received_ms)
    return time_ms


def _shown_user(item: Item) -> str:
    named = item.user_identifier
    candidates = (item.identity, item.user_id) + (
        (named.identity, named.anonymous_id, named.email) if named else ()
    )
    return next((str(candidate) for candidate in candidates if candidate), "")
