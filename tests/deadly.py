"""`python -m tests.deadly DATA_DIR [HANG_S]`: `cairn serve` with one more wire format. A record of it says what to do.

The supervisor, the edge and the core are the real ones; only the parser is the test's.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from cairn.cli.main import main
from cairn.event import Arrival, Draft, Kind, Refused
from cairn.settings import load
from cairn.supervise import serve
from cairn.wire.parsers import PARSERS

# A start, an innocent load and a test run beside others must fit in it.
HANG_S = 10.0


def parse(arrival: Arrival) -> list[Draft | Refused]:
    """Each line of the body is an event, or what stops the process."""
    out: list[Draft | Refused] = []
    for line in arrival.body.decode().split():
        if line in _DEADLY:
            if path := os.environ.get("DEADLY_NOTES"):
                with Path(path).open("a") as notes:
                    notes.write(f"{line}\n")
            _DEADLY[line]()
        out.append(
            Draft(
                arrival.environment_id,
                Kind.CUSTOM,
                line,
                arrival.received_ms,
                arrival.received_ms,
                identity=line,
                source=arrival.source,
            )
        )
    return out


def _hang() -> None:
    """In native code that keeps the interpreter to itself, as a regular expression does."""
    ctypes.PyDLL(None).sleep(600)


_DEADLY: dict[str, Any] = {
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": _hang,
}


def record(*lines: str) -> bytes:
    body = "\n".join(lines).encode()
    return msgspec.msgpack.encode(Arrival("deadly", 1, 0, "heap", time.time_ns() // 1_000_000, "", "", body))


if __name__ == "__main__":
    if sys.argv[1] in ("edge", "core"):
        PARSERS["deadly"] = parse
        sys.exit(main())
    data_dir, hang_s = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else HANG_S

    def command(role: str, socket_fd: int | None, ready_fd: int) -> list[str]:
        fds = [
            "--ready-fd",
            str(ready_fd),
            *(["--socket-fd", str(socket_fd)] if socket_fd is not None else []),
        ]
        return [sys.executable, "-m", "tests.deadly", role, "--data-dir", data_dir, *fds]

    sys.exit(
        serve(
            load({"data_dir": data_dir, "port": "0"}, os.environ),
            as_json=True,
            commands=command,
            hang_s=hang_s,
        )
    )
