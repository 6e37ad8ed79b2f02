"""An address is looked up and forgotten: no file of the data directory holds it."""

import subprocess
from pathlib import Path

from tests.ingest.mmdb import write_mmdb
from tests.patience import eventually
from tests.prepared import Demos
from tests.whole.conftest import Whole, number

ADDRESS = "203.0.113.77"
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


def holding(folder: Path, text: str) -> list[str]:
    found = subprocess.run(["grep", "-rlaF", text, "."], cwd=folder, capture_output=True, text=True)
    return sorted(found.stdout.split())


def test_the_place_stays_and_the_address_goes(tmp_path: Path, demos: Demos) -> None:
    places = write_mmdb(tmp_path / "city.mmdb", {"203.0.113.0/24": {"country": "AT", "city": "Graz"}})
    cairn = demos.served(tmp_path / "data", "--location-file", str(places)).start()
    try:
        whole, device = Whole(cairn), number()
        sent = {"x-forwarded-for": ADDRESS, "user-agent": CHROME}
        page = {"id": str(number()), "url": {"domain": "shop.test", "path": "/"}}
        message = {
            "env_id": whole.app_id,
            "user_id": str(device),
            "pageview_info": page,
            "pageview": {},
            "session_info": {"id": str(number())},
            "id": page["id"],
        }
        whole.capture(message, headers=sent)
        whole.http.post(
            "/api/capture/v2/track", content=b"\xff", headers={**sent, "x-heap-env-id": whole.app_id}
        )
        whole.send("/api/track", status=400, identity="null", event="x", properties={"ip": ADDRESS})
        city = eventually(
            lambda: (whole.user(device) or {}).get("user", {}).get("properties", {}).get("initial_city")
        )
        assert city["value"] == "Graz"
        eventually(lambda: [event for event in whole.live() if event["reason"] == "junk_identity"])
        whole.http.close()
    finally:
        assert cairn.stop() == 0
    # What a sender itself writes into a request stays in the log as received, for as long as the log is kept.
    assert [name for name in holding(tmp_path / "data", ADDRESS) if "log" not in name] == []
    assert whole_requests_name(tmp_path / "data", ADDRESS) == 1


def whole_requests_name(folder: Path, text: str) -> int:
    """In how many requests of the log it stands."""
    from cairn.eventlog.log import START
    from cairn.paths import Paths
    from tests.seams import open_log

    log = open_log(Paths(folder).log)
    try:
        after, count = START, 0
        while page := log.read(after, limit_items=10_000):
            count += sum(text.encode() in item for entry in page for item in entry.items)
            after = page[-1].position
        return count
    finally:
        log.close()
