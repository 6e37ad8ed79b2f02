"""Users on their pages: listed, found, un-merged."""

from cairn.event import Kind
from cairn.identity.merges import merge
from tests.web.conftest import NOW, Browser, World
from tests.web.editing import HERE


def test_users_are_listed_found_told_and_unmerged(world: World, owner: Browser) -> None:
    ida = world.user("ida@shop.test", plan="premium", name="Ida")
    with world.core.engine.begin() as connection:
        done = merge(connection, world.a.environment.id, 77, "ida@shop.test", "test", NOW)
    world.core.store.insert_user_map([done.change])  # type: ignore[union-attr]
    world.event(
        "Order Completed", "ida@shop.test", user_id=77, properties={"total": 129.5, "currency": "EUR"}
    )
    world.event(
        "/pricing", "ida@shop.test", kind=Kind.PAGEVIEW, minutes_ago=60 * 24, properties={"path": "/pricing"}
    )
    for listed in (owner.get(f"{HERE}/users").text, owner.get(f"{HERE}/users?q=IDA").text):
        assert f"{HERE}/users/{ida}" in listed and "premium" in listed
    page = owner.read(f"{HERE}/users/{ida}").text
    assert "Order Completed · 129.5 EUR" in page
    assert "Viewed /pricing" in page
    assert "Today" in page and "Yesterday" in page
    assert owner.get(f"{HERE}/users/77").url.path == f"{HERE}/users/{ida}"
    assert owner.get(f"{HERE}/users/123456789").status_code == 404
    apart = owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "77"})
    assert "is a user of its own again" in apart.text
    assert "was taken out again" in apart.text
    assert "Order Completed" not in owner.get(f"{HERE}/users/{ida}").text
    assert "Order Completed" in owner.get(f"{HERE}/users/77").text
    assert owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "77"}).status_code == 409
    assert owner.post(f"{HERE}/users/{ida}/unmerge", {"raw": "x"}).status_code == 404


def test_pages_show_the_first_hundred_of_what_senders_made_many_and_say_how_many_more(
    world: World, owner: Browser
) -> None:
    user_id = world.user(
        "many@shop.test", email="many@shop.test", **{f"key{n:03}": "v" * 1000 for n in range(300)}
    )
    facts = {f"fact{n:03}": "v" * 1000 for n in range(900)}
    for minute in range(1, 30):
        world.event(f"Wide {minute}", "many@shop.test", minutes_ago=minute, properties=facts)
    with world.core.engine.begin() as connection:
        for raw in range(10_000, 10_150):
            merge(connection, world.a.environment.id, raw, "many@shop.test", "test", NOW)
    page = owner.get(f"{HERE}/users/{user_id}")
    assert page.status_code == 200
    assert "202 more are in the user" in page.text, "300 keys, identity and email, a hundred shown"
    assert "51 more are in the export" in page.text and "50 earlier" in page.text
    assert "800 more" in page.text, "of an event's properties"
    listed = owner.get(f"{HERE}/users").text
    assert "many@shop.test" in listed
    live = owner.get(f"{HERE}/live?q=Wide")
    assert live.status_code == 200 and len(live.content) < 1_500_000
    assert "more characters" in live.text
