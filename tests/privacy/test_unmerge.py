"""Counts, segments, lists and the flag follow a merge, and follow it back when it is taken back: all over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cairn.ids import identified_user_id
from tests.clients.test_reference_story import SDKS, ask
from tests.patience import PATIENCE_S, eventually
from tests.served import Served


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("unmerge") / "data"
    served = Served(folder, options=("--poll-interval-ms", "1000")).make_demo().start()
    yield served
    assert served.stop() == 0


class Caller:
    """The API and the server API of the demo workspace."""

    def __init__(self, cairn: Served) -> None:
        self.cairn = cairn
        headers = {"Authorization": f"Bearer {cairn.demo['api_token']}"}
        self.client = httpx2.Client(base_url=cairn.url, headers=headers, timeout=PATIENCE_S)

    def send(self, path: str, **body: Any) -> None:
        answer = self.client.post(path, json={"app_id": self.cairn.production["app_id"], **body})
        assert answer.status_code == 200, answer.text

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1{path}", params={"environment": "production"})

    def bought(self, user: str) -> int:
        answer = self.get(f"/users/{user}/events")
        return sum(event["name"] == "Order Completed" for event in answer.json().get("events", []))

    def segments(self, user: str) -> set[str]:
        answer = self.get(f"/users/{user}")
        return {segment["key"] for segment in answer.json().get("segments", [])}


@pytest.fixture
def caller(cairn: Served) -> Iterator[Caller]:
    one = Caller(cairn)
    yield one
    one.client.close()


@SDKS
def test_everything_follows_a_merge_and_its_undoing(cairn: Served, caller: Caller, sdk: str) -> None:
    identity = f"ann-{sdk}@leaver.test"
    device = 5120993847261120 + len(sdk)
    context = [{"buyer_id": identity}]
    # One purchase each is not enough for either; together they are an active buyer.
    caller.send("/api/track", event="Order Completed", user_id=str(device))
    caller.send("/api/track", event="Order Completed", identity=identity)
    eventually(lambda: caller.bought(identity) == caller.bought(str(device)) == 1)
    assert caller.segments(identity) == caller.segments(str(device)) == set()
    assert not ask(cairn, sdk, context)[0]["enabled"]

    caller.send("/api/v1/identify", user_id=str(device), identity=identity)
    eventually(lambda: caller.segments(identity) == {"active_buyers"})
    assert caller.bought(identity) == caller.bought(str(device)) == 2
    assert ask(cairn, sdk, context, until=(0, True))[0]["enabled"]
    own = identified_user_id(cairn.production["environment_id"], identity)
    assert set(caller.get(f"/users/{identity}").json()["user_ids"]) == {device, own}

    undone = caller.client.post(
        f"/api/v1/users/{identity}/unmerge", params={"environment": "production"}, json={"user_id": device}
    )
    assert undone.status_code == 200, undone.text
    eventually(lambda: caller.segments(identity) == set())
    assert caller.bought(identity) == caller.bought(str(device)) == 1
    assert not ask(cairn, sdk, context, until=(0, False))[0]["enabled"]
    details = caller.get(f"/users/{identity}").json()
    assert details["user_ids"] == [own]
    assert [merge["kind"] for merge in details["merges"]] == ["merge", "unmerge"]
