"""Writes what lanes gathered and then moves their cursors, in this order, and again until both are done."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from cairn.clock import Clock
from cairn.eventlog.log import EventLog
from cairn.routing.delivery.lane import Lane
from cairn.routing.delivery.ledger import Records
from cairn.routing.delivery.records import State, forget_old, write_records

_FORGET_EVERY = timedelta(hours=1)


class Writer:
    """`note` and `load` are the event loop's, `write` a thread's; never both at once."""

    def __init__(self, engine: sa.Engine, log: EventLog, clock: Clock) -> None:
        self._engine, self._log, self._clock = engine, log, clock
        self._cursors: dict[str, int] = {}  # by reader
        self._committed: dict[str, int] = {}
        self._states: dict[int, State] = {}
        self._written_states: dict[int, State] = {}
        self._records: Records | None = None
        self._records_cursors: dict[str, int] = {}
        self._records_states: dict[int, State] = {}
        self._forget_at: datetime | None = None

    @property
    def is_free(self) -> bool:
        """Whether what was loaded last is written."""
        return self._records is None

    def note(self, lane: Lane) -> None:
        self._cursors[lane.setup.connection.reader] = lane.done_entry
        self._states[lane.id] = lane.state()

    def load(self, records: Records) -> None:
        self._records = records
        self._records_cursors, self._cursors = self._cursors, {}
        self._records_states, self._states = self._states, {}

    def write(self) -> Records:
        """Raises Unavailable or the database's error; then call again."""
        assert self._records is not None
        records = self._records
        states = [
            state
            for state in self._records_states.values()
            if self._written_states.get(state.connection_id) != state
        ]
        now = self._clock()
        is_due = self._forget_at is None or now >= self._forget_at
        if records or states or is_due:
            with self._engine.begin() as connection:
                write_records(connection, records, states, now)
                if is_due:
                    forget_old(connection, now)
        self._forget_at = now + _FORGET_EVERY if is_due else self._forget_at
        self._written_states |= self._records_states
        self._commit()
        self._records = None
        return records

    def _commit(self) -> None:
        for reader, entry in self._records_cursors.items():
            if self._committed.get(reader, -1) < entry:
                self._log.commit(reader, entry)
                self._committed[reader] = entry
