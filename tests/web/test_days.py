"""One set of numbers: days are the project's wherever they stand, a count is one everywhere, today is not over."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from cairn.definitions.defined_event import create_defined_event
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World

HERE = "/env/production"
MINUTES_AGO = (13, 6 * 60, 11 * 60, 26 * 60, 50 * 60)
ROW = re.compile(r'<td>([^<]*)</td>\s*<td class="num">([\d,]+)</td>')


@pytest.fixture(scope="module", autouse=True)
def ordered(world: World) -> int:
    """A defined event that happened now and then, and its id."""
    world.user("dora@shop.test")
    for minutes in MINUTES_AGO:
        world.event("Ordered", "dora@shop.test", minutes_ago=minutes)
    with world.core.engine.begin() as connection:
        made = create_defined_event(
            connection,
            world.a.workspace_id,
            world.a.environment.project_id,
            NewDefinedEvent("Order", Definition((Part("custom", "Ordered"),))),
            NOW,
        )
    return made.id


def set_zone(owner: Browser, zone: str) -> None:
    owner.get(f"{HERE}/environments")
    assert f"midnight in {zone}" in owner.post(f"{HERE}/environments/time-zone", {"time_zone": zone}).text


def table(page: str, label: str) -> dict[str, int]:
    """Day -> number, as a chart's table has them."""
    return {
        day: int(number)
        for day, number in ROW.findall(page.split(f'aria-label="{label} as a table"')[1].split("</table>")[0])
    }


@pytest.mark.parametrize("browser_zone", ["UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_every_chart_counts_the_days_of_the_project_whatever_zone_the_browser_is_in(
    owner: Browser, ordered: int, zone: str, browser_zone: str
) -> None:
    set_zone(owner, zone)
    owner.client.cookies.set("cairn_zone", quote(browser_zone, safe=""))
    here = ZoneInfo(zone)
    today = NOW.astimezone(here).date()
    happened = Counter(
        (today - (NOW - timedelta(minutes=minutes)).astimezone(here).date()).days for minutes in MINUTES_AGO
    )
    for page, label in ((f"{HERE}/events/{ordered}", "Order"), (HERE, "Events today")):
        days = table(owner.get(page).text, label)
        assert (days["Today, so far"], days["Yesterday"]) == (happened[0], happened[1]), label
        assert sum(days.values()) == len(MINUTES_AGO)
    titles = re.findall(r"<h3>\s*([A-Z]\w+)", owner.get(f"{HERE}/users/{_user_id(owner)}").text)
    assert titles[0] == "Today" and ("Yesterday" in titles) == bool(happened[1])


def _user_id(owner: Browser) -> str:
    found = re.search(r"/users/(\d+)\"", owner.get(f"{HERE}/users?q=dora").text)
    assert found is not None
    return found[1]


def test_the_running_day_is_drawn_and_named_as_unfinished(owner: Browser, ordered: int) -> None:
    event, home, events = (owner.get(f"{HERE}{path}").text for path in (f"/events/{ordered}", "", "/events"))
    assert len(re.findall(r'<rect[^>]* class="running"', event)) == 1
    assert "Today, so far" in event.split("<figcaption")[1].split("</figcaption>")[0]
    assert 'class="running"' in home and 'class="running"' in events
    for page in (event, home, events):
        assert "the last still running" in page


def test_a_users_events_are_one_number_on_every_page(world: World, owner: Browser) -> None:
    set_zone(owner, "UTC")
    world.event("Ordered", "dora@shop.test", minutes_ago=60 * 24 * 29)
    world.event("Ordered", "dora@shop.test", minutes_ago=60 * 24 * 31)  # too long ago for any of them
    listed = {
        path: re.search(r'dora@shop\.test.*?class="num"[^>]*>\s*(\d+)', owner.get(f"{HERE}{path}").text, re.S)
        for path in ("/users", "/users?q=dora")
    }
    page = re.search(r"(\d+) events in the last 30 days", owner.get(f"{HERE}/users/{_user_id(owner)}").text)
    assert page is not None and page[1] == str(len(MINUTES_AGO) + 1)
    assert {path: found and found[1] for path, found in listed.items()} == dict.fromkeys(listed, page[1])


def test_a_user_of_whom_only_properties_are_known_is_listed_and_has_no_events_yet(
    world: World, owner: Browser
) -> None:
    user_id = world.user("you@shop.test", plan="premium")
    for path in ("/users", "/users?q=you@"):
        row = owner.get(f"{HERE}{path}").text.split(f"/users/{user_id}")[1].split("</tr>")[0]
        assert "you@shop.test" in row and "no events yet" in row
    page = owner.get(f"{HERE}/users/{user_id}").text
    assert "No events yet" in page and "Not seen" not in page


def test_a_user_who_was_seen_long_ago_is_not_one_without_events(world: World, owner: Browser) -> None:
    user_id = world.user("old@shop.test")
    world.event("Ordered", "old@shop.test", minutes_ago=60 * 24 * 400)
    for path in ("/users", "/users?q=old@"):
        row = owner.get(f"{HERE}{path}").text.split(f"/users/{user_id}")[1].split("</tr>")[0]
        assert "400 days ago" in row and "no events yet" not in row
    assert (
        "Last seen 400 days ago, no events in the last 30 days" in owner.get(f"{HERE}/users/{user_id}").text
    )


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "UTC+2", "x" * 5_000])
def test_a_time_zone_that_is_none_is_refused_at_its_field(owner: Browser, zone: str) -> None:
    owner.get(f"{HERE}/environments")
    answer = owner.post(f"{HERE}/environments/time-zone", {"time_zone": zone})
    assert answer.status_code == 422 and 'id="wrong-time_zone"' in answer.text
    assert "is not a time zone" in answer.text


def test_a_viewer_sees_environments_and_changes_none(world: World, browse: Callable[[], Browser]) -> None:
    viewer = browse().enter(world.core, world.a.email(Role.VIEWER))
    page = viewer.get(f"{HERE}/environments").text
    assert "Development" in page and "New environment" not in page and world.b.environment.app_id not in page
    assert viewer.post(f"{HERE}/environments/time-zone", {"time_zone": "Asia/Tokyo"}).status_code == 403
