"""Real flag SDKs in processes of their own, asking a real gateway over HTTP."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn

from cairn.clock import utc_now
from cairn.event import Arrival
from cairn.gateway.app import Gateway
from cairn.gateway.request_line import LenientProtocol
from cairn.ids import key_hash
from cairn.members.sets import list_set
from cairn.published.directory import Directory, Sdk
from tests.clients.cases.official import CLIENTS
from tests.seams import open_members

ACCOUNT = 12345
RUNNERS = {
    "node": ["node", "node/decide.js"],
    "esm": ["node", "node/decide.js", "esm"],
    "python": [sys.executable, "python/decide.py"],
}


class ServedGateway:
    """The gateway of the edge on a real port. Each document published here gets a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = open_members(folder / "members")
        self.arrivals: list[Arrival] = []
        self._numbers = count(1000)
        self._keys: dict[str, int] = {}
        self._lists: dict[str, tuple[int, bool]] = {}
        self._gateway = Gateway(self.store, self.store, self._directory, self._append, utc_now)
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            self._gateway, http=LenientProtocol, ws="none", lifespan="off", log_config=None, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve(sockets=[listening])))
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._gateway.close()
        self.store.close()

    def publish(self, *, node: bytes, python: bytes) -> str:
        """Serve a settings file per SDK family; return the SDK key that asks for it."""
        environment_id = next(self._numbers)
        key = f"{environment_id:032x}"
        self.store.publish(
            {f"settings/{environment_id}/node": node, f"settings/{environment_id}/python": python}
        )
        self._keys[key] = environment_id
        return key

    def keep_list(self, list_id: str, values: Sequence[str], *, folds_case: bool = False) -> None:
        self.store.replace(list_set(list_id), dict.fromkeys(values, 1))
        self._lists[list_id] = (ACCOUNT, folds_case)

    def _directory(self) -> Directory:
        return Directory(
            sdks={key_hash(key): Sdk(number, 1, ACCOUNT) for key, number in list(self._keys.items())},
            accounts={str(ACCOUNT): 1000},
            lists=dict(self._lists),
        )

    async def _append(self, arrivals: list[Arrival]) -> None:
        self.arrivals += arrivals

    def ask(
        self, sdk: str, key: str, questions: Sequence[Mapping[str, Any]], *, with_storage: bool = False
    ) -> list[dict[str, Any]]:
        """One SDK process, initialised once, answering all questions in order."""
        asked = {
            "url": self.url,
            "accountId": ACCOUNT,
            "sdkKey": key,
            "withStorage": with_storage,
            "questions": list(questions),
        }
        done = subprocess.run(
            RUNNERS[sdk], input=json.dumps(asked), capture_output=True, text=True, cwd=CLIENTS, timeout=180
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return answers
