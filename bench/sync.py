"""`make bench-sync`: a first sync, a large and a small delta, beside the bare limit of posting the same pages.

`MEMBERS` (1000000) are synced to a server that answers 200, in another process. The bare limit signs and posts pages of
the same size with the same client, and does nothing else. Both are measured in turn, `ROUNDS` (3) times. Then the same
members go to a served Cairn, until flags there can ask for every one of them.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.figures import against, report
from bench.start import memory_mb
from bench.two import RECEIVER, expect_from
from cairn.client_address import TrustedProxies
from cairn.http_client import HttpClient
from cairn.sync.deliver.page import PAGE_MEMBERS, Page
from cairn.sync.deliver.partner import deliver_to_partner
from cairn.sync.targets import Target
from cairn.sync.tasks import acknowledged_set
from tests.served import Served
from tests.sync.partner import Partner
from tests.sync.world import ID_TOKEN, SECRET, SyncWorld

FIRST_LIMIT_S, LARGE_LIMIT_S, SMALL_LIMIT_S, MEMORY_LIMIT_MB, SHARE = 30.0, 1.0, 0.3, 200.0, 0.4
LARGE, SMALL = 10_000, 10


def main() -> None:
    members, rounds = int(os.environ.get("MEMBERS", "1000000")), int(os.environ.get("ROUNDS", "3"))
    server = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        taken = [_round(url, members) for _ in range(rounds)]
    finally:
        server.terminate()
        server.wait()
    first, large, small, bare, memory = (median(figures) for figures in zip(*taken, strict=True))
    received, received_mb = _end_to_end(members)
    report(
        "sync",
        members=members,
        end_to_end=against(received, FIRST_LIMIT_S, "s until the other Cairn has applied the first sync"),
        receiver_memory=against(received_mb, MEMORY_LIMIT_MB, "MB more than before"),
        first_sync=against(first, FIRST_LIMIT_S, "s"),
        delta_of_10000=against(large, LARGE_LIMIT_S, "s"),
        delta_of_10=against(small, SMALL_LIMIT_S, "s"),
        memory=against(memory, MEMORY_LIMIT_MB, "MB more than before"),
        members_per_s={
            "synced": round(members / first),
            "bare": round(members / bare),
            "share": round(bare / first, 2),
            "limit": SHARE,
            "kept": bare / first >= SHARE,
        },
    )


def _round(url: str, members: int) -> tuple[float, float, float, float, float]:
    """Seconds of a first sync, a large and a small delta, and of the bare pages; megabytes that memory grew by."""
    with tempfile.TemporaryDirectory() as folder, closing(SyncWorld(Path(folder))) as world:
        partner = Partner(SECRET, world.now_ms)
        partner.url = url
        world.counted(f"user{number:08}@example.test" for number in range(members))
        sync = world.sync(world.partner_target(partner))
        before = _memory_mb()
        first = _timed(world.sender.settle)
        assert world.members.size(acknowledged_set(sync.id)) == members
        world.enter(*(f"new{number}@example.test" for number in range(LARGE)))
        large = _timed(world.sender.settle)
        world.leave(*(f"new{number}@example.test" for number in range(SMALL)))
        small = _timed(world.sender.settle)
        assert world.members.size(acknowledged_set(sync.id)) == members + LARGE - SMALL
        grown = _memory_mb() - before
        return first, large, small, _timed(lambda: _bare(world, url, members)), grown


def _end_to_end(members: int) -> tuple[float, float]:
    """Seconds of a first sync to a served Cairn, and megabytes that its core grew by."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "analytics").mkdir()
        flags = Served(folder / "flags").make_demo().start()
        with closing(SyncWorld(folder / "analytics")) as world:
            partner = Partner(SECRET, world.now_ms)
            partner.url = flags.url + RECEIVER
            target_id = world.partner_target(partner)
            expect_from(flags.data_dir, int(flags.production["environment_id"]), ID_TOKEN, secret=SECRET)
            world.counted(f"user{number:08}@example.test" for number in range(members))
            sync = world.sync(target_id)
            world.now = datetime.now(UTC)
            core = int(flags.ready["core_pid"])
            before = memory_mb(core)
            taken = _timed(world.sender.settle)
            assert world.members.size(acknowledged_set(sync.id)) == members, world.read(sync).error
            grown = memory_mb(core) - before
        flags.stop()
        return taken, grown


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


def _memory_mb() -> float:
    """The most that was resident so far, which only rises; pages of the members store's file are in it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
