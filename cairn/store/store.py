"""The event store's seam: one interface, one SQL dialect, two engines (embedded now, a ClickHouse server past one machine)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from cairn.event import Draft, Refused

Row = tuple[Any, ...]  # Any: the columns' own types


class PropertyChange(Struct, frozen=True):
    """One user property set on one raw user. The newest `version` wins: time in ms << 22 | arrival order."""

    environment_id: int
    user_id: int
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


class Store(Protocol):
    """Where behaviour is kept.

    - An insert that returned survives a crash and a power failure.
    - Inserting the same rows again is safe for properties and the user map; for events the loader asks `known` first.
    - Safe to use from several threads.
    """

    def query(
        self, environment_id: int, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout_s: float = 10.0
    ) -> list[Row]:
        """Run one SELECT bound to its tenant: the text must use `{environment:UInt32}`, which is bound here.

        Raises Unavailable on the time or memory limit. User map changes inserted before the call are in force.
        """

    def insert_events(self, events: Sequence[Draft]) -> None: ...

    def insert_properties(self, changes: Sequence[PropertyChange]) -> None: ...

    def insert_user_map(self, changes: Sequence[MapChange]) -> None: ...

    def insert_refusals(self, refusals: Sequence[Refused]) -> None: ...

    def known(self, event_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are stored already, for as long as data is kept."""

    def close(self) -> None: ...
