"""A user is deleted on the page, returns, and is deleted by Heap's API; snapshots reach the browser's configuration."""

import re
import time
from typing import Any

from tests.patience import eventually
from tests.whole.conftest import CAPTURE, Whole, number, token_in


def page_of(whole: Whole, path: str = "") -> str:
    return f"/env/{whole.environment}{path}"


def test_who_was_deleted_comes_again_as_somebody_new(whole: Whole) -> None:
    device, identity, now = number(), f"hal-{number()}@shop.test", int(time.time() * 1000)

    def bought(at: int) -> dict[str, Any]:
        return {
            "env_id": whole.app_id,
            "user_id": str(device),
            "id": f"{device}-{at}",
            "time": now - at,
            "session_info": {"id": "1"},
            "event": {"custom": {"name": "Order Completed"}},
        }

    click = {"builtin": 1, "nodes": [{"node_name": "button", "node_text": "Pay now", "node_id": "pay"}]}
    whole.capture(bought(1), bought(2), {**bought(3), "event": {"interaction": click}})
    whole.identify(device, identity)
    eventually(lambda: device in (whole.user(identity) or {"user_ids": []})["user_ids"])
    known = whole.user(identity)["user"]["id"]
    eventually(lambda: len(whole.events(identity)) == 4)
    told = whole.api("GET", f"/users/{identity}/export")
    assert (told["user_ids"], [event["kind"] for event in told["events"]][:1]) == ([known, device], ["click"])
    assert told["events"][0]["element"] == {
        "hierarchy": "@button;#pay;|",
        "tag": "button",
        "dom_id": "pay",
        "text": "Pay now",
    }
    with whole.signed_in() as browser:
        page = browser.get(page_of(whole, f"/users/{known}")).text
        form = {"csrf": token_in(page), "sure": "1"}
        assert browser.post(page_of(whole, f"/users/{known}/delete"), data=form).status_code == 200
        eventually(
            lambda: whole.api("GET", "/deletions", is_here=False)["deletions"][0]["state"] == "complete"
        )
    assert whole.user(identity) is None and whole.user(device) is None
    assert whole.api("GET", "/deletions", is_here=False)["deletions"][0]["receipt"]["deleted"] != []

    # The browser kept its ids, and what it had not yet sent is not lost: it begins a new history.
    whole.capture(bought(2))
    eventually(lambda: len(whole.events(device)) == 1)
    assert whole.user(device)["user"]["identity"] is None
    assert whole.user(device)["merges"] == []
    whole.identify(device, identity)
    eventually(lambda: device in (whole.user(identity) or {"user_ids": []})["user_ids"])
    assert [event["name"] for event in whole.events(identity)].count("Order Completed") == 1


def test_snapshots_are_delivered_and_javascript_waits_for_the_owner(whole: Whole) -> None:
    def configuration() -> str:
        return str(whole.http.get(f"/config/{whole.app_id}/heap_config.js").text)

    new = {"trigger": "submit", "place": "form.checkout", "target": "select[name=plan]", "attribute": ""}
    with whole.signed_in() as browser:
        token = token_in(browser.get(page_of(whole, "/privacy")).text)

        def add(status: int = 200, **fields: str) -> None:
            answer = browser.post(page_of(whole, "/privacy/snapshots"), data={"csrf": token, **new, **fields})
            assert answer.status_code == status, answer.text

        add(name="Plan", reading="value")
        add(name="Label", reading="text", trigger="click", place="a.buy", target="${this}")
        add(
            name="Price",
            reading="attribute",
            trigger="pageview",
            place="/shop/*",
            target="b",
            attribute="data-price",
        )
        script = {"name": "Total", "reading": "javascript", "target": "return 42"}
        add(status=422, **script)
        last = '"a":{"Price":{"target":"b","attribute":"data-price"}}'
        text = eventually(lambda: found if last in (found := configuration()) else "")
        assert '"f":{"Plan":"select[name=plan]"}' in text and '"t":{"Label":"${this}"}' in text
        assert '"j":' not in text and "return 42" not in text
        allowed = {"csrf": token, "mode": "all", "may_run_javascript": "1", "is_text_captured": "1"}
        saved = browser.post(page_of(whole, "/privacy"), data=allowed)
        assert saved.status_code == 200
        add(**script)
        [name] = eventually(lambda: re.findall(r'"j":\{"Total":"(\w+)"\}', configuration()))
        file = f"/v5/functions/{whole.app_id}/{name}.js"
        assert "return 42" in whole.http.get(file).text, "in a file of its own"
        browser.post(page_of(whole, "/privacy"), data={"csrf": token, "mode": "all", "is_text_captured": "1"})
        eventually(lambda: '"j":' not in configuration())
        assert whole.http.get(file).status_code == 404


def test_an_apps_client_is_answered_in_its_own_format(whole: Whole) -> None:
    """`{}` is no protobuf: a client that reads the answer would send the same again for ever."""
    from cairn.wire.capture_pb2 import PostMobileTrackResponse
    from tests.wire.captured import CLICK, batch

    body = batch({**CLICK, "env_id": whole.app_id, "user_id": str(number()), "id": str(number())})
    sent = {"content-type": "application/octet-stream", "x-heap-env-id": whole.app_id}
    answer = whole.http.post(
        f"{CAPTURE}/track?b=swift_core&i=&u=7&a={whole.app_id}", content=body, headers=sent
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert PostMobileTrackResponse.FromString(answer.content).status == "OK"
