"""The messages of Heap's current capture clients, from JSON. From protobuf they come as `capture_pb2`, alike in names.

So one mapping reads both: absent parts read as empty ones, and `WhichOneof` names the part that is there.
Source: contracts/heap.md sections 5.2 and 5.3.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, Struct, field

from cairn.wire.lenient import read_object, to_typed
from cairn.wire.reading import Json

Text = str | int | float | bool  # clients differ in whether ids, versions and the like are text
Properties = dict[str, Any]  # Any: foreign JSON
Typed = TypeVar("Typed", bound=Struct)


class Moment(Struct, frozen=True):
    """A protobuf Timestamp written as JSON."""

    seconds: int | str = 0
    nanos: int = 0


Time = str | int | float | Moment


class LibraryInfo(Struct, frozen=True):
    name: Text = ""
    version: Text = ""
    platform: Text = ""


class ApplicationInfo(Struct, frozen=True):
    name: Text = ""
    identifier: Text = ""
    version_string: Text = ""


class Uach(Struct, frozen=True):
    platform_version: Text = ""
    browser_version: Text = ""
    model: Text = ""


class DeviceInfo(Struct, frozen=True):
    model: Text = ""
    platform: Text = ""
    user_agent: Text = ""
    type: Text = 0
    carrier: Text = ""
    vendor_id: Text = ""
    uach: Uach = Uach()


class Utm(Struct, frozen=True):
    source: Text = ""
    medium: Text = ""
    term: Text = ""
    content: Text = ""
    campaign: Text = ""


class Url(Struct, frozen=True):
    domain: Text = ""
    path: Text = ""
    query: Text = ""
    hash: Text = ""


class PageviewInfo(Struct, frozen=True):
    id: Text = ""
    component_or_class_name: Text = ""
    title: Text = ""
    url: Url = Url()
    previous_page: Text = ""
    source_properties: Properties = field(default_factory=dict)
    properties: Properties = field(default_factory=dict)


_NO_PAGEVIEW = PageviewInfo()


class SessionInfo(Struct, frozen=True):
    id: Text = ""
    referrer: Text = ""
    search_keyword: Text = ""
    utm: Utm = Utm()
    initial_pageview_info: PageviewInfo = _NO_PAGEVIEW


class ElementNode(Struct, frozen=True):
    node_name: Text = ""
    node_html_class: Text = ""
    node_id: Text = ""
    node_text: Text = ""
    href: Text = ""
    accessibility_label: Text = ""
    attributes: Properties = field(default_factory=dict)


class Custom(Struct, frozen=True):
    name: Text = ""
    properties: Properties = field(default_factory=dict)
    source_properties: Properties = field(default_factory=dict)


class _OneOf(Struct, frozen=True):
    def WhichOneof(self, _group: str) -> str | None:
        """As protobuf spells it: the name of the one part that is there."""
        return next((name for name in self._kinds() if getattr(self, name) is not None), None)

    @staticmethod
    def _kinds() -> Sequence[str]:
        raise NotImplementedError


class Interaction(_OneOf, frozen=True):
    callback_name: Text = ""
    custom: Text | None = None
    builtin: Text | None = None
    hierarchy: Text = ""
    nodes: list[ElementNode] = field(default_factory=list)
    source_properties: Properties = field(default_factory=dict)

    @staticmethod
    def _kinds() -> Sequence[str]:
        return ("custom", "builtin")


class VersionChange(Struct, frozen=True):
    previous_version: Text | ApplicationInfo = ""
    current_version: Text | ApplicationInfo = ""


class ComponentTransition(Struct, frozen=True):
    invisible_to_visible: list[ElementNode] = field(default_factory=list)
    visible_to_invisible: list[ElementNode] = field(default_factory=list)


class NotificationInteraction(Struct, frozen=True):
    source: Text = 0
    title_text: Text = ""
    body_text: Text = ""
    action: Text = ""
    category: Text = ""
    component_or_class_name: Text = ""


class Event(_OneOf, frozen=True):
    custom: Custom | None = None
    interaction: Interaction | None = None
    version_change: VersionChange | None = None
    component_transition: ComponentTransition | None = None
    notification_interaction: NotificationInteraction | None = None
    app_visibility_state: Text = 0

    @staticmethod
    def _kinds() -> Sequence[str]:
        return ("custom", "interaction", "version_change", "component_transition", "notification_interaction")


class User(Struct, frozen=True):
    id: Text = ""
    identity: Text = ""
    initial_referrer: Text = ""
    initial_search_keyword: Text = ""
    initial_utm: Utm = Utm()
    initial_pageview_info: PageviewInfo = _NO_PAGEVIEW
    properties: Properties = field(default_factory=dict)


class Message(_OneOf, frozen=True):
    id: Text = ""
    env_id: Text = ""
    user_id: Text = ""
    identity: Text = ""
    time: Time | None = None
    base_library: LibraryInfo = LibraryInfo()
    source_library: LibraryInfo = LibraryInfo()
    application: ApplicationInfo = ApplicationInfo()
    device: DeviceInfo = DeviceInfo()
    session_info: SessionInfo = SessionInfo()
    pageview_info: PageviewInfo = _NO_PAGEVIEW
    properties: Properties = field(default_factory=dict)
    session: Properties | None = None
    pageview: Properties | None = None
    event: Event | None = None
    user: User | None = None

    @staticmethod
    def _kinds() -> Sequence[str]:
        return ("session", "pageview", "event", "user")


class UserIdentification(Struct, frozen=True):
    env_id: Text = ""
    user_id: Text = ""
    identity: Text = ""
    time: Time | None = None
    library: LibraryInfo = LibraryInfo()


class UserProperties(Struct, frozen=True):
    env_id: Text = ""
    user_id: Text = ""
    properties: Properties = field(default_factory=dict)
    library: LibraryInfo = LibraryInfo()
    initial_device: DeviceInfo = DeviceInfo()
    initial_application: ApplicationInfo = ApplicationInfo()
    initial_session_info: SessionInfo = SessionInfo()


def decode(raw: bytes | Raw, decoder: "msgspec.json.Decoder[Typed]", *, is_odd: bool) -> Typed:
    """One JSON message. Raises Rejected. A part of the wrong type counts as absent, as protobuf has it."""
    if not is_odd:
        try:
            return decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    typed: type[Typed] = decoder.type
    return to_typed(usable(read_object(raw), typed), typed)


def usable(value: Mapping[str, Json], typed: type[Struct]) -> dict[str, Json]:
    """Those members that fit the type, and of structures those of theirs that do."""
    kept: dict[str, Json] = {}
    for name, kind in _fields(typed).items():
        field_value = value.get(name)
        if field_value is None:
            continue
        fitting = _fitting(field_value, kind)
        if fitting is not None:
            kept[name] = fitting
    return kept


def _fitting(value: Json, kind: Any) -> Json:  # Any: a type or a union of types
    """What of a value fits; None when nothing does."""
    options = get_args(kind) if get_origin(kind) not in (list, dict) else (kind,)
    for option in options or (kind,):
        if isinstance(option, type) and issubclass(option, Struct):
            if isinstance(value, dict):
                return usable(value, option)
        elif get_origin(option) is list:
            if isinstance(value, list):
                return [usable(item, get_args(option)[0]) for item in value if isinstance(item, dict)]
        elif get_origin(option) is dict:
            if isinstance(value, dict):
                return value
        elif type(value) is option:
            return value
    return None


@cache  # resolving the hints costs more than the rest of the slow road
def _fields(typed: type[Struct]) -> dict[str, Any]:
    return get_type_hints(typed)
