"""The rules of a connection to the built-in analytics, where this server takes the events. Pure.

The loader keeps events without a stop on the way, and hardly any of these connections has rules. So a call is first
made what it would be without them, and becomes a message only where there are some.
"""

import functools

import msgspec

from cairn.event import Draft, Refused
from cairn.outcomes import Reason
from cairn.routing.decide import (
    Discarded,
    Step,
    apply_filters,
    apply_mapping,
    apply_transformations,
    decide,
    drop_by_event_switch,
    drop_without_consent,
)
from cairn.routing.destination import Destination
from cairn.routing.destinations import heap_builtin
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.rules import Rules, RulesRefused, read_rules
from cairn.routing.to_message import message_of
from cairn.wire.refusal import Rejected
from cairn.wire.segment import check_call
from cairn.wire.segment_call import CheckedCall, Context, read_call

# What decides beside the destination itself, which looks at the browser, the type and the integrations object.
_STEPS: tuple[Step, ...] = (
    drop_without_consent,
    drop_by_event_switch,
    apply_filters,
    apply_transformations,
    apply_mapping,
)
_REASONS: dict[Discard, Reason] = {
    Discard.FILTERED_BY_CONSENT: Reason.FILTERED_BY_CONSENT,
    Discard.FILTERED_BY_EVENT_SWITCH: Reason.FILTERED_BY_EVENT_SWITCH,
    Discard.FILTERED_BY_RULES: Reason.FILTERED_BY_RULES,
    Discard.DROPPED_BY_TRANSFORMATION: Reason.DROPPED_BY_TRANSFORMATION,
    Discard.NO_MATCHING_MAPPING: Reason.NO_MATCHING_MAPPING,
}
_DESTINATION = Destination(
    "heap", heap_builtin.DESTINATION, "", (), lambda *_: [], kinds=frozenset(("track", "identify"))
)


def deliver(checked: CheckedCall, rules_text: str, position: int) -> Draft | Refused:
    """As heap_builtin.deliver, under the rules that `rules_text` says as JSON. `position`: the event's, in the log."""
    plain = heap_builtin.deliver(checked)
    if isinstance(plain, Refused):
        return plain
    rules = _read(rules_text)
    if rules is None:
        detail = "the rules of the connection to the analytics cannot be read; save them again"
        return checked.refused(Rejected(Reason.FILTERED_BY_RULES, detail))
    message = message_of(checked, position)
    if isinstance(message, Refused):
        return message
    decided = decide(message, rules, _DESTINATION, _STEPS)
    if isinstance(decided, Discarded):
        return checked.refused(Rejected(_REASONS[decided.reason], decided.detail))
    return plain if decided is message else _delivered(checked, decided)


# Few connections have rules, and one who saves them often changes nothing for the others.
@functools.lru_cache(maxsize=1_024)
def _read(text: str) -> Rules | None:
    try:
        return read_rules(msgspec.json.decode(text))
    except (RulesRefused, msgspec.DecodeError):
        return None


def _delivered(checked: CheckedCall, message: Message) -> Draft | Refused:
    """The call that the changed message would have been."""
    raw = msgspec.json.encode(message.body)
    try:
        # Its time is that of the sender's clock, which the loader sets right for every event.
        call = msgspec.structs.replace(
            read_call(raw), timestamp=checked.call.timestamp, message_id=checked.call.message_id
        )
        kind = check_call(call, checked.kind)
    except Rejected as rejected:
        return checked.refused(rejected)
    # What the batch said is in the message already; what rules took out of it must not come back.
    around = msgspec.structs.replace(checked.around, context=Context(), integrations={}, context_json={})
    return heap_builtin.deliver(CheckedCall(checked.arrival, raw, call, kind, around))
