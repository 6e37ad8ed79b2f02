"""`make bench-loop`: from the sender's 200 to the Node SDK's `enabled: true`: idle, under load, and across two Cairns.

Across: the event reaches one Cairn, whose segment is synced to another, which the SDK asks.
`EVENTS=20000000` fills that much history first. `USERS` (200) users are measured one after the other.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from bench.figures import against, report, spread
from bench.history import fill
from bench.two import FLAG, NETWORKS, connect
from tests.served import Served

MODULES = Path(__file__).parent.parent / "tests" / "clients" / "node_modules"
IDLE_LIMIT_MS, LOADED_LIMIT_MS, ACROSS_LIMIT_MS = 1_000, 2_000, 1_000
LOAD_PER_S = 500


class Load:
    """Events arriving at a steady rate, in requests of ten, from known users doing the demo's events."""

    def __init__(self, url: str, app_id: str) -> None:
        self._url, self._app_id = url, app_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        names = ("Product Viewed", "Added to Cart", "Order Completed", "Session Started")
        with httpx2.Client(base_url=self._url) as client:
            due = time.monotonic()
            while not self._stop.is_set():
                events = [
                    {
                        "identity": f"load-{(self.sent + i) % 5000}@shop.test",
                        "event": names[(self.sent + i) % 4],
                        "properties": {"price": 12.5, "product": "Tent"},
                    }
                    for i in range(10)
                ]
                answer = client.post("/api/track", json={"app_id": self._app_id, "events": events})
                self.sent += 10 if answer.status_code == 200 else 0
                due += 10 / LOAD_PER_S
                time.sleep(max(0.0, due - time.monotonic()))


def wait_until_counted(served: Served) -> None:
    """A start with much history counts every segment once; that is a start, not the loop."""
    headers = {"Authorization": f"Bearer {served.demo['api_token']}"}
    while True:
        answer = httpx2.get(f"{served.url}/api/v1/segments", headers=headers, timeout=60)
        if answer.status_code == 200 and all(
            count["is_current"] and count["counted_at"]
            for segment in answer.json()["segments"]
            for count in segment["environments"]
        ):
            time.sleep(5)  # the demo's own history is being loaded
            return
        time.sleep(0.5)


def measure(served: Served, run: str, users: int, *, flags: Served | None = None) -> list[float]:
    """`flags`: another Cairn, which is asked."""
    asked = flags or served
    argument = {
        "url": served.url,
        "flagsUrl": asked.url,
        "flag": FLAG if flags else served.demo["flag"],
        "appId": served.production["app_id"],
        "accountId": str(asked.demo["account_id"]),
        "sdkKey": asked.production["sdk_key"],
        "users": users,
        "run": run,
        "modules": str(MODULES),
    }
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("loop.js")), json.dumps(argument)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{run}: the SDK failed: {done.stderr[-2000:]}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"ms"')]
    if len(rows) != users or any("failed" in row for row in rows):
        raise SystemExit(f"{run}: {len(rows)} of {users} users became members in time")
    return [row["ms"] for row in rows]


def measure_across(users: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        analytics, flags = (
            Served(
                Path(folder) / name,
                options=("--rate-limits", "false", "--poll-interval-ms", "1000", *NETWORKS),
            )
            .make_demo()
            .start()
            for name in ("analytics", "flags")
        )
        try:
            wait_until_counted(analytics)
            connect(analytics, flags)
            time.sleep(2)  # the SDK starts with the newest settings
            return measure(analytics, "across", users, flags=flags)
        finally:
            analytics.stop()
            flags.stop()


def main() -> None:
    events, users = int(os.environ.get("EVENTS", "0")), int(os.environ.get("USERS", "200"))
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        # 500 events/s over one app is above the documented 15,000 a minute, so the limits are off here.
        served = Served(Path(folder) / "data", options=("--rate-limits", "false")).make_demo()
        filled = fill(served.data_dir, served.production["app_id"], events) if events else 0
        served.start()
        try:
            wait_until_counted(served)
            idle = measure(served, "idle", users)
            with Load(served.url, served.production["app_id"]) as load:
                started = time.monotonic()
                loaded = measure(served, "loaded", users)
                rate = load.sent / (time.monotonic() - started)
        finally:
            served.stop()
    across = measure_across(users)
    report(
        "loop",
        history_events=filled,
        idle_ms=spread(idle),
        loaded_ms=spread(loaded),
        across_ms=spread(across),
        load_events_per_s=round(rate),
        idle=against(spread(idle)["p95"], IDLE_LIMIT_MS, "ms p95"),
        loaded=against(spread(loaded)["p95"], LOADED_LIMIT_MS, "ms p95"),
        across=against(spread(across)["p95"], ACROSS_LIMIT_MS, "ms p95"),
    )


if __name__ == "__main__":
    sys.exit(main())
