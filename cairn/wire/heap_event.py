"""What happened in a capture message: interactions, custom events, screens, versions, notifications.

Source: contracts/heap.md section 5.2, `Event` and below.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from cairn.event import Element, Kind
from cairn.outcomes import Reason
from cairn.wire import capture_pb2
from cairn.wire.heap_facts import Masks, enum_name, masked, plain_properties, text_of
from cairn.wire.heap_message import ApplicationInfo, ElementNode, Event, Message, Text
from cairn.wire.heap_open import Reader, read_protobuf
from cairn.wire.hierarchy import element_of, node_text, without_text
from cairn.wire.reading import Json
from cairn.wire.refusal import Rejected

LONGEST_NAME = 1_024  # characters of a custom event's name
# The source library of events that our own script makes up (rage clicks, scroll depth, ...).
OURSELVES = "cairn"
# What our script says of a page that brings it a second time: a notice to the members, and nobody's behaviour.
LOADED_TWICE = "Heap loaded twice"

_BUILTINS = ("", Kind.CLICK, Kind.TOUCH, Kind.CHANGE, Kind.SUBMIT)  # by their number on the wire
_NOTIFICATION_SOURCES = ("", "push", "geofence", "calendar", "time_interval")
_VISIBILITIES = ("", "backgrounded", "foregrounded")
_APPLICATION_TAGS = (b"\x0a", b"\x12", b"\x1a")
_applications: Reader[ApplicationInfo] = cast(
    Any, capture_pb2
).ApplicationInfo  # Any: made as the runtime loads

Properties = Mapping[str, Json]  # or protobuf's map of them


class Said(Struct, frozen=True):
    """What a message says happened; who, when and where stands beside it."""

    kind: str
    name: str
    properties: Sequence[Properties] = ()  # later ones win
    element: Element | None = None
    view: str = ""
    user_properties: Properties | None = None


def say_event(message: Message, masks: Masks) -> Said:
    """Raises Rejected."""
    event: Event = message.event  # type: ignore[assignment]  # this kind has one
    kind = event.WhichOneof("kind")
    if kind is None:
        raise Rejected(Reason.BAD_REQUEST, "event: is none of custom, interaction and the like")
    return _EVENTS[kind](message, event, masks)


def checked_name(given: Text) -> str:
    """A custom event's name. Raises Rejected."""
    name = text_of(given).strip()
    if not name:
        raise Rejected(Reason.EVENT_NOT_DEFINED, "name: is missing or empty; name what happened")
    if len(name) > LONGEST_NAME:
        raise Rejected(
            Reason.EVENT_NAME_TOO_LONG, f"name: {len(name)} characters, {LONGEST_NAME} are allowed"
        )
    return name


def _custom(message: Message, event: Event, _masks: Masks) -> Said:
    custom = event.custom
    assert custom is not None
    sources = [masked(plain_properties(custom.source_properties)), custom.properties, _visibility(event)]
    element = None
    if message.source_library.name == OURSELVES:
        own = plain_properties(custom.properties)
        hierarchy, text = own.pop("hierarchy", None), own.pop("target_text", None)
        if isinstance(hierarchy, str) and hierarchy:
            element = element_of(
                hierarchy, _target_tag(hierarchy), text=text if isinstance(text, str) else ""
            )
        sources[1] = own
    return Said(Kind.CUSTOM, checked_name(custom.name), sources, element)


def _interaction(message: Message, event: Event, _masks: Masks) -> Said:
    interaction = event.interaction
    assert interaction is not None
    how = interaction.WhichOneof("kind")
    kind = enum_name(interaction.builtin or 0, _BUILTINS) if how == "builtin" else ""
    custom = text_of(interaction.custom or "").strip() if how == "custom" else ""
    if not kind:
        kind = Kind.CLICK if message.base_library.platform == "web" else Kind.TOUCH
    own: dict[str, Json] = {"callback": text_of(interaction.callback_name)}
    element = element_of_nodes(interaction.nodes, text_of(interaction.hierarchy))
    return Said(
        kind,
        custom[:LONGEST_NAME] or kind,
        (masked(plain_properties(interaction.source_properties)), own, _visibility(event)),
        without_text(element) if kind == Kind.CHANGE else element,
    )


