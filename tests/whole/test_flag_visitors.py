"""Whose a flag SDK's events are: the vendor's unmodified clients, from `getFlag` to the user's page and segments."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn.ids import anonymous_user_id, identified_user_id, visitor_id
from tests.patience import eventually
from tests.served import Served
from tests.whole.conftest import Whole, number

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parents[1] / "clients"
SDKS = ("node", "python")
FLAG = "seen-by-all"


def call(whole: Whole, sdk: str, *calls: list[Any]) -> None:
    """Every call must say yes."""
    key = whole.cairn.demo["environments"][whole.environment]["sdk_key"]
    account_id = str(whole.cairn.demo["account_id"])
    argument = json.dumps({"url": whole.cairn.url, "accountId": account_id, "sdkKey": key, "calls": calls})
    runner, name = ("node", "sdk_calls.js") if sdk == "node" else (sys.executable, "sdk_calls.py")
    command = [runner, str(CLIENTS / "story" / name), argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=CLIENTS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["answers"] == [True] * len(calls)


@pytest.fixture(scope="module", autouse=True)
def flag(cairn: Served) -> None:
    """On for everybody, in two environments, with an event that counts for it."""
    for environment in ("development", "production"):
        whole = Whole(cairn, environment)
        if environment == "development":
            flag = {
                "key": FLAG,
                "name": "Seen by all",
                "variations": [{"id": 1, "key": "big", "name": "Big button"}],
                "metrics": [{"id": 1, "identifier": "signed_up"}],
            }
            whole.api("POST", "/flags", status=201, is_here=False, json=flag)
            condition = {"type": "user_property", "key": "tier", "operator": "is", "value": "vip"}
            segment = {"key": "vip", "name": "vip", "condition": condition}
            whole.api("POST", "/segments", status=201, is_here=False, json=segment)
        path = f"/flags/{FLAG}/environments/{environment}"
        rule = {"kind": "rollout", "key": "all", "allocations": [{"variation_id": 1}]}
        whole.api("POST", f"{path}/rules", status=201, is_here=False, json=rule)
        whole.api("PUT", path, is_here=False, json={"is_on": True})
        whole.http.close()


@pytest.fixture
def production(cairn: Served) -> Iterator[Whole]:
    one = Whole(cairn, "production")
    yield one
    one.http.close()


def ghost(whole: Whole, name: str) -> Any:
    """The user that a flag SDK's hash of this id would be, if it stood for itself."""
    return whole.user(visitor_id(name, whole.cairn.demo["account_id"]))


def kinds(whole: Whole, name: str | int) -> list[str]:
    return [event["kind"] for event in whole.events(name)]


def identity() -> str:
    return f"ada-{number()}@shop.test"


@pytest.mark.parametrize("sdk", SDKS)
def test_a_known_identity_has_its_exposures_events_and_properties(whole: Whole, sdk: str) -> None:
    name = identity()
    whole.send("/api/add_user_properties", identity=name, properties={"plan": "pro"})
    eventually(lambda: whole.user(name))
    call(whole, sdk, ["flag", FLAG, name], ["set", name, {"tier": "vip"}], ["track", "signed_up", name])
    eventually(lambda: {event["name"] for event in whole.events(name)} >= {"vwo_variationShown", "signed_up"})
    eventually(lambda: whole.user(name)["user"]["properties"].get("tier", {}).get("value") == "vip")
    eventually(lambda: "vip" in {segment["key"] for segment in whole.user(name)["segments"]})
    said = next(event for event in whole.events(name) if event["properties"] == {"tier": "vip"})
    assert said["library"].startswith("vwo-")
    assert ghost(whole, name) is None
    assert whole.user(name)["user_ids"] == [identified_user_id(whole.environment_id, name)]


@pytest.mark.parametrize("sdk", SDKS)
def test_an_identity_that_becomes_known_later_has_what_came_before(whole: Whole, sdk: str) -> None:
    name = identity()
    call(whole, sdk, ["flag", FLAG, name], ["set", name, {"tier": "vip"}])
    eventually(lambda: ghost(whole, name))
    device = number()
    whole.identify(device, name)
    eventually(lambda: "exposure" in kinds(whole, name))
    eventually(lambda: "vip" in {segment["key"] for segment in whole.user(name)["segments"]})
    found = whole.user(name)
    own, visitor = (
        identified_user_id(whole.environment_id, name),
        visitor_id(name, whole.cairn.demo["account_id"]),
    )
    assert set(found["user_ids"]) == {own, device, visitor}
    assert ghost(whole, name)["user"]["id"] == own


