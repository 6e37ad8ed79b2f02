"""The Events pages through their front door: define, count before saving, use, archive, restore; bad input; tenancy."""

from collections.abc import Callable

import pytest

from cairn.clock import to_ms
from cairn.definitions.defined_event import create_defined_event
from cairn.definitions.model import Definition, NewDefinedEvent, Part
from cairn.event import Draft, Element
from cairn.ids import event_id, identified_user_id
from cairn.workspace.permission import Role
from tests.definitions.world import load
from tests.web.conftest import NOW, Browser, World

BUTTON = "@div;#root;|@button;.add;.btn;|"
EVENTS = "/env/production/events"


@pytest.fixture(scope="module", autouse=True)
def clicked(world: World) -> None:
    here = world.a.environment.id
    load(
        world.core.store,
        [
            Draft(
                here,
                "click",
                "",
                to_ms(NOW) - n * 60_000,
                to_ms(NOW),
                user_id=identified_user_id(here, "ann"),
                event_id=event_id("click", str(n)),
                facts={"path": "/shop" if n % 2 else "/blog"},
                element=Element(BUTTON, "button", "", "add btn", "Buy"),
            )
            for n in range(1, 8)
        ],
    )
    world.event("Never Planned")


def test_define_try_save_archive_restore(owner: Browser) -> None:
    owner.get(f"{EVENTS}/new")
    form = {
        "name": "Added <b>",
        "category": "Shop",
        "p0.kind": "click",
        "p0.selector": "#root > .add",
        "p0.t0.key": "path",
        "p0.t0.operator": "is",
        "p0.t0.value": "/shop",
    }
    tried = owner.post(f"{EVENTS}/new", form | {"do": "try"})
    assert tried.status_code == 200
    assert "<b>4 events</b> by 1 user" in tried.text
    assert BUTTON in tried.text
    saved = owner.post(f"{EVENTS}/new", form | {"do": "save", "verified": "1"})
    assert saved.status_code == 200 and "verified" in saved.text
    assert "<b>4</b>" in saved.text and "Added &lt;b&gt;" in saved.text and "Added <b>" not in saved.text
    page = str(saved.url.path)
    listed = owner.get(EVENTS).text
    assert "Added &lt;b&gt;" in listed and "Shop" in listed and ">new<" not in listed.split("<nav")[0]
    assert owner.get(f"{page}/edit").text.count("#root &gt; .add") == 1
    assert "is archived" in owner.post(f"{page}/archive").text
    assert "Added &lt;b&gt;" in owner.get(EVENTS).text.split("Archived")[1]
    assert "is back" in owner.post(f"{page}/restore").text


def test_names_that_no_definition_names_are_offered(owner: Browser) -> None:
    text = owner.get(EVENTS).text
    assert "Never Planned" in text.split("Unplanned names")[1]
    assert 'value="Never Planned"' in owner.get(f"{EVENTS}/new?name=Never%20Planned").text
    owner.post(
        f"{EVENTS}/new", {"name": "Planned", "p0.kind": "custom", "p0.name": "Never Planned", "do": "save"}
    )
    assert "Unplanned names" not in owner.get(EVENTS).text


def test_a_new_name_stands_out_until_it_is_expected(world: World, owner: Browser) -> None:
    owner.get(EVENTS)
    owner.post(f"{EVENTS}/names/expect", {"name": "Known to us"})
    assert "A new event name" not in owner.get("/env/production").text
    world.event("Mistyped")
    for path in ("/env/production", EVENTS):
        text = owner.get(path).text
        assert "A new event name" in text and "“Mistyped”" in text
    assert ">new</span>" in owner.get(EVENTS).text.split("Unplanned names")[1]
    assert "Mistyped is expected" in owner.post(f"{EVENTS}/names/expect", {"name": "Mistyped"}).text
    text = owner.get(EVENTS).text
    assert "A new event name" not in text and "2 expected names" in text and "owner@shop.test" in text
    assert "not expected any more" in owner.post(f"{EVENTS}/names/forget", {"name": "Mistyped"}).text
    assert "A new event name" in owner.get("/env/production").text
    owner.post(f"{EVENTS}/names/expect", {"name": "Mistyped"})
    assert owner.post(f"{EVENTS}/names/expect", {"name": ""}).status_code == 422


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param({"p0.kind": "click", "p0.selector": "a + b"}, "the combinator", id="sibling"),
        pytest.param({"p0.kind": "click", "p0.selector": "a["}, "cannot be read", id="no selector"),
        pytest.param({"name": "", "p0.kind": "click"}, "1 to 100 characters", id="no name"),
        pytest.param({"p0.kind": "click", "p0.t0.key": ""}, "name the property", id="no key"),
        pytest.param({"event": "999"}, "another active defined event", id="unknown event"),
        pytest.param(
            {"p0.kind": "nonsense", "p0.t0.key": "text", "p0.t0.operator": "matches", "p0.t0.value": "("},
            "not a regular expression",
            id="pattern",
        ),
    ],
)
@pytest.mark.parametrize("do", ["try", "save"])
def test_mistakes_are_said_where_they_are(owner: Browser, form: dict[str, str], said: str, do: str) -> None:
    if do == "try" and "name" in form:
        pytest.skip("a name is not needed to count")
    owner.get(f"{EVENTS}/new")
    answer = owner.post(f"{EVENTS}/new", {"name": "Wrong", **form, "do": do})
    assert answer.status_code == 422
    assert said in answer.text


