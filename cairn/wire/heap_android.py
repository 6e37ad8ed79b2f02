"""Heap's classic Android client: protobuf with words of its own, sometimes deflated without saying so.

Source: contracts/heap.md section 5.5 and the client's published descriptor (capture.proto, `Android`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cairn.event import Arrival, Draft, Element, Kind, Refused
from cairn.outcomes import Reason
from cairn.wire import capture_pb2
from cairn.wire.heap_event import Said, checked_name
from cairn.wire.heap_facts import plain_properties
from cairn.wire.heap_mobile import Mobile, draft_of, say_source, visible
from cairn.wire.heap_open import MOST_MESSAGES, Reader, first_message, inflated, open_messages, read_protobuf
from cairn.wire.heap_user import check_environment, moment_ms, user_changes, user_id_of
from cairn.wire.hierarchy import element_of, node_text
from cairn.wire.masking import mask_text
from cairn.wire.refusal import Rejected, refused
from cairn.wire.safe_draft import made_safe
from cairn.wire.users import check_identity

Parsed = list[Draft | Refused]
Received = Any  # a protobuf message; the runtime makes these classes as it loads

_android = cast(Any, capture_pb2).Android
_messages: Reader[Received] = _android.Message
_migrations: Reader[Received] = _android.UserMigration
_user_properties: Reader[Received] = _android.UserProperties


def parse_track(arrival: Arrival) -> Parsed:
    try:
        messages = open_messages(inflated(arrival.body)).messages
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]
    parsed = [_single(arrival, bytes(message), _messages, _tracked) for message in messages[:MOST_MESSAGES]]
    excess = Rejected(Reason.TOO_MANY_EVENTS, f"events: one request carries {MOST_MESSAGES} at most")
    return parsed + [refused(arrival, excess, message) for message in messages[MOST_MESSAGES:]]


def parse_identify(arrival: Arrival) -> Parsed:
    return _whole(arrival, _migrations, _identified)


def parse_add_user_properties(arrival: Arrival) -> Parsed:
    return _whole(arrival, _user_properties, _with_properties)


def first_app_id(body: bytes, parser: str) -> str:
    """The environment that the first message names. Raises Rejected: it is unreadable."""
    body = inflated(body)
    if parser == "heap.android.track":
        first = first_message(open_messages(body).messages, "events")
        return str(read_protobuf(_messages, bytes(first)).env_id)
    reader = _migrations if parser == "heap.android.identify" else _user_properties
    return str(read_protobuf(reader, body).env_id)


def _whole(arrival: Arrival, reader: Reader[Received], build: Callable[[Arrival, Received], Draft]) -> Parsed:
    try:
        return [_single(arrival, inflated(arrival.body), reader, build)]
    except Rejected as rejected:
        return [refused(arrival, rejected, arrival.body)]


def _single(
    arrival: Arrival, body: bytes, reader: Reader[Received], build: Callable[[Arrival, Received], Draft]
) -> Draft | Refused:
    try:
        draft = build(arrival, read_protobuf(reader, body))
    except Rejected as rejected:
        return refused(arrival, rejected, body)
    return made_safe(draft) if b"\0" in body else draft


def _identified(arrival: Arrival, migration: Received) -> Draft:
    check_environment(migration.env_id, arrival.extra.get("app_id", ""))
    if not migration.to_identity:
        raise Rejected(Reason.NO_USER, "toIdentity: is missing; send the name the user id belongs to")
    identity = check_identity(migration.to_identity, "toIdentity")
    user_id = user_id_of(migration.from_user_id or "", "fromUserId")
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY,
        "Identify",
        moment_ms(migration.time, arrival.received_ms),
        arrival.received_ms,
        user_id=user_id,
        identity=identity,
        merge_user_id=user_id,
        source=arrival.source,
        library="android",
        ip=arrival.ip,
        user_agent=arrival.user_agent,
    )


def _with_properties(arrival: Arrival, message: Received) -> Draft:
    check_environment(message.env_id, arrival.extra.get("app_id", ""))
    device, application = _device_facts(message.initial_device), message.initial_application
    initial = {"device": device["device"], "app_version": application.version_name}
    changes = user_changes(
        {
            **plain_properties(message.properties),
            **{f"initial_{key}": value for key, value in initial.items() if value},
        }
    )
    user_id = user_id_of(message.user.id.value or "", "user.id")
    return Draft(
        arrival.environment_id,
        Kind.IDENTIFY,
        "Set properties",
        arrival.received_ms,
        arrival.received_ms,
        user_id=user_id,
        properties=dict(changes),
        user_properties=changes,
        source=arrival.source,
        library="android",
        ip=arrival.ip,
        user_agent=arrival.user_agent,
    )


def _tracked(arrival: Arrival, message: Received) -> Draft:
    application = message.application
    facts = {
        **_device_facts(message.device),
        "app_name": application.application_id,
        "app_version": application.version_name,
        "view": message.pageview_info.activity.class_name,
    }
    mobile = Mobile(
        env_id=message.env_id,
        id=str(message.id or ""),
        user=str(message.user.id.value or ""),
        identity=message.user.identity,
        time_ms=moment_ms(message.time, arrival.received_ms),
        said=_say(message),
        session=str(message.session_info.id or (message.id if message.HasField("session") else "") or ""),
        pageview=str(message.pageview_info.id or (message.id if message.HasField("pageview") else "") or ""),
        facts=facts,
        library="android",
        properties=message.properties,
    )
    return draft_of(arrival, mobile, 0, "heap.android")


def _device_facts(device: Received) -> dict[str, str]:
    is_brand_said = device.model.lower().startswith(device.brand.lower())
    return {
        "platform": f"Android {device.release}".strip(),
        "device": device.model if is_brand_said else f"{device.brand} {device.model}",
        "carrier": device.carrier,
        "os": "Android",
        "os_version": device.release,
    }


def _say(message: Received) -> Said:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise Rejected(Reason.BAD_REQUEST, "the message: is none of session, pageview, event")
    if kind != "event":
        constant = Kind.SESSION if kind == "session" else Kind.PAGEVIEW
        return Said(constant, constant)
    event = message.event
    kind = event.WhichOneof("kind")
    if kind is None:
        raise Rejected(Reason.BAD_REQUEST, "event: is none of custom, click and the like")
    return _EVENTS[kind](event)


def _custom(event: Received) -> Said:
    custom = event.custom
    return Said(
        Kind.CUSTOM, checked_name(custom.name), (custom.properties, visible(event.app_visibility_state))
    )


def _click(event: Received) -> Said:
    target = event.click.on_click_attribute_target
    own = {"callback": target} if target else {}
    return Said(
        Kind.TOUCH, Kind.TOUCH, (own, visible(event.app_visibility_state)), _element(event.click.view)
    )


def _swipe(event: Received) -> Said:
    own = {"touch_type": "swipe", **visible(event.app_visibility_state)}
    return Said(Kind.TOUCH, Kind.TOUCH, (own,), _element(event.swipe.view))


def _text_change(event: Received) -> Said:
    view = event.text_change.view
    # What was typed is nobody's business; the view's text is just that.
    return Said(
        Kind.CHANGE, Kind.CHANGE, (visible(event.app_visibility_state),), _element(view, is_quiet=True)
    )


def _fragments(event: Received) -> Said:
    added, removed = event.fragment_transition.added, event.fragment_transition.removed
    view = (added[0] if added else removed[0]).class_name if added or removed else ""
    own = {"transition": "appeared" if added else "disappeared", **visible(event.app_visibility_state)}
    return Said(Kind.VIEW, Kind.VIEW, (own,), view=view)


def _page(event: Received) -> Said:
    to = event.page_transition.to
    view = to.fragment.class_name or to.view.class_name
    own = {"transition": "appeared", "page_title": mask_text(to.title), **visible(event.app_visibility_state)}
    return Said(Kind.VIEW, Kind.VIEW, (own,), view=view)


def _package(event: Received) -> Said:
    change = event.app_package_change
    versions = {
        "previous_version": change.previous_app_package_info.version_name,
        "current_version": change.current_app_package_info.version_name,
    }
    return Said(Kind.VERSION, Kind.VERSION, (versions,))


def _source(event: Received) -> Said:
    return say_source(
        event.source_event.name, event.source_event.source_properties, event.app_visibility_state
    )


def _source_custom(event: Received) -> Said:
    custom = event.source_custom_event
    sources = (custom.source_properties, custom.custom_properties, visible(event.app_visibility_state))
    return Said(Kind.CUSTOM, checked_name(custom.name), sources)


_EVENTS: Mapping[str, Callable[[Received], Said]] = {
    "custom": _custom,
    "click": _click,
    "fragment_transition": _fragments,
    "text_change": _text_change,
    "swipe": _swipe,
    "page_transition": _page,
    "app_package_change": _package,
    "source_event": _source,
    "source_custom_event": _source_custom,
}


def _element(view: Received, *, is_quiet: bool = False) -> Element:
    views: Sequence[Received] = [view, *view.ancestors]
    return element_of(
        "".join(node_text(node.class_name, node.id) for node in reversed(views)),
        view.class_name,
        view.id,
        text="" if is_quiet else view.text,
        label=view.accessibility_info.content_description,
    )
