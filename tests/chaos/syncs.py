"""Syncs while members come and go: either side is killed with SIGKILL, or a partner is away, hangs and refuses."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from bench.two import NETWORKS, connect
from cairn.db.sync_tables import heap_audiences, segment_syncs, sync_tasks
from cairn.db.tables import segment_states
from cairn.members.sets import list_set
from cairn.paths import Paths
from cairn.sync.tasks import KEPT_TASKS
from tests.chaos.checks import running, wait_for_core
from tests.databases import open_test_metadata
from tests.patience import PATIENCE_S
from tests.seams import open_members
from tests.served import Served
from tests.sync.partner import OK, Answer, Partner, serve
from tests.sync.world import SECRET, sync_world

PEOPLE = 2_000
MOOD_CHANGES = 30
HANGS_S = 0.6


def _hang(_: random.Random) -> Answer:
    time.sleep(HANGS_S)
    return OK


MOODS: dict[str, Callable[[random.Random], Answer]] = {
    "well": lambda _: OK,
    "down": lambda _: (503, {}),
    "hangs": _hang,
    "asks to wait": lambda draw: (429, {"retry-after": str(draw.choice((1, 60, 1_800)))}),
    "refuses": lambda draw: (draw.choice((400, 403, 404, 410, 500)), {}),
    "changes": lambda draw: draw.choice((OK, OK, (500, {}))),
}
KILLS = 20


class Crowd(threading.Thread):
    """People become premium and free again, at random; their events are sent until they are acknowledged."""

    def __init__(self, served: Served, draw: random.Random) -> None:
        super().__init__()
        self._served, self._draw, self._end = served, draw, threading.Event()
        self.changes = 0

    def run(self) -> None:
        with httpx2.Client(base_url=self._served.url, timeout=30) as client:
            while not self._end.is_set():
                who, plan = (
                    f"crowd{self._draw.randrange(PEOPLE)}@shop.test",
                    self._draw.choice(("premium", "free")),
                )
                body = {
                    "app_id": self._served.production["app_id"],
                    "identity": who,
                    "properties": {"plan": plan},
                }
                try:
                    self.changes += client.post("/api/add_user_properties", json=body).status_code == 200
                except httpx2.HTTPError:
                    time.sleep(0.1)

    def finish(self) -> None:
        self._end.set()
        self.join()


def kill_either_side(data_dir: Path, draw: random.Random) -> dict[str, Any]:
    options = ("--rate-limits", "false", *NETWORKS)
    analytics = Served(data_dir / "analytics", options=options).make_demo().start()
    flags = Served(data_dir / "flags", options=options).make_demo().start()
    crowd = Crowd(analytics, draw)
    try:
        connect(analytics, flags)
        crowd.start()
        for _ in range(KILLS):
            time.sleep(draw.uniform(0.3, 2.0))
            victim = draw.choice((analytics, flags))
            os.kill(running(victim, "core"), signal.SIGKILL)
        crowd.finish()
        wait_for_core(analytics)
        wait_for_core(flags)
        seconds = _until_equal(analytics, flags)
    finally:
        crowd.finish()
        analytics.stop()
        flags.stop()
    here, there = _members(analytics), _members(flags)
    told, acknowledged = _counts_at(analytics)
    return {
        "kills": KILLS,
        "changes": crowd.changes,
        "members": len(here),
        "equal_after_s": round(seconds, 1),
        "missing": len(here - there),
        "left_over": len(there - here),
        "told_twice": told - acknowledged,
        "kept": here == there and told == acknowledged == len(here),
    }


def moody_partner(folder: Path, draw: random.Random) -> dict[str, Any]:
    """A partner that is down for an hour, hangs, asks to wait and refuses, while members come and go; clock moved."""
    folder.mkdir()
    with sync_world(folder) as world, serve(Partner(SECRET, world.now_ms)) as partner:
        sync = world.sync(world.partner_target(partner))
        world.sender = world.new_sender(timeout_s=HANGS_S / 2)
        for mood in [draw.choice(list(MOODS)) for _ in range(MOOD_CHANGES)]:
            partner.answer = lambda _, mood=mood: MOODS[mood](draw)  # type: ignore[misc]
            for _ in range(3):
                some = [f"user{draw.randrange(5_000)}@shop.test" for _ in range(draw.choice((1, 20, 1_500)))]
                (world.enter if draw.random() < 0.6 else world.leave)(*some)
                world.sender.settle()
                world.later(minutes=20)
        partner.answer = lambda _: OK
        for _ in range(2):
            world.later(hours=1)
            world.sender.settle()
        listed = set(world.members.texts(list_set(world.list_id)))
        there = partner.segments.get(world.segment_id, set())
        error = world.read(sync).error
    return {
        "moods": MOOD_CHANGES,
        "requests": partner.seen,
        "members": len(listed),
        "missing": len(listed - there),
        "left_over": len(there - listed),
        "kept": listed == there and not error,
    }


def _until_equal(analytics: Served, flags: Served) -> float:
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE_S:
        if _members(analytics) == _members(flags):
            time.sleep(3)  # it stays so
            if _members(analytics) == _members(flags):
                break
        time.sleep(0.5)
    return time.monotonic() - started


def _members(served: Served) -> set[str]:
    """The ids in the list of the premium users, on the side of the segments or on that of the flags."""
    engine = open_test_metadata(served.data_dir)
    with engine.connect() as connection:
        audience = connection.execute(sa.select(heap_audiences.c.list_id)).scalar()
        synced = sa.select(segment_states.c.list_id).join(
            segment_syncs,
            (segment_syncs.c.segment_id == segment_states.c.segment_id)
            & (segment_syncs.c.environment_id == segment_states.c.environment_id),
        )
        list_id = audience or connection.execute(synced).scalar_one()
    engine.dispose()
    members = open_members(Paths(served.data_dir).members)
    try:
        return set(members.texts(list_set(list_id)))
    finally:
        members.close()


def _counts_at(analytics: Served) -> tuple[int, int]:
    """Members that all tasks together have told of, and those that are acknowledged: more would be told twice.

    Only while the history holds every task.
    """
    engine = open_test_metadata(analytics.data_dir)
    with engine.connect() as connection:
        difference = sa.select(sa.func.sum(sync_tasks.c.added - sync_tasks.c.removed))
        told = connection.execute(difference.where(sync_tasks.c.state == "done")).scalar() or 0
        count = connection.execute(sa.select(sa.func.count()).select_from(sync_tasks)).scalar_one()
        acknowledged = connection.execute(sa.select(segment_syncs.c.acknowledged)).scalar_one()
    engine.dispose()
    return (int(told) if count < KEPT_TASKS else acknowledged), int(acknowledged)
