"""A worker process for the kill test: it says what it started and then never ends by itself."""

import sys
import threading
from typing import Any

from cairn.db.engine import open_engine
from cairn.jobs.queue import Worker


def _work(payload: Any) -> None:
    print(f"started {payload['n']}", flush=True)
    threading.Event().wait()


Worker(open_engine(sys.argv[1]), {"work": _work}).run(threading.Event())
