"""What flag SDKs send: one event (`wingify.event`) or a batch (`wingify.batch`). Pure.

Source: contracts/wingify.md section 9. Events carry a visitor UUID and never the user's id, so the user here is the
one of that UUID, marked `is_visitor`; `ingest/visitors` gives it to the user whose name makes that UUID.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.event import Arrival, Draft, Kind, Refused
from cairn.ids import anonymous_user_id
from cairn.outcomes import Reason
from cairn.wire.properties import joined_scalars
from cairn.wire.reading import Json, open_batch, read
from cairn.wire.refusal import Rejected, refused
from cairn.wire.times import check_range

EXPOSURE = "vwo_variationShown"
USER_PROPERTIES = "vwo_syncVisitorProp"
ABOUT_ITSELF = frozenset(
    ("vwo_fmeSdkInit", "vwo_sdkDebug", "vwo_sdkUsageStats", "vwo_feTrackUsage", "vwo_log", "vwo_errorLog")
)

MOST_EVENTS = 5_000  # per batch; the gateway refuses larger ones before they get here
MOST_EVENT_BYTES = 32_768
LONGEST_NAME = 1_024  # characters
LONGEST_ID = 255  # characters
LONGEST_COMPLAINT = 200  # characters of each part of what an SDK says about itself

_CONSTANTS = {
    "isCustomEvent": True,
    "variation": 1,
    "id": 1,
}  # sent with every tracked event, meaning nothing
_SDK_PROPERTIES = frozenset(("vwo_sdkName", "vwo_sdkVersion", "vwo_envKey", "vwo_fs_environment", "vwoMeta"))
_NOT_USER_PROPERTIES = frozenset(("vwo_fs_environment", "ip"))

Parsed = list[Draft | Refused]
Object = dict[str, Json]


class _Batch(Struct):
    ev: list[Raw]


_batches = msgspec.json.Decoder(_Batch)


def parse_event(arrival: Arrival) -> Parsed:
    """Exactly one result."""
    try:
        _check_whole(arrival)
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body, name=str(arrival.extra.get("en", "")))]
    return [_parsed(arrival, arrival.body)]


def parse_batch(arrival: Arrival) -> Parsed:
    """One result per event in order; one for the whole batch when it cannot be read; none for an empty batch."""
    try:
        _check_whole(arrival)
        _, events = open_batch(arrival.body, _batches, "ev")
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]
    too_many = Rejected(
        Reason.TOO_MANY_EVENTS, f"ev: a batch holds at most {MOST_EVENTS} events; send several"
    )
    return [
        *(_parsed(arrival, event) for event in events[:MOST_EVENTS]),
        *(refused(arrival, too_many, event) for event in events[MOST_EVENTS:]),
    ]


def count_events(body: bytes) -> int:
    """How many events a batch holds. Raises Rejected when it cannot be read."""
    return len(open_batch(body, _batches, "ev")[1])


class _Properties(Struct, frozen=True):
    key: str = msgspec.field(default="", name="vwo_envKey")
    environment: str = msgspec.field(default="", name="vwo_fs_environment")


class _Part(Struct, frozen=True):
    props: _Properties = _Properties()


class _Content(Struct, frozen=True):
    event: _Part = _Part()
    visitor: _Part = _Part()


class _Envelope(Struct, frozen=True):
    d: _Content = _Content()


_envelopes = msgspec.json.Decoder(_Envelope)


def keys_in(body: bytes) -> tuple[str, str]:
    """The SDK key as an event itself names it, in its two places; empty where it does not."""
    try:
        d = _envelopes.decode(body).d
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""
    return d.event.props.key, d.visitor.props.environment


def _check_whole(arrival: Arrival) -> None:
    if "reason" in arrival.extra:  # the gateway read it, and found that it cannot be kept
        raise Rejected(Reason(arrival.extra["reason"]), str(arrival.extra.get("detail", "")))
    if arrival.extra.get("too_large"):
        raise Rejected(Reason.BODY_TOO_LARGE, "one event may have 1 MB; send fewer or shorter properties")
    if not arrival.environment_id:
        raise Rejected(Reason.UNKNOWN_KEY, "env: no environment has this SDK key or account id")


def _parsed(arrival: Arrival, raw: bytes | Raw) -> Draft | Refused:
    name = user = ""
    try:
        if memoryview(raw).nbytes > MOST_EVENT_BYTES:
            raise Rejected(
                Reason.EVENT_TOO_LARGE, f"one event may have {MOST_EVENT_BYTES} bytes; send fewer properties"
            )
        event = _Event(_object(read(raw), "the event"))
        name, user = event.name, event.visitor
        if name in ABOUT_ITSELF:
            raise Rejected(Reason.SDK_HEALTH, event.complaint())
        return _draft(arrival, event)
    except Rejected as rejected:
        return refused(arrival, rejected, raw, name=name or str(arrival.extra.get("en", "")), user=user)


class _Event:
    """The parts of one event, checked."""

    def __init__(self, document: Object) -> None:
        self.d = _object(document.get("d"), "d")
        event = _object(self.d.get("event"), "d.event")
        self.content = event
        self.name = _name(event.get("name"))
        self.visitor = _visitor(self.d.get("visId"))
        self.properties = _object(event.get("props", {}), "d.event.props")
        visitor = _object(self.d.get("visitor", {}), "d.visitor")
        self.user_properties = _object(visitor.get("props", {}), "d.visitor.props")

    def complaint(self) -> str:
        """What an SDK says of itself, in one line."""
        meta = self.properties.get("vwoMeta")
        if not isinstance(meta, dict):
            return ""
        return " ".join(str(meta[key])[:LONGEST_COMPLAINT] for key in ("msg_t", "msg") if meta.get(key))

    def key(self) -> str:
        """What a repeat has in common: its message id and its content.

        The id alone is not enough: it is the visitor and the millisecond, so two exposures of one decision share it.
        """
        message_id = self.d.get("msgId")
        if not isinstance(message_id, str) or not message_id:
            return ""
        content = repr(self.content).encode(
            errors="surrogatepass"
        )  # a repeat is the same bytes, so the same order
        return f"{message_id[:LONGEST_ID]}/{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _draft(arrival: Arrival, event: _Event) -> Draft:
    draft = Draft(
        environment_id=arrival.environment_id,
        kind=Kind.CUSTOM,
        name=event.name,
        time_ms=_time_ms(arrival, event),
        received_ms=arrival.received_ms,
        user_id=anonymous_user_id(event.visitor),
        anonymous_id=event.visitor,
        is_visitor=True,
        key_space=f"wingify/{arrival.environment_id}",
        key=event.key(),
        session_id=_whole(event.d.get("sessionId")) or 0,
        source=arrival.source,
        library=_library(event.properties, arrival.extra),
        ip=_known(event.d.get("visitor_ip")) or arrival.ip,
        user_agent=_known(event.d.get("visitor_ua")) or arrival.user_agent,
    )
    _BY_NAME.get(event.name, _as_tracked)(draft, event)
    return draft


def _as_exposure(draft: Draft, event: _Event) -> None:
    campaign, variation = _whole(event.properties.get("id")), _whole(event.properties.get("variation"))
    if campaign is None or variation is None:
        raise Rejected(Reason.BAD_REQUEST, "d.event.props: id and variation must be whole numbers")
    draft.kind = Kind.EXPOSURE
    draft.properties = {
        **joined_scalars(
            _without(event.user_properties, _NOT_USER_PROPERTIES)
        ),  # post-segmentation variables
        "campaign": campaign,
        "variation": variation,
        "is_first": bool(_whole(event.properties.get("isFirst"))),
        "sdk": str(event.properties.get("vwo_sdkName", ""))[:LONGEST_ID],
        "sdk_version": str(event.properties.get("vwo_sdkVersion", ""))[:LONGEST_ID],
    }
    if (feature := _whole(event.properties.get("fId"))) is not None:
        draft.properties["feature"] = feature


def _as_user_properties(draft: Draft, event: _Event) -> None:
    draft.kind = Kind.IDENTIFY
    draft.user_properties = joined_scalars(_without(event.user_properties, _NOT_USER_PROPERTIES))


def _as_tracked(draft: Draft, event: _Event) -> None:
    own = {
        key: value
        for key, value in event.properties.items()
        if key not in _CONSTANTS or value != _CONSTANTS[key]
    }
    draft.properties = {
        **joined_scalars(_without(event.user_properties, _NOT_USER_PROPERTIES)),
        **joined_scalars(_without(own, _SDK_PROPERTIES)),
    }


_BY_NAME = {EXPOSURE: _as_exposure, USER_PROPERTIES: _as_user_properties}


def _object(value: Any, where: str) -> Object:
    if not isinstance(value, dict):
        raise Rejected(Reason.BAD_REQUEST, f"{where} must be an object")
    return value


def _name(value: Any) -> str:
    if value is None or value == "":
        raise Rejected(Reason.EVENT_NOT_DEFINED, "d.event.name is missing")
    if not isinstance(value, str):
        raise Rejected(Reason.EVENT_NOT_STRING, "d.event.name must be text")
    if len(value) > LONGEST_NAME:
        raise Rejected(Reason.EVENT_NAME_TOO_LONG, f"d.event.name may have {LONGEST_NAME} characters")
    return value


def _visitor(value: Any) -> str:
    if value is None or value == "":
        raise Rejected(Reason.NO_USER, "d.visId is missing")
    if not isinstance(value, str):
        raise Rejected(Reason.ID_NOT_STRING, "d.visId must be text")
    if len(value) > LONGEST_ID:
        raise Rejected(Reason.ID_TOO_LONG, f"d.visId may have {LONGEST_ID} characters")
    return value


def _time_ms(arrival: Arrival, event: _Event) -> int:
    time_ms = _whole(event.content.get("time"))
    if time_ms is None:
        return arrival.received_ms
    check_range(time_ms, arrival.received_ms)
    return time_ms


def _whole(value: Any) -> int | None:
    """A whole number however it was written: Python's SDK sends `variation` as text, Node's as a number."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else None
    return int(value) if isinstance(value, int) and abs(value) < 2**63 else None


def _known(value: Any) -> str:
    return "" if not isinstance(value, str) or value in ("undefined", "null", "None") else value


def _library(properties: Object, extra: dict[str, Any]) -> str:
    name = properties.get("vwo_sdkName") or extra.get("sn") or ""
    version = properties.get("vwo_sdkVersion") or extra.get("sv") or ""
    return f"{name} {version}".strip()[:LONGEST_ID]


def _without(properties: Object, names: frozenset[str]) -> Object:
    return {key: value for key, value in properties.items() if key not in names}
