"""Privacy in the pages: what is set there is published, and nobody deletes without saying so twice."""

from collections.abc import Callable

import msgspec
import pytest

from cairn.db.engine import reading
from cairn.privacy.capture import publish_capture
from cairn.privacy.request import list_deletions
from cairn.privacy.snapshot import list_snapshots
from cairn.workspace.permission import Role
from tests.web.conftest import Browser, World, browse, open_world, owner

__all__ = ["browse", "open_world", "owner"]  # the pages' own fixtures


def published(world: World) -> dict[str, object]:
    with reading(world.core.engine) as connection:
        publish_capture(connection, world.core.members, world.a.environment.id)
    document = world.core.members.document(f"capture/{world.a.environment.id}")
    assert document is not None
    found: dict[str, object] = msgspec.json.decode(document)
    return found


def test_settings_are_published_as_the_script_reads_them(world: World, owner: Browser) -> None:
    assert published(world)["capture"] == {"mode": "all", "pages": []}
    form = {
        "mode": "block",
        "pages": "shop.example/account/*\n\n /checkout \n/checkout",
        "are_errors_captured": "1",
        "needs_consent": "1",
        "are_cookies_secure": "1",
        "is_cookieless": "1",
        "are_ips_kept": "1",
        "is_do_not_track_honoured": "1",
    }
    world.changed.clear()
    owner.get("/env/production/privacy")
    answer = owner.post("/env/production/privacy", form)
    assert "Saved." in answer.text
    assert world.changed == [world.a.environment.id]
    assert published(world) == {
        "privacy": {"disableTextCapture": True, "enableSecureCookies": True},
        "capture": {"mode": "block", "pages": ["shop.example/account/*", "/checkout"]},
        "consent": {"required": True},
        "disableTracking": True,
        "respectDoNotTrack": True,
        "cookieless": True,
        "captureErrors": True,
        "snapshots": {},
        "keep_ip": True,
    }
    assert owner.post("/env/production/privacy", {"mode": "all", "is_text_captured": "1"}).status_code == 200
    assert published(world)["disableTracking"] is False


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param({"mode": "allow", "pages": ""}, "would capture nothing", id="nothing allowed"),
        pytest.param(
            {"mode": "block", "pages": "https://shop.example/"}, "not a domain and path", id="scheme"
        ),
        pytest.param({"mode": "block", "pages": "/a?b=c"}, "not a domain and path", id="query"),
        pytest.param(
            {"mode": "block", "pages": "\n".join(f"/{n}" for n in range(101))},
            "100 are allowed",
            id="101 pages",
        ),
    ],
)
def test_bad_settings_change_nothing_and_keep_what_was_typed(
    world: World, owner: Browser, form: dict[str, str], expected: str
) -> None:
    before = published(world)
    owner.get("/env/production/privacy")
    answer = owner.post("/env/production/privacy", form)
    assert answer.status_code == 422
    assert expected in answer.text
    assert form["pages"].splitlines()[:1] == [] or form["pages"].splitlines()[0] in answer.text
    assert published(world) == before


def test_snapshots_come_and_go(world: World, owner: Browser) -> None:
    owner.get("/env/production/privacy")
    rows = [
        ("Plan", "submit", "form.checkout", "value", "select[name=plan]", ""),
        ("Price", "click", "a.buy", "text", ".price", ""),
        ("Sku", "click", "a.buy", "attribute", "${this}", "data-sku"),
        ("Headline", "pageview", "/product/*", "text", "h1", ""),
    ]
    for row in rows:
        form = dict(zip(("name", "trigger", "place", "reading", "target", "attribute"), row, strict=True))
        assert "reads from now on" in owner.post("/env/production/privacy/snapshots", form).text
    assert published(world)["snapshots"] == {
        "submit": {"form.checkout": {"f": {"Plan": "select[name=plan]"}}},
        "click": {
            "a.buy": {"t": {"Price": ".price"}, "a": {"Sku": {"target": "${this}", "attribute": "data-sku"}}}
        },
        "pageview": {"/product/*": {"s": {"Headline": "h1"}}},
    }
    twice = owner.post(
        "/env/production/privacy/snapshots",
        {"name": "Price", "trigger": "click", "place": "a.buy", "reading": "text", "target": ".total"},
    )
    assert twice.status_code == 409
    with reading(world.core.engine) as connection:
        found = list_snapshots(connection, world.a.environment.id)
    for each in found:
        owner.post(f"/env/production/privacy/snapshots/{each.id}/delete")
    assert published(world)["snapshots"] == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"target": "a[href"}, "is missing", id="open bracket"),
        pytest.param({"target": "a]"}, "closes nothing", id="closed too often"),
        pytest.param({"target": 'a[title="x]'}, "is missing", id="open quote"),
        pytest.param({"place": "${this}"}, "not a CSS selector", id="this where nothing fired yet"),
        pytest.param({"name": " "}, "1 to 255 characters", id="no name"),
        pytest.param({"reading": "attribute"}, "name the HTML attribute", id="no attribute"),
        pytest.param({"reading": "javascript"}, "JavaScript snapshots are off", id="javascript"),
        pytest.param({"trigger": "pageview", "place": "a b"}, "a path such as", id="no page"),
    ],
)
def test_bad_snapshots_are_refused(owner: Browser, changes: dict[str, str], expected: str) -> None:
    owner.get("/env/production/privacy")
    form = {"name": "Plan", "trigger": "click", "place": "a", "reading": "text", "target": "b", **changes}
    answer = owner.post("/env/production/privacy/snapshots", form)
    assert answer.status_code == 422
    assert expected in answer.text


