"""Step 5 of the reference story with every vendor's client, unmodified, against a served Cairn.

A member is on, a non-member off, a wrong key off, an anonymous user off; variables have their types; who leaves the
segment is off again.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import segment.analytics

from tests.served import Served

HERE = Path(__file__).parent
SDKS = pytest.mark.parametrize("sdk", ["node", "python"])
TYPES = {"headline": str, "free_shipping_over": int, "discount": float, "show_gifts": bool, "theme": dict}


@pytest.fixture(scope="module")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(
        tmp_path_factory.mktemp("story") / "data", options=("--poll-interval-ms", "1000")
    ).make_demo()
    served.start()
    yield served
    assert served.stop() == 0


def run_node(script: str, *arguments: str) -> str:
    done = subprocess.run(
        ["node", str(HERE / "story" / script), *arguments],
        capture_output=True,
        text=True,
        cwd=HERE,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def ask(
    cairn: Served, sdk: str, values: list[dict[str, Any]], *, until: tuple[int, bool] | None = None
) -> list[dict[str, Any]]:
    """Ask the demo's flag for several sets of custom variables; first wait until one of them has an answer."""
    argument = json.dumps(
        {
            "url": cairn.url,
            "accountId": str(cairn.demo["account_id"]),
            "sdkKey": cairn.production["sdk_key"],
            "key": cairn.demo["flag"],
            "contexts": [{"id": f"visitor-{n}", "customVariables": value} for n, value in enumerate(values)],
            "until": until and {"index": until[0], "enabled": until[1], "timeoutMs": 20_000},
        }
    )
    if sdk == "node":
        out = run_node("ask_flag.js", argument)
    else:
        done = subprocess.run(
            [sys.executable, str(HERE / "story" / "ask_flag.py"), argument],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        out = done.stdout
    return list(json.loads(out.splitlines()[-1])["answers"])


def become(cairn: Served, client: str, identity: str, plan: str) -> None:
    """Set the user property `plan` through one vendor's client."""
    if client == "heap-api":
        calls = json.dumps(
            [
                ["addUserProperties", identity, {"plan": plan}],
                ["track", "Plan Chosen", identity, {"plan": plan}],
            ]
        )
        run_node("heap_api.js", cairn.url, cairn.production["app_id"], calls)
    elif client == "analytics-node":
        calls = json.dumps([["identify", {"userId": identity, "traits": {"plan": plan}}]])
        run_node("segment_node.js", cairn.url, cairn.production["write_keys"]["server"], calls)
    else:
        failed: list[Exception] = []
        sender = segment.analytics.Client(
            cairn.production["write_keys"]["server"],
            host=cairn.url,
            on_error=lambda error, _: failed.append(error),
        )
        sender.identify(identity, {"plan": plan})
        sender.flush()
        sender.shutdown()
        assert not failed


@SDKS
@pytest.mark.parametrize("client", ["heap-api", "analytics-node", "analytics-python"])
def test_behaviour_sent_by_a_vendors_client_reaches_a_vendors_flag_sdk(
    cairn: Served, client: str, sdk: str
) -> None:
    identity = f"{client}+{sdk}@shop.test"
    become(cairn, client, identity, "premium")
    member, non_member, wrong_key, anonymous, nobody = ask(
        cairn,
        sdk,
        [
            {"your_custom_variable": identity},
            {"your_custom_variable": "stranger@shop.test"},
            {"another_variable": identity},
            {"your_custom_variable": "5120993847261120"},
            {},
        ],
        until=(0, True),
    )
    assert member["enabled"]
    assert not non_member["enabled"]
    assert not wrong_key["enabled"]
    assert not anonymous["enabled"]
    assert not nobody["enabled"]
    assert {key: type(value) for key, value in member["variables"].items()} == TYPES

    become(cairn, client, identity, "free")
    [left] = ask(cairn, sdk, [{"your_custom_variable": identity}], until=(0, False))
    assert not left["enabled"]


@SDKS
def test_a_behavioural_segment_decides_on_its_own_identifier(cairn: Served, sdk: str) -> None:
    buyer, visitor = f"buyer-{sdk}@shop.test", f"once-{sdk}@shop.test"
    for identity, times in ((buyer, 2), (visitor, 1)):
        for number in range(times):
            answer = httpx2.post(
                f"{cairn.url}/api/track",
                json={
                    "app_id": cairn.production["app_id"],
                    "identity": identity,
                    "event": "Order Completed",
                    "idempotency_key": f"{identity}-{number}",
                },
            )
            assert answer.status_code == 200
    on, off, other_key = ask(
        cairn,
        sdk,
        [{"buyer_id": buyer}, {"buyer_id": visitor}, {"your_custom_variable": buyer}],
        until=(0, True),
    )
    assert on["enabled"]
    assert not off["enabled"]
    assert not other_key["enabled"]


def test_an_anonymous_user_with_the_property_is_never_in_the_list(cairn: Served) -> None:
    """Heap segments reach flags for identified users only (shared reference, step 7)."""
    sender = segment.analytics.Client(cairn.production["write_keys"]["server"], host=cairn.url)
    sender.identify(anonymous_id="anon-77", traits={"plan": "premium"})
    sender.flush()
    sender.shutdown()
    become(
        cairn, "analytics-python", "after-anonymous@shop.test", "premium"
    )  # processed later in the same order
    known, anonymous = ask(
        cairn,
        "node",
        [{"your_custom_variable": "after-anonymous@shop.test"}, {"your_custom_variable": "anon-77"}],
        until=(0, True),
    )
    assert known["enabled"]
    assert not anonymous["enabled"]
