"""How long a test waits for a condition before it says that it never came: a busy machine may take that long.

Whoever waits for something that must not happen waits for what comes after it instead.
"""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 300.0
WAIT_MS = PATIENCE_S * 1000  # for Playwright


def eventually(holds: Callable[[], Any], about: str = "it") -> Any:
    """Wait until it holds and return what it said; what it last said stands in the failure."""
    deadline = time.monotonic() + PATIENCE_S
    while not (said := holds()):
        assert time.monotonic() < deadline, f"{about} never came: {said!r}"
        time.sleep(0.05)
    return said
