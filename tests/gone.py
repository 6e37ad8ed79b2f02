"""A reader who goes away while the event store is at the question."""

import asyncio
import threading
from typing import Any

from cairn.store.question import ad_hoc
from cairn.store.running import Running
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import Row, Store

_ENDLESS = "SELECT count() FROM numbers(10000000000000) WHERE modulo(number, 7) = {environment:UInt32} % 7"


class Endless:
    """The real store, which takes longer over every question than anybody waits."""

    def __init__(self, store: Store) -> None:
        self.is_asked = threading.Event()
        self.errors: list[Exception] = []
        self._store = store

    def query(
        self, statement: Statement, _limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        self.is_asked.set()
        try:
            return self._store.query(
                ad_hoc(statement.environment_id, _ENDLESS), Limits(timeout_s=300.0), running
            )
        except Exception as error:
            self.errors.append(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def leave_once_asked(app: Any, store: Endless, path: str, headers: dict[str, str]) -> None:
    """Return when the application is done with the request."""
    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": where,
        "root_path": "",
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(messages, None):
            return message
        while not store.is_asked.is_set():
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(_message: dict[str, Any]) -> None:
        return None

    asyncio.run(app(scope, receive, send))
