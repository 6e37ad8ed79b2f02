"""What flag SDKs send: one event (`wingify.event`) or a batch (`wingify.batch`). Pure.

Source: contracts/wingify.md section 9. Events carry a visitor UUID and never the user's id, so the user here is the
one of that UUID; whoever knows the ids behind UUIDs joins them later.
"""

import hashlib
import json
from typing import Any

import msgspec
from msgspec import Struct

from cairn.event import Arrival, Draft, Kind, Refused, Scalar
from cairn.ids import anonymous_user_id
from cairn.outcomes import Reason

SOURCE = "flags"
EXPOSURE = "vwo_variationShown"
USER_PROPERTIES = "vwo_syncVisitorProp"
ABOUT_ITSELF = frozenset(
    ("vwo_fmeSdkInit", "vwo_sdkDebug", "vwo_sdkUsageStats", "vwo_feTrackUsage", "vwo_log", "vwo_errorLog")
)

MOST_EVENTS = 5_000  # per batch; the gateway refuses larger ones before they get here
MOST_EVENT_BYTES = 32_768
MOST_DEPTH = 32
LONGEST_NAME = 1_024  # characters
LONGEST_ID = 255  # characters
SHOWN_CHARACTERS = 2_000  # of a refused payload
FIRST_MS, LAST_MS = 0, 253_402_300_799_000  # 1970 to 9999: beyond, the sender's time is no time

_CONSTANTS = {
    "isCustomEvent": True,
    "variation": 1,
    "id": 1,
}  # sent with every tracked event, meaning nothing
_SDK_PROPERTIES = frozenset(("vwo_sdkName", "vwo_sdkVersion", "vwo_envKey", "vwo_fs_environment", "vwoMeta"))
_NOT_USER_PROPERTIES = frozenset(("vwo_fs_environment", "ip"))

Parsed = Draft | Refused
Json = dict[str, Any]  # Any: foreign JSON


class _Batch(Struct):
    ev: list[msgspec.Raw]


