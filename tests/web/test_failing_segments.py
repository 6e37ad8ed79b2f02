"""A segment that is not live any more is said where people look: on Home, on its page, in the list; until it is."""

from typing import Any

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cairn.api.app import build_api
from cairn.db.tables import segments
from cairn.workspace.api_token import create_token
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE, make_segment

UNKNOWN_EVENT = {
    "type": "did",
    "event": {"defined": 999},
    "window": {"type": "last", "amount": 1, "unit": "day"},
}
UNREADABLE = {"type": "of the future"}


def spoil(world: World, segment_id: int, condition: dict[str, Any]) -> None:
    """As a hand in the database, or a newer Cairn, would."""
    with world.core.engine.begin() as connection:
        connection.execute(
            sa.update(segments)
            .where(segments.c.id == segment_id)
            .values(condition=condition, version=segments.c.version + 1)
        )
    world.live.settle()


def repair(world: World, segment_id: int) -> None:
    spoil(world, segment_id, {"type": "user_property", "key": "plan", "operator": "is", "value": "premium"})


def test_a_segment_that_cannot_be_counted_stands_on_home_with_since_when_until_it_can(
    world: World, owner: Browser
) -> None:
    segment_id = make_segment(owner, "spoilt")
    world.live.settle()
    assert "is not live" not in owner.get(HERE).text

    spoil(world, segment_id, UNKNOWN_EVENT)
    home, page, listed = (
        owner.get(HERE + path).text for path in ("", f"/segments/{segment_id}", "/segments")
    )
    assert "Segment Spoilt is not live since" in home and "defined event 999" in home
    assert "Not live" in page and "since" in page and "defined event 999" in page
    assert "failing" in listed

    repair(world, segment_id)
    assert "is not live" not in owner.get(HERE).text
    assert "Not live" not in owner.get(f"{HERE}/segments/{segment_id}").text


def test_a_stored_condition_that_cannot_be_read_stands_on_home(world: World, owner: Browser) -> None:
    segment_id = make_segment(owner, "unreadable")
    world.live.settle()
    spoil(world, segment_id, UNREADABLE)
    assert "Segment Unreadable is not live since" in owner.get(HERE).text
    repair(world, segment_id)
    assert "is not live" not in owner.get(HERE).text


def test_many_failing_segments_are_a_few_lines_on_home(world: World, owner: Browser) -> None:
    made = [make_segment(owner, f"many{number}") for number in range(6)]
    for segment_id in made:
        spoil(world, segment_id, UNKNOWN_EVENT)
    home = owner.get(HERE).text
    assert home.count("is not live since") == 3 and "3 more segments are not live" in home
    for segment_id in made:
        repair(world, segment_id)


def test_the_api_says_that_a_segment_fails_since_when_and_why(world: World, owner: Browser) -> None:
    segment_id = make_segment(owner, "asked")
    world.live.settle()
    spoil(world, segment_id, UNKNOWN_EVENT)
    with world.core.engine.begin() as connection:
        _, token = create_token(connection, world.a.workspace_id, name="t", role=Role.VIEWER, now=NOW)
    headers = {"Authorization": f"Bearer {token}"}
    with TestClient(Starlette(routes=build_api(world.core))) as client:
        path = f"/api/v1/segments/{segment_id}"
        [production] = [
            environment
            for environment in client.get(path, headers=headers).json()["environments"]
            if environment["environment"] == "production"
        ]
        assert production["state"] == "failing"
        assert production["since"] == NOW.isoformat().replace("+00:00", "Z")
        assert "defined event 999" in production["reason"]
        repair(world, segment_id)
        answer = client.get(path, headers=headers).json()["environments"]
    assert {(each["state"], each["since"], each["reason"]) for each in answer} == {("live", None, "")}
