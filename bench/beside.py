"""What one event costs, and how late members leave, beside more and more segments. Used by `bench.segments`.

Every segment has three conditions that only time ends. Twenty segments share an event name, so that the segments of
one event are a fiftieth of a thousand; two names are everybody's, one event of which concerns all segments.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cairn.clock import to_ms
from cairn.conditions.tree import And, Condition, Did, EventMatch, Last, Not, PropertyFilter
from cairn.db.engine import open_engine, sqlite_url
from cairn.db.migrate import migrate
from cairn.db.tables import environments, projects, workspaces
from cairn.event import Draft
from cairn.ingest.loaded import Loaded
from cairn.members.lmdb import LmdbMembers, open_members
from cairn.members.sets import users_set
from cairn.segments.definition import NewSegment, create_segment
from cairn.segments.live import LiveSegments
from cairn.store.clickhouse import ClickHouseStore

SHARING = 20  # segments that mention the same event
ENDING_USERS = 50  # users whose window ends
ROUNDS = 7
FIRST_USER = 10_000_000  # ids of these users; the generated ones are lower


def condition(number: int) -> Condition:
    name = f"W {number // SHARING}"
    filter = PropertyFilter("total", "at_least", str(number % 7))
    return And(
        (
            Did(EventMatch(name=name), window=Last(60, "minute")),
            Did(
                EventMatch(name=name, filters=(filter,)),
                "at_least",
                number % 3 + 1,
                Last(number % 50 + 60, "minute"),
            ),
            Not(Did(EventMatch(name="Refund"), "more_than", number % 5, Last(number % 9 + 1, "day"))),
        )
    )


class Beside:
    """One environment of its own, with so many segments that are kept live."""

    def __init__(self, folder: Path, store: ClickHouseStore, segments: int) -> None:
        folder.mkdir(parents=True)
        self.environment_id, self.store, self._number = 1000 + segments, store, segments << 32
        self.engine, self.members = _metadata(folder, self.environment_id), open_members(folder / "members")
        with self.engine.begin() as connection:
            for number in range(segments):
                new = NewSegment(f"s{number}", f"S {number}", condition(number))
                create_segment(connection, 1, 1, new, datetime.now(UTC))
        self.live = LiveSegments(
            self.engine,
            store,
            self.members,
            lambda: datetime.now(UTC),
            recount_interval_s=10**6,
            on_change=lambda _: None,
        )

    def did(self, users: range, name: str, *, at_ms: int) -> Loaded:
        drafts = []
        for user in users:
            self._number += 1
            drafts.append(
                Draft(
                    self.environment_id,
                    "custom",
                    name,
                    at_ms,
                    at_ms,
                    user_id=user,
                    event_id=self._number,
                    properties={"total": 9},
                )
            )
        self.store.insert_events(drafts)
        return Loaded(self.environment_id, by_event={("custom", name): set(users)})

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.live.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def beside(folder: Path, store: ClickHouseStore, segments: int) -> dict[str, Any]:
    here = Beside(folder, store, segments)
    started = time.perf_counter()
    here.live.settle()
    figures: dict[str, Any] = {"first_count_ms": round((time.perf_counter() - started) * 1000)}
    now_ms = to_ms(datetime.now(UTC))
    figures["event_of_20_segments_ms"] = _evaluated(here, "W 0", now_ms)
    figures["event_of_all_segments_ms"] = _evaluated(here, "Refund", now_ms)
    figures["event_of_none_ms"] = _evaluated(here, "Other", now_ms)
    figures["late_ms"] = _late(here)
    here.members.close()
    here.engine.dispose()
    return figures


def _evaluated(here: Beside, name: str, now_ms: int) -> float:
    """One event of one user, from the loader's word to the synced members; median."""
    found = []
    for round_ in range(ROUNDS):
        loaded = here.did(range(FIRST_USER + round_, FIRST_USER + round_ + 1), name, at_ms=now_ms)
        started = time.perf_counter()
        here.live.touched([loaded])
        here.live.run_once(is_urgent=False)
        found.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(found), 1)


def _late(here: Beside) -> int:
    """How long after their windows ended the last of some members is out of all segments of one event."""
    ends_ms = to_ms(datetime.now(UTC)) + 15_000
    users = range(FIRST_USER + 100, FIRST_USER + 100 + ENDING_USERS)
    own = [
        status
        for status in here.live.status().segments
        if int(status.key[1:]) < SHARING and int(status.key[1:]) % 3 == 0
    ]
    with here.running():
        here.live.touched([here.did(users, "W 0", at_ms=ends_ms - 3_600_000)])
        while not all(
            _inside(here.members, status.environment_id, status.segment_id, users) for status in own
        ):
            time.sleep(0.05)
        while any(_inside(here.members, status.environment_id, status.segment_id, users) for status in own):
            time.sleep(0.02)
        return to_ms(datetime.now(UTC)) - ends_ms


def _inside(members: LmdbMembers, environment_id: int, segment_id: int, users: range) -> set[str]:
    return members.which(users_set(environment_id, segment_id), map(str, users))


def _metadata(folder: Path, environment_id: int) -> sa.Engine:
    engine = open_engine(sqlite_url(folder))
    migrate(engine)
    created = {"created_at": datetime.now(UTC)}
    with engine.begin() as connection:
        connection.execute(sa.insert(workspaces).values(id=1, name="W", account_id=1, **created))
        connection.execute(sa.insert(projects).values(id=1, workspace_id=1, name="P", **created))
        row = {"workspace_id": 1, "project_id": 1, "key": "production", "name": "Production", "app_id": "1"}
        secret = {"sdk_key_hash": "", "sdk_key_sealed": b""}
        connection.execute(sa.insert(environments).values(id=environment_id, **row, **secret, **created))
    return engine
