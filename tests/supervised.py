"""`cairn serve` with processes of the tests' own: `python -m tests.supervised DATA_DIR PORT EDGE CORE [ROLE]`.

EDGE and CORE name what stands in for each: `real`, `plain`, or a way to fail.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from cairn.errors import CairnError
from cairn.settings import load
from cairn.supervise import serve

REAL_EDGE = "from cairn.edge import run_edge as run; from cairn.settings import load as l; import sys; "
REAL_EDGE += "run(l({'data_dir': sys.argv[1]}), socket_fd=int(sys.argv[2]), ready_fd=int(sys.argv[3]))"


def main(data_dir: str, port: str, edge: str, core: str, role: str = "all") -> int:
    def command(child: str, socket_fd: int | None, ready_fd: int) -> list[str]:
        kind = {"edge": edge, "core": core}.get(child, "plain")
        if child == "edge" and kind == "real":
            return [sys.executable, "-c", REAL_EDGE, data_dir, str(socket_fd), str(ready_fd)]
        if child == "core" and kind == "real":
            return [sys.executable, "-m", "tests.stand_in_core", f"{data_dir}/core.sock", str(ready_fd)]
        return [
            sys.executable,
            "-m",
            "tests.supervised",
            "child",
            child,
            kind,
            data_dir,
            str(socket_fd),
            str(ready_fd),
        ]

    try:
        return serve(
            load({"data_dir": data_dir, "port": port}, {}), role=role, as_json=True, commands=command
        )
    except CairnError as error:
        print(f"cairn: {error}", file=sys.stderr)
        return error.exit_status


def child(role: str, kind: str, data_dir: str, socket_fd: str, ready_fd: str) -> None:
    """A process that notes its starts and its end, and answers its pid on the public socket."""
    notes = Path(data_dir) / f"{role}.notes"

    def note(what: str) -> None:
        with notes.open("a") as file:
            file.write(f"{what} {os.getpid()} {time.monotonic()}\n")

    note("start")
    if kind == "dies":
        sys.exit(3)
    if kind == "misconfigured":
        sys.exit(8)
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN if kind == "stubborn" else lambda *_: (note("end"), os._exit(0))
    )
    os.write(int(ready_fd), b"ready\n")
    os.close(int(ready_fd))
    if role != "edge":
        while True:
            signal.pause()
    listening = socket.socket(fileno=int(socket_fd))
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(str(os.getpid()).encode())


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(*sys.argv[2:])
    sys.exit(main(*sys.argv[1:]))
