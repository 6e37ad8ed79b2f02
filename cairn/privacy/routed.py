"""Deleting what is on its way to destinations: messages that delivery has in memory, samples and dead letters."""

import time
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from cairn.db.engine import reading
from cairn.eventlog.log import EventLog
from cairn.eventlog.readers import passed_by_all
from cairn.privacy.erasure import UsersToErase
from cairn.routing.connections import log_readers, read_active
from cairn.routing.delivery.erasures import are_acknowledged, ask_erasure, withdraw
from cairn.routing.delivery.records import forget_users

PATIENCE_S = 10.0  # for the delivery process, which looks every second


def routed_up_to(engine: sa.Engine, log: EventLog) -> int:
    """The log's entry that every reader has passed, connections among them."""
    with reading(engine) as connection:
        readers = log_readers(connection)
    return passed_by_all(log, readers)


def forget_routed(
    engine: sa.Engine, by_environment: Sequence[UsersToErase], log_end: int, now: datetime
) -> list[str]:
    """Return what may remain, and where. Destinations keep what they were sent before."""
    own = {users.environment_id: _names(users) for users in by_environment}
    with engine.begin() as connection:
        delivering = {known.environment_id for known in read_active(connection)}
        erasure_ids = [
            ask_erasure(connection, environment_id, own[environment_id], log_end, now)
            for environment_id in own.keys() & delivering
        ]
    is_done = _wait(engine, erasure_ids)
    with engine.begin() as connection:
        for environment_id, names in own.items():
            forget_users(connection, environment_id, names)
        if is_done:
            withdraw(connection, erasure_ids)
    if is_done:
        return []
    return ["deliveries: what the delivery process has in memory, until it answers or is started again"]


def _wait(engine: sa.Engine, erasure_ids: Sequence[int]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with reading(engine) as connection:
            if are_acknowledged(connection, erasure_ids):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def _names(users: UsersToErase) -> frozenset[str]:
    return users.names | {str(raw_id) for raw_id in users.raw_ids}
