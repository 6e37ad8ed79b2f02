"""The Python SDK, unmodified, through some calls in order. The same argument and answer as sdk_calls.js."""

import json
import os
import sys
import threading
from typing import Any

from vwo import init

PATIENCE_S = 20

asked: dict[str, Any] = json.loads(sys.argv[1])
client = init(
    {
        "account_id": asked["accountId"],
        "sdk_key": asked["sdkKey"],
        "gateway_service": {"url": asked["url"]},
        "threading": {"enabled": False},
        "logger": {"level": "ERROR"},
    }
)
DOES = {
    "flag": lambda key, user: client.get_flag(key, {"id": user}).is_enabled(),
    "set": lambda user, properties: client.set_attribute(properties, {"id": user}) or True,
    "track": lambda event, user: client.track_event(event, {"id": user})[event],
}
answers = [DOES[name](*rest) for name, *rest in asked["calls"]]
for thread in threading.enumerate():  # its own still deliver, but for the timer of its next poll
    if thread is not threading.current_thread() and not isinstance(thread, threading.Timer):
        thread.join(PATIENCE_S)
print(json.dumps({"answers": answers}), flush=True)
os._exit(0)
