"""Killed with SIGKILL at random moments, the loader loses nothing and stores nothing twice."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cairn.identity.merges import canonical
from cairn.ids import identified_user_id
from cairn.store.question import ad_hoc
from tests.ingest.rig import DAY_MS, NOW_MS, Rig, arrival, opened
from tests.seams import open_log

KILLS = 20
REQUESTS = 600
ENVIRONMENT = 3

Request = tuple[list[dict[str, Any]], list[str]]


def requests(draw: random.Random) -> Iterator[Request]:
    """Requests with the outcome each of their events must get: repeats, refusals, merges, many months."""
    for number in range(REQUESTS):
        events: list[dict[str, Any]] = []
        expected: list[str] = []
        for place in range(draw.randrange(1, 30)):
            fields: dict[str, Any] = {"user_id": draw.randrange(1, 200), "name": f"e{draw.randrange(5)}"}
            fields["time_ms"] = NOW_MS - draw.randrange(6) * 31 * DAY_MS
            outcome = "stored"
            kind = draw.randrange(10)
            if kind == 0 and number > 10:
                fields["key"], outcome = f"m-{draw.randrange(number - 5)}-0", "repeated_id"
            elif kind == 1:
                fields = {"name": "nobody"}
                outcome = "no_user"
            elif kind == 2:
                user_id = draw.randrange(1, 200)
                fields |= {"identity": f"person {user_id % 40}", "merge_user_id": user_id, "kind": "identify"}
                fields["user_properties"] = {"seen": number}
            else:
                fields["key"] = f"m-{number}-{place}"
            if place == 0:
                fields, outcome = {"user_id": 1, "key": f"m-{number}-0", "name": "first"}, "stored"
            events.append(fields)
            expected.append(outcome)
        yield events, expected


@pytest.mark.slow
def test_killed_at_any_moment_every_event_has_exactly_one_outcome(tmp_path: Path) -> None:
    draw = random.Random(11)
    expected: Counter[str] = Counter()
    log = open_log(tmp_path / "log.db")
    interrupted = 0
    coming = requests(draw)
    for kill in range(KILLS):
        for portion in batched(coming, draw.randrange(1, 12), REQUESTS // KILLS):
            for _, outcomes in portion:
                expected.update(outcomes)
            log.append([encoded(events, draw) for events, _ in portion])
        kill_after(tmp_path, draw.uniform(0.0, 0.25))
        interrupted += log.committed("loader") < log.end()
        if kill % 5 == 4:  # the cursor may be lost: everything is read again
            log.close()
            for file in tmp_path.glob("log.db.cursors*"):
                file.unlink()
            log = open_log(tmp_path / "log.db")
    log.close()
    assert interrupted >= KILLS // 4, "most kills came after the work was done: the test shows nothing"
    rig = opened(tmp_path)
    rig.load()
    assert stored_outcomes(rig) == expected
    check_merges(rig)
    rig.store.close()
    rig.log.close()
    rig.engine.dispose()


def batched(coming: Iterator[Request], size: int, count: int) -> Iterator[list[Request]]:
    left = count
    while left > 0 and (portion := list(islice(coming, min(size, left)))):
        left -= len(portion)
        yield portion


def encoded(events: list[dict[str, Any]], draw: random.Random) -> bytes:
    received_ms = NOW_MS + draw.randrange(50)
    return msgspec.msgpack.encode(
        arrival(*events, environment_id=ENVIRONMENT, source="shop", received_ms=received_ms)
    )


def kill_after(folder: Path, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ingest.killed_loader", str(folder)], stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def stored_outcomes(rig: Rig) -> Counter[str]:
    refused = rig.refusals(ENVIRONMENT, "reason, log_position")
    stored = rig.events(ENVIRONMENT, "event_id, log_position")
    assert len(refused) == len({position for _, position in refused})
    assert len(stored) == len({event_id for event_id, _ in stored}) == len({place for _, place in stored})
    return Counter([reason for reason, _ in refused] + ["stored"] * len(stored))


def check_merges(rig: Rig) -> None:
    """The store's copy of the map is the metadata's, and each user has the identity of its first identify call."""
    with rig.engine.connect() as connection:
        merged = canonical(connection, ENVIRONMENT, range(1, 200))
    copied = rig.store.query(
        ad_hoc(
            ENVIRONMENT,
            "SELECT user_id, argMax(canonical_id, version) FROM cairn.user_map "
            "WHERE environment_id = {environment:UInt32} GROUP BY user_id",
        ),
    )
    assert dict(copied) == merged
    assert merged
    for user_id, canonical_id in merged.items():
        assert canonical_id == identified_user_id(ENVIRONMENT, f"person {user_id % 40}")
