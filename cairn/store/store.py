"""The event store's seam: one interface and one SQL dialect for two engines.

Embedded now, a ClickHouse server past one machine.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from cairn.event import Draft, Element, Refused
from cairn.store.data_state import DataState
from cairn.store.erase import Erased, UserErasure
from cairn.store.running import Running
from cairn.store.statement import USUAL, Limits, Statement

Row = tuple[Any, ...]  # Any: the columns' own types


class PropertyChange(Struct, frozen=True, gc=False):
    """One user property set on one raw user. The newest `version` wins: time in ms << 64 | log position."""

    environment_id: int
    user_id: int
    key: str
    value: str
    time_ms: int
    version: int


class AccountChange(Struct, frozen=True):
    """One property set on one account. The newest `version` wins, as in PropertyChange."""

    environment_id: int
    account_id: str
    key: str
    value: str
    time_ms: int
    version: int


class MapChange(Struct, frozen=True):
    """From now on `user_id` belongs to `canonical_id`; equal: it stands for itself again."""

    environment_id: int
    user_id: int
    canonical_id: int
    version: int


# Ranks of VisitorRow: how sure it is whom a name means.
WAITING, NUMBER, ANONYMOUS, IDENTITY = range(4)


class VisitorRow(Struct, frozen=True, gc=False):
    """Whom a flag SDK's visitor stands for. The greatest `rank` wins; schema.VISITORS."""

    environment_id: int
    visitor_id: int
    user_id: int  # raw; 0: not known yet (WAITING)
    rank: int


class SeenElement(Struct, frozen=True, gc=False):
    """The shape of an element that was acted on, under its number."""

    environment_id: int
    element_id: int
    element: Element
    first_seen_ms: int


class Store(Protocol):
    """Where behaviour is kept.

    - An insert that returned survives a crash and a power failure.
    - Inserting the same rows again is safe for properties, the user map, elements, and refusals with a log position;
      for events the loader asks `known` first.
    - An insert of rows that cannot be stored raises RowsNotStorable and stores none of them. Any other failure raises
      Unavailable; then some of the events may be stored.
    - Safe to use from several threads.
    """

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        """Run one SELECT. It sees the rows of its environment only, whatever its text says.

        User map changes inserted before the call are in force. Raises Unavailable on the time or memory limit, and
        QuestionCancelled when `running` is cancelled meanwhile.
        """

    def state(self, environment_id: int) -> DataState | None:
        """What is known of its data without a question. None: others write too, so nothing is sure."""

    def insert_events(self, events: Sequence[Draft]) -> None: ...

    def insert_properties(self, changes: Sequence[PropertyChange]) -> None: ...

    def insert_account_properties(self, changes: Sequence[AccountChange]) -> None: ...

    def insert_user_map(self, changes: Sequence[MapChange]) -> None: ...

    def insert_visitors(self, visitors: Sequence[VisitorRow]) -> None: ...

    def insert_elements(self, elements: Sequence[SeenElement]) -> None:
        """Those stored already keep the time they were first seen."""

    def insert_refusals(self, refusals: Sequence[Refused]) -> None: ...

    def known(self, event_ids: Sequence[int]) -> dict[int, int]:
        """Those of the ids that are stored already, each with the log position it came from.

        Exact for as long as the events are kept.
        """

    def erase_users(self, erasures: Sequence[UserErasure]) -> list[Erased]:
        """Take users out of every answer; return what each entry lost. Idempotent."""

    def scrub(self) -> bool:
        """Leave nothing of them on the disk; False when some files are still there, then call again."""

    def first_seen(self, users: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
        """Those of the users (environment, raw id) seen in a session before, with the version kept of it."""

    def identified(self, users: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of the users (environment, raw id) whose id is an identity's own."""

    def visitors(self, keys: Sequence[tuple[int, int]]) -> list[VisitorRow]:
        """What is stored of these flag visitors (environment, visitor id)."""

    def waiting_visitors(self, keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of them whose events were stored before their user was known. Cheap where there are none."""

    def waiting_environments(self) -> set[int]:
        """Those that may have such visitors."""

    def identities_behind(
        self, environment_id: int, account_id: int, visitor_ids: Sequence[int]
    ) -> list[VisitorRow]:
        """Of all identities of an environment those whose visitor is asked for, or waits; a row need not be stored.

        `account_id`: the one that flag SDKs hash with.
        """

    def name_identities(self, environment_id: int, account_id: int) -> None:
        """Store the rows of all identities of an environment that have none."""

    def newest_received_ms(self) -> int:
        """The latest receipt of an event, 0 when there is none."""

    def user_map_version(self) -> int:
        """The newest version in the user map, 0 when it is empty."""

    def close(self) -> None: ...
