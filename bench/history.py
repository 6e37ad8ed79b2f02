"""Weeks of history for a benchmark, written straight into a stopped Cairn's event store, a million rows at a time."""

import time
from pathlib import Path

import sqlalchemy as sa
from clickhouse_connect import get_client

from cairn.db.engine import open_engine, sqlite_url
from cairn.db.tables import environments
from cairn.store.embedded import open_embedded

DAYS = 90
USERS = 500_000
CHUNK = 1_000_000
NAMES = (
    "Product Viewed",
    "Product Viewed",
    "Session Started",
    "Added to Cart",
    "Checkout Started",
    "Order Completed",
)


def fill(data_dir: Path, app_id: str, events: int) -> int:
    """Return how many events were written. A fifth of the users have the property `plan` set to premium."""
    environment_id = _environment(data_dir, app_id)
    open_embedded(data_dir / "store", memory_mb=4096).close()  # makes the tables
    client = get_client(interface="chdb", path=str(data_dir / "store"))
    client.set_client_setting("max_partitions_per_insert_block", 0)
    now_ms = int(time.time() * 1000)
    names = ", ".join(f"'{name}'" for name in NAMES)
    for first in range(0, events, CHUNK):
        client.command(
            f"""INSERT INTO cairn.events
                (environment_id, event_id, user_id, session_id, pageview_id, time, received_at, kind, name, source,
                 library, properties, log_position)
                SELECT {environment_id}, sipHash64(number, 77),
                       bitAnd(cityHash64(toUInt32(pow(rand(3) / 4294967296., 2) * {USERS})), 9007199254740991),
                       0, 0, fromUnixTimestamp64Milli({now_ms} - toInt64(rand(1) / 4294967296. * {DAYS} * 86400000)),
                       fromUnixTimestamp64Milli({now_ms}), 'custom',
                       [{names}][1 + rand(2) % {len(NAMES)}], 'heap', 'bench',
                       map('product', concat('p', toString(rand(4) % 200)), 'price', toString(rand(5) % 400)), 0
                FROM numbers({first}, {min(CHUNK, events - first)})"""
        )
    client.command(
        f"""INSERT INTO cairn.user_properties (environment_id, key, user_id, value, time, version)
            SELECT {environment_id}, key, bitAnd(cityHash64(toUInt32(number)), 9007199254740991), value,
                   fromUnixTimestamp64Milli({now_ms - 86_400_000}), bitShiftLeft(toUInt128({now_ms - 86_400_000}), 64)
            FROM numbers({USERS})
            ARRAY JOIN ['plan', 'identity'] AS key,
                       [if(number % 5 = 0, 'premium', 'free'),
                        concat('user-', toString(number), '@bench.test')] AS value"""
    )
    client.close()
    return events


def _environment(data_dir: Path, app_id: str) -> int:
    engine = open_engine(sqlite_url(data_dir))
    with engine.connect() as connection:
        found = connection.execute(
            sa.select(environments.c.id).where(environments.c.app_id == app_id)
        ).scalar_one()
    engine.dispose()
    return int(found)
