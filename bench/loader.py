"""How fast the loader fills the store from a full log. Prints JSON.

    python -m bench.loader [events]

Real log, store and parsers in a temporary folder. Three workloads: Segment batches of 20, Heap bulk requests of 200,
and Heap requests of one event each, the dearest. One event in twenty names its user anew.
"""

import gc
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cairn.clock import to_ms, utc_now
from cairn.db.engine import open_engine, sqlite_url
from cairn.db.migrate import migrate
from cairn.event import Arrival
from cairn.eventlog.log import EventLog
from cairn.eventlog.sqlite import open_log
from cairn.ingest.feed import Feed
from cairn.ingest.loader import Loader
from cairn.published.directory import Directory, Source
from cairn.store.embedded import open_embedded
from cairn.store.question import ad_hoc

USERS = 50_000
GC_THRESHOLD = (50_000, 20, 100)  # as the core sets it (server.run_core)
WARM_UP = 1_000  # events, with keys of their own
PER_COMMIT = 50  # requests in one group commit of the log

Body = dict[str, Any]


def segment_batches(events: int, draw: random.Random) -> Iterator[tuple[str, Body]]:
    for first in range(0, events, 20):
        yield (
            "segment",
            {"batch": [segment_call(n, draw) for n in range(first, first + 20)], "sentAt": now_text()},
        )


def segment_call(number: int, draw: random.Random) -> Body:
    user = draw.randrange(USERS)
    call: Body = {
        "messageId": f"m-{number}-{draw.random()}",
        "timestamp": now_text(),
        "context": {"library": {"name": "bench"}},
    }
    if number % 20 == 0:
        traits = {"plan": draw.choice(["free", "pro"]), "age": user % 80}
        return {
            **call,
            "type": "identify",
            "userId": f"user-{user}",
            "anonymousId": f"anon-{user}",
            "traits": traits,
        }
    return {
        **call,
        "type": "track",
        "event": name(draw),
        "userId": f"user-{user}",
        "properties": properties(draw),
    }


def heap_bulk(events: int, draw: random.Random) -> Iterator[tuple[str, Body]]:
    for first in range(0, events, 200):
        several = [heap_event(n, draw) for n in range(first, first + 200)]
        yield "heap.track", {"app_id": "1234567890", "events": several}


def heap_single(events: int, draw: random.Random) -> Iterator[tuple[str, Body]]:
    for number in range(events):
        yield "heap.track", {"app_id": "1234567890", **heap_event(number, draw)}


def heap_event(number: int, draw: random.Random) -> Body:
    return {
        "event": name(draw),
        "identity": f"user-{draw.randrange(USERS)}",
        "idempotency_key": f"k-{number}-{draw.random()}",
        "timestamp": now_text(),
        "properties": properties(draw),
    }


def name(draw: random.Random) -> str:
    return f"Event {draw.randrange(40)}"


def properties(draw: random.Random) -> Body:
    return {
        "plan": draw.choice(["free", "pro", "team"]),
        "price": draw.randrange(1000) / 10,
        "seats": draw.randrange(9),
        "path": f"/shop/{draw.randrange(500)}",
        "is_new": draw.random() < 0.5,
    }


def now_text() -> str:
    return utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


WORKLOADS: dict[str, Callable[[int, random.Random], Iterator[tuple[str, Body]]]] = {
    "segment_batches_of_20": segment_batches,
    "heap_bulk_of_200": heap_bulk,
    "heap_single": heap_single,
}


def measure(folder: Path, workload: str, events: int) -> Body:
    source = Source(1, 1, 1, "bench", "server", True, (1,))
    engine = open_engine(sqlite_url(folder))
    migrate(engine)
    log = open_log(folder / "log.db")
    store = open_embedded(folder / "store", memory_mb=1024)
    directory = Directory(sources={"bench": source})
    loader = Loader(log, store, engine, lambda: directory, Feed(), utc_now, lambda loaded: None)
    fill(log, workload, WARM_UP, seed=2)
    while loader.load_once():  # the first inserts import half of pyarrow, 0.5 s
        pass
    loader.seconds.clear()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    fill(log, workload, events, seed=1)
    before = loader.events
    began, used = time.perf_counter(), time.process_time()
    while loader.load_once():
        pass
    took, cpu = time.perf_counter() - began, time.process_time() - used
    count = loader.events - before
    counted = "SELECT count() FROM cairn.events WHERE environment_id = {environment:UInt32}"
    stored = store.query(ad_hoc(1, counted))[0][0]
    store.close()
    log.close()
    engine.dispose()
    return {
        "events": count,
        "stored_with_warm_up": stored,
        "events_per_s": round(count / took),
        "us_per_event": round(took / count * 1e6, 1),
        "cpu_us_per_event": round(cpu / count * 1e6, 1),
        "by_step": {step: round(spent / count * 1e6, 2) for step, spent in loader.seconds.items()},
    }


def fill(log: EventLog, workload: str, events: int, *, seed: int) -> None:
    pending: list[bytes] = []
    for parser, body in WORKLOADS[workload](events, random.Random(seed)):
        arrival = Arrival(
            parser,
            1,
            1 if parser == "segment" else 0,
            "bench",
            to_ms(utc_now()),
            "",
            "",
            json.dumps(body).encode(),
        )
        pending.append(msgspec.msgpack.encode(arrival))
        if len(pending) == PER_COMMIT:
            log.append(pending)
            pending = []
    if pending:
        log.append(pending)


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    results = {}
    for workload in WORKLOADS:
        with tempfile.TemporaryDirectory() as folder:
            results[workload] = measure(Path(folder), workload, events)
    results["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # type: ignore[assignment]
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
