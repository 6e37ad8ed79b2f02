"""How fast segments are: live evaluation and full count of the two demo conditions, and beside many other segments
what one event costs and how late a member leaves whose window ends.

    python -m bench.segments [rows] [folder]

Generates its data in the store itself, prints one JSON object, and deletes everything again.
"""

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from clickhouse_connect import get_client

from bench.beside import beside
from bench.figures import against, report
from cairn.clock import from_ms, to_ms
from cairn.conditions.tree import And, Condition, Did, EventMatch, Last, Not, PropertyFilter, UserProperty
from cairn.db.engine import open_engine, sqlite_url
from cairn.db.migrate import migrate
from cairn.db.tables import environments, projects, user_map, workspaces
from cairn.ingest.loaded import Loaded
from cairn.members.lmdb import open_members
from cairn.segments.definition import NewSegment, create_segment
from cairn.segments.leaves import Leaves
from cairn.segments.live import LiveSegments
from cairn.segments.questions import count_everybody
from cairn.store.clickhouse import ClickHouseStore
from cairn.store.embedded import open_embedded
from cairn.store.schema import DATABASE

USERS = 350_000
MERGED = 100_000  # user ids that belong to another one
DAYS = 90
ENVIRONMENT = 1
ROUNDS = 9
SEGMENTS = (10, 100, 1_000, 5_000)  # that one event and one departure are measured beside
LATE_BAR_MS = 2_000.0  # after its window ended, a member is out
LIVE_BAR_MS = 45.0  # evaluating 200 touched users in both demo segments

PREMIUM = UserProperty("plan", "is", "premium")
BUYERS = Did(EventMatch(name="Order Completed"), "at_least", 2, Last(30, "day"))
CONDITIONS: dict[str, list[Condition]] = {
    "plan is premium": [PREMIUM],
    "Order Completed at least 2 times in 30 days": [BUYERS],
    "both in one question": [PREMIUM, BUYERS],
    "a frequent event, by property": [
        Did(
            EventMatch("pageview", "", (PropertyFilter("path", "is", "/p7"),)), "at_least", 2, Last(30, "day")
        )
    ],
    "did not": [And((Not(PREMIUM), Did(EventMatch(name="Order Completed"), "exactly", 0, Last(30, "day"))))],
}


def generate(folder: Path, rows: int, now_ms: int) -> None:
    open_embedded(folder, memory_mb=2048).close()
    client = get_client(interface="chdb", path=str(folder))
    # A Pareto-like spread: few users do most. Time is uniform over the days; 2.5 % of events are purchases.
    client.command(
        f"""
        INSERT INTO {DATABASE}.events (environment_id, event_id, user_id, session_id, pageview_id, time, received_at,
            kind, name, source, library, properties, log_position)
        SELECT {ENVIRONMENT} AS environment_id, cityHash64(number) AS event_id,
            toUInt64(pow(randUniform(0, 1, number), 3) * {USERS}) + 1 AS user_id, 0, 0,
            fromUnixTimestamp64Milli(
                toInt64({now_ms} - randUniform(0, 1, number + 1) * {DAYS} * 86400000), 'UTC') AS at,
            at + 1, kind, name, 'web', 'web',
            map('path', concat('/p', toString(h % 500)), 'browser', ['Chrome', 'Safari', 'Firefox'][h % 3 + 1],
                'country', ['DE', 'FR', 'US', 'JP'][h % 4 + 1], 'total', toString(h % 300), 'title', 'A title'),
            number
        FROM (
            SELECT number, cityHash64(number, 7) AS h, h % 40 AS slot,
                multiIf(slot < 16, 'pageview', slot < 32, 'click', 'custom') AS kind,
                multiIf(slot < 32, '', slot = 39, 'Order Completed', concat('Event ', toString(slot))) AS name
            FROM numbers({rows}))
        """,
        settings={"max_partitions_per_insert_block": 0, "max_insert_threads": 2},
    )
    for key, users, value in (
        ("plan", USERS, "['free', 'free', 'free', 'premium'][number % 4 + 1]"),
        ("email", USERS, "concat('user', toString(number), '@example.com')"),
        ("identity", USERS - MERGED, "concat('user', toString(number))"),
    ):
        client.command(
            f"""INSERT INTO {DATABASE}.user_properties
                SELECT {ENVIRONMENT}, '{key}', number + 1, {value},
                    fromUnixTimestamp64Milli({now_ms}, 'UTC'), toUInt64({now_ms}) * 4194304 + number
                FROM numbers({users})"""
        )
    client.command(
        f"""INSERT INTO {DATABASE}.user_map
            SELECT {ENVIRONMENT}, number + 1, number + 1 - {USERS - MERGED}, 1
            FROM numbers({USERS - MERGED}, {MERGED})"""
    )
    client.close()


