"""A running Umami beside Cairn: its single-event endpoint, asked by the same sender over as many connections.

What is sent is the lightest event it takes, a page view without properties, of a new visitor each as ours are.
"""

import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Self

import httpx2
from msgspec import Struct

from bench.sender import Sent, request, send

_PATH = "/api/send"
# Without a browser's name Umami takes the sender for a robot: it answers 200 and stores nothing.
_BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)


class Umami(Struct, frozen=True):
    url: str
    website: str

    @classmethod
    def given(cls) -> Self | None:
        """The one that `UMAMI` (its address) and `UMAMI_WEBSITE` (an id) tell of, once it has stored a page view."""
        url = os.environ.get("UMAMI", "").rstrip("/")
        if not url:
            return None
        umami = cls(url, os.environ["UMAMI_WEBSITE"])
        umami._prove_that_it_stores()
        return umami

    def measure(self, connections: int, until: Callable[[], bool]) -> Sent:
        sent = send(self.url, self._requests(), connections=connections, until=until)
        if sent.failed:
            raise SystemExit(f"Umami did not accept {sent.failed} requests")
        return sent

    def _requests(self) -> Iterator[bytes]:
        run = uuid.uuid4().hex[:8]
        for number in itertools.count():
            body = self._page_view(f"user-{run}-{number:09d}")
            yield request(self.url, _PATH, body, user_agent=_BROWSER)

    def _page_view(self, visitor: str) -> bytes:
        payload = {"website": self.website, "hostname": "localhost", "url": "/shop/tents", "id": visitor}
        return json.dumps({"type": "event", "payload": payload}).encode()

    def _prove_that_it_stores(self) -> None:
        answer = httpx2.post(
            self.url + _PATH,
            content=self._page_view(uuid.uuid4().hex),
            timeout=60,
            headers={"user-agent": _BROWSER, "content-type": "application/json"},
        )
        if answer.status_code != 200 or "visitId" not in answer.json():
            raise SystemExit(f"Umami stored nothing: {answer.status_code} {answer.text[:200]}")
