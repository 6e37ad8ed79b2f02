"""What a Segment call becomes in Heap: the classic destination's cloud mode.

Source: contracts/segment.md 5.1 column B and 5.3. Beyond it nothing is lost: a call without userId is kept under its
anonymous id (as column D does), and an identify with both ids links them.
"""

from collections.abc import Sequence
from typing import Any

from cairn import ids
from cairn.event import Arrival, Draft, Kind, Refused, Scalar
from cairn.outcomes import Reason
from cairn.routing.device_mode import BROWSER_NAMES
from cairn.routing.heap_email import email_of
from cairn.routing.integrations import is_allowed
from cairn.wire.properties import cut_value, facade_scalars
from cairn.wire.refusal import Rejected
from cairn.wire.segment_call import Call, CheckedCall, Context, Metadata, Surroundings
from cairn.wire.times import check_range, epoch_ms, happened_ms
from cairn.wire.users import LONGEST_ID

DESTINATION = "Heap"  # its name in `integrations` and in `_metadata.bundled`; names are case-sensitive

_RESERVED = "id"  # the classic destination sends it, Heap's API does not take it, in any casing
_EMPTY = Context()


def deliver(checked: CheckedCall) -> Draft | Refused:
    """A checked call as Heap keeps it. Pure: for whichever environment, and as often as asked."""
    try:
        return _draft_of(checked)
    except Rejected as rejected:
        return checked.refused(rejected)


def _draft_of(checked: CheckedCall) -> Draft:
    """Raises Rejected when it is not for Heap."""
    arrival, call, kind, around = checked.arrival, checked.call, checked.kind, checked.around
    _check_wanted(call, kind, around)
    context = call.context or _EMPTY
    is_identify = kind == "identify"
    library = _library(context) or _library(around.context)
    properties = _properties(call, context.traits or around.context.traits, library, is_identify=is_identify)
    user_id, linked = _who(call, is_identify=is_identify) if call.anonymous_id else (0, 0)
    is_device = around.is_web or context.is_direct
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY if is_identify else Kind.CUSTOM,
        "Identify" if is_identify else call.event or "",
        _time_ms(arrival, call, around.sent_ms),
        arrival.received_ms,
        user_id=user_id,
        identity=call.user_id or "",
        anonymous_id=call.anonymous_id or "",
        merge_user_id=linked,
        key_space=around.key_space,
        key="" if call.message_id is None else str(call.message_id),
        sent_ms=around.sent_ms,
        properties=properties,
        user_properties=dict(properties) if is_identify else {},
        source=arrival.source,
        library=library,
        ip=context.ip or around.context.ip or (arrival.ip if is_device else ""),
        user_agent=context.user_agent
        or around.context.user_agent
        or (arrival.user_agent if is_device else ""),
    )


def _check_wanted(call: Call, kind: str, around: Surroundings) -> None:
    """The routing decision for this destination, in its order: contracts/segment.md section 4."""
    if call.metadata is not None and (name := _sent_by_browser(call.metadata)):
        raise Rejected(Reason.SENT_BY_BROWSER, f"_metadata.bundled names {name}")
    if kind not in ("track", "identify"):
        raise Rejected(Reason.UNSUPPORTED_EVENT_TYPE, f"type: Heap takes track and identify, not {kind}")
    if (call.integrations or around.integrations) and not _is_chosen(
        call.integrations or {}, around.integrations
    ):
        raise Rejected(
            Reason.BLOCKED_BY_INTEGRATIONS, f"integrations: does not name {DESTINATION}, or says false"
        )


def _sent_by_browser(metadata: Metadata) -> str:
    """The name of the destination that delivered it in the browser; empty: none did.

    A browser names what it was told to load, and also what then failed to load; that has delivered nothing.
    """
    bundled, failed = metadata.bundled or (), metadata.failed or ()
    return next((name for name in BROWSER_NAMES if name in bundled and not _has_failed(name, failed)), "")


def _has_failed(name: str, failed: Sequence[str]) -> bool:
    """Plugins of an Actions destination fail by its name or by their own, which begins with it."""
    return any(each == name or each.startswith(f"{name} ") for each in failed)


def _is_chosen(own: dict[str, Any], around: dict[str, Any]) -> bool:
    """By name, the call's own word before the batch's. To merge the two would cost the batch's size for each call."""
    for name in (DESTINATION, "All"):
        for chosen in (own, around):
            if name in chosen:
                return is_allowed(chosen[name])
    return True


def _who(call: Call, *, is_identify: bool) -> tuple[int, int]:
    """Of a call with an anonymous id the user id where it names no identity, and the user id an identity takes over."""
    anonymous_id = call.anonymous_id or ""
    anonymous = ids.anonymous_user_id(anonymous_id) if is_identify or not call.user_id else 0
    return (0, anonymous) if call.user_id else (anonymous, 0)


def _properties(
    call: Call, known: dict[str, Any] | None, library: str, *, is_identify: bool
) -> dict[str, Scalar]:  # Any: foreign JSON
    given = call.traits if is_identify else call.properties
    properties = facade_scalars(given) if given else {}
    own = properties.get("email")
    if isinstance(own, str):
        del properties["email"]
    if email := email_of(own, known, call.user_id, is_identify=is_identify):
        properties["_email"] = cut_value(email)
    if library:
        properties["segment_library"] = library
    if is_identify:
        return {key: value for key, value in properties.items() if key.lower() != _RESERVED}
    return properties


def _library(context: Context) -> str:
    return ((context.library.name if context.library else None) or "")[:LONGEST_ID]


def _time_ms(arrival: Arrival, call: Call, sent_ms: int) -> int:
    """What the sender said; the range is checked after the sender's clock is set right."""
    if call.timestamp is None or call.timestamp == "":
        return arrival.received_ms
    time_ms = epoch_ms(call.timestamp, "timestamp")
    happened = happened_ms(time_ms, sent_ms, arrival.received_ms) if sent_ms else time_ms
    check_range(happened, arrival.received_ms)
    return time_ms