def test_javascript_is_an_owners_decision(world: World, browse: Callable[[], Browser]) -> None:
    admin = browse().sign_in(world.a.email(Role.ADMIN))
    admin.get("/env/production/privacy")
    admin.post("/env/production/privacy", {"mode": "all", "may_run_javascript": "1", "is_text_captured": "1"})
    script = {"name": "Cart", "trigger": "click", "place": "a", "reading": "javascript", "target": "() => 1"}
    code = "const rows = document.querySelectorAll('li')\r\nreturn rows.length // all"
    assert admin.post("/env/production/privacy/snapshots", script).status_code == 422
    owner = browse().sign_in(world.a.email())
    owner.get("/env/production/privacy")
    owner.post("/env/production/privacy", {"mode": "all", "may_run_javascript": "1", "is_text_captured": "1"})
    for target, expected in (
        ("() => 1", "returns what it reads"),
        ("return 1" + " " * 5_000 + "// end", "1 to 5000"),
    ):
        refused = admin.post("/env/production/privacy/snapshots", {**script, "target": target})
        assert refused.status_code == 422 and expected in refused.text
    assert admin.post("/env/production/privacy/snapshots", {**script, "target": code}).status_code == 200
    assert published(world)["snapshots"] == {"click": {"a": {"j": {"Cart": code}}}}
    assert "rows.length // all" in admin.get("/env/production/privacy").text
    owner.post("/env/production/privacy", {"mode": "all", "is_text_captured": "1"})
    assert published(world)["snapshots"] == {}


def test_who_may_what(world: World, browse: Callable[[], Browser]) -> None:
    user = world.user("may@shop.test", plan="pro")
    for role in (Role.VIEWER, Role.EDITOR):
        some = browse().sign_in(world.a.email(role))
        assert "Delete the user" not in some.get(f"/env/production/users/{user}").text
        assert some.post(f"/env/production/users/{user}/delete", {"sure": "1"}).status_code == 403
        some.get("/env/production/privacy")
        assert some.post("/env/production/privacy", {"mode": "all"}).status_code == 403
    rival = browse().sign_in(world.b.email())
    rival.get("/env/production/privacy")
    assert rival.post(f"/env/production/users/{user}/delete", {"sure": "1"}).status_code == 404


def test_deleting_asks_first_and_names_what_is_lost(world: World, owner: Browser) -> None:
    user = world.user("gone@shop.test", plan="pro")
    world.event("Paid", "gone@shop.test")
    page = owner.get(f"/env/production/users/{user}").text
    assert "Delete gone@shop.test permanently?" in page
    assert "all events (1 event in the last 30 days here), 2 properties, 1 id" in " ".join(page.split())
    assert owner.post(f"/env/production/users/{user}/delete").status_code == 422
    answer = owner.post(f"/env/production/users/{user}/delete", {"sure": "1"})
    assert "The user is being deleted" in answer.text
    assert "pending" in answer.text
    with reading(world.core.engine) as connection:
        asked = list_deletions(connection, world.a.workspace_id)[0]
    assert (asked.state, asked.asked_by) == ("pending", world.a.email())


def test_export_is_a_file_with_everything(world: World, owner: Browser) -> None:
    user = world.user("told@shop.test", plan="pro")
    for minute in range(3):
        world.event(f"Step {minute}", "told@shop.test", minutes_ago=10 - minute)
    answer = owner.get(f"/env/production/users/{user}/export")
    assert answer.headers["content-disposition"] == f'attachment; filename="user-{user}.json"'
    told = answer.json()
    assert [event["name"] for event in told["events"]] == ["Step 0", "Step 1", "Step 2"]
    assert {each["key"]: each["value"] for each in told["properties"]} == {
        "identity": "told@shop.test",
        "plan": "pro",
    }
    assert told["user_ids"] == [user]
