"""A rule over a list of a team's own, uploaded through the edge, decided by the vendor's SDKs, unmodified."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.patience import PATIENCE_S
from tests.served import Served

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RUNNERS = {
    "node": ["node", str(HERE / "story/ask_flag.js")],
    "python": [sys.executable, str(HERE / "story/ask_flag.py")],
}
VARIABLE = "member_id"


class Lists:
    """The API of a served demo, and its flag `own`."""

    def __init__(self, served: Served) -> None:
        self.served = served
        headers = {"Authorization": f"Bearer {served.demo['api_token']}"}
        self._http = httpx.Client(base_url=f"{served.url}/api/v1", headers=headers, timeout=PATIENCE_S)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        params = {"environment": "production"} if path.startswith("/lists") else {}
        answer = self._http.request(method, path, params=params, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def upload(self, list_id: str, text: str, *, how: str = "") -> Any:
        method = "PUT" if how == "replace" else "POST"
        path = f"/lists/{list_id}/values" + ("/remove" if how == "remove" else "")
        return self.call(method, path, content=text.encode(), headers={"Content-Type": "text/csv"})

    def flag_over(self, list_id: str, key: str) -> None:
        self.call("POST", "/flags", json={"key": key})
        condition = {"type": "in_list", "attribute": VARIABLE, "list_id": list_id}
        rule = {"kind": "rollout", "key": "own", "allocations": [{"variation_id": 1}], "condition": condition}
        self.call("POST", f"/flags/{key}/environments/production/rules", json=rule)
        self.call("PUT", f"/flags/{key}/environments/production", json={"is_on": True})

    def ask(self, sdk: str, key: str, values: list[str], *, until: tuple[int, bool]) -> list[bool]:
        """First wait until one of the values has an answer: settings are polled."""
        demo = self.served.demo
        asked = {
            "url": self.served.url,
            "accountId": str(demo["account_id"]),
            "key": key,
            "sdkKey": self.served.production["sdk_key"],
            "contexts": [
                {"id": f"v{n}", "customVariables": {VARIABLE: value}} for n, value in enumerate(values)
            ],
            "until": {"index": until[0], "enabled": until[1], "timeoutMs": 20_000},
        }
        done = subprocess.run(
            [*RUNNERS[sdk], json.dumps(asked)],
            capture_output=True,
            text=True,
            cwd=HERE,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [bool(answer["enabled"]) for answer in json.loads(done.stdout.splitlines()[-1])["answers"]]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    served = Served(
        tmp_path_factory.mktemp("own") / "data", options=("--poll-interval-ms", "1000")
    ).make_demo()
    served.start()
    lists = Lists(served)
    yield lists
    lists.close()
    assert served.stop() == 0


@pytest.mark.parametrize("sdk", ["node", "python"])
@pytest.mark.parametrize("folds_case", [False, True], ids=["letter by letter", "capitals do not count"])
def test_a_rule_over_an_own_list_decides_in_a_vendors_sdk(lists: Lists, sdk: str, folds_case: bool) -> None:
    key = f"own_{sdk}_{int(folds_case)}"
    list_id = lists.call("POST", "/lists", json={"name": key, "folds_case": folds_case})["id"]
    lists.upload(list_id, "member\nAnn@Shop.test\nu-17,second column\n")
    lists.flag_over(list_id, key)
    values = ["u-17", "Ann@Shop.test", "ANN@shop.test", "nobody", "second column"]
    assert lists.ask(sdk, key, values, until=(0, True)) == [True, True, folds_case, False, False]
    lists.upload(list_id, "u-17\n", how="remove")
    assert lists.ask(sdk, key, values, until=(0, False)) == [False, True, folds_case, False, False]
    lists.upload(list_id, "nobody\n", how="replace")
    assert lists.ask(sdk, key, values, until=(3, True)) == [False, False, False, True, False]


def test_an_upload_of_more_than_ten_megabytes_passes_the_edge(lists: Lists) -> None:
    list_id = lists.call("POST", "/lists", json={"name": "large"})["id"]
    lines = "".join(f"user-{number},{'x' * 400}\n" for number in range(30_000))
    assert len(lines) > 10_485_760
    assert lists.upload(list_id, lines)["size"] == 30_000
