"""`make chaos`: kill the core while flags are asked and events sent, then kill anything, 50 times. Prints JSON.

`KILLS=50` and `SEED=1` by default. Exits with 1 when a promise was broken.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from bench.figures import against, spread
from cairn.eventlog.sqlite import open_log
from cairn.paths import Paths
from cairn.store.embedded import open_embedded
from tests.chaos.senders import Caller, Sender
from tests.served import Served

CORE_KILLS = 10
CALL_LIMIT_MS = 100.0
SETTLE_LIMIT_S = 120


def main() -> int:
    kills, seed = int(os.environ.get("KILLS", "50")), int(os.environ.get("SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="cairn-chaos-") as folder:
        core = kill_core(Path(folder) / "core")
        anything = kill_anything(Path(folder) / "any", kills, random.Random(seed))
    kept = core["kept"] and anything["kept"]
    print(
        json.dumps(
            {"bench": "chaos", "core_killed": core, "anything_killed": anything, "kept": kept}, indent=1
        )
    )
    return 0 if kept else 1


def processes(served: Served) -> dict[str, int]:
    """Who runs now: children of the supervisor by their subcommand."""
    found = {"supervisor": served.pid}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == served.pid:
            found["edge" if b"edge" in words else "core"] = int(entry.name)
    return found


def running(served: Served, name: str) -> int:
    """The process of this name; started again by the supervisor alone, and waited for only that long."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLE_LIMIT_S:
        if pid := processes(served).get(name):
            return pid
        time.sleep(0.01)
    raise RuntimeError(f"the {name} was not started again")


def kill_core(data_dir: Path) -> dict[str, Any]:
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo().start()
    try:
        time.sleep(3)
        sdk = f"i={served.production['sdk_key']}&a={served.demo['account_id']}&sn=vwo-fme-node-sdk&sv=1.35.0"
        list_id = first_list(served)
        callers = [
            Caller(served.url, "settings", "GET", f"/server-side/v2-settings?{sdk}"),
            Caller(
                served.url,
                "list",
                "GET",
                f"/check-attribute?attribute=ada@shop.test&listId={list_id}&accountId={served.demo['account_id']}",
            ),
            Caller(served.url, "details", "GET", f"/get-user-details?accountId={served.demo['account_id']}"),
            Caller(
                served.url,
                "track",
                "POST",
                "/api/track",
                {"app_id": served.production["app_id"], "identity": "chaos@shop.test", "event": "Chaos"},
            ),
        ]
        for caller in callers:
            caller.start()
        back_s = []
        for _ in range(CORE_KILLS):
            time.sleep(1.0)
            os.kill(running(served, "core"), signal.SIGKILL)
            back_s.append(wait_for_core(served))
        for caller in callers:
            caller.finish()
        sent = len(callers[-1].took_ms)
        wait_for_quiet(served)
    finally:
        served.stop()
    stored = count(data_dir, "kind = 'custom' AND name = 'Chaos'")
    worst = max(max(caller.took_ms) for caller in callers)
    return {
        "kills": CORE_KILLS,
        "calls_ms": {caller.name: spread(caller.took_ms) for caller in callers},
        "failures": {caller.name: caller.failures[:5] for caller in callers if caller.failures},
        "worst_call": against(worst, CALL_LIMIT_MS, "ms"),
        "core_back_s": [round(s, 2) for s in back_s],
        "events_sent": sent,
        "events_stored": stored,
        "kept": worst <= CALL_LIMIT_MS and sent == stored and not any(caller.failures for caller in callers),
    }


def kill_anything(data_dir: Path, kills: int, draw: random.Random) -> dict[str, Any]:
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo().start()
    port = served.port
    senders = [Sender(served.url, served.production["app_id"], f"sender{n}") for n in range(4)]
    for sender in senders:
        sender.start()
    done = {"edge": 0, "core": 0, "everything": 0}
    try:
        for _ in range(kills):
            time.sleep(draw.uniform(0.2, 1.5))
            victim = draw.choice(list(done))
            done[victim] += 1
            if victim == "everything":
                served.kill_everything()
                served.start(port=port)  # what a service manager does
            else:
                os.kill(running(served, victim), signal.SIGKILL)
        wait_for_core(served)
        for sender in senders:
            sender.finish()
        wait_for_quiet(served)
    finally:
        served.stop()
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    stored = keys(data_dir)
    lost = acknowledged - set(stored)
    doubled = [key for key, times in stored.items() if times > 1]
    return {
        "kills": done,
        "acknowledged": len(acknowledged),
        "retries": sum(sender.retries for sender in senders),
        "other_answers": sorted({status for sender in senders for status in sender.refused}),
        "lost": len(lost),
        "doubled": len(doubled),
        "kept": not lost and not doubled and len(acknowledged) > 0,
    }


def first_list(served: Served) -> str:
    answer = httpx2.get(
        f"{served.url}/api/v1/segments", headers={"Authorization": f"Bearer {served.demo['api_token']}"}
    )
    answer.raise_for_status()
    for segment in answer.json()["segments"]:
        for state in segment.get("environments", []):
            if state.get("list_id"):
                return str(state["list_id"])
    raise RuntimeError("no segment shows its list")


def wait_for_core(served: Served) -> float:
    """Until a page of the core answers again."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLE_LIMIT_S:
        try:
            if httpx2.get(f"{served.url}/api/v1/openapi.json", timeout=5).status_code == 200:
                return time.monotonic() - began
        except httpx2.HTTPError:
            pass
        time.sleep(0.02)
    raise RuntimeError("the core did not come back")


def wait_for_quiet(served: Served) -> None:
    """Until the loader's cursor stands at the end of the log."""
    log = open_log(Paths(served.data_dir).log)
    began = time.monotonic()
    try:
        while log.committed("loader") < log.end():
            if time.monotonic() - began > SETTLE_LIMIT_S:
                raise RuntimeError("the loader does not reach the end of the log")
            time.sleep(0.1)
    finally:
        log.close()


def count(data_dir: Path, where: str) -> int:
    store = open_embedded(data_dir / "store", memory_mb=1024)
    try:
        sql = f"SELECT count() FROM cairn.events WHERE environment_id = {{environment:UInt32}} AND {where}"
        return sum(int(store.query(environment, sql)[0][0]) for environment in range(1, 5))
    finally:
        store.close()


def keys(data_dir: Path) -> dict[str, int]:
    store = open_embedded(data_dir / "store", memory_mb=1024)
    try:
        sql = """SELECT properties['key'], count() FROM cairn.events
                 WHERE environment_id = {environment:UInt32} AND name = 'Chaos' GROUP BY 1"""
        return {
            str(key): int(times)
            for environment in range(1, 5)
            for key, times in store.query(environment, sql)
        }
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
