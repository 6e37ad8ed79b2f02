"""Two processes under one supervisor: started, started again, stopped in order, and never left behind."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn.settings import load
from cairn.supervise import address_of, pause_s
from tests.patience import PATIENCE_S

STARTS = Callable[..., "Running"]


class Running:
    def __init__(
        self, data_dir: Path, *, port: int = 0, edge: str = "plain", core: str = "plain", role: str = "all"
    ):
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", str(data_dir), str(port), edge, core, role],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready: dict[str, Any] = {}

    def wait_ready(self) -> "Running":
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.ready = json.loads(line) if line else {}
        return self

    @property
    def port(self) -> int:
        return int(self.ready["url"].rsplit(":", 1)[1])

    def edge_pid(self) -> int:
        """Ask over the public port; waits in the backlog while there is no edge."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(b"who")
            return int(connection.recv(100))

    def notes(self, role: str) -> list[tuple[str, int, float]]:
        path = self.data_dir / f"{role}.notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(what, int(pid), float(at)) for what, pid, at in (line.split() for line in lines)]

    def end(self) -> tuple[int, str]:
        """Its exit status and what it said on stderr."""
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def run(tmp_path: Path) -> Iterator[STARTS]:
    started: list[Running] = []

    def start(data_dir: Path | None = None, **options: Any) -> Running:
        started.append(Running(data_dir or tmp_path / "data", **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_the_ready_line_names_address_and_processes(run: STARTS) -> None:
    running = run().wait_ready()
    assert running.ready["ready"] is True
    assert running.ready["pid"] == running.process.pid
    assert running.ready["edge_pid"] == running.edge_pid()
    assert running.ready["core_pid"] == running.notes("core")[0][1]
    until(lambda: bool(running.notes("delivery")))
    assert running.ready["delivery_pid"] == running.notes("delivery")[0][1]


def test_a_killed_delivery_is_started_again_and_costs_nobody_else(run: STARTS) -> None:
    running = run().wait_ready()
    until(lambda: bool(running.notes("delivery")))
    os.kill(running.ready["delivery_pid"], signal.SIGKILL)
    until(lambda: len(running.notes("delivery")) == 2)
    assert running.edge_pid() == running.ready["edge_pid"]
    assert len(running.notes("core")) == len(running.notes("edge")) == 1


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_the_edge_and_then_the_core(run: STARTS, told: signal.Signals) -> None:
    running = run().wait_ready()
    running.process.send_signal(told)
    assert running.end()[0] == 0
    (edge_end,), (core_end,) = (
        [n for n in running.notes(role) if n[0] == "end"] for role in ("edge", "core")
    )
    assert edge_end[2] <= core_end[2]
    assert not is_alive(edge_end[1]) and not is_alive(core_end[1])


def test_a_killed_edge_is_started_again_on_the_same_port_and_callers_only_wait(run: STARTS) -> None:
    running = run().wait_ready()
    for _ in range(5):
        before = running.edge_pid()
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: not is_alive(before))  # type: ignore[misc]
        assert running.edge_pid() != before
    assert running.process.poll() is None


def test_a_killed_core_is_started_again_and_the_edge_is_left_alone(run: STARTS) -> None:
    running = run().wait_ready()
    os.kill(running.ready["core_pid"], signal.SIGKILL)
    until(lambda: len(running.notes("core")) == 2)
    assert running.edge_pid() == running.ready["edge_pid"]


def test_nothing_survives_a_killed_supervisor_and_the_directory_is_free_again(run: STARTS) -> None:
    running = run().wait_ready()
    running.process.kill()
    running.process.wait()
    until(lambda: not is_alive(running.ready["edge_pid"]) and not is_alive(running.ready["core_pid"]))
    assert run().wait_ready().ready["ready"] is True


def test_a_start_right_after_a_kill_waits_for_what_still_ends(run: STARTS, tmp_path: Path) -> None:
    running = run().wait_ready()
    owner = (running.data_dir / "core.lock").read_text()
    running.process.kill()
    running.process.wait()
    held = os.open(running.data_dir / "core.lock", os.O_RDWR)  # as by a core whose memory is being taken back
    until(lambda: _locks(held))
    started = run()
    until(lambda: started.process.poll() is not None or _waits_for(started, running.data_dir))
    assert started.process.poll() is None
    os.close(held)
    assert started.wait_ready().ready["ready"] is True
    assert (running.data_dir / "core.lock").read_text() != owner


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _waits_for(started: Running, data_dir: Path) -> bool:
    """Whether it has the lock's file open, and so has tried to take it."""
    opened = Path(f"/proc/{started.process.pid}/fd")
    return any(os.path.realpath(link) == str(data_dir / "core.lock") for link in opened.iterdir())


def test_a_second_serve_on_the_same_directory_names_the_owner(run: STARTS) -> None:
    running = run().wait_ready()
    status, said = run().end()
    assert status == 4
    assert f"process {running.process.pid} at {running.ready['url']}" in said and "--data-dir" in said


def test_a_taken_port_is_named(run: STARTS, tmp_path: Path) -> None:
    running = run().wait_ready()
    status, said = run(tmp_path / "other", port=running.port).end()
    assert status == 8
    assert f"port {running.port}" in said and "--port" in said


@pytest.mark.parametrize(("kind", "status", "starts"), [("dies", 3, 5), ("misconfigured", 8, 1)])
def test_a_core_that_cannot_start_ends_the_start(run: STARTS, kind: str, status: int, starts: int) -> None:
    running = run(core=kind).wait_ready()
    assert running.ready == {}
    assert running.end()[0] == status
    assert len(running.notes("core")) == starts
    assert not any(is_alive(pid) for _, pid, _ in running.notes("edge"))


def test_a_process_that_does_not_end_is_killed_when_told_twice(run: STARTS) -> None:
    running = run(core="stubborn").wait_ready()
    running.process.terminate()
    until(lambda: any(what == "end" for what, *_ in running.notes("edge")))
    running.process.terminate()
    status, said = running.end()
    assert (status, is_alive(running.ready["core_pid"])) == (0, False)
    assert "core did not end in time" in said


def test_each_role_can_be_served_alone_beside_the_other(run: STARTS) -> None:
    running = run(role="edge").wait_ready()
    assert running.edge_pid() == running.ready["edge_pid"]
    assert "core_pid" not in running.ready and running.notes("core") == []
    other = run(role="core").wait_ready()
    assert "edge_pid" not in other.ready and len(other.notes("core")) == 1
    for role in ("edge", "core", "all"):
        assert run(role=role).end()[0] == 4


def test_pauses_grow_to_a_second_and_the_first_restart_has_none() -> None:
    pauses = [pause_s(deaths) for deaths in range(12)]
    assert pauses[:3] == [0.0, 0.0, 0.05]
    assert pauses == sorted(pauses) and pauses[-1] == 1.0


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({"port": 8300}, "http://127.0.0.1:8300"),
        ({"host": "0.0.0.0", "port": 80}, "http://localhost:80"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"public_url": "https://cairn.example/"}, "https://cairn.example"),
    ],
)
def test_addresses(options: dict[str, Any], address: str) -> None:
    assert address_of(load(options, {})) == address


def test_the_supervisor_is_light() -> None:
    """It imports nothing of what its processes are made of."""
    code = "import sys, cairn.supervise; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "uvicorn", "sqlalchemy", "lmdb", "chdb", "starlette", "click"} & set(loaded)
