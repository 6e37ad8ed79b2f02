"""Kill −9 of a served Cairn at any moment of a sync: what was acknowledged is in the list, and nothing else is."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from cairn.clock import to_ms, utc_now
from cairn.db.engine import open_engine, sqlite_url
from cairn.db.sync_tables import heap_connections
from cairn.members.lmdb import open_members
from cairn.members.sets import list_set
from cairn.paths import Paths
from cairn.sync.signature import HEADER, sign
from cairn.workspace.sealed import open_seal
from tests.served import Served
from tests.sync.heap import ID_TOKEN, PATH, SECRET, encoded, page

pytestmark = pytest.mark.slow

PAGES, IDS = 12, 400
WAIT_S = 60.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "data").make_demo()
    engine = open_engine(sqlite_url(served.data_dir))
    now = utc_now()
    with engine.begin() as connection:
        connection.execute(
            sa.insert(heap_connections).values(
                workspace_id=1,
                environment_id=1,
                targets_visitors=True,
                host="https://heapanalytics.com",
                client_id="client",
                id_token=ID_TOKEN,
                created_at=now,
                updated_at=now,
                webhook_secret_sealed=open_seal(served.data_dir).close(SECRET),
                connected_at=now,
            )
        )
    engine.dispose()
    served.start()
    yield served
    served.stop()


def deliver(served: Served, body: bytes) -> None:
    """As a sender does: again and again until it is acknowledged."""
    deadline = time.monotonic() + WAIT_S
    while True:
        headers = {HEADER: sign(SECRET, to_ms(utc_now()), body), "Content-Type": "application/json"}
        try:
            answer = httpx2.post(served.url + PATH, content=body, headers=headers, timeout=20)
        except httpx2.HTTPError:
            answer = None
        if answer is not None and answer.status_code == 200:
            return
        assert answer is None or answer.status_code >= 500, answer.text
        assert time.monotonic() < deadline
        time.sleep(0.05)


def list_id(served: Served) -> str:
    connection = sqlite3.connect(served.data_dir / "cairn.db")
    try:
        return str(connection.execute("SELECT list_id FROM heap_audiences").fetchone()[0])
    finally:
        connection.close()


def members(served: Served) -> set[str]:
    store = open_members(Paths(served.data_dir).members, read_only=True)
    try:
        return {value for value, _ in store.values(list_set(list_id(served)))}
    finally:
        store.close()


def core_of(served: Served) -> int:
    """The core's process: the supervisor's child that says so on its command line."""
    for child in Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split():
        if b"core" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            return int(child)
    return 0


def kill_core(served: Served) -> None:
    if pid := core_of(served):
        os.kill(pid, signal.SIGKILL)


def tasks() -> list[tuple[list[bytes], set[str]]]:
    """Three tasks in pages, and who is in after each."""
    inside: set[str] = set()
    found = []
    for task in range(3):
        add = {f"user {task} {n}" for n in range(PAGES * IDS)}
        remove = set(random.Random(task).sample(sorted(inside), len(inside) // 3))
        adds, removes = sorted(add), sorted(remove)
        pages = [
            encoded(
                page(
                    n + 1,
                    PAGES,
                    task=f"task {task}".replace(" ", "-"),
                    add=adds[n::PAGES],
                    remove=removes[n::PAGES],
                )
            )
            for n in range(PAGES)
        ]
        inside = inside - remove | add
        found.append((pages, set(inside)))
    return found


def test_a_core_that_is_killed_at_any_moment_loses_no_page_and_applies_none_twice(served: Served) -> None:
    chance = random.Random(1)
    for pages, inside in tasks():
        chance.shuffle(pages)
        for number, body in enumerate(pages):
            deliver(served, body)
            # Between pages; and right after the last one, while the task is being applied.
            if chance.random() < 0.2 or number == len(pages) - 1:
                time.sleep(chance.choice((0, 0.002, 0.01)))
                kill_core(served)
            if chance.random() < 0.2:
                deliver(served, body)
        deadline = time.monotonic() + WAIT_S
        while members(served) != inside:
            assert time.monotonic() < deadline, (len(members(served)), len(inside))
            time.sleep(0.1)