class _Unfit(Exception):
    """This event cannot become a draft."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail


def parse_event(arrival: Arrival) -> list[Parsed]:
    """Exactly one result."""
    if refused := _refused_whole(arrival):
        return [refused]
    return [_parsed(arrival, arrival.body)]


def parse_batch(arrival: Arrival) -> list[Parsed]:
    """One result per event in order; one for the whole batch when it cannot be read; none for an empty batch."""
    if refused := _refused_whole(arrival):
        return [refused]
    try:
        events = msgspec.json.decode(arrival.body, type=_Batch).ev
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [_refused(arrival, arrival.body, *_unreadable(arrival.body, error))]
    results = [_parsed(arrival, bytes(event)) for event in events[:MOST_EVENTS]]
    results += [
        _refused(arrival, bytes(event), Reason.TOO_MANY_EVENTS, f"a batch holds at most {MOST_EVENTS} events")
        for event in events[MOST_EVENTS:]
    ]
    return results


def _refused_whole(arrival: Arrival) -> Refused | None:
    if arrival.extra.get("too_large"):
        return _refused(
            arrival, b"", Reason.BODY_TOO_LARGE, "one event may have 1 MB; send fewer or shorter properties"
        )
    if not arrival.environment_id:
        return _refused(
            arrival, arrival.body, Reason.UNKNOWN_KEY, "env: no environment has this SDK key or account id"
        )
    return None


def _parsed(arrival: Arrival, body: bytes) -> Parsed:
    name = user = ""
    try:
        event = _Event(_document(body))
        name, user = event.name, event.visitor
        if name in ABOUT_ITSELF:
            raise _Unfit(Reason.SDK_HEALTH, event.complaint())
        return _draft(arrival, event)
    except _Unfit as unfit:
        return _refused(arrival, body, unfit.reason, unfit.detail, name=name, user=user)


def _document(body: bytes) -> Json:
    if len(body) > MOST_EVENT_BYTES:
        raise _Unfit(
            Reason.EVENT_TOO_LARGE, f"the event has {len(body)} bytes, {MOST_EVENT_BYTES} are allowed"
        )
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Unfit(*_unreadable(body, error)) from error
    if _depth(found) > MOST_DEPTH:
        raise _Unfit(Reason.TOO_DEEP, f"nested more than {MOST_DEPTH} levels deep; send flatter properties")
    return _object(found, "the event")


class _Event:
    """The parts of one event, checked."""

    def __init__(self, document: Json) -> None:
        self.d = _object(document.get("d"), "d")
        event = _object(self.d.get("event"), "d.event")
        self.content = event
        self.name = _name(event.get("name"))
        self.visitor = _visitor(self.d.get("visId"))
        self.properties = _object(event.get("props", {}), "d.event.props")
        visitor = _object(self.d.get("visitor", {}), "d.visitor")
        self.user_properties = _object(visitor.get("props", {}), "d.visitor.props")
        self.time_ms = _time_ms(event.get("time"))

    def complaint(self) -> str:
        """What an SDK says of itself, in one line."""
        meta = self.properties.get("vwoMeta")
        if not isinstance(meta, dict):
            return ""
        return " ".join(str(meta[key])[:200] for key in ("msg_t", "msg") if meta.get(key))

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
        time_ms=event.time_ms or arrival.received_ms,
        received_ms=arrival.received_ms,
        user_id=anonymous_user_id(event.visitor),
        anonymous_id=event.visitor,
        key_space=f"wingify/{arrival.environment_id}",
        key=event.key(),
        session_id=_whole(event.d.get("sessionId")) or 0,
        source=SOURCE,
        library=_library(event.properties, arrival.extra),
        ip=_known(event.d.get("visitor_ip")) or arrival.ip,
        user_agent=_known(event.d.get("visitor_ua")) or arrival.user_agent,
    )
    _BY_NAME.get(event.name, _as_tracked)(draft, event)
    return draft


def _as_exposure(draft: Draft, event: _Event) -> None:
    campaign, variation = _whole(event.properties.get("id")), _whole(event.properties.get("variation"))
    if campaign is None or variation is None:
        raise _Unfit(Reason.BAD_REQUEST, "d.event.props: id and variation must be whole numbers")
    draft.kind = Kind.EXPOSURE
    draft.properties = {
        **_scalars(event.user_properties, without=_NOT_USER_PROPERTIES),  # post-segmentation variables
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
    draft.user_properties = _scalars(event.user_properties, without=_NOT_USER_PROPERTIES)


def _as_tracked(draft: Draft, event: _Event) -> None:
    own = {
        key: value
        for key, value in event.properties.items()
        if key not in _CONSTANTS or value != _CONSTANTS[key]
    }
    draft.properties = {
        **_scalars(event.user_properties, without=_NOT_USER_PROPERTIES),
        **_scalars(own, without=_SDK_PROPERTIES),
    }


_BY_NAME = {EXPOSURE: _as_exposure, USER_PROPERTIES: _as_user_properties}


def _refused(
    arrival: Arrival, body: bytes, reason: Reason, detail: str, *, name: str = "", user: str = ""
) -> Refused:
    return Refused(
        arrival.environment_id,
        arrival.received_ms,
        reason,
        detail,
        name=name or str(arrival.extra.get("en", ""))[:LONGEST_NAME],
        user=user,
        source=SOURCE,
        payload=body[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")[:SHOWN_CHARACTERS],
    )


def _unreadable(body: bytes, error: Exception) -> tuple[Reason, str]:
    if isinstance(error, RecursionError):
        return Reason.TOO_DEEP, f"nested more than {MOST_DEPTH} levels deep; send flatter properties"
    if isinstance(error, msgspec.ValidationError):
        return Reason.BAD_REQUEST, str(error)
    try:
        body.decode()
    except UnicodeDecodeError:
        return Reason.NOT_UTF8, "the body must be UTF-8"
    return Reason.MALFORMED_JSON, str(error)


def _object(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise _Unfit(Reason.BAD_REQUEST, f"{where} must be an object")
    return value


def _name(value: Any) -> str:
    if value is None or value == "":
        raise _Unfit(Reason.EVENT_NOT_DEFINED, "d.event.name is missing")
    if not isinstance(value, str):
        raise _Unfit(Reason.EVENT_NOT_STRING, "d.event.name must be text")
    if len(value) > LONGEST_NAME:
        raise _Unfit(Reason.EVENT_NAME_TOO_LONG, f"d.event.name may have {LONGEST_NAME} characters")
    return value


def _visitor(value: Any) -> str:
    if value is None or value == "":
        raise _Unfit(Reason.NO_USER, "d.visId is missing")
    if not isinstance(value, str):
        raise _Unfit(Reason.ID_NOT_STRING, "d.visId must be text")
    if len(value) > LONGEST_ID:
        raise _Unfit(Reason.ID_TOO_LONG, f"d.visId may have {LONGEST_ID} characters")
    return value


def _time_ms(value: Any) -> int:
    time_ms = _whole(value) or 0
    return time_ms if FIRST_MS < time_ms <= LAST_MS else 0


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


def _library(properties: Json, extra: dict[str, Any]) -> str:
    name = properties.get("vwo_sdkName") or extra.get("sn") or ""
    version = properties.get("vwo_sdkVersion") or extra.get("sv") or ""
    return f"{name} {version}".strip()[:LONGEST_ID]


def _scalars(properties: Json, *, without: frozenset[str]) -> dict[str, Scalar]:
    return {
        key: _scalar(value) for key, value in properties.items() if key not in without and value is not None
    }


def _scalar(value: Any) -> Scalar:
    """Text, numbers and switches as they are; lists, objects and numbers beyond 64 bits as their JSON text."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _depth(value: Any) -> int:
    """How deep containers are nested, looking no deeper than needed to refuse."""
    deepest, waiting = 0, [(value, 1)]
    while waiting and deepest <= MOST_DEPTH:
        container, depth = waiting.pop()
        inside = container.values() if isinstance(container, dict) else container
        if not isinstance(container, dict | list):
            continue
        deepest = max(deepest, depth)
        waiting += [(one, depth + 1) for one in inside if isinstance(one, dict | list)]
    return deepest
