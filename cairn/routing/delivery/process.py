"""Delivery to all connections, in one event loop: lanes started and stopped as connections change, cursors moved.

What lanes gather is written, then their cursors are committed; so a crash repeats, and leaves nothing out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.db.engine import reading
from cairn.errors import Unavailable
from cairn.eventlog.log import EventLog
from cairn.http_client import AsyncHttpClient
from cairn.routing.catalogue import destination as in_catalogue
from cairn.routing.delivery.erased import Erasure
from cairn.routing.delivery.erasures import Pending
from cairn.routing.delivery.lane import Lane, Setup, Shared
from cairn.routing.delivery.ledger import Ledger
from cairn.routing.delivery.records import Redrive, read_redrives
from cairn.routing.delivery.setups import Find, Setups
from cairn.routing.delivery.tape import Tape
from cairn.routing.delivery.writing import Writer
from cairn.workspace.sealed import Seal

logger = logging.getLogger(__name__)

LOOK_AT_LOG_S = 0.02
LOOK_AT_CONNECTIONS_S = 1.0
WRITE_S = 1.0
_AWAY_S = 1.0  # between attempts at what failed
GRACE_S = 3.0  # for what is in flight at the end; the supervisor waits longer


class Delivery:
    """`run` is the whole of it; the others are for tests and health."""

    def __init__(
        self,
        log: EventLog,
        engine: sa.Engine,
        seal: Seal,
        client: AsyncHttpClient,
        clock: Clock,
        *,
        longest_lag: timedelta,
        find: Find = in_catalogue,
    ) -> None:
        self._log, self._engine = log, engine
        self._tape, self._ledger = Tape(log), Ledger()
        lag_ms = int(longest_lag.total_seconds() * 1000)
        self._shared = Shared(self._tape, self._ledger, client, clock, lag_ms)
        self._setups = Setups(engine, seal, find)
        self._writer = Writer(engine, log, clock)
        self._writing = asyncio.Lock()
        self._lanes: dict[int, tuple[Lane, asyncio.Task[None]]] = {}
        self._erasures = Pending(engine)
        # Two: a long write keeps no change waiting.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="metadata")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is in flight comes back and is written."""
        tasks = [
            asyncio.create_task(self._repeat(step, every_s))
            for step, every_s in (
                (self._look_at_connections, LOOK_AT_CONNECTIONS_S),
                (self._look_at_log, LOOK_AT_LOG_S),
                (self._write, WRITE_S),
            )
        ]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop_lanes(list(self._lanes))
            await self._write_last()
            self._tape.close()
            self._threads.shutdown(wait=True)

    async def _repeat(self, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await step()
                await asyncio.sleep(every_s)
            except Exception as error:  # a job boundary: the log or the database is away; nothing is lost
                level = (
                    logging.WARNING
                    if isinstance(error, Unavailable | sa.exc.SQLAlchemyError)
                    else logging.ERROR
                )
                logger.log(level, "delivery_waits", exc_info=error)
                await asyncio.sleep(_AWAY_S)

    async def _look_at_connections(self) -> None:
        loop = asyncio.get_running_loop()
        found, erasures, redrives = await loop.run_in_executor(self._threads, self._looked)
        setups = {setup.connection.id: setup for setup in found}
        gone = [
            connection_id
            for connection_id, (lane, task) in self._lanes.items()
            if task.done() or _begins_anew(lane, setups.get(connection_id))
        ]
        await self._stop_lanes(gone)
        self._tape.follow({setup.connection.source_id for setup in found})
        for connection_id, setup in setups.items():
            if connection_id not in self._lanes:
                await self._start_lane(setup)
            elif (lane := self._lanes[connection_id][0]).setup != setup:
                lane.configure(setup)
        if erasures:
            self._erase(erasures)
            await self._write()  # what was gathered before, so that the job finds it
            await loop.run_in_executor(self._threads, self._erasures.acknowledge, erasures)
        for connection_id, (lane, _) in self._lanes.items():
            lane.redrive(redrives.get(connection_id, []))

    def _looked(self) -> tuple[list[Setup], list[tuple[int, Erasure]], dict[int, list[Redrive]]]:
        erasures = self._erasures.read()
        with reading(self._engine) as connection:
            return self._setups.read(), erasures, read_redrives(connection)

    async def _start_lane(self, setup: Setup) -> None:
        connection = setup.connection
        loop = asyncio.get_running_loop()
        committed = await loop.run_in_executor(self._threads, self._log.committed, connection.reader)
        lane = Lane(setup, self._shared, (max(committed, connection.start_position) + 1, 0))
        for erasure in self._erasures.known:
            lane.erase(erasure)
        task = asyncio.create_task(lane.run(grace_s=GRACE_S))
        task.add_done_callback(partial(_log_failure, connection.id))
        self._lanes[connection.id] = lane, task

    async def _stop_lanes(self, connection_ids: list[int]) -> None:
        stopped = [self._lanes[connection_id] for connection_id in connection_ids]
        for lane, _ in stopped:
            lane.stop()
        await asyncio.gather(*(task for _, task in stopped), return_exceptions=True)
        for lane, _ in stopped:
            self._writer.note(lane)
        for connection_id in connection_ids:
            del self._lanes[connection_id]

    async def _look_at_log(self) -> None:
        if self._lanes and await self._tape.has_grown():
            for lane, _ in self._lanes.values():
                lane.wake()

    async def _write(self) -> None:
        """Taken out in one moment: no cursor stands behind what is written with it."""
        async with self._writing:
            for lane, _ in self._lanes.values():
                self._writer.note(lane)
            if self._writer.is_free:
                self._writer.load(self._ledger.take())
            records = await asyncio.get_running_loop().run_in_executor(self._threads, self._writer.write)
            self._ledger.written(records)

    async def _write_last(self) -> None:
        try:
            await self._write()
            await self._write()  # what was gathered while an earlier attempt was under way
        except Exception as error:  # the job boundary, at the end: it will be met again
            logger.warning("delivery_not_written", exc_info=error)

    def _erase(self, erasures: list[tuple[int, Erasure]]) -> None:
        for _, erasure in erasures:
            self._erasures.add(erasure)
        self._tape.erase(self._erasures.known)
        for _, erasure in erasures:
            for lane, _task in self._lanes.values():
                lane.erase(erasure)
            own = {
                connection_id
                for connection_id, (lane, _task) in self._lanes.items()
                if lane.setup.connection.environment_id == erasure.environment_id
            }
            self._ledger.forget(own, erasure)


def _begins_anew(lane: Lane, setup: Setup | None) -> bool:
    """Whether a lane ends: its connection is gone, or was off and on again since."""
    return setup is None or setup.connection.start_position > lane.setup.connection.start_position


def _log_failure(connection_id: int, task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception():
        logger.error("lane_failed", extra={"connection": connection_id}, exc_info=task.exception())
