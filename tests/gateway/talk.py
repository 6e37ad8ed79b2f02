"""The Python SDK through everything it says to a gateway; the same question and answer as talk.js."""

import json
import os
import sys
import threading
from typing import Any

from vwo import init

PATIENCE_S = 20


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    client = init(
        {
            "account_id": asked.get("account", 12345),
            "sdk_key": asked["key"],
            "gateway_service": {"url": asked["url"]},
            "is_aliasing_enabled": asked["withAlias"],
            "threading": {"enabled": False},
            "logger": {"level": "ERROR"},
        }
    )
    device = {"user_agent": asked.get("agent"), "ip_address": asked.get("address")}
    enabled = [
        client.get_flag("f", {"id": "u1", "custom_variables": {"who": value}, **device}).is_enabled()
        for value in asked["values"]
    ]
    context = {"id": "u1", "user_agent": "Firefox", "ip_address": "203.0.113.7"}
    event = asked.get("event", "purchase")
    tracked = client.track_event(event, context, {"amount": 12.5})[event]
    client.set_attribute({"plan": "pro", "seats": 3}, context)
    aliased = client.set_alias({"id": "u1"}, "visitor-1") if asked["withAlias"] else None
    if asked["withAlias"]:
        client.get_flag("f", {"id": "visitor-1", "custom_variables": {"who": asked["values"][0]}})
    for thread in threading.enumerate():  # its own still deliver, but for the timer of its next poll
        if thread is not threading.current_thread() and not isinstance(thread, threading.Timer):
            thread.join(PATIENCE_S)
    sys.__stdout__.write("\n" + json.dumps({"enabled": enabled, "tracked": tracked, "aliased": aliased}))
    sys.__stdout__.flush()
    os._exit(0)


main()
