"""What the Heap destinations send is taken by Cairn's own Heap API, so that one Cairn can send to another."""

from urllib.parse import urlsplit

import pytest

from cairn.event import Draft
from cairn.http_client import Call
from cairn.routing.catalogue import destination
from tests.routing.destinations.sending import message, prepared
from tests.wire.arrivals import parse

TRACK = {
    "userId": "u1",
    "anonymousId": "an1",
    "event": "Order Completed",
    "properties": {"revenue": 9.5, "items": [{"sku": "a"}], "ship": {"city": "Oslo"}},
    "context": {"traits": {"email": "ann@shop.test", "plan": "pro"}},
}
IDENTIFY = {
    "userId": "u1",
    "anonymousId": "an1",
    "traits": {"plan": "pro", "address": {"city": "Oslo"}, "n": 3},
}


def taken(call: Call) -> Draft:
    """As the collector reads it: the parser is named by the path."""
    parser = urlsplit(call.url).path.removeprefix("/api/").replace("/", ".")
    [draft] = parse(f"heap.{parser}", call.body)
    assert isinstance(draft, Draft), draft
    return draft


@pytest.mark.parametrize("slug", ["heap_classic", "heap_cloud_actions", "heap_cloud"])
def test_cairn_takes_what_is_sent_to_heap(slug: str) -> None:
    events = prepared(destination(slug), message("track", **TRACK), app_id="7", host="https://cairn.test")
    drafts = [taken(request.call) for request in events]
    assert drafts[-1].name == "Order Completed" and drafts[-1].time_ms == message().time_ms
    assert drafts[-1].properties["ship.city"] == "Oslo"
    users = prepared(
        destination(slug), message("identify", **IDENTIFY), app_id="7", host="https://cairn.test"
    )
    [user] = [taken(request.call) for request in users]
    assert user.identity == "u1" and user.user_properties["address.city"] == "Oslo"
