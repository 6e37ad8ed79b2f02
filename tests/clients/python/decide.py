"""The Python SDK, unmodified, one client per process. The same question and answer as ../node/decide.js."""

import json
import os
import sys
from typing import Any

from vwo import init


class Storage:
    def __init__(self) -> None:
        self.records: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, feature_key: str, user_id: str) -> dict[str, Any] | None:
        return self.records.get((feature_key, user_id))

    def set(self, data: dict[str, Any]) -> None:
        self.records[data["featureKey"], data.get("userId") or data["user"]] = data


SPELLINGS = {
    "customVariables": "custom_variables",
    "variationTargetingVariables": "variation_targeting_variables",
    "userAgent": "user_agent",
    "ipAddress": "ip_address",
}


def answer(client: Any, storage: Storage | None, question: dict[str, Any]) -> dict[str, Any]:
    context = {SPELLINGS.get(key, key): value for key, value in question["context"].items()}
    if track := question.get("track"):
        return {"tracked": client.track_event(track, context)[track]}
    flag = client.get_flag(question["key"], context)
    return {
        "enabled": flag.is_enabled(),
        "variables": {variable["key"]: variable["value"] for variable in flag.get_variables()},
        "stored": storage.get(question["key"], context["id"]) if storage else None,
    }


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    storage = Storage() if asked["withStorage"] else None
    options: dict[str, Any] = {
        "account_id": asked["accountId"],
        "sdk_key": asked["sdkKey"],
        "gateway_service": {"url": asked["url"]},
        "logger": {"level": "ERROR"},
    }
    if storage:
        options["storage"] = storage
    client = init(options)
    answers = [answer(client, storage, question) for question in asked["questions"]]
    sys.__stdout__.write("\n" + json.dumps(answers))
    sys.__stdout__.flush()
    os._exit(0)  # its threads would keep the process for their polling interval


main()
