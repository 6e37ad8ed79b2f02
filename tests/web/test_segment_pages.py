"""Segments on their pages: made, counted, explained, edited and deleted."""

import re
from collections.abc import Callable

from cairn.conditions.tree import Did, UserProperty
from cairn.db.engine import reading
from cairn.members.sets import list_set
from cairn.segments.definition import list_segments, states
from tests.web.conftest import Browser, World
from tests.web.editing import HERE, form_of, make_segment
from tests.web.reading import Reading


def test_a_segment_is_made_counted_explained_edited_and_deleted(world: World, owner: Browser) -> None:
    world.user("ann@shop.test", plan="premium", email="ann@shop.test")
    world.user("ben@shop.test", plan="free")
    number = make_segment(owner, "premium_users")
    assert set(world.changed) >= {world.a.environment.id, world.a.other.id}
    assert "counting" in owner.get(f"{HERE}/segments/{number}").text
    world.live.settle()
    page = owner.read(f"{HERE}/segments/{number}")
    assert "ann@shop.test" in page.links and "ben@shop.test" not in page.text
    assert "Users now 1 live" in page.text
    assert page.terms["Drift it found"] == "none: live changes and the full count agree"
    inside = owner.read(f"{HERE}/segments/{number}?user=ann@shop.test").text
    assert "in since" in inside and "it is premium" in inside
    outside = owner.read(f"{HERE}/segments/{number}?user=ben@shop.test").text
    assert "not in" in outside and "it is free" in outside
    assert "Nobody matches" in owner.get(f"{HERE}/segments/{number}?user=zoe").text
    listed = owner.get(f"{HERE}/segments").text
    assert "premium_users" in listed and "live" in listed
    assert "No segment is called that" in owner.get(f"{HERE}/segments?q=zzz").text
    edit = f"{HERE}/segments/{number}/edit"
    fields = form_of(owner.get(edit).text)
    assert fields["g0.r0.value"] == "premium"
    answer = owner.post(edit, {**fields, "g0.r0.value": "free", "name": "Free users", "do": "save"})
    assert "Free users" in answer.text
    world.live.settle()
    assert "ben@shop.test" in owner.get(f"{HERE}/segments/{number}").text
    gone = owner.post(f"{HERE}/segments/{number}/delete")
    assert "Segment Free users is deleted" in gone.text
    assert owner.get(f"{HERE}/segments/{number}").status_code == 404


def test_the_segment_editor_adds_rows_and_says_mistakes_at_their_row(world: World, owner: Browser) -> None:
    path = f"{HERE}/segments/new"
    fields = form_of(owner.get(path).text)
    fields = form_of(owner.post(path, {**fields, "do": "add g0.r"}).text)
    fields |= {"g0.r0.key": "plan", "g0.r0.value": "premium", "g0.r1.what": "did"}
    fields = form_of(owner.post(path, {**fields, "do": "refresh"}).text)
    assert fields["g0.r1.count"] == "1"
    fields |= {"name": "Buyers", "key": "buyers", "g0.r1.name": "Order Completed", "g0.r1.count": "lots"}
    wrong = owner.post(path, {**fields, "do": "save"})
    assert wrong.status_code == 422
    assert "expected a whole number" in wrong.text
    assert 'value="lots"' in wrong.text
    bad_key = owner.post(path, {**fields, "g0.r1.count": "2", "key": "Not A Key", "do": "save"})
    assert bad_key.status_code == 422 and Reading(bad_key.text).mistake("Key")
    right = owner.post(path, {**fields, "g0.r1.count": "2", "do": "save"})
    assert right.status_code == 200
    with reading(world.core.engine) as connection:
        made = next(s for s in list_segments(connection, world.a.workspace_id) if s.key == "buyers")
    assert {type(node) for node in made.condition.nodes} == {UserProperty, Did}  # type: ignore[union-attr]
    taken = owner.post(path, {**fields, "g0.r1.count": "2", "do": "save"})
    assert taken.status_code == 409 and Reading(taken.text).mistake("Key")


def test_the_segment_editor_counts_what_is_typed_and_suggests_frequent_values(
    world: World, owner: Browser, browse: Callable[..., Browser]
) -> None:
    for number in range(30):
        world.user(f"size{number}@shop.test", tier="gold" if number < 3 else f"rare-{number}")
    path = f"{HERE}/segments/new"
    form = {**form_of(owner.get(path).text), "g0.r0.key": "tier", "g0.r0.value": "gold"}

    def counted(**more: str) -> str:
        answer = owner.post(path, {**form, **more, "do": "count"})
        assert answer.status_code == 200
        return str(answer.text.partition('id="counted"')[2].partition("Count now")[0])

    said = counted()
    assert "3 users in Production now, 3 of them identified." in said
    assert 'list="values-g0.r0"' in owner.get(path).text
    options = re.findall(r'<option value="([^"]*)">', said.partition('id="values-g0.r0"')[2])
    assert "gold" in options and len(options) <= 20, "the most frequent ones, no more than a list can show"
    assert "No users in Production now." in counted(**{"g0.r0.value": "silver"})
    assert "cannot be counted yet" in counted(**{"g0.r0.key": ""})
    assert "cannot be counted yet" in counted(**{"g0.r0.operator": "matches", "g0.r0.value": "("})
    rival = browse().enter(world.core, world.b.email())
    rival.get(path)
    theirs = rival.post(path, {**form, "do": "count"}).text
    assert "No users in Production now." in theirs and "gold</option" not in theirs and "rare-" not in theirs


def test_identified_members_are_what_flags_see(world: World, owner: Browser) -> None:
    world.user("nora@shop.test", plan="gold")
    number = make_segment(owner, "gold", **{"g0.r0.value": "gold"})
    world.live.settle()
    with reading(world.core.engine) as connection:
        state = next(
            s
            for s in states(connection, world.a.workspace_id, number)
            if s.environment_id == world.a.environment.id
        )
    assert world.core.members.contains(list_set(state.list_id), "nora@shop.test")
    assert state.list_id in owner.get(f"{HERE}/segments/{number}").text
