"""The reader of the event log that fills the event store: batches through `STEPS`, then `WRITES`, then the cursor."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.failure import is_away
from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog
from cairn.eventlog.readers import LOADER
from cairn.identity.map_copy import copy_map
from cairn.ingest.attempts import Attempts
from cairn.ingest.batch import Batch, Item, LoaderResources, Parser
from cairn.ingest.controls import ControlsReader
from cairn.ingest.feed import Feed
from cairn.ingest.followed import Followed
from cairn.ingest.loaded import Loaded
from cairn.ingest.location import Locate, locate_nothing
from cairn.ingest.remembered import Remembered
from cairn.ingest.steps import STEPS, parse, unreadable
from cairn.ingest.touched import touched
from cairn.ingest.writes import WRITES, write_refusals
from cairn.members.sets import Published
from cairn.published.directory import Directory
from cairn.store.store import Store
from cairn.wire.parsers import PARSERS

logger = logging.getLogger(__name__)

SET_ASIDE = "it stopped the core and was set aside; see Home"

_BYTES_PER_LOAD = 8 << 20  # of requests: some 20,000 events; larger loads are hardly cheaper per event
_ITEMS_PER_LOAD = 20_000  # requests
_ITEMS_PER_READ = 256  # requests, as far as their bytes allow
_IDLE_S = 0.01  # how often an idle loader looks at the log
# From one load to the next, by how many requests it had at least. A part of the store costs as much as a thousand
# events, in its insert and again in its merges; so the more arrive, the larger the parts they are given.
_PACES_S = ((5_000, 0.0), (500, 0.25), (1, 0.1), (0, _IDLE_S))
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0  # after a failure, doubling


class Loader:
    """One per event log; `load_once` and `run` are for one thread.

    Guarantee: every event of the log gets exactly one outcome, also when the process is killed at any moment. After
    that the users of events already stored are named to `on_loaded` again.
    `on_loaded` gets the touched users once the events are stored, before the cursor moves; it must not raise.
    """

    def __init__(
        self,
        log: EventLog,
        store: Store,
        engine: sa.Engine,
        directory: Callable[[], Directory],
        feed: Feed,
        clock: Clock,
        on_loaded: Callable[[list[Loaded]], None],
        *,
        parsers: Mapping[str, Parser] = PARSERS,
        published: Published | None = None,
        locate: Locate = locate_nothing,
        attempts: Attempts | None = None,
    ) -> None:
        self._log, self._feed, self._on_loaded = log, feed, on_loaded
        controls = ControlsReader(published)
        self._resources = LoaderResources(
            store, engine, directory, parsers, Remembered(), Followed(), controls, locate, clock
        )
        self._attempts = attempts
        self._map_is_copied = False
        self._loading = threading.Lock()
        self.seconds: defaultdict[str, float] = defaultdict(float)  # spent so far, by step
        self.events = 0  # decided so far
        self.error = ""  # why the last load failed; empty: it did not

    def load_once(self) -> int:
        """Load what waits in the log, up to a batch; return how many requests.

        Raises Unavailable or the database's error when the store or the metadata is away; nothing is lost, call
        again.
        """
        with self._loading:
            return self._load_next()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No load is under way meanwhile, and the next one takes nothing for stored: some of it may be deleted."""
        with self._loading:
            try:
                yield
            finally:
                self._resources = replace(self._resources, remembered=Remembered())

    def _load_next(self) -> int:
        if not self._map_is_copied:
            copy_map(self._resources.engine, self._resources.store)
            self._map_is_copied = True
        with self._timed("read"):
            items = self._read()
        if not items:
            return 0
        batches = self._load_all(items)
        with self._timed("touched"):
            self._on_loaded([loaded for batch in batches for loaded in touched(batch)])
        with self._timed("commit"):
            self._log.commit(LOADER, items[-1].entry)
        with self._timed("feed"):
            for batch in batches:
                self._feed.publish(batch.drafts, batch.refusals)
                self.events += len(batch.drafts) + len(batch.refusals)
        return len(items)

    def run(self, stop: threading.Event) -> None:
        """Load until told to stop; failures are logged and tried again."""
        pause_s = _FIRST_PAUSE_S
        while not stop.is_set():
            began = time.monotonic()
            try:
                count = self.load_once()
            except Exception as error:  # a job boundary: the events are in the log, and it is tried again
                logger.exception("load_failed", extra={"retry_in_s": pause_s})
                self.error = str(error)
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s, self.error = _FIRST_PAUSE_S, ""
            pace_s = next(pace_s for requests, pace_s in _PACES_S if count >= requests)
            stop.wait(max(0.0, pace_s - (time.monotonic() - began)))

    def _read(self) -> list[Item]:
        """Whole entries only, as the cursor counts entries."""
        items: list[Item] = []
        after, size_bytes = self._log.committed(LOADER), 0
        while size_bytes < _BYTES_PER_LOAD and len(items) < _ITEMS_PER_LOAD:
            entries = self._log.read(
                after, limit_items=_ITEMS_PER_READ, limit_bytes=_BYTES_PER_LOAD - size_bytes
            )
            if not entries:
                break
            for entry in entries:
                items.extend(
                    Item(entry.position, index, body, self._log.id) for index, body in enumerate(entry.items)
                )
                size_bytes += sum(map(len, entry.items))
            after = entries[-1].position
        return items

    def _load_all(self, items: Sequence[Item]) -> list[Batch]:
        """Noting what is being loaded, for the case that it stops the process."""
        attempts = self._attempts
        if attempts is None:
            return self._load(items)
        batches: list[Batch] = []
        for load in attempts.loads(items):
            if attempts.is_guilty(load):
                attempts.set_aside(load.items[0])
            else:
                for suspect in load.apart:
                    attempts.begin(suspect)
                    parse(Batch(suspect.items), self._resources)  # a trial: what it makes is dropped
                attempts.begin(load)
                batches += self._load(load.items)
                attempts.end()
        attempts.clear()
        return [*batches, *(self._refuse(item, SET_ASIDE) for item in items if attempts.is_aside(item))]

    def _refuse(self, item: Item, detail: str) -> Batch:
        batch = Batch([item], refusals=[unreadable(item, detail, self._resources.clock())])
        write_refusals(batch, self._resources)
        return batch

    def _load(self, items: Sequence[Item]) -> list[Batch]:
        """Decide and write these items. When our own code fails on one of them, find it by halving and refuse it."""
        batch = Batch(items)
        try:
            for step in (*STEPS, *WRITES):
                with self._timed(step.__name__):
                    step(batch, self._resources)
        except (Unavailable, OSError, MemoryError):
            raise  # the machine's fault, not the request's
        except Exception as error:  # a job boundary: one request's fault must not stop the others
            if is_away(error):
                raise
            if len(items) == 1:
                logger.exception("request_not_loaded", extra={"log_position": items[0].log_position})
                return [self._refuse(items[0], repr(error))]
        else:
            return [batch]
        middle = len(items) // 2
        return self._load(items[:middle]) + self._load(items[middle:])

    def _timed(self, name: str) -> "_Timed":
        return _Timed(self.seconds, name)


class _Timed:
    """Adds the time spent in a `with` block."""

    def __init__(self, seconds: defaultdict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] += time.perf_counter() - self._began
