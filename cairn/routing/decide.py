"""Whether a message goes to a connection's destination, and as what: one list of steps. Pure.

Source: contracts/segment.md section 4, step 6; the order is Segment's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from cairn.routing import integrations
from cairn.routing.consent import missing_consent
from cairn.routing.destination import Destination
from cairn.routing.device_mode import ID_PREFIX
from cairn.routing.filters import filtered
from cairn.routing.mappings import mapped
from cairn.routing.message import Message
from cairn.routing.outcome import Discard
from cairn.routing.rules import Rules
from cairn.routing.transformations import describe, preview, transformed


class Discarded(Struct, frozen=True):
    """A message ends here for this connection."""

    reason: Discard
    detail: str = ""  # names the field, the filter or the step


# Passes the message on, or another one made of it.
Step = Callable[[Message, Rules, Destination], Message | Discarded]


def drop_sent_by_browser(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    sent = message.body.get("_metadata")
    metadata = sent if isinstance(sent, dict) else {}
    bundled = metadata.get("bundled")
    if not isinstance(bundled, list) or name_of(destination) not in bundled:
        return message
    if _is_builtin_alone(metadata.get("bundledIds")):
        return message
    return Discarded(Discard.SENT_BY_BROWSER, f"_metadata.bundled names {name_of(destination)}")


def _is_builtin_alone(ids: Any) -> bool:  # Any: foreign JSON
    """Whether the browser had settings of ours: they name the connection whose library it ran, which is always one to
    the built-in analytics. Another connection to a destination of the same name still gets the message from here."""
    return isinstance(ids, list) and any(isinstance(each, str) and each.startswith(ID_PREFIX) for each in ids)


def drop_unsupported_type(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    if message.kind in destination.kinds:
        return message
    return Discarded(Discard.UNSUPPORTED_TYPE, f"type: {destination.name} does not take {message.kind} calls")


def drop_without_consent(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    missing = missing_consent(message.body.get("context"), rules.consent)
    if missing is None:
        return message
    detail = f"context.consent.categoryPreferences: {missing} is not true"
    return Discarded(Discard.FILTERED_BY_CONSENT, detail)


def drop_by_integrations(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    name = name_of(destination)
    sent = message.body.get("integrations")
    if integrations.choice(sent, name, is_storage=destination.is_storage) is not False:
        return message
    said = name if isinstance(sent, dict) and name in sent else integrations.ALL
    return Discarded(Discard.FILTERED_BY_INTEGRATIONS, f"integrations.{said} is false")


def drop_by_event_switch(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    """A destination that the message names by itself gets it whatever the switch says."""
    sent = message.body.get("integrations")
    is_named = isinstance(sent, dict) and name_of(destination) in sent
    if message.kind != "track" or is_named or rules.events.get(message.event, True):
        return message
    return Discarded(Discard.FILTERED_BY_EVENT_SWITCH, f"the event {message.event[:100]!r} is switched off")


def apply_filters(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    left = filtered(message, rules.filters)
    if isinstance(left, Message):
        return left
    return Discarded(
        Discard.FILTERED_BY_RULES, f"filter {left.name or left.condition.text[:200]}: {left.action}"
    )


def apply_transformations(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    left = transformed(message, rules.transformations)
    if isinstance(left, Message):
        return left
    return Discarded(Discard.DROPPED_BY_TRANSFORMATION, describe(left))


def apply_mapping(message: Message, rules: Rules, destination: Destination) -> Message | Discarded:
    filled = mapped(message, rules.mappings, destination)
    return filled if isinstance(filled, Message) else Discarded(Discard.NO_MATCHING_MAPPING, filled.detail)


STEPS: tuple[Step, ...] = (
    drop_sent_by_browser,
    drop_unsupported_type,
    drop_without_consent,
    drop_by_integrations,
    drop_by_event_switch,
    apply_filters,
    apply_transformations,
    apply_mapping,
)

STEP_NAMES: dict[Step, str] = {
    drop_sent_by_browser: "Sent by the browser",
    drop_unsupported_type: "Type of the call",
    drop_without_consent: "Consent",
    drop_by_integrations: "Integrations object",
    drop_by_event_switch: "Event switches",
    apply_filters: "Filters",
    apply_transformations: "Transformations",
    apply_mapping: "Mapping",
}


def decide(
    message: Message, rules: Rules, destination: Destination, steps: Sequence[Step] = STEPS
) -> Message | Discarded:
    """The message as the destination gets it, or why it does not."""
    for step in steps:
        decided = step(message, rules, destination)
        if isinstance(decided, Discarded):
            return decided
        message = decided
    return message


class TracedStep(Struct, frozen=True):
    """What one step made of a message, for people who look for it."""

    name: str
    result: Message | Discarded
    is_changed: bool
    details: tuple[str, ...] = ()  # of several steps in one, a sentence for each that changed something


def trace(message: Message, rules: Rules, destination: Destination) -> list[TracedStep]:
    """Every step that `decide` takes, up to the one that discards the message."""
    steps: list[TracedStep] = []
    for step in STEPS:
        decided = step(message, rules, destination)
        details = _sentences(message, rules) if step is apply_transformations else ()
        steps.append(TracedStep(STEP_NAMES[step], decided, decided is not message, details))
        if isinstance(decided, Discarded):
            break
        message = decided
    return steps


def _sentences(message: Message, rules: Rules) -> tuple[str, ...]:
    [shown] = preview(rules.transformations, [message])
    return tuple(step.sentence for step in shown if step.is_changed)


def name_of(destination: Destination) -> str:
    """In `integrations` objects and in `_metadata`."""
    return destination.integration or destination.name
