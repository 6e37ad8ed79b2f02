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
from cairn.ingest.location import Locate
from cairn.ingest.remembered import Remembered
from cairn.log_position import ORDER_BITS, log_position, order_of
from cairn.outcomes import Reason
from cairn.published.directory import Directory
from cairn.store.store import AccountChange, MapChange, PropertyChange, SeenElement, Store, VisitorRow
from cairn.wire.parsers import Event

Parser = Callable[[Arrival], Sequence[Event]]

PAYLOAD_CHARACTERS = 2_000


class Item(Struct, frozen=True, gc=False):
    """One request of a log: its entry, and its index in it."""

    entry: int
    index: int
    body: bytes
    log_id: int = 0

    @property
    def log_position(self) -> int:
        """Of its first event; the others follow."""
        return log_position(self.log_id, self.entry, self.index)


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
                draft.environment_id,
                draft.received_ms,
                reason,
                detail,
                draft.name,
                sent_user(draft),
                draft.source,
                _payload(draft),
                draft.log_position,
            )
        )


@dataclass(frozen=True)
class LoaderResources:
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


def version_of(draft: Draft) -> int:
    """Of the properties a draft sets: the newest time wins, then what arrived last.

    Limit: what arrived in two logs at equal times, in entries of equal number, has no order; either is kept.
    """
    return (draft.time_ms + draft.late_ms) << ORDER_BITS | order_of(draft.log_position)


def _payload(draft: Draft) -> str:
    shown = {
        "event": draft.name,
        "time": draft.time_ms,
        "properties": draft.properties,
        "user_properties": draft.user_properties,
    }
    try:
        return msgspec.json.encode(shown).decode()[:PAYLOAD_CHARACTERS]
    except UnicodeEncodeError:
        return repr(shown)[:PAYLOAD_CHARACTERS]
