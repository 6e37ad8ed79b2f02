"""The vendors' own clients, unmodified, against the collector."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

from cairn import ids
from cairn.event import Draft, Kind, Refused
from tests.collect.conftest import Served

SENDERS = Path(__file__).parent.parent / "clients" / "senders"


def node(script: str, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", "--no-deprecation", SENDERS / script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=SENDERS,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def installed_clients() -> None:
    if not (SENDERS.parent / "node_modules").exists():
        pytest.skip("run npm ci in tests/clients")


def test_npm_heap_api(served: Served) -> None:
    said = node("heap_api.js", served.url, "1234567890")
    assert [line.get("result") for line in said[:5]] == [True] * 5
    assert "400: Bad request: identity" in said[5]["error"]
    assert "400: Bad request: app_id" in said[6]["error"]
    # Refusals are recorded without anybody waiting; a later success says that they are in the log.
    assert (
        served.http.post("/api/track", content='{"app_id":"11","identity":"u","event":"last"}').status_code
        == 200
    )
    track, purchase, login, properties, empty, _ = served.drafts()
    assert (track.name, track.identity, track.environment_id) == ("order-shipped", "a@x.test", 1)
    assert purchase.properties == {"plan": "pro", "amount": 19.5, "items": 3}
    assert login.identity == "42"
    assert properties.user_properties == {"plan": "pro", "email": "a@x.test"}
    assert empty.user_properties == {}
    assert served.refusals() == [("junk_identity", 1), ("unknown_key", 0)]


def test_npm_segment_analytics_node(served: Served) -> None:
    said = node("segment_node.js", served.url, "wk_node")
    assert [line for line in said if "error" in line] == []
    assert [line["what"] for line in said] == ["delivered"] * 46
    by_name = {event.name: event for event in served.drafts()}
    identify = by_name["Identify"]
    assert (identify.identity, identify.merge_user_id) == ("u1", ids.anonymous_user_id("an1"))
    assert identify.user_properties == {
        "plan": "pro",
        "_email": "u1@x.test",
        "segment_library": "@segment/analytics-node",
    }
    assert by_name["Order Completed"].properties == {
        "revenue": 9.5,
        "items": '[{"sku":"a"}]',
        "ship.city": "Oslo",
        "segment_library": "@segment/analytics-node",
    }
    assert by_name["Looked"].user_id == ids.anonymous_user_id("an2")
    assert sorted(event.properties["n"] for event in served.drafts() if event.name == "Many") == list(
        range(40)
    )
    assert sorted(served.refusals()) == [
        ("blocked_by_integrations", 1),
        ("event_too_large", 1),
        ("unsupported_event_type", 1),
    ]
    assert all(draft.key.startswith("node-next-") and draft.sent_ms for draft in served.drafts())


def test_npm_segment_analytics_node_with_a_wrong_key(served: Served) -> None:
    said = node("segment_node.js", served.url, "wk_wrong")
    assert {line["what"] for line in said if "what" in line} == {"failed"}
    assert served.drafts() == []


@pytest.mark.parametrize("is_compressed", [False, True])
def test_pypi_segment_analytics_python(served: Served, is_compressed: bool) -> None:
    failures: list[Any] = []
    client = Client(
        "wk_node", host=served.url, gzip=is_compressed, on_error=lambda error, items: failures.append(error)
    )
    client.identify("u1", {"email": "u1@x.test", "plan": "pro"})
    client.track("u1", "Order Completed", {"revenue": 9.5, "tags": ["a", "b"]})
    client.track(42, "Number", {"d": {"e": True}})
    client.track(None, "Looked", anonymous_id="an2")
    client.page("u1", "Docs", "Home")
    for number in range(150):
        client.track("u1", "Many", {"n": number})
    client.flush()
    client.join()
    assert failures == []
    drafts = served.drafts()
    identify, order, number_event, looked = drafts[:4]
    assert (identify.kind, identify.identity) == (Kind.IDENTIFY, "u1")
    assert identify.user_properties["_email"] == "u1@x.test"
    assert order.properties == {"revenue": 9.5, "tags": '["a","b"]', "segment_library": "analytics-python"}
    assert (number_event.identity, number_event.properties["d.e"]) == ("42", True)
    assert looked.user_id == ids.anonymous_user_id("an2")
    assert [draft.properties["n"] for draft in drafts[4:]] == list(range(150))
    [page] = [event for event in served.events() if isinstance(event, Refused)]
    assert page.reason.value == "unsupported_event_type"
    assert all(isinstance(draft, Draft) and draft.key for draft in drafts)


OLDER = SENDERS.parent / "python" / ".older"  # Makefile, test-setup


def python(served: Served, write_key: str, *, is_older: bool) -> Any:
    if is_older and not OLDER.is_dir():
        pytest.skip("run make test-setup")
    path = {"PYTHONPATH": str(OLDER)} if is_older else {}
    done = subprocess.run(
        [sys.executable, SENDERS / "segment_python.py", served.url, write_key],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **path},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"].startswith("2.3." if is_older else "2.4.")
    return said["failures"]


@pytest.mark.parametrize("is_older", [False, True], ids=["2.4", "2.3"])
def test_both_ways_of_pypi_clients_to_name_their_key_deliver_once(served: Served, *, is_older: bool) -> None:
    """The older one has its key in the body alone, and sends again whatever is not answered with 200."""
    assert python(served, "wk_node", is_older=is_older) == []
    drafts = served.drafts()
    assert [draft.name for draft in drafts] == ["Identify", "Number", "Looked"]
    assert len({draft.key for draft in drafts}) == 3 and len(served.arrivals()) == 1
    assert drafts[0].user_properties["_email"] == "u1@x.test" and drafts[1].identity == "42"


@pytest.mark.parametrize("is_older", [False, True], ids=["2.4", "2.3"])
def test_pypi_clients_read_a_refusal_and_give_up_at_once(served: Served, *, is_older: bool) -> None:
    [failure] = python(served, "wk_wrong", is_older=is_older)
    assert failure.startswith("APIError") and "invalid_write_key" in failure
    assert served.drafts() == [] and {reason for reason, _ in served.refusals()} <= {"unknown_key"}
