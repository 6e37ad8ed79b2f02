"""What is stored, as far as one process can tell from memory: most look-ups of the loader find nothing, and end here.

Right only while this process alone writes the store. Where several write, it is never filled, and everything is looked
up in the engine.
"""

import logging
import threading
from collections.abc import Sequence

import numpy as np

from cairn.store import arrow_tables
from cairn.store.engine import Engine
from cairn.store.errors import StoreBusy
from cairn.store.known import Ids, KnownIds
from cairn.store.schema import DATABASE, FIRST_SEEN_KEY

logger = logging.getLogger(__name__)

User = tuple[int, int]  # environment, and raw user or visitor id

# The ids of all events, and one word for each user who was seen in a session and for each flag visitor whose user is
# not known; `_hashes` makes the same.
_ALL_KNOWN = f"""
    SELECT 0 AS filter, event_id AS id FROM {DATABASE}.events
    UNION ALL
    SELECT 1, bitXor(user_id, bitShiftLeft(toUInt64(environment_id), 32)) FROM {DATABASE}.user_properties
    WHERE key = '{FIRST_SEEN_KEY}'
    UNION ALL
    SELECT 2, bitXor(visitor_id, bitShiftLeft(toUInt64(environment_id), 32)) FROM {DATABASE}.visitors WHERE rank = 0
"""
_KNOWN_ROW = np.dtype([("filter", "u1"), ("id", "<u8")])
_IDS_PER_BLOCK = 1 << 16  # ids read at once when the filters are filled


class StoredIds:
    """Thread-safe. Whatever is to be stored is added before it is: an id must never be in the store and not here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._events, self._seen_users, self._waiting_visitors = KnownIds(), KnownIds(), KnownIds()
        self._is_filled = self._is_closed = False
        self._filling = threading.Thread(target=self._fill, name="known ids", daemon=True)

    def start(self) -> None:
        """Begin to read what is stored. Until its end every look-up is a maybe."""
        count = int(self._engine.read(f"SELECT count() FROM {DATABASE}.events")[0][0])
        self._events.reserve(count)
        self._filling.start()

    def wait(self) -> bool:
        """Wait until all is read. False: it could not be, and every look-up asks the engine."""
        if self._filling.ident is not None:
            self._filling.join()
        return self._is_filled

    def close(self) -> None:
        """Before the engine: reading ends first."""
        self._is_closed = True
        self.wait()

    def add_events(self, ids: Ids) -> None:
        self._events.add(ids)

    def add_seen(self, users: Sequence[User]) -> None:
        if users:
            self._seen_users.add(_hashes(users))

    def add_waiting(self, visitors: Sequence[User]) -> None:
        if visitors:
            self._waiting_visitors.add(_hashes(visitors))

    def maybe_events(self, event_ids: Sequence[int]) -> Sequence[int]:
        if not self._is_filled or not event_ids:
            return event_ids
        ids = np.array(event_ids, dtype=np.uint64)
        maybes: list[int] = ids[self._events.maybe(ids)].tolist()
        return maybes

    def maybe_seen(self, users: Sequence[User]) -> Sequence[User]:
        return self._maybe(self._seen_users, users)

    def maybe_waiting(self, visitors: Sequence[User]) -> Sequence[User]:
        return self._maybe(self._waiting_visitors, visitors)

    def _maybe(self, filter: KnownIds, users: Sequence[User]) -> Sequence[User]:
        if not self._is_filled or not users:
            return users
        maybes = filter.maybe(_hashes(users)).tolist()
        return [user for user, maybe in zip(users, maybes, strict=True) if maybe]

    def _fill(self) -> None:
        """Read every stored id once, 10 M in a second or two. Ids stored meanwhile are added by who stores them."""
        arrow_tables.prepare()
        try:
            with self._engine.stream(_ALL_KNOWN) as stream:
                while block := stream.read(_IDS_PER_BLOCK * _KNOWN_ROW.itemsize):
                    if self._is_closed:
                        return
                    stored = np.frombuffer(block, dtype=_KNOWN_ROW)
                    for number, filter in enumerate((self._events, self._seen_users, self._waiting_visitors)):
                        filter.add(stored["id"][stored["filter"] == number])
        except StoreBusy:
            logger.exception("known_ids_not_read")
            return
        self._is_filled = True


def _hashes(users: Sequence[User]) -> Ids:
    return np.array([user_id ^ (environment_id << 32) for environment_id, user_id in users], dtype=np.uint64)