def test_editor_buttons(owner: Browser) -> None:
    owner.get(f"{EVENTS}/new")
    form = {"p0.kind": "click", "p0.selector": ".kept"}
    for do, count in (
        ("add p", 2),
        ("add p0.t", 1),
        ("remove p7", 1),
        ("nonsense", 1),
        ("add px.t", 1),
    ):
        answer = owner.post(f"{EVENTS}/new", form | {"do": do})
        assert answer.status_code == 200 and answer.text.count('.kind"') == count, do
        assert 'value=".kept"' in answer.text


def test_viewers_see_and_strangers_do_not(world: World, browse: Callable[[], Browser]) -> None:
    with world.core.engine.begin() as connection:
        event = create_defined_event(
            connection,
            world.b.workspace_id,
            world.b.environment.project_id,
            NewDefinedEvent("Secret of the rival", Definition((Part(),))),
            NOW,
        )
    ours, theirs = (
        browse().enter(world.core, world.a.email()),
        browse().enter(world.core, world.b.email(Role.VIEWER)),
    )
    assert theirs.get(f"{EVENTS}/{event.id}").status_code == 200
    assert theirs.get(f"{EVENTS}/new").status_code == 403
    assert "Secret of the rival" not in ours.get(EVENTS).text
    for path in (f"{EVENTS}/{event.id}", f"{EVENTS}/{event.id}/edit"):
        assert ours.get(path).status_code == 404
    for verb in ("archive", "restore", "edit"):
        assert ours.post(f"{EVENTS}/{event.id}/{verb}", {"name": "x", "p0.kind": "click"}).status_code == 404


def test_a_segment_counts_a_defined_event(world: World, owner: Browser) -> None:
    with world.core.engine.begin() as connection:
        event = create_defined_event(
            connection,
            world.a.workspace_id,
            world.a.environment.project_id,
            NewDefinedEvent("Pressed buy", Definition((Part("click", selector=".add"),))),
            NOW,
        )
    new = "/env/production/segments/new"
    assert f'value="defined-{event.id}"' in owner.post(new, {"g0.r0.what": "did", "do": "refresh"}).text
    row = {"g0.r0.what": "did", "g0.r0.kind": f"defined-{event.id}", "g0.r0.count": "7", "do": "save"}
    saved = owner.post(new, {"name": "Buyers", "key": "buyers", **row})
    assert saved.status_code == 200
    world.live.settle()
    page = owner.get(saved.url.path).text
    assert "Pressed buy" in page
    assert f"/users/{identified_user_id(world.a.environment.id, 'ann')}" in page
    assert f'value="defined-{event.id}" selected' in owner.get(f"{saved.url.path}/edit").text
    assert "Buyers" in owner.get(f"{EVENTS}/{event.id}").text, "used in"
    assert "take it out there first" in owner.post(f"{EVENTS}/{event.id}/archive").text
    wrong = owner.post(new, {"name": "Wrong", "key": "wrong", **row, "g0.r0.kind": "defined-99999"})
    assert wrong.status_code == 422 and "no active defined event" in wrong.text


def test_home_says_what_needs_a_look(world: World, owner: Browser) -> None:
    with world.core.engine.begin() as connection:
        for name in ("Twice", "Twice again"):
            create_defined_event(
                connection,
                world.a.workspace_id,
                world.a.environment.project_id,
                NewDefinedEvent(name, Definition((Part("click", selector="button.btn"),))),
                NOW,
            )
    for path in ("/env/production", EVENTS):
        text = owner.get(path).text
        assert "is defined 3 times" in text, "the two, and the one that counts the same by another selector"
        assert "Twice and Twice again count exactly the same events" in text
