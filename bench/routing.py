"""`make bench-routing`: how fast, how soon and how independently a served Cairn delivers to local destinations.

Sender, Cairn and destinations share the machine. `EVENTS` (40000) are delivered in batches and a quarter of them one
by one, ingest included; the bare limit posts as many bodies of the same size from a loop with the same client.
`SECONDS` (20) is how long the isolation of 20 connections is watched.
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import uvloop

from bench.figures import against, percentile, report, spread
from bench.sender import send
from cairn.client_address import TrustedProxies
from cairn.eventlog.readers import LOADER
from cairn.http_client import AsyncHttpClient, Call
from cairn.routing.connections import Connection
from tests.patience import eventually
from tests.routing.world import OPTIONS, SECRET, Routed
from tests.served import Served

BATCHED_BAR_PER_S, SINGLE_BAR_PER_S, IDLE_BAR_MS = 8_000, 2_500, 300.0
ISOLATION_BAR, COST_BAR, SLOWER_BAR = 1.5, 1.0, 1.15
USERS, PER_REQUEST, SENDERS = 500, 100, 4
WATCHED_PER_S = 15  # events while connections are watched
_numbers = itertools.count()


class Bench:
    def __init__(self, cairn: Served, targets: str) -> None:
        self.routed, self.targets = Routed(cairn), targets
        self._key = b64encode(f"{cairn.production['write_keys']['server']}:".encode()).decode()
        self._asking = httpx2.Client(timeout=300)

    def connect(self, name: str, batch: int, *, port: str = "") -> Connection:
        url = f"{port or self.targets}/{name}"
        known = self.routed.connect(None, settings={"url": url, "batch": batch}, name=name)
        eventually(lambda: self.routed.state(known), f"{name} under way")
        return known

    def send(self, events: int, *, per_s: float | None = None, per_request: int = PER_REQUEST) -> float:
        """Seconds until all were accepted."""
        sent = send(
            self.routed.cairn.url, self._requests(events, per_request), connections=SENDERS, per_s=per_s
        )
        if sent.failed:
            raise SystemExit(f"{sent.failed} requests were not accepted")
        return sent.seconds

    def _requests(self, events: int, per_request: int) -> Iterator[bytes]:
        host = self.routed.cairn.url.removeprefix("http://")
        for first in range(0, events, per_request):
            batch = [event(next(_numbers)) for _ in range(first, min(first + per_request, events))]
            body = json.dumps({"batch": batch}, separators=(",", ":")).encode()
            head = f"POST /v1/batch HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {self._key}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            yield head.encode() + body

    def passed(self, *connections: Connection) -> None:
        for known in connections:
            self.routed.passed(known)

    def got(self, name: str) -> dict[str, Any]:
        return dict(self._asking.get(f"{self.targets}/got/{name}").json())

    def ask(self, path: str) -> None:
        self._asking.get(self.targets + path)

    def loaded(self) -> None:
        log = self.routed.log
        eventually(lambda: log.committed(LOADER) >= log.end(), "all visible")

    def delivery_cpu_s(self) -> float:
        fields = (
            Path(f"/proc/{self.routed.cairn.ready['delivery_pid']}/stat")
            .read_text()
            .rsplit(")", 1)[1]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def event(number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "userId": f"user-{number % USERS:06}",
        "messageId": f"bench-{number:012}",
        "properties": {
            "number": number,
            "product": "Tent",
            "price": 129.5,
            "seats": 2,
            "path": "/shop/tents",
        },
    }


def main() -> None:
    events, seconds = int(os.environ.get("EVENTS", "40000")), float(os.environ.get("SECONDS", "20"))
    server = subprocess.Popen([sys.executable, "-m", "bench.targets"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        targets = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            cairn = Served(Path(folder) / "data", options=OPTIONS).make_demo().start()
            bench = Bench(cairn, targets)
            try:
                report(
                    "routing",
                    events=events,
                    idle=_idle(bench),
                    batched=_throughput(bench, events, 100, BATCHED_BAR_PER_S),
                    single=_throughput(bench, events // 4, 1, SINGLE_BAR_PER_S),
                    ten_connections=_ten(bench, events),
                    isolation=_isolation(bench, seconds),
                )
            finally:
                bench.routed.close()
                cairn.stop()
    finally:
        server.terminate()
        server.wait()


def _idle(bench: Bench) -> dict[str, Any]:
    """From the receipt, shortly before the 200, to the destination."""
    known = bench.connect("fast-idle", 1)
    for _ in range(60):
        bench.send(1, per_request=1)
        time.sleep(0.1)
    bench.passed(known)
    bench.routed.delete(known)
    latencies = bench.got("fast-idle")["latencies_ms"]
    return {**spread(latencies), "p95_against": against(percentile(latencies, 0.95), IDLE_BAR_MS, "ms")}


def _throughput(bench: Bench, events: int, batch: int, bar_per_s: int) -> dict[str, Any]:
    name = f"fast-{batch}"
    known = bench.connect(name, batch)
    began = time.time()
    accepted_s = bench.send(events)
    bench.passed(known)
    got = bench.got(name)
    delivered = events / (got["last_at"] - began)
    bench.routed.delete(known)
    bare = events / _bare_s(f"{bench.targets}/bare-{batch}", events, batch)
    return {
        "delivered_per_s": round(delivered),
        "limit": bar_per_s,
        "kept": delivered >= bar_per_s,
        "accepted_per_s": round(events / accepted_s),
        "bare_per_s": round(bare),
        "share_of_bare": round(delivered / bare, 2),
        "all_arrived": got["different"] == events,
        "twice": got["messages"] - got["different"],
        "order_of_each_user_kept": got["in_order"],
    }


def _bare_s(url: str, events: int, batch: int) -> float:
    """Seconds to post as many bodies of the same size, eight at once, with nothing else to do."""
    body = json.dumps([{**event(0), "receivedAt": "2026-01-01T00:00:00.000Z"} for _ in range(batch)]).encode()
    calls = iter(range(events // batch))

    async def post() -> None:
        client = AsyncHttpClient(TrustedProxies("127.0.0.0/8"))
        async with client.session() as session:

            async def some() -> None:
                for _ in calls:
                    await session.send(Call("POST", url, {"webhook-id": SECRET[:8]}, body))

            await asyncio.gather(*(some() for _ in range(8)))
        client.close()

    began = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(post())
    return time.perf_counter() - began


def _ten(bench: Bench, events: int) -> dict[str, Any]:
    """Processor time of the delivery process, and how much later events become visible."""
    spent: dict[int, tuple[float, float]] = {}
    for count in (0, 1, 10):
        connected = [bench.connect(f"fast-of{count}-{number}", 100) for number in range(count)]
        bench.loaded()
        cpu_s, began = bench.delivery_cpu_s(), time.perf_counter()
        bench.send(events)
        bench.loaded()
        visible_s = time.perf_counter() - began
        bench.passed(*connected)
        spent[count] = (bench.delivery_cpu_s() - cpu_s) / max(count, 1), visible_s
        for known in connected:
            bench.routed.delete(known)
            bench.ask(f"/forget/{known.name}")
    return {
        "us_per_event_and_connection": {
            "one": round(spent[1][0] / events * 1e6, 1),
            "ten": round(spent[10][0] / events * 1e6, 1),
        },
        "cost": against(spent[10][0] / spent[1][0], COST_BAR, "of the first one's"),
        "visible_s": {str(count): round(seconds, 2) for count, (_, seconds) in spent.items()},
        "slower": against(spent[10][1] / spent[0][1], SLOWER_BAR, "of the time without connections"),
    }


def _isolation(bench: Bench, seconds: float) -> dict[str, Any]:
    """Sixteen alone, then beside one that is away, a slow one, one that answers 429 and one with 5 MB of garbage."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    good = [bench.connect(f"fast-good{number}", 1) for number in range(16)]
    alone = _watched(bench, good, seconds)
    bad = [
        bench.connect("dead", 1, port=dead),
        *(bench.connect(name, 1) for name in ("slow", "busy", "garbage")),
    ]
    beside = _watched(bench, good, seconds)
    sent = int(seconds * WATCHED_PER_S)
    bench.ask("/heal")
    returned = bad[1:]
    bench.passed(*returned)
    lost = {known.name: sent - int(bench.got(known.name)["different"]) for known in returned[:2]}
    letters = {known.name: len(bench.routed.letters(known)) for known in bad}
    held = bench.routed.log.end() - bench.routed.log.committed(bad[0].reader)
    for known in (*good, *bad):
        bench.routed.delete(known)
    ratio = percentile(beside, 0.95) / percentile(alone, 0.95)
    return {
        "alone_ms": spread(alone),
        "beside_ms": spread(beside),
        "p95": against(ratio, ISOLATION_BAR, "of the latency alone"),
        "lost_when_targets_returned": lost,
        "dead_letters": letters,
        "log_entries_held_by_the_dead_one": held,
    }


def _watched(bench: Bench, good: list[Connection], seconds: float) -> list[float]:
    for known in good:
        bench.ask(f"/forget/{known.name}")
    sender = threading.Thread(
        target=bench.send,
        args=(int(seconds * WATCHED_PER_S),),
        kwargs={"per_s": WATCHED_PER_S, "per_request": 1},
    )
    sender.start()
    sender.join()
    bench.passed(*good)
    latencies = [bench.got(known.name)["latencies_ms"] for known in good]
    assert all(len(each) == int(seconds * WATCHED_PER_S) for each in latencies), "all arrived, once"
    return list(itertools.chain.from_iterable(latencies))


if __name__ == "__main__":
    main()
