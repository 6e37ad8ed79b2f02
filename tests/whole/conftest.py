"""A served Cairn, from the bytes a client sends to what a person reads. Its environments are the demo's."""

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.patience import PATIENCE_S
from tests.prepared import Demos
from tests.served import Served

CAPTURE = "/api/capture/v2"
_numbers = itertools.count(int(time.time() * 1000) * 100)  # of users, sessions and messages, each used once


def number() -> int:
    return next(_numbers)


class Whole:
    """Speaks to one environment as its clients do, and reads it over the API."""

    def __init__(self, cairn: Served, environment: str = "development") -> None:
        self.cairn, self.environment = cairn, environment
        self.app_id = cairn.demo["environments"][environment]["app_id"]
        self.environment_id = int(cairn.demo["environments"][environment]["environment_id"])
        self.http = httpx.Client(base_url=cairn.url, timeout=PATIENCE_S)
        self._headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}

    def send(self, path: str, status: int = 200, **body: Any) -> None:
        answer = self.http.post(path, json={"app_id": self.app_id, **body})
        assert answer.status_code == status, answer.text

    def capture(self, *messages: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        answer = self.http.post(
            f"{CAPTURE}/track",
            json={"events": messages},
            headers={"x-heap-env-id": self.app_id, **(headers or {})},
        )
        assert answer.status_code == 200, answer.text

    def identify(self, user_id: int, identity: str) -> None:
        body = {"env_id": self.app_id, "user_id": str(user_id), "identity": identity}
        assert self.http.post(f"{CAPTURE}/identify", json=body).status_code == 200

    def api(self, method: str, path: str, *, status: int = 200, is_here: bool = True, **options: Any) -> Any:
        """`is_here`: of this environment, not of the whole workspace."""
        params = ({"environment": self.environment} if is_here else {}) | options.pop("params", {})
        answer = self.http.request(method, f"/api/v1{path}", headers=self._headers, params=params, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def user(self, name: str | int) -> Any:
        """None while nothing is known of the user."""
        params = {"environment": self.environment}
        answer = self.http.get(f"/api/v1/users/{name}", headers=self._headers, params=params)
        return answer.json() if answer.status_code == 200 else None

    def events(self, name: str | int) -> list[dict[str, Any]]:
        found = self.http.get(
            f"/api/v1/users/{name}/events", headers=self._headers, params={"environment": self.environment}
        )
        return list(found.json()["events"]) if found.status_code == 200 else []

    @contextmanager
    def signed_in(self) -> Iterator[httpx.Client]:
        """The pages, as the demo's owner sees them."""
        with httpx.Client(base_url=self.cairn.url, timeout=30, follow_redirects=True) as browser:
            form = {"email": self.cairn.demo["email"], "password": self.cairn.demo["password"]}
            done = browser.post("/sign-in", data={**form, "csrf": token_in(browser.get("/sign-in").text)})
            assert done.status_code == 200, done.text
            yield browser

    def live(self, **only: str) -> list[dict[str, Any]]:
        return list(self.api("GET", "/events", params={"limit": 200, **only})["events"])


def token_in(page: str) -> str:
    """What a form of the page sends along to prove that it is ours."""
    found = re.search(r'name="csrf" value="([^"]*)"', page)
    assert found, page
    return found[1]


@pytest.fixture(scope="package")
def cairn(tmp_path_factory: pytest.TempPathFactory, demos: Demos) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("whole") / "data"
    served = demos.served(folder).start()
    yield served
    assert served.stop() == 0


@pytest.fixture
def whole(cairn: Served) -> Iterator[Whole]:
    one = Whole(cairn)
    yield one
    one.http.close()
