"""A CSV of `VALUES` (1000000) uploaded into an attribute list of a served Cairn: seconds, and what memory grew by.

Part of `make bench-sync`. The list is filled, then replaced by as many values of which half are new.
"""

import os
import tempfile
import time
from pathlib import Path

import httpx2 as httpx

from bench.figures import against, report
from bench.memory import grown
from tests.served import Served

LIMIT_S, MEMORY_LIMIT_MB = 10.0, 200.0


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
            with grown(int(served.ready["core_pid"])) as core, grown(int(served.ready["edge_pid"])) as edge:
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


if __name__ == "__main__":
    main()
