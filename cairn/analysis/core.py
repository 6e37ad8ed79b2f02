"""What pages and API stand on: the opened parts of one core process, handed down by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import Clock
from cairn.definitions.matching import Definitions
from cairn.members.sets import Members, Published
from cairn.settings import Settings
from cairn.store.store import Store
from cairn.workspace.sealed import Seal


class Trouble(Struct, frozen=True):
    """Something is wrong with this Cairn itself."""

    label: str
    title: str
    text: str


@dataclass(frozen=True)
class Core:
    """Opened once at start-up. Sync: the edges call into it from their threads.

    `changed(environment_id)` is called after every committed change of an environment's flags, segments, keys
    or sources; the core then publishes settings and directory again.
    """

    settings: Settings
    engine: sa.Engine
    store: Store
    members: Members
    published: Published
    feed: Any  # ingest.feed.Feed: the latest outcomes
    seal: Seal
    clock: Clock
    changed: Callable[[int], None]
    live: Any  # segments.live, a sibling this layer may not import; None where no segments are counted
    troubles: Callable[[], list[Trouble]] = list  # what is wrong at the moment of asking
    definitions: Definitions = None  # type: ignore[assignment]  # of `store`; made here when none is given

    def __post_init__(self) -> None:
        if self.definitions is None:
            object.__setattr__(self, "definitions", Definitions(self.store))
