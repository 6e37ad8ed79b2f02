"""Integrations → Directory and Partner apps: set up, searched, switched, removed, and what is said of each."""

from collections.abc import Callable

import pytest

from cairn.clock import to_ms
from cairn.conditions.tree import UserProperty
from cairn.ids import identified_user_id
from cairn.members.sets import users_set
from cairn.segments.definition import NewSegment, Segment, create_segment
from cairn.sync.grants import give
from cairn.sync.partner_apps import PartnerApp, list_apps
from cairn.sync.targets import Target, list_targets
from cairn.workspace.permission import Role
from tests.web.conftest import NOW, Browser, World

DIRECTORY = "/env/production/directory"
APPS = "/env/production/partner-apps"
WEBHOOK = {"name": "Warehouse", "url": "https://hooks.example/cairn"}
FILES = {
    "name": "Lake",
    "url": "https://s3.example",
    "bucket": "lake",
    "access_key_id": "AKIA",
    "target_secret": "s3cr3t-key",
}
TRAITS = {"name": "Segment", "url": "https://api.segment.example", "target_secret": "wk_secret"}


def targets(world: World) -> list[Target]:
    with world.core.reading() as connection:
        return list_targets(connection, world.a.environment.id)


def register(world: World, owner: Browser, name: str) -> PartnerApp:
    form = {
        "name": name,
        "redirect_uris": "https://m.example/a\n\nhttps://m.example/b",
        "webhook_url": "https://m.example/w",
    }
    assert owner.post(APPS, form, follow_redirects=False).status_code == 303
    with world.core.reading() as connection:
        return next(app for app in list_apps(connection, world.a.workspace_id) if app.name == name)


def allow(world: World, app: PartnerApp) -> int:
    with world.core.engine.begin() as connection:
        customer, _ = give(
            connection,
            app_id=app.id,
            workspace_id=world.a.workspace_id,
            environment_id=world.a.environment.id,
            granted_by="ann@shop.test",
            now=NOW,
        )
    return customer.grant_id


def segment(world: World, key: str) -> Segment:
    with world.core.engine.begin() as connection:
        new = NewSegment(key=key, name=key.title(), condition=UserProperty("plan", "is", key))
        return create_segment(connection, world.a.workspace_id, world.a.environment.project_id, new, NOW)


@pytest.mark.parametrize(
    ("kind", "form"),
    [("webhook", WEBHOOK), ("files", FILES), ("traits", TRAITS)],
    ids=lambda value: str(value)[:8],
)
def test_a_target_is_set_up_and_no_secret_is_shown_again(
    world: World, owner: Browser, kind: str, form: dict[str, str]
) -> None:
    answer = owner.post(f"{DIRECTORY}/new/{kind}", form, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    page = owner.get(answer.headers["location"])
    assert form["name"] in page.text
    assert ("whsec_" in page.text) == (kind == "webhook")
    again = owner.get(answer.headers["location"]).text + owner.get(DIRECTORY).text
    assert "whsec_" not in again
    assert form.get("target_secret", "whsec_") not in again
    assert form["name"] in {target.name for target in targets(world)}


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("webhook", {"name": ""}, "name"),
        ("webhook", {"url": "nonsense"}, "url"),
        ("webhook", {"target_secret": "short"}, "secret"),
        ("files", {"bucket": ""}, "bucket"),
        ("files", {"access_key_id": ""}, "access_key_id"),
        ("files", {"target_secret": ""}, "secret"),
        ("traits", {"target_secret": ""}, "secret"),
    ],
)
def test_what_is_wrong_with_a_target_is_said_at_its_field_without_the_secret(
    owner: Browser, kind: str, changes: dict[str, str], field: str
) -> None:
    form = {**{"webhook": WEBHOOK, "files": FILES, "traits": TRAITS}[kind], "name": "Other", **changes}
    answer = owner.post(f"{DIRECTORY}/new/{kind}", form)
    assert answer.status_code == 422
    assert f'id="wrong-{field}"' in answer.text
    assert f'value="{form.get("target_secret") or "-"}"' not in answer.text


@pytest.mark.parametrize("kind", ["partner", "nothing", "%00"])
def test_no_other_kind_can_be_set_up(owner: Browser, kind: str) -> None:
    assert owner.get(f"{DIRECTORY}/new/{kind}").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "is_listed"),
    [("cohort", True), ("WINGIFY", True), ("parquet", False), ("nothing like it", False)],
)
def test_the_directory_is_searched(owner: Browser, wanted: str, is_listed: bool) -> None:
    page = owner.get(f"{DIRECTORY}?q={wanted}").text
    assert ("<h2>Wingify Cohort Sync</h2>" in page) == is_listed
    assert ("<h2>Files</h2>" in page) == (wanted == "parquet")
    assert ("No integration fits" in page) == (wanted == "nothing like it")