def make_metadata(folder: Path, now: datetime) -> sa.Engine:
    engine = open_engine(sqlite_url(folder))
    migrate(engine)
    created = {"created_at": now}
    with engine.begin() as connection:
        connection.execute(sa.insert(workspaces).values(id=1, name="W", account_id=1, **created))
        connection.execute(sa.insert(projects).values(id=1, workspace_id=1, name="P", **created))
        row = {"workspace_id": 1, "project_id": 1, "key": "production", "name": "Production", "app_id": "1"}
        secret = {"sdk_key_hash": "", "sdk_key_sealed": b""}
        connection.execute(sa.insert(environments).values(id=ENVIRONMENT, **row, **secret, **created))
        connection.execute(
            sa.insert(user_map),
            [
                {
                    "environment_id": ENVIRONMENT,
                    "user_id": number + 1,
                    "identity": "",
                    "canonical_id": number + 1 - (USERS - MERGED),
                    "merged_at": now,
                }
                for number in range(USERS - MERGED, USERS)
            ],
        )
        create_segment(connection, 1, 1, NewSegment("premium", "Premium", PREMIUM), now)
        create_segment(connection, 1, 1, NewSegment("buyers", "Buyers", BUYERS), now)
    return engine


def measured(work: Callable[[int], object]) -> dict[str, float]:
    """`work` gets the round's number: another moment each time, as in life, so that no answer is remembered.

    `cpu_ms` is of all threads: on two idle cores half of it is the time to wait.
    """
    work(0)
    walls, cpus = [], []
    for round_ in range(1, ROUNDS + 1):
        started, cpu_started = time.perf_counter(), time.process_time()
        work(round_)
        walls.append((time.perf_counter() - started) * 1000)
        cpus.append((time.process_time() - cpu_started) * 1000)
    return {
        "best_ms": round(min(walls), 1),
        "median_ms": round(statistics.median(walls), 1),
        "cpu_ms": round(min(cpus), 1),
    }


def counts(store: ClickHouseStore, conditions: list[Condition], now_ms: int) -> dict[str, object]:
    """A full count, due times included, as segments are counted."""
    leaves = Leaves()
    ready = [leaves.ready(condition) for condition in conditions]
    found = count_everybody(store, ENVIRONMENT, ready, now_ms)
    return {
        "full_count": measured(lambda round_: count_everybody(store, ENVIRONMENT, ready, now_ms + round_)),
        "users": [len(counted.holding) for counted in found],
        "due_times": [len(counted.dues) for counted in found],
    }


def live(folder: Path, store: ClickHouseStore, now: datetime) -> dict[str, object]:
    """Through LiveSegments as the core runs it: merges from the metadata, members written and synced."""
    moments = itertools.count(to_ms(now))

    def clock() -> datetime:
        return from_ms(next(moments))

    engine, members = make_metadata(folder, now), open_members(folder / "members")
    segments = LiveSegments(engine, store, members, clock, recount_interval_s=10**6, on_change=lambda _: None)
    started = time.perf_counter()
    segments.settle()
    figures: dict[str, object] = {"first_count_ms": round((time.perf_counter() - started) * 1000)}
    for size in (1, 10, 200):
        users = {1 + number * 997 % USERS for number in range(size)}
        loaded = Loaded(ENVIRONMENT, {("custom", "Order Completed"): users}, {"plan": users})

        def evaluate(round_: int, loaded: Loaded = loaded) -> None:
            segments.touched([loaded])
            segments.run_once(is_urgent=False)

        figures[f"touched_{size}"] = measured(evaluate)
    members.close()
    engine.dispose()
    return figures


def main(rows: int, folder: Path) -> None:
    now = from_ms(to_ms(datetime.now(UTC)))
    started = time.perf_counter()
    generate(folder / "store", rows, to_ms(now))
    generated_s = round(time.perf_counter() - started)
    store = open_embedded(folder / "store", memory_mb=2048)
    demo = live(folder, store, now)
    many = {str(segments): beside(folder / str(segments), store, segments) for segments in SEGMENTS}
    figures: dict[str, Any] = {  # Any: figures nest
        "rows": rows,
        "generated_s": generated_s,
        "counts": {name: counts(store, some, to_ms(now)) for name, some in CONDITIONS.items()},
        "live_segments": demo,
        "beside_segments": many,
    }
    store.close()
    evaluated: Any = demo["touched_200"]  # Any: a figure of several numbers
    late = max(each["late_ms"] for each in many.values())
    report(
        "segments",
        bar=against(evaluated["best_ms"], LIVE_BAR_MS, "ms"),
        late_bar=against(late, LATE_BAR_MS, "ms"),
        **figures,
    )


if __name__ == "__main__":
    given_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as made:
        main(given_rows, Path(made))
