"""The vendor's real SDKs against the gateway: what they write in their requests, and what becomes of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cairn.conditions.to_wingify import to_wingify
from cairn.conditions.tree import And, Condition, Device, Location
from cairn.event import Draft, Kind
from cairn.flags.checks import warnings_of_metrics
from cairn.flags.model import Metric
from cairn.outcomes import Reason
from cairn.wire.wingify import parse_event
from tests.gateway.serving import (
    ACCOUNT,
    EXACT,
    FOLDING,
    KEY,
    PRODUCTION,
    SERVER_KEY,
    Port,
    Serving,
    needing_server_key,
    serving,
)
from tests.ingest.mmdb import write_mmdb

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RUNNERS = {"node": ["node", str(HERE / "talk.js")], "python": [sys.executable, str(HERE / "talk.py")]}
VISITOR = "E012891C2EB85923932F7D318E2D678D"  # of user u1 in account 12345 (contracts/wingify.md 8.3)


def talk(
    served: Serving, sdk: str, values: list[str], *, key: str = KEY, with_alias: bool = False, **device: str
) -> dict[str, Any]:
    asked = {"url": served.url, "key": key, "values": values, "withAlias": with_alias, **device}
    done = subprocess.run(RUNNERS[sdk], input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def document(segments: dict[str, Any]) -> bytes:
    """One flag with a rollout rule and a test, so that one decision sends two exposures."""
    variation = {"id": 1, "name": "on", "weight": 100, "segments": segments, "variables": []}
    arms = [{"id": n, "name": f"v{n}", "weight": 50, "segments": {}, "variables": []} for n in (1, 2)]
    return json.dumps(
        {
            "version": 1,
            "accountId": ACCOUNT,
            "sdkKey": "__SDK_KEY__",
            "features": [
                {
                    "id": 1,
                    "key": "f",
                    "name": "F",
                    "type": "FEATURE_FLAG",
                    "status": "ON",
                    "metrics": [{"id": 1, "type": "CUSTOM_GOAL", "identifier": "purchase"}],
                    "rules": [
                        {"type": "FLAG_ROLLOUT", "ruleKey": "r", "campaignId": 1, "variationId": 1},
                        {"type": "FLAG_TESTING", "ruleKey": "t", "campaignId": 2},
                    ],
                }
            ],
            "campaigns": [
                {
                    "id": 1,
                    "key": "f_r",
                    "name": "r",
                    "type": "FLAG_ROLLOUT",
                    "status": "RUNNING",
                    "segments": {},
                    "variations": [variation],
                },
                {
                    "id": 2,
                    "key": "f_t",
                    "name": "t",
                    "type": "FLAG_TESTING",
                    "status": "RUNNING",
                    "segments": {},
                    "percentTraffic": 100,
                    "variations": arms,
                },
            ],
        }
    ).encode()


def drafts(served: Serving) -> list[Draft]:
    return [one for arrival in served.arrivals for one in parse_event(arrival) if isinstance(one, Draft)]


@pytest.mark.parametrize("sdk", ["node", "python"])
@pytest.mark.parametrize("name", ["order_completed", "Order-Completed.v2:eu~1"])
def test_every_sdk_sends_the_events_whose_names_are_not_warned_of(
    served: Serving, sdk: str, name: str
) -> None:
    assert not warnings_of_metrics([Metric(1, name)])
    served.store.publish({f"settings/{PRODUCTION}/{sdk}": document({}).replace(b"purchase", name.encode())})
    assert talk(served, sdk, [], event=name)["tracked"] is True
    assert name in [draft.name for draft in drafts(served)]


@pytest.mark.parametrize("name", ["Order Completed", "заказ", "a\tb"])
def test_names_that_an_sdk_never_sends_are_warned_of(served: Serving, name: str) -> None:
    assert warnings_of_metrics([Metric(1, name)])
    body = json.loads(document({}))
    body["features"][0]["metrics"][0]["identifier"] = name
    served.store.publish({f"settings/{PRODUCTION}/node": json.dumps(body).encode()})
    talk(served, "node", [], event=name)
    assert name not in [draft.name for draft in drafts(served)]


@pytest.mark.parametrize("name", ["a#b", "a&b", "a%41", "a+b", "a?b", "a b"])
def test_names_that_an_address_cannot_carry_as_they_are_are_warned_of(name: str) -> None:
    [warning] = warnings_of_metrics([Metric(1, name)])
    assert repr(name) in warning


@pytest.mark.parametrize("sdk", RUNNERS)
def test_where_the_server_key_is_needed_the_public_one_gets_flags_and_stores_nothing(
    served: Serving, sdk: str
) -> None:
    """The vendor's clients carry no secret but their SDK key, so the server's is a second SDK key."""
    served.directory = needing_server_key()
    served.store.publish({f"settings/{PRODUCTION}/{sdk}": document({})})
    assert talk(served, sdk, ["ann"])["enabled"] == [True]
    assert served.arrivals == []
    assert {refused.reason for refused in served.refusals} == {Reason.SERVER_KEY_NEEDED}
    assert talk(served, sdk, ["ann"], key=SERVER_KEY)["enabled"] == [True]
    assert {"vwo_variationShown", "purchase"} <= {draft.name for draft in drafts(served)}


def in_list(list_id: str) -> dict[str, Any]:
    return {"or": [{"custom_variable": {"who": f"inlist({list_id})"}}]}


VALUES = [
    "a@b.com",
    "a+b@x.com",
    "a&b",
    "50%",
    "50%25",
    "a#b",
    'a"b',
    "<x>",
    "café",
    "{x}",
    "a|b",
    "a\\b",
    "?x",
    "a=b",
]


def test_node_is_told_membership_of_whatever_it_asks(served: Serving) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(in_list(EXACT))})
    served.members_of(EXACT, *VALUES)
    asked = [value + suffix for value in VALUES for suffix in ("", "x")]
    assert talk(served, "node", asked)["enabled"] == [True, False] * len(VALUES)
    assert served.gateway.health()["counts"]["details"] == len(asked), (
        "asked before every decision with a list"
    )


def test_node_and_a_list_that_folds_case(served: Serving) -> None:
    served.store.publish({f"settings/{PRODUCTION}/node": document(in_list(FOLDING))})
    served.members_of(FOLDING, "ada@shop.test")
    assert talk(served, "node", ["ADA@Shop.test", "bob@shop.test"])["enabled"] == [True, False]


PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize("sdk", ["node", "python"])
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param(Location("country", "Austria"), True, id="country"),
        pytest.param(Location("city", "Vienna"), False, id="another city"),
        pytest.param(Device("device_type", "mobile"), True, id="device type"),
        pytest.param(Device("os", "Android"), True, id="system"),
        pytest.param(Device("browser_string", "wildcard(*Chrome*)"), True, id="browser"),
        pytest.param(Device("device_type", "desktop"), False, id="another device type"),
        pytest.param(And((Location("region", "Styria"), Device("os", "Android"))), True, id="both"),
    ],
)
def test_location_and_device_conditions_hold_by_what_the_gateway_says(
    port: Port, tmp_path: Path, sdk: str, condition: Condition, expected: bool
) -> None:
    graz = {"country": "Austria", "region": "Styria", "city": "Graz"}
    locations = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": graz})
    with serving(port, tmp_path, locations=locations) as served:
        served.store.publish({f"settings/{PRODUCTION}/{sdk}": document(to_wingify(condition))})
        assert talk(served, sdk, ["x"], agent=PHONE, address="203.0.113.7")["enabled"] == [expected]


@pytest.mark.parametrize("sdk", ["node", "python"])
def test_everything_an_sdk_reports_arrives(served: Serving, sdk: str) -> None:
    everyone = document({})
    served.store.publish({f"settings/{PRODUCTION}/{sdk}": everyone})
    told = talk(served, sdk, ["x"], with_alias=True)
    assert told == {"enabled": [True], "tracked": True, "aliased": True}
    found = drafts(served)
    assert {one.environment_id for one in found} == {PRODUCTION}

    shown = [one for one in found if one.kind == Kind.EXPOSURE]
    assert {one.properties["campaign"] for one in shown} == {1, 2}
    assert all(type(one.properties["variation"]) is int for one in shown)
    assert {one.anonymous_id for one in shown} == {VISITOR}, "the alias is decided as the user it stands for"
    keys = {(one.key, one.properties["campaign"]) for one in shown}
    assert len({key for key, _ in keys}) == len(keys), "exposures of one decision never share a key"

    (tracked,) = (one for one in found if one.kind == Kind.CUSTOM)
    assert (tracked.name, tracked.properties["amount"], tracked.ip) == ("purchase", 12.5, "203.0.113.7")
    assert tracked.user_agent == "Firefox"
    synced = {
        key: value for one in found if one.kind == Kind.IDENTIFY for key, value in one.user_properties.items()
    }
    assert synced == {"plan": "pro", "seats": 3}

    (seen,) = served.gateway.health()["sdks"]
    assert (seen["name"], seen["starts"]) == (f"vwo-fme-{sdk}-sdk", 1)


@pytest.mark.parametrize("sdk", ["node", "python"])
def test_an_environment_without_flags_leaves_an_sdk_alive(served: Serving, sdk: str) -> None:
    told = talk(served, sdk, ["x"])
    assert told == {"enabled": [False], "tracked": False, "aliased": None}
    (seen,) = served.gateway.health()["sdks"]
    assert seen["starts"] == 1, "it accepted the empty settings"
