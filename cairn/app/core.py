"""What use cases stand on: the opened parts of one core process, handed down by the composition root."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.run import Questions
from cairn.client_address import TrustedProxies
from cairn.clock import Clock
from cairn.db import engine as database
from cairn.db.failure import explained
from cairn.definitions.matching import Definitions
from cairn.http_client import HttpClient
from cairn.ingest.feed import Feed
from cairn.ingest.loaded import Loaded
from cairn.ingest.location import Locate, locate_nothing
from cairn.lists.spool import Spools
from cairn.members.sets import Members
from cairn.settings import Settings
from cairn.store.store import Store
from cairn.workspace.sealed import Seal


class HealthProblem(Struct, frozen=True):
    """Something is wrong with this Cairn itself."""

    label: str
    title: str
    text: str


@dataclass(frozen=True)
class Core:
    """Opened once at start-up. Sync: the edges call use cases from their threads.

    `changed(environment_id)` is called after every committed change of an environment's flags, segments, keys
    or sources; the core then publishes settings and directory again. `touched` is called with the users whom a
    change outside the loader concerns; live segments then ask about them.
    """

    settings: Settings
    engine: sa.Engine
    store: Store
    members: Members
    definitions: Definitions  # of `store`
    feed: Feed  # the latest outcomes
    seal: Seal
    clock: Clock
    changed: Callable[[int], None]
    touched: Callable[[list[Loaded]], None]
    health: Callable[[], list[HealthProblem]]  # what is wrong at the moment of asking
    locate: Locate = locate_nothing  # an address's location, by the operator's file
    spools: Spools = field(default_factory=Spools)  # uploads that are being received or read
    syncs_changed: Callable[[], None] = lambda: None  # called after every committed change of a sync
    client: HttpClient = field(default_factory=lambda: HttpClient(TrustedProxies("")))  # to other machines
    log_end: Callable[[], int] = lambda: 0  # of the event log: what comes after it has not arrived yet
    received: Callable[[], None] = lambda: None  # a segment webhook has completed a task, to be applied

    @cached_property
    def questions(self) -> Questions:
        """To `store`, with the answers that are still true."""
        return Questions(self.store)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One consistent look at the metadata database."""
        with explained(), database.reading(self.engine) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction, committed at the end or not at all. What it has looked up stays true until then."""
        with explained(), self.engine.begin() as connection:
            database.take(connection, database.Lock.DEFINITIONS)
            yield connection
