"""The system's clock jumping under a served Cairn, by libfaketime (Debian: faketime)."""

import os
import time
from pathlib import Path
from typing import Any

from tests.chaos.checks import SETTLE_S, afterwards, wait_for_quiet
from tests.chaos.senders import Planner, start_senders
from tests.served import Served

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
STEPS: dict[str, tuple[str, ...]] = {  # offsets, in turn
    "forward 2 h": ("+0", "+2h"),
    "forward 2 h and back": ("+0", "+2h", "+0"),
    "back 1 h": ("+0", "-1h"),
    "to 1970 and back": ("+0", "1970-01-01 00:10:00", "+0"),
    "small steps": ("+0", "+3", "-2", "+1", "-5", "+0"),
}
STEP_S = 4.0


class NoFakeTime(Exception):
    """The library is not installed."""


def jump(data_dir: Path, step: str) -> dict[str, Any]:
    if not LIBRARY.exists():
        raise NoFakeTime("install faketime (Debian) to try this")
    served = Served(data_dir, options=("--rate-limits", "false")).make_demo()
    told = data_dir.with_name("time")
    os.environ |= {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    try:
        told.write_text("+0")
        served.start()
    finally:
        for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
            del os.environ[name]
    try:
        senders, planner = (
            start_senders(served.url, served.production),
            Planner(served.url, served.production),
        )
        planner.start()
        for offset in STEPS[step]:
            told.write_text(offset)
            time.sleep(STEP_S)
        for one in (*senders, planner):
            one.finish()
        wait_for_quiet(served)
        time.sleep(SETTLE_S + 3)
    finally:
        served.stop()
    return afterwards(data_dir, senders, planner)