def test_a_target_is_switched_off_and_on_and_removed(world: World, owner: Browser) -> None:
    owner.post(f"{DIRECTORY}/new/webhook", {**WEBHOOK, "name": "Switched"})
    target = next(target for target in targets(world) if target.name == "Switched")
    owner.post(f"{DIRECTORY}/{target.id}/switch", {"on": ""})
    assert "Switch it on to go on syncing" in owner.get(f"{DIRECTORY}?q=switched").text
    owner.post(f"{DIRECTORY}/{target.id}/switch", {"on": "1"})
    assert next(each for each in targets(world) if each.id == target.id).is_enabled
    owner.post(f"{DIRECTORY}/{target.id}/remove")
    assert "Switched" not in {target.name for target in targets(world)}


def test_an_allowed_app_stands_there_with_who_allowed_it_until_it_is_revoked(
    world: World, owner: Browser
) -> None:
    app = register(world, owner, "Mailer")
    assert app.redirect_uris == ("https://m.example/a", "https://m.example/b")
    assert "not connected" in owner.get(f"{DIRECTORY}?q=mailer").text
    grant_id = allow(world, app)
    page = owner.get(f"{DIRECTORY}?q=mailer").text
    assert "ann@shop.test" in page
    assert "not connected" not in page
    owner.post(f"/env/production/partner-grants/{grant_id}/revoke")
    page = owner.get(f"{DIRECTORY}?q=mailer").text
    assert "Its access was revoked" in page


def test_deleting_an_app_says_which_grants_and_syncs_end_and_ends_them(world: World, owner: Browser) -> None:
    app, wanted = register(world, owner, "Doomed"), segment(world, "doomed")
    allow(world, app)
    target = next(target for target in targets(world) if target.name == "Doomed")
    form = {"target": str(target.id), "mapping": "identity", "every": "1h", "do": "recurring"}
    answer = owner.post(f"/env/production/segments/{wanted.id}/syncs", form, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    page = owner.get(f"{APPS}/{app.id}").text
    assert "Ends: access to Production; the sync of Doomed in Production." in page
    owner.post(f"{APPS}/{app.id}/delete")
    assert owner.get(f"{APPS}/{app.id}").status_code == 404
    assert "Doomed" not in {target.name for target in targets(world)}


def test_a_save_of_an_app_that_was_changed_meanwhile_asks_first(world: World, owner: Browser) -> None:
    app = register(world, owner, "Twice")
    form = {"redirect_uris": "https://m.example/a", "webhook_url": "https://m.example/w"}
    assert owner.post(f"{APPS}/{app.id}", {**form, "name": "Second", "edition": "1"}).status_code == 200
    assert owner.post(f"{APPS}/{app.id}", {**form, "name": "Third", "edition": "1"}).status_code == 412


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_change_integrations_only_looks(
    world: World, browse: Callable[..., Browser], role: Role
) -> None:
    browser = browse().enter(world.core, world.a.email(role))
    assert browser.get(DIRECTORY).status_code == 200
    assert "Set up" not in browser.get(DIRECTORY).text
    assert browser.get(APPS).status_code == 200
    for path in (f"{DIRECTORY}/new/webhook", APPS):
        assert browser.post(path, WEBHOOK).status_code == 403


@pytest.mark.parametrize("mapping", ["identity", "email", "property:crm"])
def test_who_is_without_an_id_is_listed_under_each_mapping(
    world: World, owner: Browser, mapping: str
) -> None:
    wanted, here = segment(world, f"who_{mapping[:5]}"), world.a.environment.id
    key = {"identity": "identity", "email": "email"}.get(mapping, "crm")
    named, nameless = f"with-{key}@shop.test", f"without-{key}@shop.test"
    properties = {} if mapping == "identity" else {key: "x"}
    ids = [world.user(named, **properties)]
    ids.append(4242 if mapping == "identity" else world.user(nameless))
    values = {str(user_id): to_ms(NOW) for user_id in ids}
    world.core.members.apply(users_set(here, wanted.id), add=values, remove=())
    page = owner.get(f"/env/production/segments/{wanted.id}/without?by={mapping}").text
    assert f"/users/{ids[1]}" in page
    assert f"/users/{identified_user_id(here, named)}" not in page


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"target": "x"}, 422),
        ({"target": "999999"}, 404),
        ({"every": "5m"}, 422),
        ({"mapping": "nonsense"}, 422),
        ({"mapping": "property:"}, 422),
    ],
)
def test_a_sync_that_cannot_be_is_refused(
    world: World, owner: Browser, form: dict[str, str], status: int
) -> None:
    owner.post(f"{DIRECTORY}/new/webhook", {**WEBHOOK, "name": "Refusing"})
    target = next(target for target in targets(world) if target.name == "Refusing")
    (name, value), *_ = form.items()
    wanted = segment(world, f"no_{name}_{len(value)}")
    sent = {"target": str(target.id), "mapping": "identity", "every": "1h", "do": "recurring", **form}
    assert owner.post(f"/env/production/segments/{wanted.id}/syncs", sent).status_code == status
