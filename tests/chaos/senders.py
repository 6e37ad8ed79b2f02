"""Clients that keep going through a disaster and remember exactly what they were told."""

import threading
import time

import httpx2


class Sender(threading.Thread):
    """Sends numbered events with idempotency keys, retries what got no 200, and keeps what was acknowledged."""

    def __init__(self, url: str, app_id: str, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._url, self._app_id = url, app_id
        self._stop_asked = threading.Event()
        self.acknowledged: set[str] = set()
        self.retries = 0
        self.refused: list[int] = []

    def run(self) -> None:
        number = 0
        with httpx2.Client(base_url=self._url, timeout=20) as client:
            while not self._stop_asked.is_set():
                keys = [f"{self.name}-{number + i}" for i in range(5)]
                self._send(client, keys)
                number += 5

    def _send(self, client: httpx2.Client, keys: list[str]) -> None:
        events = [
            {
                "identity": f"{self.name}@chaos.test",
                "event": "Chaos",
                "idempotency_key": key,
                "properties": {"key": key},
            }
            for key in keys
        ]
        while True:
            try:
                answer = client.post("/api/track", json={"app_id": self._app_id, "events": events})
            except httpx2.HTTPError:
                self.retries += 1
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                self.acknowledged.update(keys)
                return
            self.refused.append(answer.status_code)
            time.sleep(0.05)

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(60)


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
