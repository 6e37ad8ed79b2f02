"""`make bench-start`: from the command to the ready line with the demo loaded, and the memory of the idle processes."""

import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import against, report
from tests.served import Served

RUNS = 5
START_LIMIT_S = 5.0
IDLE_S = 10  # after this long, what start-up needed for a moment has been given back


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        first, first_s = _started(Path(folder) / "first")
        first.stop()
        served = Served(Path(folder) / "data").make_demo()
        served.start()
        time.sleep(3)
        served.stop()
        starts = []
        for _ in range(RUNS):
            began = time.perf_counter()
            served.start()
            starts.append(time.perf_counter() - began)
            served.stop()
        served.start()
        time.sleep(IDLE_S)
        memory = {name: memory_mb(pid) for name, pid in processes(served).items()}
        served.stop()
    report(
        "start",
        runs=RUNS,
        first_start_s=round(first_s, 2),
        start_s=[round(s, 2) for s in starts],
        start=against(max(*starts, first_s), START_LIMIT_S, "s worst"),
        median_s=round(statistics.median(starts), 2),
        idle_memory_mb=memory,
        idle_memory_total_mb=round(sum(memory.values())),
    )


def _started(data_dir: Path) -> tuple[Served, float]:
    served = Served(data_dir).make_demo()
    began = time.perf_counter()
    served.start()
    return served, time.perf_counter() - began


def processes(served: Served) -> dict[str, int]:
    return {
        "supervisor": served.pid,
        "edge": int(served.ready["edge_pid"]),
        "core": int(served.ready["core_pid"]),
    }


def memory_mb(pid: int) -> float:
    """Proportional set size: shared pages counted once."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"process {pid} shows no memory")


if __name__ == "__main__":
    main()
