"""One call of Segment's API as its clients send it, typed. Source: contracts/segment.md section 1.5."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from cairn.event import Arrival, Refused
from cairn.outcomes import Reason
from cairn.wire.lenient import NUMBER, FieldRule, decoded_leniently, read_object, to_typed
from cairn.wire.reading import Json
from cairn.wire.refusal import Rejected, refused
from cairn.wire.times import Timestamp

Traits = dict[str, Any]  # Any: foreign JSON


class Library(Struct, frozen=True, gc=False):
    name: str | None = None


class Context(Struct, frozen=True, gc=False):
    """The part of `context` that matters for analytics."""

    library: Library | None = None
    traits: Traits | None = None
    ip: str | None = None
    user_agent: str | None = msgspec.field(default=None, name="userAgent")
    is_direct: bool | None = msgspec.field(default=None, name="direct")  # the device itself sent it


class Metadata(Struct, gc=False):
    """What the browser client says it did by itself."""

    bundled: list[str] | None = None
    failed: list[str] | None = msgspec.field(default=None, name="failedInitializations")


class Call(Struct, gc=False):
    type: str | None = None
    user_id: str | None = msgspec.field(default=None, name="userId")
    anonymous_id: str | None = msgspec.field(default=None, name="anonymousId")
    event: str | None = None
    properties: Traits | None = None
    traits: Traits | None = None
    context: Context | None = None
    integrations: Traits | None = None
    timestamp: Timestamp | None = None
    sent_at: Timestamp | None = msgspec.field(default=None, name="sentAt")
    message_id: str | int | None = msgspec.field(default=None, name="messageId")
    metadata: Metadata | None = msgspec.field(default=None, name="_metadata")


class Surroundings(Struct, frozen=True):
    """What one request says for all of its calls."""

    kind: str  # the type its path names; empty in a batch
    key_space: str
    context: Context = Context()
    integrations: dict[str, Any] = {}  # Any: foreign JSON
    sent_ms: int = 0
    is_web: bool = False  # the request came from the user's own device
    is_odd: bool = False  # may hold characters the fast decoder lets through
    may_be_large: bool = False  # long enough to hold an event over its limit
    context_json: dict[str, Any] = {}  # Any: foreign JSON; `context` as it was sent
    # Why `context_json` and `integrations` cannot be given to each of the batch's calls; empty: they can.
    shared_refusal: str = ""


class CheckedCall(Struct, frozen=True, gc=False):
    """A call that Segment takes. What becomes of it is each destination's business (routing/destinations)."""

    arrival: Arrival
    raw: Raw | bytes
    call: Call
    kind: str  # its type
    around: Surroundings

    def refused(self, rejected: Rejected) -> Refused:
        return refused_call(self.arrival, self.raw, self.call, rejected, kind=self.kind)


def refused_call(
    arrival: Arrival, raw: Raw | bytes, call: Call, rejected: Rejected, *, kind: str = ""
) -> Refused:
    """`kind`: its type, where the path says it and the call does not."""
    name, user = call.event or call.type or kind, call.user_id or call.anonymous_id or ""
    return refused(arrival, rejected, raw, name=name, user=user)


_RULES = (
    FieldRule("type", (str,), Reason.TYPE_UNKNOWN, "text"),
    FieldRule("userId", (str,), Reason.ID_NOT_STRING, "text"),
    FieldRule("anonymousId", (str,), Reason.ID_NOT_STRING, "text"),
    FieldRule("event", (str,), Reason.EVENT_NOT_STRING, "text"),
    FieldRule("properties", (dict,), Reason.PROPERTIES_NOT_OBJECT, "an object"),
    FieldRule("traits", (dict,), Reason.TRAITS_NOT_OBJECT, "an object"),
    FieldRule("timestamp", (str, *NUMBER), Reason.BAD_TIMESTAMP, "ISO 8601 text"),
    FieldRule("messageId", (str, int), Reason.BAD_REQUEST, "text"),
    FieldRule("sentAt", (str, *NUMBER)),
    FieldRule("context", (dict,)),
    FieldRule("integrations", (dict,)),
    FieldRule("_metadata", (dict,)),
)
_CONTEXT_RULES = (
    FieldRule("library", (dict,)),
    FieldRule("traits", (dict,)),
    FieldRule("ip", (str,)),
    FieldRule("userAgent", (str,)),
)
_LIBRARY_RULES = (FieldRule("name", (str,)),)

_calls = msgspec.json.Decoder(Call)


def decode_call(raw: Raw | bytes) -> Call:
    """Raises Rejected naming the field."""
    try:
        return _calls.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_call(raw)


def read_call(raw: Raw | bytes) -> Call:
    """The slow road: each ill-typed field gets its own verdict, and odd characters are replaced."""
    value = decoded_leniently(read_object(raw), _RULES)
    context, metadata = value.pop("context", None), value.pop("_metadata", None)
    call = to_typed(value, Call)
    call.context = read_context(context)
    if metadata:
        call.metadata = Metadata(
            _names(metadata.get("bundled")), _names(metadata.get("failedInitializations"))
        )
    return call


def _names(value: Json) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def read_context(value: Json) -> Context | None:
    """Whatever of a context is usable; a context never costs its event."""
    if not isinstance(value, dict):
        return None
    usable = decoded_leniently(value, _CONTEXT_RULES)
    usable["direct"] = value.get("direct") is True
    if library := usable.pop("library", None):
        usable["library"] = decoded_leniently(library, _LIBRARY_RULES)
    return to_typed(usable, Context)
