"""The latest outcomes of each environment, in memory, for pages that show events as they arrive."""

import threading
from collections import defaultdict, deque
from collections.abc import Sequence, Set
from itertools import islice

from msgspec import Struct, field

from cairn.event import Draft, Element, Refused, Scalar
from cairn.outcomes import Outcome, Reason, outcome_of

# Events of each environment; a person cannot read more, and a busy loader should not build them.
SHOWN_PER_PUBLISH = 100
# Properties of one event: five hundred events stay in memory, and senders decide how many each has. Limit: what an open
# Live page filters by the others shows only after it is loaded again.
MOST_SHOWN = 100


class FeedItem(Struct, frozen=True):
    """One event and its outcome. `number` rises by one for every event, also for those left out at high rates."""

    number: int
    received_ms: int
    time_ms: int
    outcome: Outcome
    reason: Reason
    detail: str
    kind: str
    name: str
    user_id: int  # raw; 0 for a refusal
    user: str  # as sent: identity, anonymous id or number
    source: str
    properties: dict[str, Scalar]
    payload: str
    event_id: int = 0  # 0 for a refusal
    library: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    element: Element | None = None
    more_properties: int = 0  # left out of `properties`
    session_id: int = 0


class Feed:
    """Thread-safe. Keeps the newest `capacity` items of each environment; environment 0 is for unknown keys."""

    def __init__(self, capacity: int = 500) -> None:
        self._capacity = capacity
        self._changed = threading.Condition()
        self._items: dict[int, deque[FeedItem]] = {}
        self._numbers: dict[int, int] = defaultdict(int)

    def publish(self, accepted: Sequence[Draft], refused: Sequence[Refused]) -> None:
        """Add what one load decided, in the order of arrival."""
        if not accepted and not refused:
            return
        parted: dict[int, tuple[list[Draft], list[Refused]]] = defaultdict(lambda: ([], []))
        for draft in accepted:
            parted[draft.environment_id][0].append(draft)
        for refusal in refused:
            parted[refusal.environment_id][1].append(refusal)
        with self._changed:
            for environment_id, (drafts, refusals) in parted.items():
                self._add(environment_id, drafts, refusals)
            self._changed.notify_all()

    def forget(self, environment_id: int, user_ids: Set[int], names: Set[str]) -> None:
        """Drop what these users did: by raw id, or by how the sender named them."""
        with self._changed:
            items = self._items.get(environment_id)
            if items is not None:
                kept = [item for item in items if item.user_id not in user_ids and item.user not in names]
                self._items[environment_id] = deque(kept, maxlen=self._capacity)

    def recent(self, environment_id: int, limit: int, after: int = 0) -> list[FeedItem]:
        """The newest items with a number above `after`, newest first."""
        with self._changed:
            items = self._items.get(environment_id, ())
            return [item for item in reversed(items) if item.number > after][: max(0, limit)]

    def newest(self, environment_id: int) -> int:
        """The number of the newest event, 0 before the first."""
        with self._changed:
            return self._numbers.get(environment_id, 0)

    def wait(self, environment_id: int, after: int, timeout_s: float) -> bool:
        """Block until there is an event with a number above `after`; False when the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._numbers.get(environment_id, 0) > after, timeout_s)

    def _add(self, environment_id: int, drafts: list[Draft], refusals: list[Refused]) -> None:
        newest: list[Draft | Refused] = [*drafts[-SHOWN_PER_PUBLISH:], *refusals[-SHOWN_PER_PUBLISH:]]
        newest.sort(key=lambda entry: entry.log_position)
        shown = newest[-SHOWN_PER_PUBLISH:]
        self._numbers[environment_id] += len(drafts) + len(refusals)
        first = self._numbers[environment_id] - len(shown) + 1
        items = self._items.setdefault(environment_id, deque(maxlen=self._capacity))
        items.extend(_item(number, entry) for number, entry in enumerate(shown, first))


def _item(number: int, entry: Draft | Refused) -> FeedItem:
    if isinstance(entry, Refused):
        return FeedItem(
            number,
            entry.received_ms,
            entry.received_ms,
            outcome_of(entry.reason),
            entry.reason,
            entry.detail,
            "",
            entry.name,
            0,
            entry.user,
            entry.source,
            {},
            entry.payload,
        )
    properties = entry.properties or entry.user_properties
    return FeedItem(
        number,
        entry.received_ms,
        entry.time_ms,
        Outcome.ACCEPTED,
        Reason.STORED,
        entry.detail,
        entry.kind,
        entry.name,
        entry.user_id,
        sent_user(entry),
        entry.source,
        dict(islice(properties.items(), MOST_SHOWN)),
        "",
        entry.event_id,
        entry.library,
        entry.facts,
        entry.element,
        max(0, len(properties) - MOST_SHOWN),
        entry.session_id,
    )


def sent_user(draft: Draft) -> str:
    """The user as the sender named it."""
    return draft.identity or draft.anonymous_id or (str(draft.user_id) if draft.user_id else "")
