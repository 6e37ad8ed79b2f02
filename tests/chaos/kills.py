"""Processes killed with SIGKILL while clients send and SDKs ask."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from bench.figures import against, spread
from tests.chaos.checks import (
    SETTLE_S,
    afterwards,
    count,
    first_list,
    running,
    wait_for_core,
    wait_for_quiet,
)
from tests.chaos.senders import Caller, Planner, start_senders
from tests.served import Served

CORE_KILLS = 10
CALL_LIMIT_MS = 100.0


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
    senders, planner = start_senders(served.url, served.production), Planner(served.url, served.production)
    planner.start()
    done = {"edge": 0, "core": 0, "edge and core": 0, "everything": 0}
    try:
        for _ in range(kills):
            time.sleep(draw.uniform(0.2, 1.5))
            victim = draw.choice(list(done))
            done[victim] += 1
            if victim == "everything":
                served.kill_everything()
                served.start(port=port)  # what a service manager does
                continue
            for pid in [running(served, role) for role in victim.split(" and ")]:
                os.kill(pid, signal.SIGKILL)
        wait_for_core(served)
        for sender in (*senders, planner):
            sender.finish()
        wait_for_quiet(served)
        time.sleep(SETTLE_S)
    finally:
        served.stop()
    return {"kills": done, "plans": len(planner.plans), **afterwards(data_dir, senders, planner)}
