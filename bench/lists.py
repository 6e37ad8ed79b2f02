"""A CSV of `VALUES` (1000000) uploaded into an attribute list of a served Cairn: seconds, and what memory grew by.

`.venv/bin/python -m bench.lists`. The list is filled, then replaced by as many values of which half are new.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from bench.figures import against, report
from tests.served import Served

LIMIT_S, MEMORY_LIMIT_MB = 10.0, 200.0
_LOOK_S = 0.02


def main() -> None:
    values = int(os.environ.get("VALUES", "1000000"))
    fill_s, replace_s, core_mb, edge_mb = upload(values)
    report(
        "lists",
        values=values,
        upload=against(fill_s, LIMIT_S, "s"),
        replace_half=against(replace_s, LIMIT_S, "s"),
        core_memory=against(core_mb, MEMORY_LIMIT_MB, "MB more than before, at most"),
        edge_memory=against(edge_mb, MEMORY_LIMIT_MB, "MB more than before, at most"),
    )


def upload(values: int) -> tuple[float, float, float, float]:
    """Seconds to fill and to replace a list; megabytes that the core and the edge grew by at most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = folder / "first.csv", folder / "second.csv"
        _write(first, 0, values)
        _write(second, values // 2, values)
        served = Served(folder / "data").make_demo().start()
        headers = {"Authorization": f"Bearer {served.demo['api_token']}"}
        with httpx.Client(base_url=f"{served.url}/api/v1", headers=headers, timeout=600) as http:
            made = http.post("/lists", params={"environment": "production"}, json={"name": "Bench"})
            path = f"/lists/{made.raise_for_status().json()['id']}/values"
            with _grown(int(served.ready["core_pid"])) as core, _grown(int(served.ready["edge_pid"])) as edge:
                fill_s = _sent(http, "POST", path, first, values)
                replace_s = _sent(http, "PUT", path, second, values)
        served.stop()
    return fill_s, replace_s, max(core), max(edge)


def _write(path: Path, start: int, values: int) -> None:
    with path.open("w") as file:
        file.write("user_id\n")
        # Not in order, as an export of a customer's database is not.
        file.writelines(
            f"user{(start + number) * 7_919 % 10**8:08}@example.test\n" for number in range(values)
        )


def _sent(http: httpx.Client, method: str, path: str, body: Path, values: int) -> float:
    started = time.perf_counter()
    with body.open("rb") as file:
        answer = http.request(
            method,
            path,
            params={"environment": "production"},
            content=file,
            headers={"Content-Type": "text/csv", "Content-Length": str(body.stat().st_size)},
        )
    taken = time.perf_counter() - started
    assert answer.json()["size"] == values, answer.text
    return taken


@contextmanager
def _grown(pid: int) -> Iterator[list[float]]:
    """By how many megabytes a process's own memory is above what it was, looked at all the time."""
    before, grown, is_over = _own_mb(pid), [0.0], threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            grown.append(_own_mb(pid) - before)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield grown
    finally:
        is_over.set()
        watching.join()


def _own_mb(pid: int) -> float:
    """Without the pages of files, which the members store maps: the system takes those back when it likes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
