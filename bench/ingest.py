"""`make bench-ingest`: how many events a served Cairn takes, and how soon they can be asked about.

Server and sender share the machine. Beside the figures stands what the machine itself allows: the same HTTP server
answering without work, and the disk's sync alone, taken in turns with the measurements. So is a running Umami, if
`UMAMI` and `UMAMI_WEBSITE` tell of one (docs/operations/figures.md). Rates: higher is better.
`EVENTS` (300000) are sent in bulk; the other rounds last `SECONDS` (10) each; `ROUNDS` (3), of which the median counts.
"""

import itertools
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.figures import against, report, spread
from bench.sender import Sent, request, send
from bench.umami import Umami
from cairn.eventlog.readers import LOADER
from cairn.eventlog.sqlite import open_log
from cairn.paths import Paths
from cairn.store.embedded import open_embedded
from cairn.store.question import ad_hoc
from tests.served import Served

BULK_EVENTS = 100
BULK_BAR_PER_S, SINGLE_BAR_PER_S, SINGLE_BAR_MS, LAG_BAR_MS = 20_000, 8_000, 15, 500
TIMES_UMAMI_BAR = 10
BULK_CONNECTIONS, SINGLE_CONNECTIONS, BACKGROUND_CONNECTIONS = 8, 64, 4
BACKGROUND_PER_S = 1_000  # events, in requests of ten, while the lag is measured
PROBES_PER_ROUND, PROBE_PAUSE_S = 25, 0.01
DRAIN_TIMEOUT_S = 120.0
_numbers = itertools.count()
_run = uuid.uuid4().hex[:8]

_EVENT = (
    b'{"event":"Product Viewed","identity":"user-%s-%09d","idempotency_key":"%s-%09d",'
    b'"properties":{"product":"Tent","price":129.5,"seats":2,"path":"/shop/tents","is_new":true}}'
)


class Bench:
    def __init__(self, served: Served) -> None:
        self.url, self.app_id = served.url, served.production["app_id"].encode()
        self.environment_id: int = served.production["environment_id"]
        self.token: str = served.demo["api_token"]
        self.log = open_log(Paths(served.data_dir).log)
        self.sent = 0

    def bulk_requests(self, events: int, size: int = BULK_EVENTS) -> Iterator[bytes]:
        for _ in range(0, events, size):
            body = (
                b'{"app_id":"' + self.app_id + b'","events":[' + b",".join(map(_event, range(size))) + b"]}"
            )
            yield request(self.url, "/api/track", body)

    def single_requests(self) -> Iterator[bytes]:
        head = b'{"app_id":"' + self.app_id + b'",'
        while True:
            yield request(self.url, "/api/track", head + _event(0)[1:])

    def count(self, sent: Sent, events_each: int = 1) -> Sent:
        if sent.failed:
            raise SystemExit(f"{sent.failed} requests were not accepted")
        self.sent += len(sent.latencies_ms) * events_each
        return sent

    def wait_until_loaded(self) -> None:
        """Until the loader's cursor stands at the log's end: then all that was sent is visible."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while self.log.committed(LOADER) < self.log.end():
            if time.monotonic() > deadline:
                raise SystemExit("the loader did not reach the end of the log")
            time.sleep(0.005)


def _event(_place: int) -> bytes:
    number = next(_numbers)
    return _EVENT % (_run.encode(), number, _run.encode(), number)


def measure_bulk(bench: Bench, events: int) -> float:
    """Events a second from the first byte sent until the last event is visible."""
    began = time.perf_counter()
    bench.count(send(bench.url, bench.bulk_requests(events), connections=BULK_CONNECTIONS), BULK_EVENTS)
    bench.wait_until_loaded()
    return events / (time.perf_counter() - began)


def measure_single(bench: Bench, seconds: float) -> Sent:
    sent = send(bench.url, bench.single_requests(), connections=SINGLE_CONNECTIONS, until=after(seconds))
    bench.wait_until_loaded()
    return bench.count(sent)


def measure_lag(bench: Bench) -> list[float]:
    """From the 200 of one event until the users API shows it, other events arriving all the while."""
    background = subprocess.Popen(
        [sys.executable, "-m", "bench.ingest", "background", bench.url, bench.app_id.decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with httpx2.Client(base_url=bench.url, headers={"authorization": f"Bearer {bench.token}"}) as client:
        time.sleep(1)
        lags = [_probe(client, bench.app_id.decode()) for _ in range(PROBES_PER_ROUND)]
    told, _ = background.communicate("stop\n")
    bench.sent += int(told) + len(lags)
    bench.wait_until_loaded()
    return lags


def _probe(client: httpx2.Client, app_id: str) -> float:
    user = f"probe-{_run}-{next(_numbers)}"
    answer = client.post("/api/track", json={"app_id": app_id, "event": "Probe", "identity": user})
    answer.raise_for_status()
    began = time.perf_counter()
    while time.perf_counter() - began < 30:
        found = client.get(f"/api/v1/users/{user}/events", params={"environment": "production"})
        if found.status_code == 200 and found.json()["events"]:
            return (time.perf_counter() - began) * 1000
        time.sleep(PROBE_PAUSE_S)
    raise SystemExit(f"the event of {user} was not visible within 30 s")


def send_background(url: str, app_id: str) -> None:
    """Until a line comes on standard input; then say how many events were sent."""
    bench = Bench.__new__(Bench)
    bench.url, bench.app_id = url, app_id.encode()
    sent = send(
        url,
        bench.bulk_requests(10**9, 10),
        connections=BACKGROUND_CONNECTIONS,
        per_s=BACKGROUND_PER_S / 10,
        until=lambda: bool(select.select([sys.stdin], [], [], 0)[0]),
    )
    print(len(sent.latencies_ms) * 10)


@contextmanager
def bare_server() -> Iterator[str]:
    """The edge's own HTTP server around an application that reads the body and answers 200."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def measure_bare(bench: Bench, url: str, seconds: float) -> Sent:
    return send(url, bench.single_requests(), connections=SINGLE_CONNECTIONS, until=after(seconds))


