"""Which parser reads which arrival. One more wire format is one module and one line here."""

from collections.abc import Callable, Sequence

import msgspec

from cairn.event import Arrival, Draft, Refused
from cairn.outcomes import Reason
from cairn.wire import heap, heap_account, heap_android, heap_capture, heap_mobile, heap_web, wingify
from cairn.wire.refusal import shown
from cairn.wire.segment import parse_segment
from cairn.wire.segment_call import CheckedCall

_refusals = msgspec.msgpack.Decoder(Refused)


def parse_refused(arrival: Arrival) -> list[Draft | Refused]:
    """What the collector refused as a whole request, so that it shows among the rest."""
    try:
        return [_refusals.decode(arrival.body)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        detail = "the record of a refused request cannot be read"
        return [
            Refused(
                arrival.environment_id,
                arrival.received_ms,
                Reason.NOT_STORED,
                detail,
                payload=shown(arrival.body),
            )
        ]


def parse_removed(arrival: Arrival) -> list[Draft | Refused]:
    """A request that was taken out of the log for a user who was deleted."""
    return []


# What a parser makes of an event: complete, refused, or a call that routing gives to destinations.
Event = Draft | Refused | CheckedCall

PARSERS: dict[str, Callable[[Arrival], Sequence[Event]]] = {
    "heap.track": heap.parse_track,
    "heap.add_user_properties": heap.parse_add_user_properties,
    "heap.identify": heap.parse_identify,
    "heap.integrations.track": heap.parse_integrations_track,
    "heap.integrations.add_user_properties": heap.parse_integrations_add_user_properties,
    "heap.capture.track": heap_capture.parse_track,
    "heap.capture.identify": heap_capture.parse_identify,
    "heap.capture.add_user_properties": heap_capture.parse_add_user_properties,
    "heap.web": heap_web.parse_h,
    "heap.web.identify": heap_web.parse_identify,
    "heap.web.add_user_properties": heap_web.parse_add_user_properties,
    "heap.ios.track": heap_mobile.parse_ios_track,
    "heap.android.track": heap_android.parse_track,
    "heap.android.identify": heap_android.parse_identify,
    "heap.android.add_user_properties": heap_android.parse_add_user_properties,
    "heap.add_account_properties": heap_account.parse_add_account_properties,
    "segment": parse_segment,
    "wingify.event": wingify.parse_event,
    "wingify.batch": wingify.parse_batch,
    "refused": parse_refused,
    "removed": parse_removed,
}
