"""Segment's Python client, whichever release is found first: `segment_python.py <host> <write key>`."""

import json
import sys
from typing import Any

from segment.analytics.client import Client
from segment.analytics.version import VERSION

failures: list[str] = []


def failed(error: Any, _batch: Any) -> None:
    failures.append(f"{type(error).__name__}: {error}")


host, write_key = sys.argv[1:]
client = Client(write_key, host=host, on_error=failed, max_retries=3)
client.identify("u1", {"email": "u1@x.test", "plan": "pro"})
client.track(42, "Number", {"d": {"e": True}})
client.track(None, "Looked", anonymous_id="an2")
client.flush()
client.join()
print(json.dumps({"version": VERSION, "failures": failures}))
