"""`make soak`: 10,000 events a second for `MINUTES` (20), and what the memory of the processes does meanwhile.

Growth is the median of the last tenth against that of the tenth in the middle: what is still filling after half the
time would go on. Memory is the proportional set size, so pages that processes share count once.
"""

import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from bench.figures import against, report
from bench.ingest import BULK_EVENTS, Bench, after, at_least, stored
from bench.sender import send
from bench.start import memory_mb, processes
from tests.served import Served

PER_S = 10_000  # events
CONNECTIONS = 8
SAMPLE_S = 2.0
GROWTH_LIMIT, TOTAL_LIMIT_MB = 1.05, 1_024


class Memory:
    """Looks at the processes every other second until it is told to stop."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[dict[str, float]] = []

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            found = {name: memory_mb(pid) for name, pid in processes(self._served).items()}
            self.samples.append({**found, "total": sum(found.values())})

    def tenth(self, number: int, name: str = "total") -> float:
        """The median of one of ten equal stretches."""
        size = max(1, len(self.samples) // 10)
        return statistics.median(sample[name] for sample in self.samples[number * size : (number + 1) * size])


def main() -> None:
    minutes = float(os.environ.get("MINUTES", "20"))
    with tempfile.TemporaryDirectory(prefix="cairn-soak-") as folder:
        served = Served(Path(folder) / "data", options=("--rate-limits", "false")).make_demo()
        served.start()
        try:
            bench = Bench(served)
            bench.wait_until_loaded()
            began = time.perf_counter()
            with Memory(served) as memory:
                sent = send(
                    bench.url,
                    bench.bulk_requests(10**12),
                    connections=CONNECTIONS,
                    per_s=PER_S / BULK_EVENTS,
                    until=after(minutes * 60),
                )
                bench.count(sent, BULK_EVENTS)
                behind_s = time.perf_counter()
                bench.wait_until_loaded()
                behind_s = time.perf_counter() - behind_s
            took_s = time.perf_counter() - began
            bench.log.close()
        finally:
            served.stop()
        count = stored(served.data_dir, bench.environment_id)
    if count != bench.sent:
        raise SystemExit(f"{bench.sent} events were accepted, {count} are in the store")
    report(
        "soak",
        minutes=round(took_s / 60, 1),
        events_sent_and_stored=count,
        rate=at_least(sent.per_s * BULK_EVENTS, PER_S * 0.98, "events/s"),
        behind_at_the_end_s=round(behind_s, 1),
        growth=against(memory.tenth(9) / memory.tenth(5), GROWTH_LIMIT, "of the tenth in the middle"),
        end=against(memory.tenth(9), TOTAL_LIMIT_MB, "MB in total"),
        by_tenth_mb={name: [round(memory.tenth(n, name)) for n in range(10)] for name in memory.samples[0]},
    )


if __name__ == "__main__":
    main()
