"""Sessions of events that came over the wire: as captured, and by any gap."""

import re
import time

from tests.patience import eventually
from tests.whole.conftest import Whole, number

MINUTE_MS = 60_000


def test_sessions_as_captured_and_by_a_gap(whole: Whole) -> None:
    device, captured, now = number(), number(), int(time.time() * 1000)
    minutes_ago = (200, 199, 170, 100, 99)  # Heap's session stays the same as long as the client says so
    for place, minutes in enumerate(minutes_ago):
        page = {"id": str(number()), "url": {"domain": "shop.test", "path": f"/{place}"}}
        whole.capture(
            {
                "env_id": whole.app_id,
                "user_id": str(device),
                "id": page["id"],
                "time": now - minutes * MINUTE_MS,
                "session_info": {"id": str(captured)},
                "pageview_info": page,
                "pageview": {},
            }
        )
    whole.send("/api/track", user_id=str(device), event="Paid")  # of a server: it has no session
    eventually(lambda: len(whole.events(device)) == 6)

    def split(**gap: int) -> list[tuple[int, str, str]]:
        found = whole.api("GET", f"/users/{device}/sessions", params=gap)
        assert found["gap_minutes"] == gap.get("gap_minutes")
        return [(session["events"], session["entry"], session["exit"]) for session in found["sessions"]]

    assert split() == [(5, "/0", "/4")]
    assert split(gap_minutes=30) == [(1, "", ""), (2, "/3", "/4"), (3, "/0", "/2")]
    assert split(gap_minutes=5) == [(1, "", ""), (2, "/3", "/4"), (1, "/2", "/2"), (2, "/0", "/1")]
    assert split(gap_minutes=240) == [(6, "/0", "/4")]
    for wrong in ("0", "1441", "x"):
        whole.api("GET", f"/users/{device}/sessions", status=422, params={"gap_minutes": wrong})

    days = whole.api("GET", "/sessions", params={"gap_minutes": 5, "days": 2})["days"]
    assert sum(day["sessions"] for day in days) >= 4

    with whole.signed_in() as browser:
        path = f"/env/{whole.environment}/users/{device}"
        shown = [browser.get(path, params=gap).text for gap in ({}, {"gap": "30"}, {"gap": "no"})]
    assert [
        len(re.findall(r'<td class="mono wrap">', text.partition('id="sessions"')[2])) for text in shown
    ] == [1, 3, 1]
    assert "→ /2" in shown[1]