def measure_sync(folder: Path, seconds: float) -> list[float]:
    """Milliseconds of one append of 4 KB and its sync, nothing else done."""
    taken = []
    is_over = after(seconds)
    with (folder / "sync").open("wb", buffering=0) as file:
        while not is_over():
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def beside(umami: Sequence[Sent], single_per_s: float) -> dict[str, Any]:
    """How many times Umami's rate ours is, request for request."""
    if not umami:
        return {"umami": "not given"}
    per_s = statistics.median(one.per_s for one in umami)
    return {
        "times_umami": at_least(single_per_s / per_s, TIMES_UMAMI_BAR, "times its requests/s, medians"),
        "umami_per_s": [round(one.per_s) for one in umami],
        "umami_ms": [spread(one.latencies_ms) for one in umami],
    }


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def stored(data_dir: Path, environment_id: int) -> int:
    store = open_embedded(Paths(data_dir).store, memory_mb=512)
    sql = """SELECT count() FROM cairn.events WHERE environment_id = {environment:UInt32}
              AND (name = 'Probe' OR name = 'Product Viewed' AND properties['path'] = '/shop/tents')"""
    try:
        return int(store.query(ad_hoc(environment_id, sql))[0][0])
    finally:
        store.close()


def at_least(figure: float, bar: float, unit: str) -> dict[str, Any]:
    """A rate beside its bar; a ratio of 1 or more keeps it."""
    return {
        "figure": round(figure),
        "bar": bar,
        "unit": unit,
        "ratio": round(figure / bar, 3),
        "kept": figure >= bar,
    }


def main() -> None:
    events, seconds = int(os.environ.get("EVENTS", "300000")), float(os.environ.get("SECONDS", "10"))
    rounds = int(os.environ.get("ROUNDS", "3"))
    umami = Umami.given()
    umamis: list[Sent] = []
    bulk: list[float] = []
    singles: list[Sent] = []
    bare: list[Sent] = []
    lags: list[float] = []
    syncs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        # The documented limits are far below what is measured here.
        served = Served(Path(folder) / "data", options=("--rate-limits", "false")).make_demo()
        served.start()
        try:
            bench = Bench(served)
            bench.wait_until_loaded()  # the demo's own history
            for _ in range(rounds):
                with bare_server() as url:
                    bare.append(measure_bare(bench, url, seconds / 2))
                singles.append(measure_single(bench, seconds))
                if umami:
                    umamis.append(umami.measure(SINGLE_CONNECTIONS, after(seconds)))
                syncs += measure_sync(Path(folder), seconds / 5)
                bulk.append(measure_bulk(bench, events))
                lags += measure_lag(bench)
            bench.log.close()
        finally:
            served.stop()
        count = stored(served.data_dir, bench.environment_id)
    if count != bench.sent:
        raise SystemExit(f"{bench.sent} events were accepted, {count} are in the store")
    single_p99 = [spread(one.latencies_ms)["p99"] for one in singles]
    single_per_s, bare_per_s = (statistics.median(one.per_s for one in some) for some in (singles, bare))
    report(
        "ingest",
        machine={"cores": os.cpu_count(), "load_average": os.getloadavg()},
        rounds=rounds,
        events_sent_and_stored=count,
        bulk=at_least(statistics.median(bulk), BULK_BAR_PER_S, "events/s until visible, median"),
        bulk_rounds=[round(one) for one in bulk],
        single=at_least(single_per_s, SINGLE_BAR_PER_S, "requests/s, median"),
        single_rounds=[round(one.per_s) for one in singles],
        single_ms=[spread(one.latencies_ms) for one in singles],
        single_p99=against(statistics.median(single_p99), SINGLE_BAR_MS, "ms p99, median"),
        lag=against(spread(lags)["p95"], LAG_BAR_MS, "ms p95 from 200 to visible"),
        lag_ms=spread(lags),
        bare_http_per_s=[round(one.per_s) for one in bare],
        single_share_of_bare=round(single_per_s / bare_per_s, 3),
        **beside(umamis, single_per_s),
        sync_ms=spread(syncs),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["background"]:
        send_background(*sys.argv[2:])
    else:
        main()
