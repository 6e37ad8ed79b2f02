"""What one load works on: the items read from the log, and what the steps have made of them so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import Clock
from cairn.event import Arrival, Draft, Refused
from cairn.identity.merges import Merge
from cairn.ingest.controls import ControlsReader
from cairn.ingest.feed import sent_user
from cairn.ingest.followed import Followed
from cairn.ingest.place import Locate
from cairn.ingest.remembered import Remembered
from cairn.outcomes import Reason
from cairn.published.directory import Directory
from cairn.store.store import AccountChange, MapChange, PropertyChange, SeenElement, Store, VisitorRow
from cairn.wire.parsers import Event

Parser = Callable[[Arrival], Sequence[Event]]

PAYLOAD_CHARACTERS = 2_000
_EVENT_BITS = 14  # of a log position; a request carries at most 5,000 events
MOST_EVENTS = (
    1 << _EVENT_BITS
) - 1  # per request with a place of their own; all beyond are refusals and share one
_ITEM_BITS = 15  # of a log position; group commits are far smaller, and one that is larger runs into the next
ORDER_BITS = 64  # of a property's version, below its time: the whole log position
_ENTRY_SHIFT = _EVENT_BITS + _ITEM_BITS  # leaves 35 bits: ten years of a hundred commits a second


class Item(Struct, frozen=True, gc=False):
    """One request of the log: its entry, and its place in it."""

    entry: int
    place: int
    body: bytes

    @property
    def log_position(self) -> int:
        """Where its first event lies in the log; the others follow. It depends on the log only, never on the batch."""
        return (self.entry << _ENTRY_SHIFT) + (self.place << _EVENT_BITS)


class Parsed(Struct, frozen=True):
    """One request and the events in it."""

    arrival: Arrival
    log_position: int
    events: Sequence[Event]


@dataclass
class Batch:
    """Each event is in exactly one of `drafts`, `replayed` and `refusals` after every step."""

    items: Sequence[Item]
    parsed: list[Parsed] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)  # still on their way
    identified: dict[tuple[int, str], int] = field(
        default_factory=dict
    )  # canonical ids by environment and identity
    replayed: list[Draft] = field(default_factory=list)  # stored by a load that did not get to its end
    refusals: list[Refused] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    joined: list[MapChange] = field(default_factory=list)  # flag visitors that follow the merges
    visitors: dict[tuple[int, int], VisitorRow] = field(
        default_factory=dict
    )  # to be stored, by environment and visitor
    followed: dict[int, int] = field(
        default_factory=dict
    )  # environments whose stored identities get rows among the visitors, with their accounts
    not_merged: set[int] = field(
        default_factory=set
    )  # event ids of drafts kept although their merge was refused
    properties: dict[tuple[int, int, str], PropertyChange] = field(
        default_factory=dict
    )  # by environment, user, key

    accounts: dict[tuple[int, str, str], AccountChange] = field(
        default_factory=dict
    )  # by environment, account, key
    elements: dict[tuple[int, int], SeenElement] = field(
        default_factory=dict
    )  # not known to be stored, by environment and number

    def refuse(self, draft: Draft, reason: Reason, detail: str = "") -> None:
        """Give a draft its outcome; the caller takes it off `drafts`."""
        draft.reason, draft.detail = reason, detail
        self.refusals.append(
            Refused(
                draft.environment_id, draft.received_ms, reason, detail, draft.name, sent_user(draft), draft.source,
                _payload(draft), draft.log_position,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What the steps may use."""

    store: Store
    engine: sa.Engine
    directory: Callable[[], Directory]
    parsers: Mapping[str, Parser]
    remembered: Remembered
    followed: Followed
    controls: ControlsReader
    locate: Locate
    clock: Clock  # for what carries no time of its own; never for a decision about an event


def entry_of(log_position: int) -> int:
    return log_position >> _ENTRY_SHIFT


def place_of(log_position: int) -> int:
    """Which of its entry's items it came in."""
    return log_position >> _EVENT_BITS & (1 << _ITEM_BITS) - 1


def version_of(draft: Draft) -> int:
    """Of the properties a draft sets: the newest time wins, then what arrived last."""
    return (draft.time_ms + draft.late_ms) << ORDER_BITS | draft.log_position


def _payload(draft: Draft) -> str:
    shown = {
        "event": draft.name, "time": draft.time_ms, "properties": draft.properties,
        "user_properties": draft.user_properties,
    }  # fmt: skip
    try:
        return msgspec.json.encode(shown).decode()[:PAYLOAD_CHARACTERS]
    except UnicodeEncodeError:
        return repr(shown)[:PAYLOAD_CHARACTERS]
