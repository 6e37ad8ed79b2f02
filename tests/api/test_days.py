"""Days in the API's answers are those of the project's time zone."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cairn.calendar import day_start
from cairn.clock import to_ms
from cairn.event import Draft
from cairn.ids import event_id
from cairn.workspace.environment import get_environment, set_time_zone
from cairn.workspace.permission import Role
from tests.api.conftest import World, make_tenant


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_counts_and_sessions_are_by_the_days_of_the_project(world: World, zone: str) -> None:
    own, here, now = (
        make_tenant(world.core, "days_" + zone.replace("/", "_").lower()),
        ZoneInfo(zone),
        world.core.clock(),
    )
    with world.core.engine.begin() as connection:
        project_id = get_environment(connection, own.workspace_id, own.environment).project_id
        set_time_zone(connection, own.workspace_id, project_id, zone)
    today = now.astimezone(here).date()
    midnight = day_start(today, here)
    times = [
        midnight + timedelta(milliseconds=1),
        midnight - timedelta(milliseconds=1),
        midnight - timedelta(hours=30),
    ]
    drafts = [
        Draft(
            own.environment,
            "custom",
            "Rare",
            to_ms(time),
            to_ms(now),
            user_id=own.user_id,
            session_id=number,
            event_id=event_id(zone, str(number)),
        )
        for number, time in enumerate(times, 100)
    ]
    world.core.store.insert_events(drafts)

    def api(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {own.tokens[Role.EDITOR]}"}
        answer = world.client.request(method, f"/api/v1{path}", headers=headers, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    made = api(
        "POST",
        "/defined-events",
        {"name": "Rare", "definition": {"parts": [{"kind": "custom", "name": "Rare"}]}},
    )
    counts = api("GET", f"/defined-events/{made['id']}/counts?environment=production&days=4")
    expected = Counter((today - time.astimezone(here).date()).days for time in times)
    assert counts["days"] == [expected[back] for back in (3, 2, 1, 0)] and expected[0] == expected[1] == 1
    assert counts["time_zone"] == zone
    assert datetime.fromisoformat(counts["since"]) == day_start(today - timedelta(days=3), here)
    days = api("GET", "/sessions?environment=production&days=4")["days"]
    assert {datetime.fromisoformat(day["day"]).astimezone(here).date() for day in days} >= {
        today - timedelta(days=back) for back in expected
    }
    assert all(datetime.fromisoformat(day["day"]).strftime("%H:%M") == "00:00" for day in days)
    assert api("GET", "/environments")["environments"][0]["time_zone"] == zone
