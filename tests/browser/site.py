"""A site under test: serves pages and the real script files, records what the script sends."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from cairn.collect.script import NEUTRAL_CAPTURE, ScriptFiles
from tests.browser.snippets import ENVIRONMENT
from tests.patience import PATIENCE_S

CAPTURE = "/api/capture/v2/"
BUILTINS = {1: "click", 2: "touch", 3: "change", 4: "submit"}


@dataclass
class Posted:
    """One request of the script."""

    name: str  # track, identify, add_user_properties, ...
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any  # JSON


def kind_of(message: dict[str, Any]) -> str:
    """user, session, pageview, click, touch, change, submit, or the name of a custom event."""
    for kind in ("user", "session", "pageview"):
        if kind in message:
            return kind
    event = message["event"]
    return (
        BUILTINS[event["interaction"]["builtin"]] if "interaction" in event else str(event["custom"]["name"])
    )


@dataclass
class Site:
    port: int = 0
    environment: str = "1234567000"  # another one in each test, so that none hears a page of the one before
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    posted: list[Posted] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and path of everything else
    status: int = 200  # what the capture API answers
    configuration: dict[str, Any] = field(default_factory=dict)  # of the environment
    loses_answers: bool = False  # records, and then answers as if it had not
    delay: float = 0.0  # seconds before the capture API answers

    def reset(self) -> None:
        self.environment = str(int(self.environment) + 1)
        self.pages.clear()
        self.posted.clear()
        self.asked.clear()
        self.configuration.clear()
        self.status, self.delay, self.loses_answers = 200, 0.0, False

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def fill(self, text: str) -> str:
        """A page or snippet with this test's environment."""
        return text.replace(ENVIRONMENT, self.environment)

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        return [event for one in self.posted if one.name == "track" for event in one.body["events"]]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Each once, as the event store keeps them: a page that reloads before it hears of its delivery delivers
        again, with the same id."""
        once: dict[tuple[str, str], dict[str, Any]] = {}
        for message in self.deliveries:
            once.setdefault((kind_of(message), message["id"]), message)
        return list(once.values())

    @property
    def kinds(self) -> list[str]:
        return [kind_of(message) for message in self.messages]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if kind_of(message) == kind]

    def calls(self, name: str) -> list[Any]:
        return [one.body for one in self.posted if one.name == name]

    def wait(self, what: Callable[[], Any], about: str = "") -> Any:
        """The first true answer of `what`."""
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := what()):
            assert time.monotonic() < deadline, (
                f"{about or 'it'} never came; got {self.kinds} {self.asked[-8:]}"
            )
            time.sleep(0.02)
        return answer

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The messages of a kind, once there are `count`."""
        return list(self.wait(lambda: len(got := self.of_kind(kind)) >= count and got, kind))


class _App:
    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._script = ScriptFiles(folder, self._configuration)

    async def _configuration(self, _environment: str) -> dict[str, Any]:
        return self._site.configuration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if self._script.handles(method, path):
            self._site.asked.append((method, path))
            return await self._script(scope, receive, send)
        name = NEUTRAL_CAPTURE.get(path) or (path.removeprefix(CAPTURE) if path.startswith(CAPTURE) else "")
        request = Request(scope, receive)
        if name and method == "POST":
            await (await self._record(name, request))(scope, receive, send)
        else:
            self._site.asked.append((method, path))
            await self._page(path)(scope, receive, send)

    async def _record(self, name: str, request: Request) -> Response:
        body = await request.body()
        query = {key: values[0] for key, values in parse_qs(request.url.query).items()}
        if query["a"] != self._site.environment:
            return PlainTextResponse("{}")
        if self._site.delay:
            await asyncio.sleep(self._site.delay)
        if self._site.status < 400:
            self._site.posted.append(
                Posted(name, request.url.path, query, dict(request.headers), json.loads(body))
            )
        else:
            self._site.asked.append(("REFUSED", name))
        status = 503 if self._site.loses_answers else self._site.status
        return PlainTextResponse("{}", status, headers={"access-control-allow-origin": "*"})

    def _page(self, path: str) -> Response:
        if path not in self._site.pages:
            return PlainTextResponse("no such page", 404)
        body, headers = self._site.pages[path]
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        return Response(body, media_type=kind, headers=headers)


def serve(site: Site, folder: Path) -> Callable[[], None]:
    """Serve in a thread; the answer stops it."""
    listening = socket.create_server(("127.0.0.1", 0))
    site.port = listening.getsockname()[1]
    config = uvicorn.Config(_App(site, folder), log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()

    return stop