def test_anonymous_ids_join_before_and_after_they_are_known(whole: Whole) -> None:
    """Heap's number of a browser, and Segment's anonymous id, each asked for a flag before and after it was seen."""
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]

    def seen(name: str) -> int:
        if name.isdigit():
            whole.send("/api/track", user_id=name, event="Looked")
            return int(name)
        body = {"anonymousId": name, "event": "Looked", "type": "track"}
        assert whole.http.post("/v1/track", json=body, auth=(key, "")).status_code == 200
        return anonymous_user_id(name)

    before, after = [str(number()), f"anon-{number()}"], [str(number()), f"anon-{number()}"]
    users = [seen(name) for name in before]
    for user in users:
        eventually(lambda user=user: whole.user(user))
    call(whole, "node", *(["flag", FLAG, name] for name in (*before, *after)))
    for name in after:
        eventually(lambda name=name: ghost(whole, name))
    users += [seen(name) for name in after]
    for name, user in zip((*before, *after), users, strict=True):
        eventually(lambda user=user: sorted(kinds(whole, user)) == ["custom", "exposure"])
        assert (ghost(whole, name) is None) == (name in before)
    for user in users:  # and go with them when they are merged
        one = identity()
        whole.identify(user, one)
        eventually(lambda one=one: "exposure" in kinds(whole, one))
        whole.api("POST", f"/users/{one}/unmerge", json={"user_id": user}, status=200)
        assert "exposure" in kinds(whole, user) and "exposure" not in kinds(whole, one)


def test_what_a_person_took_apart_stays_apart(whole: Whole) -> None:
    name = identity()
    visitor = visitor_id(name, whole.cairn.demo["account_id"])
    call(whole, "node", ["flag", FLAG, name])
    eventually(lambda: ghost(whole, name))
    whole.identify(number(), name)
    eventually(lambda: "exposure" in kinds(whole, name))
    whole.api("POST", f"/users/{name}/unmerge", json={"user_id": visitor})
    assert "exposure" not in kinds(whole, name)
    call(whole, "node", ["flag", FLAG, name])
    whole.identify(number(), name)
    eventually(lambda: kinds(whole, visitor) == ["exposure", "exposure"])
    assert "exposure" not in kinds(whole, name)


def test_the_same_id_in_two_environments_is_two_users(whole: Whole, production: Whole) -> None:
    name = identity()
    for one in (whole, production):
        one.send("/api/add_user_properties", identity=name, properties={"plan": "pro"})
        eventually(lambda one=one: one.user(name))
    call(production, "node", ["flag", FLAG, name])
    eventually(lambda: "exposure" in kinds(production, name))
    assert "exposure" not in kinds(whole, name) and ghost(whole, name) is None


def test_an_exposure_names_flag_and_variation_wherever_it_is_told(whole: Whole) -> None:
    """On the timeline, Live and in the API; of a rule that was deleted its number."""
    name = identity()
    path = f"/flags/{FLAG}/environments/{whole.environment}/rules"
    whole.send("/api/add_user_properties", identity=name, properties={"plan": "pro"})
    call(whole, "python", ["flag", FLAG, name])

    def shown() -> dict[str, str] | None:
        return next(
            (event["properties"] for event in whole.events(name) if event["kind"] == "exposure"), None
        )

    properties = eventually(shown)
    assert (properties["flag"], properties["flag_key"], properties["variation_name"]) == (
        "Seen by all",
        FLAG,
        "Big button",
    )
    latest = next(event for event in whole.live(user=name) if event["kind"] == "exposure")
    assert latest["properties"]["flag"] == "Seen by all"
    sentence = "Saw flag Seen by all, variation Big button"
    with whole.signed_in() as browser:
        user_id = identified_user_id(whole.environment_id, name)
        pages = [
            words_of(browser.get(f"/env/{whole.environment_id}{page}").text)
            for page in (f"/users/{user_id}", "/live?kind=exposure")
        ]
        assert all(sentence in page for page in pages), pages
    [rule] = whole.api("GET", path, is_here=False)["rules"]
    try:
        whole.api("DELETE", f"{path}/{rule['id']}", status=204, is_here=False)
        gone = f"a flag whose rule was deleted (campaign {rule['id']})"
        properties = eventually(shown)
        assert properties["flag"] == gone and "flag_key" not in properties
    finally:
        again = {"kind": "rollout", "key": "all", "allocations": [{"variation_id": 1}]}
        whole.api("POST", path, status=201, is_here=False, json=again)


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", "", page).split())