def _version_change(_message: Message, event: Event, _masks: Masks) -> Said:
    change = event.version_change
    assert change is not None
    versions = {
        "previous_version": _version(change.previous_version),
        "current_version": _version(change.current_version),
    }
    return Said(Kind.VERSION, Kind.VERSION, (versions, _visibility(event)))


def _component_transition(message: Message, event: Event, _masks: Masks) -> Said:
    transition = event.component_transition
    assert transition is not None
    nodes, how = transition.invisible_to_visible, "appeared"
    if not nodes:
        nodes, how = transition.visible_to_invisible, "disappeared"
    element = element_of_nodes(nodes[:1], "")
    view = text_of(message.pageview_info.component_or_class_name) or (element.tag if element else "")
    return Said(Kind.VIEW, Kind.VIEW, ({"transition": how}, _visibility(event)), element, view)


def _notification(_message: Message, event: Event, masks: Masks) -> Said:
    notification = event.notification_interaction
    assert notification is not None
    own = {
        "notification_source": enum_name(notification.source, _NOTIFICATION_SOURCES),
        "title_text": masks.text(notification.title_text),
        "body_text": masks.text(notification.body_text),
        "action": text_of(notification.action),
        "category": text_of(notification.category),
    }
    view = text_of(notification.component_or_class_name)
    return Said(Kind.NOTIFICATION, Kind.NOTIFICATION, (own, _visibility(event)), view=view)


_EVENTS: dict[str, Callable[[Message, Event, Masks], Said]] = {
    "custom": _custom,
    "interaction": _interaction,
    "version_change": _version_change,
    "component_transition": _component_transition,
    "notification_interaction": _notification,
}


def element_of_nodes(nodes: Sequence[ElementNode], hierarchy: str) -> Element | None:
    """The target is the first node. Without a hierarchy the nodes are one."""
    if not nodes:
        return element_of(hierarchy, _target_tag(hierarchy)) if hierarchy else None
    target = nodes[0]
    return element_of(
        hierarchy or "".join(_node(node) for node in reversed(nodes)),
        text_of(target.node_name),
        text_of(target.node_id),
        text_of(target.node_html_class),
        text_of(target.node_text),
        text_of(target.href),
        text_of(target.accessibility_label),
        _texts(target),
    )


def _node(node: ElementNode) -> str:
    return node_text(
        text_of(node.node_name), text_of(node.node_id), text_of(node.node_html_class), _texts(node)
    )


def _texts(node: ElementNode) -> dict[str, str]:
    plain = plain_properties(node.attributes) if node.attributes else {}
    return {key: text_of(value) for key, value in plain.items() if isinstance(value, str | int | float)}


def _target_tag(hierarchy: str) -> str:
    target = hierarchy.rstrip("|").rpartition("|")[2]
    return target.partition(";")[0].removeprefix("@")


def _visibility(event: Event) -> dict[str, Json]:
    """Only what is odd is kept: nearly everything happens in the foreground."""
    is_hidden = enum_name(event.app_visibility_state, _VISIBILITIES) == "backgrounded"
    return {"app_visibility": "backgrounded"} if is_hidden else {}


def _version(version: Text | ApplicationInfo | bytes) -> str:
    if isinstance(version, bytes):
        return _version_in(version)
    return text_of(version.version_string) if isinstance(version, ApplicationInfo) else text_of(version)


def _version_in(raw: bytes) -> str:
    """The contract leaves open whether it is text or an ApplicationInfo; no version begins with a tag."""
    if raw[:1] not in _APPLICATION_TAGS:
        return raw.decode(errors="replace")
    try:
        return text_of(read_protobuf(_applications, raw).version_string)
    except Rejected:
        return ""
