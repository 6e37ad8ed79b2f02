"""Clients that keep going through a disaster and remember exactly what they were told."""

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2

from tests.wire.captured import CLICK, batch

EVENT = "Chaos"
Post = tuple[str, bytes, dict[str, str]]  # path, body, headers
_JSON = {"content-type": "application/json"}


def heap_single(production: dict[str, Any], user: str, keys: list[str]) -> Post:
    event = {"identity": user, "event": EVENT, "idempotency_key": keys[0], "properties": {"key": keys[0]}}
    return "/api/track", json.dumps({"app_id": production["app_id"], **event}).encode(), _JSON


def heap_bulk(production: dict[str, Any], user: str, keys: list[str]) -> Post:
    events = [
        {"identity": user, "event": EVENT, "idempotency_key": key, "properties": {"key": key}} for key in keys
    ]
    return "/api/track", json.dumps({"app_id": production["app_id"], "events": events}).encode(), _JSON


def segment_batch(production: dict[str, Any], user: str, keys: list[str]) -> Post:
    calls = [
        {"type": "track", "userId": user, "event": EVENT, "messageId": key, "properties": {"key": key}}
        for key in keys
    ]
    credentials = base64.b64encode(f"{production['write_keys']['server']}:".encode()).decode()
    return (
        "/v1/batch",
        json.dumps({"batch": calls}).encode(),
        {**_JSON, "authorization": f"Basic {credentials}"},
    )


def heap_capture(production: dict[str, Any], user: str, keys: list[str]) -> Post:
    now_ms = int(time.time() * 1000)
    messages = [
        {
            **CLICK,
            "id": str(hash((user, key)) % 2**52),
            "env_id": production["app_id"],
            "user_id": str(hash(user) % 2**52),
            "time": now_ms,
            "properties": {"key": key},
            "event": {"custom": {"name": EVENT}},
        }
        for key in keys
    ]
    return "/api/capture/v2/track", batch(*messages), {"content-type": "application/octet-stream"}


KINDS: dict[str, tuple[Callable[[dict[str, Any], str, list[str]], Post], int]] = {
    "heap single": (heap_single, 1),
    "heap bulk": (heap_bulk, 5),
    "segment batch": (segment_batch, 5),
    "heap capture": (heap_capture, 3),
}


class Sender(threading.Thread):
    """Sends numbered events, retries what got no 200 with the same ids, and keeps what was acknowledged."""

    def __init__(self, url: str, production: dict[str, Any], kind: str, number: int = 0) -> None:
        super().__init__(name=f"{kind.replace(' ', '-')}-{number}", daemon=True)
        self._url, self._production = url, production
        self._write, self._size = KINDS[kind]
        self._stop_asked = threading.Event()
        self.acknowledged: set[str] = set()
        self.retries = 0
        self.refused: dict[int, int] = {}  # times, by status
        self.told_to_wait = 0  # refusals that said when to come again

    def run(self) -> None:
        number = 0
        with httpx2.Client(base_url=self._url, timeout=20) as client:
            while not self._stop_asked.is_set():
                keys = [f"{self.name}-{number + i}" for i in range(self._size)]
                self._send(client, keys)
                number += self._size

    def _send(self, client: httpx2.Client, keys: list[str]) -> None:
        path, body, headers = self._write(self._production, f"{self.name}@chaos.test", keys)
        while True:
            try:
                answer = client.post(path, content=body, headers=headers)
            except httpx2.HTTPError:
                self.retries += 1
                if self._stop_asked.wait(0.02):
                    return
                continue
            if answer.status_code == 200:
                self.acknowledged.update(keys)
                return
            self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
            self.told_to_wait += "retry-after" in answer.headers
            time.sleep(0.05)
            if self._stop_asked.is_set():
                return

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(60)


class Planner(threading.Thread):
    """Gives users a plan, again and again, and knows the one each was given last."""

    USERS = 40

    def __init__(self, url: str, production: dict[str, Any]) -> None:
        super().__init__(name="planner", daemon=True)
        self._url, self._app_id = url, production["app_id"]
        self.environment_id = int(production["environment_id"])
        self._stop_asked = threading.Event()
        self.plans: dict[str, str] = {}  # by identity

    def run(self) -> None:
        number = 0
        with httpx2.Client(base_url=self._url, timeout=20) as client:
            while not self._stop_asked.is_set():
                identity = f"planned{number % self.USERS}@chaos.test"
                plan = "premium" if number // self.USERS % 2 == number % 2 else "free"
                self._give(client, identity, plan)
                number += 1

    def _give(self, client: httpx2.Client, identity: str, plan: str) -> None:
        body = {"app_id": self._app_id, "identity": identity, "properties": {"plan": plan}}
        while True:
            try:
                if client.post("/api/add_user_properties", json=body).status_code == 200:
                    self.plans[identity] = plan
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.02)
            if self._stop_asked.is_set():
                self.plans.pop(identity, None)  # it may have been taken or not
                return

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(60)


def start_senders(url: str, production: dict[str, Any], number: int = 0) -> list[Sender]:
    """One of each kind, running."""
    senders = [Sender(url, production, kind, number) for kind in KINDS]
    for sender in senders:
        sender.start()
    return senders


class Caller(threading.Thread):
    """Repeats one call on a kept connection and times each; any failure is remembered."""

    def __init__(
        self, url: str, name: str, method: str, path: str, body: dict[str, object] | None = None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url, self._method, self._path, self._body = url, method, path, body
        self._stop_asked = threading.Event()
        self.took_ms: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=20) as client:
            while not self._stop_asked.is_set():
                started = time.perf_counter()
                try:
                    answer = client.request(self._method, self._path, json=self._body)
                    if answer.status_code != 200:
                        self.failures.append(f"{answer.status_code}: {answer.text[:200]}")
                except httpx2.HTTPError as error:
                    self.failures.append(repr(error))
                self.took_ms.append((time.perf_counter() - started) * 1000)
                time.sleep(0.002)

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(30)
