"""Requests that ought to cost only their senders: records that stop the core, and a flood without any key."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2

from bench.figures import spread
from cairn.ingest.set_aside import list_set_aside
from cairn.paths import Paths
from tests.chaos.checks import SETTLE_S, afterwards, count, first_list, wait_for_core, wait_for_quiet
from tests.chaos.senders import Caller, start_senders
from tests.deadly import record
from tests.seams import open_log
from tests.served import Served

HANG_S = 30.0  # a load takes seconds on a busy machine
SET_ASIDE_LIMIT_S = 600.0  # each record takes two starts
HARMLESS = 50  # records beside each that stops the core
FLOODERS = 4
FLOOD_S = 30.0
FLOOD_BYTES = 1 << 20  # of a body
MOST_GROWTH_BYTES = 16 << 20  # of the data directory: reasons, write-ahead files, and the events with a key


def stop_core(data_dir: Path, ways: tuple[str, ...] = ("segfault", "exit", "hang")) -> dict[str, Any]:
    """Records that end the core, each in its way and each among others, while clients send."""
    served = Served(
        data_dir, command=(sys.executable, "-m", "tests.deadly", str(data_dir), str(HANG_S))
    ).make_demo()
    log = open_log(Paths(data_dir).log)
    entries = [
        log.append([*(record(f"{way}{place}") for place in range(HARMLESS)), record("bad", way)])
        for way in ways
    ]
    log.close()
    served.start()
    senders = start_senders(served.url, served.production)
    try:
        _wait_until_set_aside(data_dir, len(ways))
        wait_for_core(served)
        for sender in senders:
            sender.finish()
        wait_for_quiet(served)
        time.sleep(SETTLE_S)
    finally:
        served.stop()
    found = afterwards(data_dir, senders)
    aside = [request.position for request in list_set_aside(Paths(data_dir).set_aside)]
    harmless = count(data_dir, "source = 'heap' AND match(name, '^[a-z]+[0-9]+$')")
    is_right = aside == [f"{entry}.{HARMLESS}" for entry in entries] and harmless == HARMLESS * len(ways)
    return {
        "ways": list(ways),
        "set_aside": aside,
        "harmless_stored": harmless,
        **found,
        "kept": found["kept"] and is_right,
    }


def flood_without_key(data_dir: Path, seconds: float = FLOOD_S) -> dict[str, Any]:
    """Large bodies under unknown keys to every address that stores something, while clients with keys go on."""
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo().start()
    account_id = served.demo["account_id"]
    sdk = f"i={served.production['sdk_key']}&a={account_id}&sn=vwo-fme-node-sdk&sv=1.35.0"
    track = {"app_id": served.production["app_id"], "identity": "chaos@shop.test", "event": "Chaos"}
    try:
        query = f"attribute=ada@shop.test&listId={first_list(served)}&accountId={account_id}"
        callers = [
            Caller(served.url, "settings", "GET", f"/server-side/v2-settings?{sdk}"),
            Caller(served.url, "list", "GET", f"/check-attribute?{query}"),
            Caller(served.url, "track", "POST", "/api/track", track),
        ]
        wait_for_quiet(served)
        before = _size_bytes(data_dir)
        flood = [_Flooder(served.url, str(account_id)) for _ in range(FLOODERS)]
        for thread in (*flood, *callers):
            thread.start()
        time.sleep(seconds)
        for thread in (*flood, *callers):
            thread.finish()
        sent = len(callers[-1].took_ms)
        wait_for_quiet(served)
        growth = _size_bytes(data_dir) - before
    finally:
        served.stop()
    stored = count(data_dir, "kind = 'custom' AND name = 'Chaos'")
    failures = {caller.name: caller.failures[:5] for caller in callers if caller.failures}
    answers = {
        status: sum(one.answers.get(status, 0) for one in flood) for status in (200, 400, 401, 413, 503)
    }
    return {
        "flood_requests": sum(sum(one.answers.values()) for one in flood),
        "flood_mb": round(sum(one.sent_bytes for one in flood) / 1e6),
        "answers": answers,
        "grown_mb": round(growth / 1e6, 1),
        "calls_ms": {caller.name: spread(caller.took_ms) for caller in callers},
        "failures": failures,
        "events_sent": sent,
        "events_stored": stored,
        "kept": growth <= MOST_GROWTH_BYTES and not failures and sent == stored > 0,
    }


class _Flooder(threading.Thread):
    def __init__(self, url: str, account_id: str) -> None:
        super().__init__(name="flooder", daemon=True)
        self._url = url
        filler = b'"' + b"x" * FLOOD_BYTES + b'"'
        self._requests = (
            ("/server-side/batch-events-v2?env=nobody", b'{"ev":[' + filler + b"]}"),
            (f"/server-side/batch-events-v2?a={account_id}", b'{"ev":[' + filler + b"]}"),
            (f"/events/t?en=Revenue&a={account_id}", b'{"d":{"event":{"name":' + filler + b"}}}"),
            ("/api/track", b'{"app_id":"1","event":' + filler + b"}"),
            ("/v1/batch", b'{"writeKey":"nobody","batch":[' + filler + b"]}"),
        )
        self._stop_asked = threading.Event()
        self.answers: dict[int, int] = {}  # times, by status
        self.sent_bytes = 0

    def run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=20) as client:
            while not self._stop_asked.is_set():
                for path, body in self._requests:
                    try:
                        status = client.post(path, content=body).status_code
                    except httpx2.HTTPError:
                        continue  # cut off: its own loss
                    self.answers[status] = self.answers.get(status, 0) + 1
                    self.sent_bytes += len(body)

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(30)


def _wait_until_set_aside(data_dir: Path, records: int) -> None:
    began = time.monotonic()
    while len(list_set_aside(Paths(data_dir).set_aside)) < records:
        if time.monotonic() - began > SET_ASIDE_LIMIT_S:
            raise RuntimeError("the records that stop the core are not set aside")
        time.sleep(0.2)


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
