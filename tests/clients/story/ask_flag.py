"""The Python SDK, unmodified, one client per process. The same argument and answer as ask_flag.js."""

import json
import os
import sys
import time
from typing import Any

from vwo import init

asked: dict[str, Any] = json.loads(sys.argv[1])


def ask(client: Any, context: dict[str, Any]) -> dict[str, Any]:
    flag = client.get_flag(asked["key"], context)
    return {"enabled": flag.is_enabled(), "variables": {v["key"]: v["value"] for v in flag.get_variables()}}


client = init(
    {
        "account_id": asked["accountId"],
        "sdk_key": asked["sdkKey"],
        "gateway_service": {"url": asked["url"]},
        "poll_interval": 1000,
        "logger": {"level": "ERROR"},
    }
)
contexts = [
    {"id": context["id"], "custom_variables": context["customVariables"]} for context in asked["contexts"]
]
if asked["until"]:
    started = time.monotonic()
    while time.monotonic() - started < asked["until"]["timeoutMs"] / 1000:
        if ask(client, contexts[asked["until"]["index"]])["enabled"] == asked["until"]["enabled"]:
            break
        time.sleep(0.1)
print(json.dumps({"answers": [ask(client, context) for context in contexts]}), flush=True)
os._exit(0)  # its polling thread would keep the process for ever
