"""What a stored event says after a reload: which properties were set and by whom, and what was left out and why."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from cairn.ingest.names import MOST_USER_PROPERTIES
from tests.patience import eventually
from tests.whole.conftest import Whole, number

Send = Callable[[Whole, str, dict[str, Any]], None]


def server(whole: Whole, name: str, properties: dict[str, Any]) -> None:
    whole.send("/api/add_user_properties", identity=name, properties=properties)


def browser(whole: Whole, name: str, properties: dict[str, Any]) -> None:
    device = number()
    whole.identify(device, name)
    body = {
        "env_id": whole.app_id,
        "user_id": str(device),
        "library": {"name": "web"},
        "properties": {key: {"string": str(value)} for key, value in properties.items()},
    }
    assert whole.http.post("/api/capture/v2/add_user_properties", json=body).status_code == 200


def segment(whole: Whole, name: str, properties: dict[str, Any]) -> None:
    key = whole.cairn.demo["environments"][whole.environment]["write_keys"]["server"]
    body = {
        "type": "identify",
        "userId": name,
        "traits": properties,
        "context": {"library": {"name": "analytics-python"}},
    }
    assert whole.http.post("/v1/identify", json=body, auth=(key, "")).status_code == 200


def timeline(whole: Whole, name: str) -> str:
    """What the user's page says, without its tags."""
    user_id = whole.user(name)["user"]["id"]
    with whole.signed_in() as page:
        text = page.get(f"/env/{whole.environment}/users/{user_id}").text
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", text)))


@pytest.mark.parametrize(
    ("send", "by"),
    [
        pytest.param(server, "the API", id="server"),
        pytest.param(browser, "the browser", id="browser"),
        pytest.param(segment, "analytics-python", id="segment"),
    ],
)
def test_the_timeline_names_the_properties_that_were_set_and_by_whom(
    whole: Whole, send: Send, by: str
) -> None:
    name = f"named-{number()}@shop.test"
    send(whole, name, {"plan": "pro", "seats": 5, "city": "Rome"})
    eventually(lambda: "plan" in (whole.user(name) or {"user": {"properties": {}}})["user"]["properties"])
    said = re.search(r"Set (.{0,80}), by (the API|the browser|[\w-]+)", timeline(whole, name))
    assert said, timeline(whole, name)
    assert said[2] == by
    assert re.search(r" and \d more", said[1]) and " to " in said[1]
    event = next(event for event in whole.events(name) if "plan" in event["properties"])
    assert event["properties"].items() >= {"plan": "pro", "seats": "5", "city": "Rome"}.items()


def test_what_was_left_out_of_a_stored_event_stays_with_it(whole: Whole) -> None:
    name = f"full-{number()}@shop.test"
    for part in range(2):
        keys = [f"k{part}_{at}" for at in range(MOST_USER_PROPERTIES - 100)]
        server(whole, name, dict.fromkeys(keys, "x"))
    eventually(lambda: len(whole.events(name)) == 2)
    told = [event["detail"] for event in whole.events(name) if event["detail"]]
    assert len(told) == 1 and "new names were left out" in told[0] and "'k1_" in told[0]
    assert told[0] in timeline(whole, name)
    assert told[0] in [event["detail"] for event in whole.live(user=name)]
    with whole.signed_in() as page:
        assert (
            html.escape(told[0]).replace("&#x27;", "&#39;")
            in page.get(f"/env/{whole.environment}/live", params={"user": name}).text
        )
