"""Segments over defined events stay live: new elements, edits, combos, erasures, and elements seen late."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn.conditions.tree import And, Condition, Did, EventMatch, Last, PropertyFilter
from cairn.db.engine import reading
from cairn.definitions.defined_event import create_defined_event, update_defined_event
from cairn.definitions.matching import Definitions
from cairn.definitions.model import Changes, Definition, NewDefinedEvent, Part
from cairn.definitions.shapes import ShapeTest
from cairn.event import Draft, Element
from cairn.ingest.loaded import Loaded
from cairn.segments.definition import Segment
from cairn.segments.explain import explain
from cairn.store.arrow_tables import element_id
from cairn.store.store import SeenElement, Store
from tests.definitions.world import load
from tests.segments.world import World

BUY = Element("@main;|@button;.buy;|", "button", "", "buy", "Buy")
BUY_BIG = Element("@main;|@button;.big;.buy;|", "button", "", "big buy", "Buy it all")
PAY = Element("@main;|@button;.pay;|", "button", "", "pay", "Pay")
numbers = iter(range(9_000, 10_000))


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, store, next(numbers))
    yield world
    world.close()


def define(world: World, definition: Definition, name: str = "E") -> int:
    with world.engine.begin() as connection:
        new = NewDefinedEvent(name, definition)
        return create_defined_event(connection, world.workspace_id, world.project_id, new, world.clock()).id


def clicked(world: World, user_id: int, element: Element, *, ago_ms: int = 0, path: str = "/") -> Loaded:
    draft = Draft(
        world.environment_id,
        "click",
        "",
        world.now_ms - ago_ms,
        world.now_ms,
        user_id=user_id,
        event_id=world.next_id(),
        element=element,
        facts={"path": path},
    )
    load(world.store, [draft])
    return Loaded(world.environment_id, by_event={("click", ""): {user_id}})


def did(event_id: int, window: Last | None = None) -> Condition:
    return Did(EventMatch(defined=event_id), window=window)


def did_not(event_id: int) -> Condition:
    return Did(EventMatch(defined=event_id), "exactly", 0)


def sizes(world: World, *segments: Segment) -> list[set[int]]:
    return [world.users(segment) for segment in segments]


def test_history_counts_at_once_and_new_elements_are_picked_up(world: World) -> None:
    world.settle(clicked(world, 1, BUY), clicked(world, 2, PAY))
    event = define(world, Definition((Part("click", selector="main > .buy"),)))
    doers, others = world.define("doers", did(event)), world.define("others", did_not(event))
    world.settle()
    assert sizes(world, doers, others) == [{1}, {2}]
    world.settle(clicked(world, 2, BUY_BIG))  # a shape nobody has seen before
    assert sizes(world, doers, others) == [{1, 2}, set()]
    world.settle(clicked(world, 3, PAY))
    assert sizes(world, doers, others) == [{1, 2}, {3}]


def test_an_edit_recounts_and_a_window_ends(world: World) -> None:
    event = define(world, Definition((Part("click", selector=".buy"),)))
    ever, lately = world.define("ever", did(event)), world.define("lately", did(event, Last(1, "hour")))
    world.settle(clicked(world, 1, BUY), clicked(world, 2, PAY))
    assert sizes(world, ever, lately) == [{1}, {1}]
    with world.engine.begin() as connection:
        changes = Changes(definition=Definition((Part("click", selector=".pay"),)))
        update_defined_event(connection, world.workspace_id, event, changes, world.clock())
    world.settle()
    assert sizes(world, ever, lately) == [{2}, {2}]
    world.now_ms += 3_600_001
    world.settle()
    assert sizes(world, ever, lately) == [{2}, set()]


def test_combos_filters_and_merges(world: World) -> None:
    buy = define(
        world, Definition((Part("click", tests=(PropertyFilter("text", "starts_with", "Buy"),)),)), "buy"
    )
    order = define(world, Definition((Part("custom", "Order"),)), "order")
    either = define(world, Definition(events=(buy, order)), "either")
    twice = world.define("twice", Did(EventMatch(defined=either), "at_least", 2))
    shop = world.define(
        "shop", Did(EventMatch(defined=buy, filters=(PropertyFilter("path", "is", "/shop"),)))
    )
    world.settle(clicked(world, 1, BUY), world.did(2, "Order"), clicked(world, 3, BUY_BIG, path="/shop"))
    assert sizes(world, twice, shop) == [set(), {3}]
    merged = [world.identify(1, "ann"), world.identify(2, "ann")]
    world.settle(*merged)
    (ann,) = world.users(twice)
    world.settle(world.unmerge(2))
    assert world.users(twice) == set() and ann not in {1, 2}


def test_why_somebody_is_in(world: World) -> None:
    event = define(world, Definition((Part("click", selector=".buy"),)))
    world.settle(clicked(world, 1, BUY), clicked(world, 1, BUY_BIG), clicked(world, 1, PAY))
    with reading(world.engine) as connection:
        condition = And((did(event), did_not(event)))
        why = explain(world.store, connection, world.environment_id, 1, condition, world.clock())
    assert [(node.holds, node.count, node.condition) for node in why.nodes] == [
        (True, 2, did(event)),
        (False, 2, did_not(event)),
    ]


def test_shapes_follow_the_store_whatever_order_they_come_in(world: World) -> None:
    here, definitions = world.environment_id, Definitions(world.store)
    test = ShapeTest(".buy")

    def seen(element: Element, first_seen_ms: int) -> None:
        number = element_id(element)
        world.store.insert_elements([SeenElement(here, number, element, first_seen_ms)])

    seen(BUY, world.now_ms)
    assert set(definitions.shapes(here).ids(test)) == {element_id(BUY)}
    seen(BUY_BIG, world.now_ms - 400 * 86_400_000)  # a replay of last year
    assert set(definitions.shapes(here).ids(test)) == {element_id(BUY), element_id(BUY_BIG)}
    seen(PAY, world.now_ms + 1)
    assert set(definitions.shapes(here).ids(test)) == {element_id(BUY), element_id(BUY_BIG)}
    assert len(definitions.shapes(here)) == 3
    assert definitions.shapes(here + 500_000).ids(test) == ()


def test_plain_events_may_ask_about_the_element(world: World) -> None:
    text = EventMatch("click", filters=(PropertyFilter("text", "is", "Pay"),))
    segment = world.define("pay", Did(text))
    world.settle(clicked(world, 1, BUY), clicked(world, 2, PAY))
    assert sizes(world, segment) == [{2}]
