"""`make bench-sync`: a first sync and two deltas from one Cairn to another, and the sender beside its bare limit.

`MEMBERS` (1000000) go to a served Cairn, until its list has every one of them; then 10,000 more, and 10 of them less.
The bare limit signs and posts pages of the same size with the same client to a server that answers 200, and does
nothing else; the sender and it are measured in turn, `ROUNDS` (5) times. A CSV of as many values is part of it
(bench/lists.py).
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from bench import lists
from bench.figures import against, report
from bench.memory import grown
from bench.two import RECEIVER, expect_from
from cairn.client_address import TrustedProxies
from cairn.db.sync_tables import heap_audiences
from cairn.http_client import HttpClient
from cairn.members.sets import list_set
from cairn.paths import Paths
from cairn.sync.deliver.page import PAGE_MEMBERS, Page
from cairn.sync.deliver.partner import deliver_to_partner
from cairn.sync.syncs import Sync
from cairn.sync.targets import Target
from cairn.sync.tasks import acknowledged_set
from tests.databases import open_test_metadata
from tests.patience import eventually
from tests.seams import open_members
from tests.served import Served
from tests.sync.partner import Partner
from tests.sync.world import ID_TOKEN, SECRET, SyncWorld

FIRST_LIMIT_S, LARGE_LIMIT_S, SMALL_LIMIT_S, MEMORY_LIMIT_MB, SHARE = 30.0, 1.0, 0.3, 200.0, 0.4
LARGE, SMALL = 10_000, 10
PIECE = 20_000  # members that are made at once


def main() -> None:
    members, rounds = int(os.environ.get("MEMBERS", "1000000")), int(os.environ.get("ROUNDS", "5"))
    server = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        taken = [_beside_bare(url, members) for _ in range(rounds)]
    finally:
        server.terminate()
        server.wait()
    synced, bare = (median(figures) for figures in zip(*taken, strict=True))
    # Each round by itself: what disturbs the machine disturbs both.
    share = median(bare_s / synced_s for synced_s, bare_s in taken)
    first, large, small, sender_mb, receiver_mb = _to_another(members)
    report(
        "sync",
        members=members,
        first_sync=against(first, FIRST_LIMIT_S, "s until the other list has all"),
        delta_of_10000=against(large, LARGE_LIMIT_S, "s until the other list has all"),
        delta_of_10=against(small, SMALL_LIMIT_S, "s until the other list has all"),
        sender_memory=against(sender_mb, MEMORY_LIMIT_MB, "MB more than before, at most"),
        receiver_memory=against(receiver_mb, MEMORY_LIMIT_MB, "MB more than before, at most"),
        members_per_s={
            "synced": round(members / synced),
            "bare": round(members / bare),
            "share": round(share, 2),
            "limit": SHARE,
            "kept": share >= SHARE,
        },
    )
    lists.main()


def _beside_bare(url: str, members: int) -> tuple[float, float]:
    """Seconds of a first sync, and of the bare pages."""
    with tempfile.TemporaryDirectory() as folder, closing(SyncWorld(Path(folder))) as world:
        partner = Partner(SECRET, world.now_ms)
        partner.url = url
        sync = _filled(world, partner, members)
        synced = _timed(world.sender.settle)
        assert world.members.size(acknowledged_set(sync.id)) == members
        return synced, _timed(lambda: _bare(world, url, members))


def _filled(world: SyncWorld, partner: Partner, members: int) -> Sync:
    """A segment with so many members, and a sync of it; in pieces, so that making them takes no memory to speak of."""
    for start in range(0, members, PIECE):
        world.enter(
            *(f"user{number:08}@example.test" for number in range(start, min(start + PIECE, members)))
        )
    return world.sync(world.partner_target(partner))


def _to_another(members: int) -> tuple[float, float, float, float, float]:
    """Seconds of a first sync, a large and a small delta to a served Cairn; megabytes both sides grew by at most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "analytics").mkdir()
        flags = Served(folder / "flags", options=("--rate-limits", "false")).make_demo().start()
        there = open_members(Paths(flags.data_dir).members)
        with closing(SyncWorld(folder / "analytics")) as world:
            partner = Partner(SECRET, world.now_ms)
            partner.url = flags.url + RECEIVER
            expect_from(flags.data_dir, int(flags.production["environment_id"]), ID_TOKEN, secret=SECRET)
            _filled(world, partner, members)

            def send(expected: int) -> None:
                world.now = datetime.now(UTC)
                world.sender.settle()
                eventually(lambda: there.size(_list_of(flags)) == expected, "the other list")

            with grown(os.getpid()) as here_mb, grown(int(flags.ready["core_pid"])) as there_mb:
                first = _timed(lambda: send(members))
                world.enter(*(f"new{number}@example.test" for number in range(LARGE)))
                large = _timed(lambda: send(members + LARGE))
                world.leave(*(f"new{number}@example.test" for number in range(SMALL)))
                small = _timed(lambda: send(members + LARGE - SMALL))
        there.close()
        flags.stop()
        return first, large, small, max(here_mb), max(there_mb)


@functools.cache
def _engine_of(data_dir: Path) -> sa.Engine:
    return open_test_metadata(data_dir)


def _list_of(flags: Served) -> str:
    """The set of the list that the one audience fills."""
    with _engine_of(flags.data_dir).connect() as connection:
        list_id = connection.execute(sa.select(heap_audiences.c.list_id)).scalar()
    return list_set(list_id or "none yet")


def _bare(world: SyncWorld, url: str, members: int) -> None:
    target = Target(1, 1, "partner", "Bare", {}, is_enabled=True, created_at=world.now, webhook_url=url)
    names = [f"user{number:08}@example.test" for number in range(PAGE_MEMBERS)]
    with HttpClient(TrustedProxies("127.0.0.0/8")).session() as session:
        deliver = deliver_to_partner(target, SECRET, session, world.clock)
        for number in range(members // PAGE_MEMBERS):
            deliver(
                Page(
                    "task",
                    number + 1,
                    members // PAGE_MEMBERS,
                    1,
                    "trial",
                    "Trial",
                    1,
                    "Production",
                    names,
                    [],
                )
            )


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
