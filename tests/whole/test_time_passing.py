"""Time alone ends a membership, beside many segments with windows of their own; nothing else is sent meanwhile."""

import time
from datetime import UTC, datetime
from typing import Any

from tests.patience import eventually
from tests.whole.conftest import Whole, number

SEGMENTS = 20  # beside the one that is watched, three windows each


def did(name: str, minutes: int, *, count: int = 1) -> dict[str, Any]:
    window = {"type": "last", "amount": minutes, "unit": "minute"}
    return {"type": "did", "event": {"name": name}, "operator": "at_least", "count": count, "window": window}


def segments_of(whole: Whole, identity: str) -> set[str]:
    found = whole.user(identity) or {"segments": []}
    return {segment["key"] for segment in found["segments"]}


def waiting(whole: Whole, keys: set[str]) -> list[str]:
    """Those of the segments that are not live yet."""
    found = whole.api("GET", "/segments", is_here=False, params={"limit": 200})["segments"]
    own = [segment for segment in found if segment["key"] in keys]
    return [
        segment["key"]
        for segment in own
        if any(environment["state"] != "live" for environment in segment["environments"])
    ]


def test_members_leave_and_enter_when_a_window_ends_beside_many_segments_with_windows(whole: Whole) -> None:
    name, identity = f"W {number()}", f"wanda-{number()}@shop.test"
    keys = [f"beside_{number()}" for _ in range(SEGMENTS)]
    for index, key in enumerate(keys):
        nodes = [did(name, 61 + index), did(f"{name} {index}", 60), did("Other", 60, count=index + 1)]
        condition = {"type": "or", "nodes": nodes}
        whole.api(
            "POST",
            "/segments",
            status=201,
            is_here=False,
            json={"key": key, "name": key, "condition": condition},
        )
    inside, outside = f"did_{number()}", f"did_not_{number()}"
    for key, condition in ((inside, did(name, 60)), (outside, {"type": "not", "node": did(name, 60)})):
        whole.api(
            "POST",
            "/segments",
            status=201,
            is_here=False,
            json={"key": key, "name": key, "condition": condition},
        )
    eventually(
        lambda: not waiting(whole, {inside, outside})
    )  # else the time could be over before the first count
    sent = datetime.fromtimestamp(time.time() - 3_600 + 20, UTC)  # 20 s are left of the hour
    whole.send("/api/track", identity=identity, event=name, timestamp=sent.isoformat())
    eventually(lambda: inside in segments_of(whole, identity))
    assert outside not in segments_of(whole, identity)
    eventually(lambda: {inside, outside} & segments_of(whole, identity) == {outside})
    assert set(keys) <= segments_of(whole, identity)
